//! A grain of a cluster as those see it who are no members of it, and the way of a message to it: by one node that can be
//! asked, and if that turns it down by the next.

use std::any::TypeId;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll, Waker, ready};
use std::time::Duration;

use rakt_wire::Address;
use tokio::time::Sleep;

use super::discovery::{DiscoveryError, Seed};
use super::nodes::Nodes;
use crate::call_options::CallOptions;
use crate::error::{Cause, Refusal};
use crate::reference::{AnyCell, AnyGrain, Looking, RemoteActor, Target, Way};
use crate::sync::Mutex;

/// A node that has not answered yet has so long before the next one is tried besides.
const HEAD_START: Duration = Duration::from_millis(500);
/// Between two rounds in which all nodes were tried; it doubles with each, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A node, and the grain by way of it.
type ByWayOf = (Arc<Seed>, Arc<dyn RemoteActor>);

/// A grain of another cluster.
pub(super) struct Distant {
    nodes: Arc<Nodes>,
    /// Its path; or why there can be no such grain.
    path: Result<String, Refusal>,
    /// The type of its lives, or that of an actor of any type.
    actor: TypeId,
    /// By way of the node that was used last.
    last: Mutex<Option<ByWayOf>>,
    /// Its address as long as no node is known.
    nowhere: Address,
}

impl Distant {
    pub(super) fn new(
        nodes: Arc<Nodes>,
        path: Result<String, Refusal>,
        actor: TypeId,
    ) -> Arc<Self> {
        let of = |path: &str, system: &str| Address::new(path, system, system, 0);
        let nowhere = path.as_ref().ok().and_then(|path| of(path, &nodes.system).ok());
        let nowhere = nowhere.unwrap_or_else(|| of("grains", "none").expect("it is valid"));
        Arc::new(Self { nodes, path, actor, last: Mutex::default(), nowhere })
    }

    fn begin(self: &Arc<Self>) -> WayThere {
        let grain = self.clone();
        let (tried, sent_to, head_start, pause, finding) = Default::default();
        let (has_looked, round, before, unfound) = Default::default();
        WayThere {
            grain,
            tried,
            sent_to,
            head_start,
            pause,
            finding,
            has_looked,
            round,
            before,
            unfound,
        }
    }

    /// The grain by way of a node, as it was used last or anew.
    fn by(&self, node: &Arc<Seed>) -> Result<Arc<dyn RemoteActor>, Refusal> {
        if let Some((last, remote)) = &*self.last.lock()
            && last == node
        {
            return Ok(remote.clone());
        }
        self.nodes.reach(self.path.as_ref().map_err(Clone::clone)?, node)
    }

    /// Has a node be found for those who do not wait.
    fn look_for_others(self: &Arc<Self>) {
        let Ok(caller) = self.nodes.caller() else { return };
        if self.nodes.is_looked_for.swap(true, Ordering::AcqRel) {
            return;
        }
        let grain = self.clone();
        caller.dialer.runtime.spawn(async move {
            let found = tokio::time::timeout(grain.nodes.options.ask_timeout, grain.clone().look());
            drop(found.await);
            grain.nodes.is_looked_for.store(false, Ordering::Release);
        });
    }
}

impl AnyGrain for Distant {
    fn path(&self) -> &str {
        match &self.path {
            Ok(path) => path,
            Err(_) => self.nowhere.path(),
        }
    }

    /// By way of the node that is asked.
    fn address(&self) -> Address {
        let node = self.nodes.current().or_else(|| self.nodes.next(|_| false));
        let address = node.and_then(|node| self.nodes.address(self.path(), &node).ok());
        address.unwrap_or_else(|| self.nowhere.clone())
    }

    fn call_options(&self) -> &CallOptions {
        &self.nodes.options
    }

    fn actor_type(&self) -> TypeId {
        self.actor
    }

    fn living(&self) -> Option<Arc<dyn AnyCell>> {
        None
    }

    fn known(&self) -> Option<Target> {
        let current = self.nodes.current()?;
        let last = self.last.lock();
        let (_, remote) = last.as_ref().filter(|(node, _)| *node == current)?;
        let is_ready = matches!(remote.poll_ready(None), Poll::Ready(Ok(())));
        is_ready.then(|| Target::Remote(remote.clone()))
    }

    fn way(self: Arc<Self>, sent_to: Option<&Target>) -> Box<dyn Way> {
        let mut way = self.begin();
        if let Some(Target::Remote(remote)) = sent_to {
            let (host, port) = (remote.address().host().to_owned(), remote.address().port());
            way.tried.push((Arc::new(Seed { host, port }), Tried::Reached(remote.clone())));
            way.sent_to = Some(0);
        }
        Box::new(way)
    }

    /// None of its lives is here.
    fn through(&self, _: fn(&Target) -> Target) -> Arc<dyn AnyGrain> {
        Self::new(self.nodes.clone(), self.path.clone(), self.actor)
    }

    fn look(self: Arc<Self>) -> Looking {
        Box::pin(async move {
            let mut way = self.begin();
            std::future::poll_fn(|cx| way.poll(Some(cx.waker()))).await.map(Some)
        })
    }
}

/// How far one has come with a node.
enum Tried {
    /// It may take the message once there is a connection to it.
    Reached(Arc<dyn RemoteActor>),
    Failed(Refusal),
}

type Timer = Option<Pin<Box<Sleep>>>;

type Finding = Pin<Box<dyn Future<Output = Result<(), DiscoveryError>> + Send>>;

/// The way of one message.
struct WayThere {
    grain: Arc<Distant>,
    /// The nodes that were tried in this round, in that order.
    tried: Vec<(Arc<Seed>, Tried)>,
    /// The one of those that it was sent to.
    sent_to: Option<usize>,
    /// The next node is tried when that is over.
    head_start: Timer,
    /// The next round begins when that is over.
    pause: Timer,
    finding: Option<Finding>,
    /// The nodes were looked for since this one was sent.
    has_looked: bool,
    /// How many rounds were followed by a pause.
    round: u32,
    /// What came of the round before, and of the last look for nodes.
    before: Vec<(Arc<Seed>, Refusal)>,
    unfound: Option<DiscoveryError>,
}

/// Whether a time that begins now, if none runs, is over.
fn poll_timer(timer: &mut Timer, time: Duration, cx: &mut TaskContext<'_>) -> Poll<()> {
    let sleep = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
    ready!(sleep.as_mut().poll(cx));
    *timer = None;
    Poll::Ready(())
}

impl WayThere {
    /// The first of those that were tried to which there is a connection.
    fn poll_tried(&mut self, waker: Option<&Waker>) -> Option<Target> {
        for at in 0..self.tried.len() {
            let Tried::Reached(remote) = &self.tried[at].1 else { continue };
            match remote.poll_ready(waker) {
                Poll::Ready(Ok(())) => return Some(self.choose(at, remote.clone())),
                Poll::Ready(Err(refusal)) => self.fail(at, refusal),
                Poll::Pending => {}
            }
        }
        None
    }

    fn choose(&mut self, at: usize, remote: Arc<dyn RemoteActor>) -> Target {
        let node = self.tried[at].0.clone();
        self.sent_to = Some(at);
        self.grain.nodes.set_current(&node, || self.failed());
        *self.grain.last.lock() = Some((node, remote.clone()));
        Target::Remote(remote)
    }

    fn has_tried(&self, node: &Arc<Seed>) -> bool {
        self.tried.iter().any(|(tried, _)| tried == node)
    }

    /// The next one need not wait for this one any more.
    fn fail(&mut self, at: usize, refusal: Refusal) {
        self.tried[at].1 = Tried::Failed(refusal);
        self.head_start = None;
    }

    /// Begins to try a node that was not yet tried in this round; false where there is none.
    fn try_next(&mut self) -> bool {
        let Some(node) = self.grain.nodes.next(|node| self.has_tried(node)) else { return false };
        let tried = self.grain.by(&node).map_or_else(Tried::Failed, Tried::Reached);
        self.tried.push((node, tried));
        true
    }

    /// Why nodes have not taken the message, as far as that is known.
    fn failed(&self) -> Vec<(Arc<Seed>, Refusal)> {
        let why = |tried: &Tried| match tried {
            Tried::Failed(refusal) => Some(refusal.clone()),
            Tried::Reached(remote) => remote.why_waiting(None),
        };
        let tried = self.tried.iter();
        tried.filter_map(|(node, tried)| Some((node.clone(), why(tried)?))).collect()
    }

    /// None of the nodes that are known has taken the message: looks which there are, after a pause if it has done so before.
    fn poll_next_round(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Refusal>> {
        let nodes = self.grain.nodes.clone();
        if self.finding.is_none() {
            if self.has_looked {
                let failed = self.failed();
                let is_for_good = failed.iter().all(|(_, refusal)| !refusal.is_transient());
                if is_for_good && !failed.is_empty() {
                    return Poll::Ready(Err(nodes.untaken(failed)));
                }
                let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.round));
                let pause = nodes.caller()?.dialer.random.jittered(pause.min(LONGEST_PAUSE));
                ready!(poll_timer(&mut self.pause, pause, cx));
                self.round += 1;
            }
            let finding = nodes.clone();
            self.has_looked = true;
            self.finding = Some(Box::pin(async move { finding.find().await }));
        }
        let Some(finding) = &mut self.finding else { return Poll::Pending };
        let found = ready!(finding.as_mut().poll(cx));
        self.finding = None;
        self.before = self.failed();
        self.tried.clear();
        self.unfound = found.err();
        match nodes.next(|_| false) {
            None if self.unfound.is_none() => {
                Poll::Ready(Err(nodes.unreachable("no nodes of it are known")))
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Where it can be sent at this moment.
    fn now(&mut self) -> Result<Target, Refusal> {
        let current = self.grain.nodes.current();
        if let Some(node) = current.filter(|node| !self.has_tried(node)) {
            let tried = self.grain.by(&node).map_or_else(Tried::Failed, Tried::Reached);
            self.tried.push((node, tried));
            if let Some(found) = self.poll_tried(None) {
                return Ok(found);
            }
        }
        self.grain.look_for_others();
        let failed = self.failed();
        Err(match failed.is_empty() {
            true => self.grain.nodes.unreachable("there is no connection to one of its nodes yet"),
            false => self.grain.nodes.untaken(failed),
        })
    }
}

impl Way for WayThere {
    fn poll(&mut self, waker: Option<&Waker>) -> Poll<Result<Target, Refusal>> {
        let grain = self.grain.clone();
        grain.path.as_ref().map_err(Clone::clone)?;
        let caller = grain.nodes.caller()?;
        let Some(waker) = waker else { return Poll::Ready(self.now()) };
        // Whoever polls this: timers and resolvers are those of the client.
        let _runtime = caller.dialer.runtime.enter();
        let cx = &mut TaskContext::from_waker(waker);
        loop {
            if self.finding.is_none() {
                if let Some(found) = self.poll_tried(Some(waker)) {
                    return Poll::Ready(Ok(found));
                }
                let is_open = |(_, tried): &(_, Tried)| matches!(tried, Tried::Reached(_));
                let is_any_open = self.tried.iter().any(is_open);
                if self.tried.last().is_some_and(is_open) {
                    ready!(poll_timer(&mut self.head_start, HEAD_START, cx));
                }
                if self.try_next() {
                    self.pause = None;
                    continue;
                }
                if is_any_open {
                    return Poll::Pending;
                }
            }
            ready!(self.poll_next_round(cx))?;
        }
    }

    /// What one node turns down before anybody has handled it, another may take.
    fn go_on(&mut self, refusal: &Refusal) -> Option<Target> {
        let at = self.sent_to.take()?;
        match refusal {
            Refusal::Unreachable { .. } | Refusal::ShuttingDown | Refusal::Fenced => {}
            Refusal::WrongSystem { .. } | Refusal::Incompatible { .. } => {}
            // Among them `Stopped`, which is not of the grain: it has another life. An actor has stopped to which that has
            // forwarded the message.
            _ => return None,
        }
        self.fail(at, refusal.clone());
        Some(Target::Grain(self.grain.clone()))
    }

    fn why_waiting(&self) -> Option<Refusal> {
        let (nodes, mut failed) = (&self.grain.nodes, self.failed());
        // Those that were not tried again yet.
        failed.extend(self.before.iter().filter(|(node, _)| !self.has_tried(node)).cloned());
        match &self.unfound {
            _ if !failed.is_empty() => Some(nodes.untaken(failed)),
            Some(error) => Some(nodes.unreachable(Cause::new(error.clone()))),
            None => {
                let finding = self.finding.as_ref();
                finding.map(|_| nodes.unreachable("its nodes are still being looked for"))
            }
        }
    }
}
