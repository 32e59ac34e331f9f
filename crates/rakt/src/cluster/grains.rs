//! The grains and the names of a node: what it brings to life, ends and looks for.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rakt_cluster::Incarnation;
use rakt_cluster::directory::Grain;
use rakt_cluster::participant::{self, Found};
use rakt_wire::Address;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::config::NAME;
use super::node::{Named, Node};
use crate::error::{Cause, Refusal};
use crate::events::{Event, StopReason};
use crate::grain::Epoch;
use crate::hosting::{Hosting, May};
use crate::metrics::of_cluster;
use crate::portable::PortableRef;
use crate::reference::{ActorRef, AnyCell, Life, ended};
use crate::signal::Signal;
use crate::system::core::{Clustering, Granted, Refused, Whereabouts};

/// How often a node that leaves looks at what has ended, and at its lease.
const LOOK: Duration = Duration::from_millis(100);
/// So many grains end at once where a node leaves, or has come back.
pub(super) const ENDING: usize = 64;

impl Node {
    pub(super) fn hosting(&self) -> Arc<Hosting> {
        self.hosting.lock().clone()
    }

    /// Brings a grain to life.
    pub(super) fn start(&self, grain: &Grain, epoch: rakt_cluster::Epoch) {
        if &*grain.kind == NAME {
            return self.grant_name(grain, epoch);
        }
        let Some(system) = self.system() else { return };
        let host = system.0.grains.get(&*grain.kind).cloned();
        let Some(host) = host else {
            let refusal = Refusal::KindNotRegistered { kind: grain.kind.to_string() };
            let grain = grain.clone();
            return self.tell(move |participant, now| {
                participant.failed(&grain, epoch, refusal.to_string());
                participant.finished(&grain, epoch, now)
            });
        };
        let hosting = self.hosting();
        let epoch = of_core(epoch);
        host.admit(&system, Granted { key: grain.key.clone(), epoch, hosting });
    }

    /// Nothing that lives here goes on: it may live elsewhere.
    pub(super) fn end_all(&self) {
        let Some(system) = self.system() else { return };
        let new = Hosting::new(self.clock.clone());
        let before = std::mem::replace(&mut *self.hosting.lock(), new);
        before.end();
        self.progress.send_modify(|progress| progress.hosts_until = Duration::ZERO);
        of_cluster::lease(None);
        if !self.is_leaving.load(Ordering::Relaxed) {
            tracing::error!(
                node = %system.name(),
                "this node is no member of its cluster any more: all grains that lived here have ended"
            );
            of_cluster::fenced();
            system.publish(|| Event::Fenced);
        }
        for host in system.0.grains.values() {
            host.evict(&Refusal::Fenced);
        }
        self.end_named();
    }

    /// A name is this node's. There is somebody who wants it, or the grant is an old one.
    pub(super) fn grant_name(&self, grain: &Grain, epoch: rakt_cluster::Epoch) {
        let hosting = self.hosting();
        let uid = {
            let mut state = self.state.lock();
            let named = state.names.get_mut(&grain.key).filter(|named| named.granted.is_none());
            named.map(|named| {
                named.granted = Some((epoch, hosting));
                named.actor.uid()
            })
        };
        let grain = grain.clone();
        self.tell(move |participant, now| match uid {
            Some(uid) => participant.started(&grain, epoch, uid, now),
            None => {
                // Or whoever waits would have it granted again at once.
                participant.failed(&grain, epoch, "nobody wants the name any more".to_owned());
                participant.finished(&grain, epoch, now)
            }
        });
    }

    /// The actors with names of the cluster end at once: others may take the names.
    pub(super) fn end_named(&self) {
        let names = std::mem::take(&mut self.state.lock().names);
        for named in names.into_values() {
            named.actor.evict(&Refusal::Fenced);
        }
    }

    /// Gives a name of the cluster back when the actor that has it has ended.
    pub(super) async fn look_after_named(self: Arc<Self>, grain: Grain, actor: Arc<dyn AnyCell>) {
        let begun = self.system().map(|system| system.shutdown_begun());
        let cut_off = async {
            // Without a system it is over anyway.
            begun?.await;
            // Nobody waits for a lease then.
            (self.may() != May::Run).then_some(())
        };
        tokio::select! {
            _ = ended(&*actor) => {}
            Some(()) = cut_off => actor.evict(&Refusal::Fenced),
            else => drop(ended(&*actor).await),
        }
        let granted = {
            let mut state = self.state.lock();
            let is_it = |named: &Named| named.actor.uid() == actor.uid();
            let known = state.names.get(&grain.key).is_some_and(is_it);
            if known {
                state.names.remove(&grain.key).and_then(|named| named.granted)
            } else {
                None
            }
        };
        if let Some((epoch, _)) = granted {
            self.tell(|participant, now| participant.finished(&grain, epoch, now));
        }
    }

    /// Who has a name of the cluster.
    pub(super) async fn look_up(self: Arc<Self>, name: &str) -> Result<Option<ActorRef>, Refusal> {
        let grain = Grain::new(NAME, name);
        let found = self.clone().search(grain, None, false).await;
        match self.whereabouts(name, found) {
            Ok(Some(Whereabouts::Here)) => Ok(self.system().and_then(|system| system.find(name))),
            Ok(Some(Whereabouts::There(found))) => Ok(Some(found)),
            Ok(None) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// What a search has found, for whoever sends to the actor at `path`.
    pub(super) fn whereabouts(
        &self,
        path: &str,
        found: Found,
    ) -> Result<Option<Whereabouts>, Refusal> {
        let failed = |source: Cause| Refusal::ActivationFailed { source };
        match found {
            Found::Here { .. } => Ok(Some(Whereabouts::Here)),
            Found::There { host: (host, port), incarnation, uid, .. } => {
                let system = self.system().ok_or(Refusal::ShuttingDown)?;
                let address = Address::new(path, system.name(), &host, port);
                let address = address.map_err(|error| failed(Cause::new(error)))?;
                let life = Life { uid, incarnation: incarnation.0.to_be_bytes() };
                let found = system.resolve(&PortableRef::of_life(address, life));
                Ok(Some(Whereabouts::There(found)))
            }
            Found::Failed(why) => Err(failed(Cause::from_lines(&why))),
            Found::Nobody => Ok(None),
            Found::NoHost => Err(failed("no member of the cluster may host it".into())),
            _ => Err(Refusal::Fenced),
        }
    }

    /// Has all grains end that live here, some at a time.
    pub(super) fn drain(&self) {
        let Some(node) = self.me.upgrade() else { return };
        self.runtime.spawn(async move {
            let mut ending = JoinSet::new();
            let mut told = HashSet::new();
            loop {
                if node.progress.borrow().is_over() {
                    return;
                }
                let Some(system) = node.system() else { return };
                let grains = system.0.grains.values().flat_map(|kind| kind.living());
                for grain in grains.chain(node.named()).filter(|grain| told.insert(grain.uid())) {
                    if ending.len() >= ENDING {
                        ending.join_next().await;
                    }
                    grain.signal(Signal::Stop { finish: true, reason: StopReason::Shutdown });
                    ending.spawn(async move { ended(&*grain).await });
                }
                drop(system);
                // What waited for room may come to life yet.
                tokio::select! {
                    Some(_) = ending.join_next() => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        });
    }

    /// Without its register nobody hears that the node leaves. When half of its lease has gone by like that, what lives here
    /// ends all the same, while it may; and when the lease is over, nobody has to hear of it: others find the node dead.
    pub(super) async fn leave_unheard(&self) {
        let mut is_drained = false;
        let lease = self.state.lock().participant.view().map(|view| view.lease());
        while let Some(lease) = lease
            && self.may() == May::Run
        {
            let left = self.progress.borrow().hosts_until.saturating_sub(self.now());
            if left < lease / 2 && !std::mem::replace(&mut is_drained, true) {
                tracing::warn!("the register does not hear that the node leaves its cluster");
                self.drain();
            }
            tokio::time::sleep(LOOK).await;
        }
        // It may not have been let in yet, and is to be taken off the list.
        tokio::time::sleep(2 * self.answer_limit).await;
        // What lives here still stands still for good.
        self.end_all();
    }

    pub(super) fn named(&self) -> Vec<Arc<dyn AnyCell>> {
        self.state.lock().names.values().map(|named| named.actor.clone()).collect()
    }

    /// Looks for a grain, and wakes it where it is to.
    pub(super) async fn search(
        self: Arc<Self>,
        grain: Grain,
        refused: Option<Refused>,
        wakes: bool,
    ) -> Found {
        let (send, found) = oneshot::channel();
        let ticket = {
            let mut state = self.state.lock();
            if state.participant.has_left() {
                return Found::Fenced;
            }
            state.next_search += 1;
            let ticket = state.next_search;
            state.searches.insert(ticket, send);
            ticket
        };
        let mut search = Search { node: &self, ticket, outcome: "not_needed" };
        let refused = refused.map(|refused| participant::Refused {
            incarnation: Incarnation(u128::from_be_bytes(refused.life.incarnation)),
            uid: refused.life.uid,
            ended: refused.ended,
        });
        self.tell(|participant, now| match wakes {
            true => participant.find(ticket, grain, refused, now),
            false => participant.look_for(ticket, grain, now),
        });
        let found = found.await.unwrap_or(Found::Fenced);
        search.outcome = outcome(&found);
        drop(search);
        found
    }
}

/// A search that ends when nobody waits for it any more.
struct Search<'a> {
    node: &'a Node,
    ticket: u64,
    /// What has come of it.
    outcome: &'static str,
}

fn outcome(found: &Found) -> &'static str {
    match found {
        Found::Here { .. } => "here",
        Found::There { .. } => "there",
        Found::Failed(_) => "failed",
        Found::Nobody => "nobody",
        Found::NoHost => "no_host",
        Found::Alone => "alone",
        _ => "fenced",
    }
}

impl Drop for Search<'_> {
    fn drop(&mut self) {
        let mut state = self.node.state.lock();
        let search = state.searches.remove(&self.ticket);
        state.participant.give_up(self.ticket);
        drop(state);
        drop(search);
        of_cluster::search_ended(self.outcome);
    }
}

pub(super) fn of_core(epoch: rakt_cluster::Epoch) -> Epoch {
    let rakt_cluster::Epoch { stamp, counter } = epoch;
    Epoch { generation: stamp.generation, view: stamp.version, counter }
}
