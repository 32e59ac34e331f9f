//! What Go nodes can do with the grains of a node.

use std::time::Duration;

use rakt::grain::{Grain, GrainKind};
use rakt::prelude::*;
use rakt::remote::{GoAkt, Policy, Role};
use rakt::supervision::Directive;
use rakt_wire::goakt::{Answer, Call, ErrorCode as E, GoError, Payload, grain};

use crate::goakt::{Fail, Hold, Node, Peer, Say};
use crate::messages::Echo;
use crate::support::{Gate, within};

const SECOND: Duration = Duration::from_secs(1);

/// Counts what it is told.
struct Tally {
    gate: Gate,
    told: u64,
}

impl Actor for Tally {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Say>().remote::<Echo>().remote::<Hold>().remote::<Fail>();
    }
}

impl Grain for Tally {
    const KIND: &'static str = "main.Tally";

    async fn activate(&mut self, ctx: &mut Context<Self>) -> Result {
        match ctx.grain_id().key() {
            "bad" => Err("it is bad".into()),
            _ => Ok(()),
        }
    }
}

impl Handler<Say> for Tally {
    async fn handle(&mut self, _: Say, _: &mut Context<Self>) -> Result {
        self.told += 1;
        Ok(())
    }
}

/// Answers with how often it was told something.
impl Handler<Echo> for Tally {
    async fn handle(&mut self, _: Echo, _: &mut Context<Self>) -> Result<Echo> {
        Ok(Echo { text: self.told.to_string() })
    }
}

impl Handler<Hold> for Tally {
    async fn handle(&mut self, hold: Hold, ctx: &mut Context<Self>) -> Result<Echo> {
        self.gate.pass().await;
        if hold.payload == b"stop" {
            ctx.stop();
        }
        Ok(Echo { text: "held".into() })
    }
}

impl Handler<Fail> for Tally {
    async fn handle(&mut self, _: Fail, _: &mut Context<Self>) -> Result<Echo> {
        Err("as it was told".into())
    }
}

struct Kit {
    node: Node,
    gate: Gate,
}

async fn kit_with(policy: Policy, limit: usize) -> Kit {
    let gate = Gate::default();
    let at_gate = gate.clone();
    let kind = GrainKind::built_by(move || Tally { gate: at_gate.clone(), told: 0 })
        .supervision(Supervision::always(Directive::Resume))
        .limit(limit);
    let set = |config: remote::Config| config.goakt(GoAkt::new()).policy(policy);
    let node = Node::built(set, |builder| builder.grain(kind)).await;
    Kit { node, gate }
}

async fn kit() -> Kit {
    kit_with(Policy::open(), 100).await
}

fn payload<M: Message + prost::Message>(message: &M) -> (&'static str, Vec<u8>) {
    (M::wire().expect("it has one").name(), message.encode_to_vec())
}

fn ask(
    port: u16,
    name: &str,
    (type_name, bytes): &(&'static str, Vec<u8>),
    timeout: Duration,
) -> Call<'static> {
    // The texts of a call are borrowed for as long as a test runs.
    let message = Payload { type_name, bytes: bytes.clone().leak() };
    Call::AskGrain {
        grain: Box::new(grain("main.tally", name, "127.0.0.1", port)),
        message,
        timeout,
    }
}

fn tell(port: u16, name: &str, (type_name, bytes): &(&'static str, Vec<u8>)) -> Call<'static> {
    let message = Payload { type_name, bytes: bytes.clone().leak() };
    Call::TellGrain { grain: Box::new(grain("main.tally", name, "127.0.0.1", port)), message }
}

fn failed_by(text: &str) -> Answer {
    Answer::Error(GoError::new(E::InternalError, text))
}

fn say() -> (&'static str, Vec<u8>) {
    payload(&Say { text: "hello".into() })
}

/// How often the grain was told something.
async fn told(peer: &mut Peer, name: &str) -> String {
    let answer = peer.call(&ask(peer.port, name, &payload(&Echo::default()), 60 * SECOND)).await;
    let Answer::GrainReply(Some(reply)) = answer else { panic!("{answer:?}") };
    let any = reply.get();
    assert_eq!(any.type_name(), "tests.Echo");
    <Echo as prost::Message>::decode(&*any.value).expect("it is one").text
}

#[tokio::test]
async fn a_message_brings_a_grain_to_life_and_is_answered_once_it_is_handled() {
    let Kit { node, .. } = kit().await;
    let mut peer = node.dial().await;
    assert_eq!(told(&mut peer, "a").await, "0");
    assert_eq!(peer.call(&tell(peer.port, "a", &say())).await, Answer::Done);
    assert_eq!(told(&mut peer, "a").await, "1");
    assert_eq!(told(&mut peer, "b").await, "0");
    assert_eq!(node.system.grains()[0].active, 2);
    // From here it is the same grain.
    let here = node.system.grain::<Tally>("a").ask(Echo::default()).await.expect("it answers");
    assert_eq!(here.text, "1");
    // What has no reply is answered by an empty one, as an ask of an actor.
    let Answer::GrainReply(Some(reply)) =
        peer.call(&ask(peer.port, "a", &say(), SECOND * 60)).await
    else {
        panic!("it answers");
    };
    assert_eq!((reply.get().type_name(), reply.get().value.len()), ("google.protobuf.Empty", 0));
}

#[tokio::test]
async fn a_grain_is_activated_alone_and_stopped() {
    let Kit { node, .. } = kit().await;
    let mut peer = node.dial().await;
    let activate = Call::ActivateGrain(Box::new(grain("main.tally", "a", "127.0.0.1", peer.port)));
    for _ in 0..2 {
        assert_eq!(peer.call(&activate).await, Answer::Done);
        assert_eq!(node.system.grains()[0].active, 1);
        peer.call(&tell(peer.port, "a", &say())).await;
    }
    assert_eq!(told(&mut peer, "a").await, "2");
    let pill = ("goaktpb.PoisonPill", Vec::new());
    assert_eq!(peer.call(&tell(peer.port, "a", &pill)).await, Answer::Done);
    assert_eq!(told(&mut peer, "a").await, "0", "it is another life");
    assert_eq!(peer.call(&tell(peer.port, "nobody", &pill)).await, Answer::Done);
    assert_eq!(node.system.grains()[0].active, 1, "nothing is brought to life to be stopped");
}

#[cfg(feature = "cluster")]
#[tokio::test(flavor = "multi_thread")]
async fn a_grain_of_a_cluster_is_stopped_on_whichever_node_it_lives() {
    use rakt::cluster::{Config, MemoryRegister};

    let register = MemoryRegister::default();
    let cluster = || Config::on(register.clone()).lease(SECOND).probe_interval(SECOND / 20);
    let kind = || GrainKind::built_by(|| Tally { gate: Gate::default(), told: 0 });
    let set = |config: remote::Config| config.goakt(GoAkt::new()).policy(Policy::open());
    let node = Node::built(set, |builder| builder.grain(kind()).cluster(cluster())).await;
    let remoting = remote::Config::new("127.0.0.1", 0).transport(node.memory.clone());
    let remoting = remoting.policy(Policy::open());
    let builder = ActorSystem::builder(crate::goakt::SYSTEM).remoting(remoting).grain(kind());
    let there = within(builder.cluster(cluster()).start()).await.expect("it joins");
    let mut key = 0_u32;
    let key = loop {
        let name = key.to_string();
        within(node.system.grain::<Tally>(&name).ask(Echo::default())).await.expect("it answers");
        if there.grain::<Tally>(&name).is_active() {
            break name;
        }
        key += 1;
    };
    let mut peer = node.dial().await;
    assert_eq!(peer.call(&tell(peer.port, &key, &say())).await, Answer::Done);
    assert_eq!(told(&mut peer, &key).await, "1");
    let pill = ("goaktpb.PoisonPill", Vec::new());
    assert_eq!(peer.call(&tell(peer.port, &key, &pill)).await, Answer::Done);
    assert!(!there.grain::<Tally>(&key).is_active());
    assert_eq!(told(&mut peer, &key).await, "0", "it is another life");
    within(there.shutdown()).await;
}

#[cfg(feature = "cluster")]
#[tokio::test]
async fn a_grain_of_a_cluster_that_is_slow_holds_up_no_other() {
    let gate = Gate::default();
    let at_gate = gate.clone();
    let kind = GrainKind::built_by(move || Tally { gate: at_gate.clone(), told: 0 });
    // One message is all that may wait for a grain.
    let set = |config: remote::Config| {
        config.goakt(GoAkt::new()).policy(Policy::open()).receiver_window(1024)
    };
    let alone = rakt::cluster::Config::alone();
    let node = Node::built(set, |builder| builder.grain(kind).cluster(alone)).await;
    let (mut slow, mut quick) = (node.dial().await, node.dial().await);
    slow.send(&ask(slow.port, "slow", &payload(&Hold::default()), 60 * SECOND)).await;
    gate.entered().await;
    // What is handled counts as well.
    let call = tell(quick.port, "quick", &say());
    assert_eq!(quick.call(&call).await, Answer::Done);
    gate.open();
    assert!(matches!(slow.answer().await, Answer::GrainReply(Some(_))));
}

#[tokio::test]
async fn a_go_node_hears_what_went_wrong() {
    let Kit { node, gate } = kit().await;
    let mut peer = node.dial().await;
    let port = peer.port;
    let failed = peer.call(&ask(port, "bad", &say(), 60 * SECOND)).await;
    assert_eq!(failed, failed_by("it is bad"));
    let activate = Call::ActivateGrain(Box::new(grain("main.tally", "bad", "127.0.0.1", port)));
    assert_eq!(peer.call(&activate).await, failed_by("it is bad"));
    let failed = peer.call(&ask(port, "a", &payload(&Fail {}), 60 * SECOND)).await;
    assert_eq!(failed, failed_by("as it was told"));
    let unknown = ("test.Nobody", Vec::new());
    let Answer::Error(refused) = peer.call(&tell(port, "new", &unknown)).await else { panic!() };
    assert!(refused.message.contains("test.Nobody"), "{refused:?}");
    assert!(!node.system.grain::<Tally>("new").is_active(), "it was not brought to life for that");

    let late = peer.call(&ask(port, "a", &payload(&Hold::default()), SECOND / 20)).await;
    assert_eq!(late, failed_by("request timed out"));
    gate.open();
    let none = peer.call(&ask(port, "a", &say(), Duration::ZERO)).await;
    assert_eq!(none, failed_by("request timed out"));
    node.is_well().await;
}

/// What a grain has not handled as it ends is for its next life, also what Go nodes have sent.
#[tokio::test]
async fn a_message_in_the_mailbox_of_a_grain_that_ends_is_handled_by_the_next() {
    let Kit { node, gate } = kit().await;
    let (mut first, mut second) = (node.dial().await, node.dial().await);
    let port = first.port;
    let stop = payload(&Hold { payload: b"stop".to_vec() });
    first.send(&ask(port, "a", &stop, 60 * SECOND)).await;
    gate.entered().await;
    second.send(&ask(port, "a", &payload(&Echo::default()), 60 * SECOND)).await;
    let grain = node.system.find("grains/main.Tally/a").expect("it lives");
    within(async {
        while grain.queue_len() != Some(1) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    gate.open();
    assert!(matches!(first.answer().await, Answer::GrainReply(Some(_))));
    assert!(matches!(second.answer().await, Answer::GrainReply(Some(_))));
    assert_eq!(node.system.grains()[0].activations, 2);
}

/// G-13 of memory: however many keys a Go node touches, no more grains live than the kind allows.
#[tokio::test]
async fn keys_of_a_go_node_stay_within_the_limit() {
    let Kit { node, .. } = kit_with(Policy::open(), 5).await;
    let mut peer = node.dial().await;
    for n in 0..200 {
        let answer = peer.call(&tell(peer.port, &format!("k{n}"), &say())).await;
        assert_eq!(answer, Answer::Done);
        assert!(node.system.grains()[0].active <= 5);
    }
}

#[tokio::test]
async fn the_policy_says_who_may_do_what_with_grains() {
    let grains = Role::new().may([remote::Verb::Tell], "grains/main.Tally/a").messages("test.Say");
    let policy = Policy::new().role("teller", grains).grant("address:*", "teller");
    let Kit { node, .. } = kit_with(policy, 100).await;
    let mut peer = node.dial().await;
    let port = peer.port;
    assert_eq!(peer.call(&tell(port, "a", &say())).await, Answer::Done);
    let pill = ("goaktpb.PoisonPill", Vec::new());
    let activate = Call::ActivateGrain(Box::new(grain("main.tally", "a", "127.0.0.1", port)));
    for denied in [
        ask(port, "a", &say(), 60 * SECOND),
        tell(port, "b", &say()),
        tell(port, "a", &payload(&Echo::default())),
        tell(port, "a", &pill),
        activate,
    ] {
        let answer = peer.call(&denied).await;
        let Answer::Error(refused) = answer else { panic!("{denied:?}: {answer:?}") };
        assert!(refused.message.starts_with("denied"), "{refused:?}");
    }
    assert_eq!(node.system.grains()[0].keys, ["a"]);
}
