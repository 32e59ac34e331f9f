//! Handlers that block their thread: what goes on meanwhile, and who hears of it.
//!
//! The node has a runtime of its own, with as many threads as the test says. Handlers block on a channel,
//! which the test lets go of.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use rakt::prelude::*;
use rakt::remote::{Client, ClientConfig, Config};
use rakt::{Event, Events, ReplyLater};
use rakt_wire::native::FrameKind;
use tokio::runtime::Builder;
use tokio::sync::{Semaphore, oneshot};

use crate::hostile::{ECHO, Raw, encoded, hello};
use crate::messages::Echo;
use crate::nodes::{config, link_down, node_with};
use crate::probe::{Hold, WhoAsks, echo};
use crate::support::{begun, event, within};

/// Its peers are silent for a while now and then.
const READ_IDLE: Duration = Duration::from_secs(1);

/// Answers an [`Echo`], and blocks its thread at a [`Hold`], before which it answers whoever asked [`WhoAsks`].
struct Blocker {
    later: Option<ReplyLater<Echo>>,
    shared: Shared,
}

#[derive(Clone)]
struct Shared {
    entered: Arc<Semaphore>,
    /// Disconnected once the test is done.
    dam: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl Actor for Blocker {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Echo>().remote::<WhoAsks>().remote::<Hold>();
    }
}

impl Handler<WhoAsks> for Blocker {
    async fn handle(&mut self, _: WhoAsks, ctx: &mut Context<Self>) -> Result<Echo> {
        let (later, deferred) = ctx.defer();
        self.later = Some(later);
        deferred
    }
}

impl Handler<Echo> for Blocker {
    async fn handle(&mut self, echo: Echo, _: &mut Context<Self>) -> Result<Echo> {
        Ok(echo)
    }
}

impl Handler<Hold> for Blocker {
    async fn handle(&mut self, _: Hold, _: &mut Context<Self>) -> Result {
        self.shared.entered.add_permits(1);
        if let Some(later) = self.later.take() {
            later.send(echo("later"));
        }
        let _ = self.shared.dam.lock().expect("nobody panics with it").recv();
        Ok(())
    }
}

/// A node with the actors `blocker-0` and so on, which block, and `other`.
struct Node {
    system: ActorSystem,
    events: Events,
    entered: Arc<Semaphore>,
    dams: Vec<mpsc::Sender<()>>,
    /// Ends the runtime.
    over: oneshot::Sender<()>,
}

impl Node {
    /// A node with so many threads; with none, everything runs on the one that waits for its end.
    async fn start(threads: usize, blockers: usize) -> Self {
        let entered = Arc::new(Semaphore::new(0));
        let (dams, mut blocking): (Vec<_>, Vec<_>) = (0..blockers).map(|_| mpsc::channel()).unzip();
        blocking.push(mpsc::channel().1);
        let shared = |dam| Shared { entered: entered.clone(), dam: Arc::new(Mutex::new(dam)) };
        let blockers: Vec<_> = blocking.into_iter().map(shared).collect();
        let ((over, done), (started, system)) = (oneshot::channel(), oneshot::channel());
        std::thread::spawn(move || {
            let mut builder = match threads {
                0 => Builder::new_current_thread(),
                _ => Builder::new_multi_thread(),
            };
            let runtime = builder.worker_threads(threads.max(1)).enable_all().build();
            runtime.expect("a runtime starts").block_on(async {
                let system = node_with("node", config().read_idle_timeout(READ_IDLE)).await;
                let last = blockers.len() - 1;
                for (at, shared) in blockers.into_iter().enumerate() {
                    let name =
                        if at == last { "other".to_owned() } else { format!("blocker-{at}") };
                    let blocker = move || Blocker { later: None, shared: shared.clone() };
                    system.spawn(&name, blocker).await.expect("it starts");
                }
                assert!(started.send(system).is_ok(), "the test waits for it");
                drop(done.await);
            });
        });
        let system = within(system).await.expect("it starts");
        Self { events: system.events(), system, entered, dams, over }
    }

    fn address(&self, name: &str) -> Address {
        self.system.address(name).expect("it is valid")
    }

    fn port(&self) -> u16 {
        self.system.advertised().1
    }

    /// Tells all that block to do so, and waits until they do.
    async fn block_all(&self, peer: &ActorSystem) {
        for at in 0..self.dams.len() {
            let blocker = self.address(&format!("blocker-{at}"));
            within(peer.tell(&blocker, Hold {})).await.expect("it is sent");
        }
        let all = u32::try_from(self.dams.len()).expect("a few");
        within(self.entered.acquire_many(all)).await.expect("it is open").forget();
    }

    /// Lets all go on that block, and ends the node.
    async fn stop(mut self) {
        self.dams.clear();
        within(self.system.shutdown()).await;
        drop(self.over);
    }
}

fn peer_config() -> Config {
    config().read_idle_timeout(READ_IDLE)
}

/// Asks somebody who answers.
async fn answers(answer: impl IntoFuture<Output = Result<Echo, AskError<Echo>>>, text: &str) {
    let answer = within(answer.into_future()).await;
    assert_eq!(answer.expect("it is answered").text, text);
}

/// All that a node does beside what its actors do.
async fn is_alive(node: &Node, peer: &ActorSystem) {
    let other = node.address("other");
    for round in 0..3 {
        // Over the connection that was there, over a new one, and a heartbeat.
        answers(peer.ask(&other, echo("old")), "old").await;
        let client = Client::new("client", ClientConfig::new()).expect("the options are valid");
        answers(client.ask(&other, echo("new")), "new").await;
        within(client.close()).await;
        let mut raw = within(Raw::dial(node.port(), hello())).await.expect("it is greeted");
        raw.out.ping(7);
        raw.flush().await;
        let (kind, _) = within(raw.frame()).await.expect("it is answered");
        assert_eq!(kind, FrameKind::Pong, "{round}");
    }
}

async fn goes_on_beside(threads: usize, blockers: usize) {
    let node = Node::start(threads, blockers).await;
    let peer = node_with("peer", peer_config()).await;
    let other = node.address("other");
    answers(peer.ask(&other, echo("before")), "before").await;
    node.block_all(&peer).await;
    is_alive(&node, &peer).await;
    node.stop().await;
    within(peer.shutdown()).await;
}

#[tokio::test]
async fn a_node_of_two_threads_goes_on_beside_a_handler_that_blocks() {
    goes_on_beside(2, 1).await;
}

#[tokio::test]
async fn a_node_of_four_threads_goes_on_beside_three_handlers_that_block() {
    goes_on_beside(4, 3).await;
}

/// The reply has woken the task of the connection, which the thread that blocks has for itself.
#[tokio::test]
async fn a_reply_leaves_although_its_handler_blocks_next() {
    let node = Node::start(2, 1).await;
    let mut raw = within(Raw::dial(node.port(), hello())).await.expect("it is greeted");
    raw.ask(1, "blocker-0", "tests.WhoAsks", &[]);
    raw.ask(2, "blocker-0", "tests.Hold", &[]);
    raw.flush().await;
    drop(within(raw.answer_to(1)).await);
    // And the one that stands in for that task goes on.
    for corr in 3..6 {
        raw.ask(corr, "other", ECHO, &encoded(&echo("meanwhile")));
        raw.flush().await;
        drop(within(raw.answer_to(corr)).await);
    }
    // So does the task itself, once it runs again.
    let Node { dams, .. } = &node;
    dams[0].send(()).expect("it waits for that");
    drop(within(raw.answer_to(2)).await);
    raw.ask(6, "blocker-0", ECHO, &encoded(&echo("after")));
    raw.flush().await;
    drop(within(raw.answer_to(6)).await);
    node.stop().await;
}

/// Nobody hears of bytes and timers on the node: it is told of from outside.
async fn says_so_when_it_stands(threads: usize, blockers: usize) {
    let mut node = Node::start(threads, blockers).await;
    let peer = node_with("peer", peer_config()).await;
    let mut peer_events = peer.events();
    let other = node.address("other");
    answers(peer.ask(&other, echo("before")), "before").await;
    node.block_all(&peer).await;
    let asked = peer.ask(&other, echo("meanwhile")).timeout(Duration::from_secs(60));
    let asked = begun(asked.into_future()).await;
    let told = event(&mut node.events, |event| match event {
        Event::ActorBlocks { path, blocked_for, stands_still } => {
            Some((path, blocked_for, stands_still))
        }
        _ => None,
    });
    let (path, blocked_for, stands_still) = told.await;
    assert!(path.starts_with("blocker-") && stands_still, "{path}");
    assert!(blocked_for > 2 * READ_IDLE, "the peer would have taken it for dead");
    {
        // The process lives, and so do its connections.
        let down = begun(link_down(&mut peer_events)).await;
        drop(down);
    }
    node.dams.clear();
    answers(asked, "meanwhile").await;
    node.stop().await;
    within(peer.shutdown()).await;
}

#[tokio::test]
async fn a_runtime_of_one_thread_that_blocks_says_so_and_keeps_its_connections() {
    says_so_when_it_stands(0, 1).await;
}

#[tokio::test]
async fn a_runtime_of_one_worker_that_blocks_says_so_and_keeps_its_connections() {
    says_so_when_it_stands(1, 1).await;
}

#[tokio::test]
async fn a_runtime_of_two_workers_that_both_block_says_so_and_keeps_its_connections() {
    says_so_when_it_stands(2, 2).await;
}
