//! What a remote message costs in allocations on each side. Each side has its own threads, so that their counts
//! are told apart.

use rakt::prelude::*;

use crate::TURN;
use crate::allocator::{Side, bytes, count, runtime};

/// 64 opaque bytes, which share the memory they were read into.
#[derive(Clone, PartialEq, prost::Message)]
struct Payload {
    #[prost(bytes = "bytes", tag = "1")]
    bytes: bytes::Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HowMany {}

#[derive(Clone, PartialEq, prost::Message)]
struct Count {
    #[prost(uint64, tag = "1")]
    count: u64,
}

/// To be kept by the actor as it came.
#[derive(Clone, PartialEq, prost::Message)]
struct Keep {
    #[prost(bytes = "bytes", tag = "1")]
    bytes: bytes::Bytes,
}

rakt::messages! {
    Keep as "allocations.Keep" => Count,
    Payload as "allocations.Payload",
    HowMany as "allocations.HowMany" => Count,
}

#[derive(Default)]
struct Counter(u64, Vec<bytes::Bytes>);

impl Actor for Counter {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Payload>().remote::<HowMany>().remote::<Keep>();
    }
}

impl Handler<Payload> for Counter {
    async fn handle(&mut self, _: Payload, _: &mut Context<Self>) -> Result {
        self.0 += 1;
        Ok(())
    }
}

impl Handler<HowMany> for Counter {
    async fn handle(&mut self, _: HowMany, _: &mut Context<Self>) -> Result<Count> {
        Ok(Count { count: self.0 })
    }
}

impl Handler<Keep> for Counter {
    async fn handle(&mut self, keep: Keep, _: &mut Context<Self>) -> Result<Count> {
        self.1.push(keep.bytes);
        Ok(Count { count: self.1.len() as u64 })
    }
}

/// Bytes allocated and not freed on both sides.
fn live() -> i64 {
    bytes(Side::Near) + bytes(Side::Far)
}

/// Allocations per message on both sides while `work` sends `messages` of them.
fn per_message(messages: u64, work: impl FnOnce()) -> (f64, f64) {
    let counts = || [count(Side::Near), count(Side::Far)];
    let before = counts();
    work();
    let after = counts();
    let of = |side: usize| (after[side] - before[side]) as f64 / messages as f64;
    (of(0), of(1))
}

#[test]
fn a_remote_message_costs_few_allocations() -> Result {
    let _turn = TURN.blocking_lock();
    const TELLS: u64 = 200_000;
    const ASKS: u64 = 5_000;
    let (near, far) = (runtime(Side::Near), runtime(Side::Far));
    let server = far.block_on(async {
        let config = remote::Config::new("127.0.0.1", 0);
        let system = ActorSystem::builder("far").remoting(config).start().await?;
        system.spawn("counter", Counter::default).await?;
        Ok::<_, rakt::BoxError>(system)
    })?;
    let port = server.advertised().1;
    let counter = near.block_on(near.spawn(async move {
        let config = remote::Config::new("127.0.0.1", 0);
        let system = ActorSystem::builder("near").remoting(config).start().await?;
        let counter = system.node("127.0.0.1", port).lookup::<Counter>("counter").await?;
        Ok::<_, rakt::BoxError>(counter.ok_or("there is a counter")?)
    }))??;

    let payload = || Payload { bytes: bytes::Bytes::from_static(&[7; 64]) };
    let tell = |count: u64| {
        let counter = counter.clone();
        near.block_on(near.spawn(async move {
            for _ in 0..count {
                counter.tell(payload()).await.expect("accepted");
            }
            counter.ask(HowMany {}).await.expect("answered").count
        }))
        .expect("no panic")
    };
    let ask = |count: u64| {
        let counter = counter.clone();
        near.block_on(near.spawn(async move {
            for _ in 0..count {
                counter.ask(HowMany {}).await.expect("answered");
            }
        }))
        .expect("no panic");
    };

    // A payload that an actor keeps is a part of what was read, and must not keep all of the buffer.
    let keep = |count: u64| {
        let counter = counter.clone();
        let kept = near.block_on(near.spawn(async move {
            let mut kept = 0;
            for _ in 0..count {
                kept = counter.ask(Keep { bytes: payload().bytes }).await.expect("answered").count;
            }
            kept
        }));
        kept.expect("no panic")
    };
    keep(24);
    let before = live();
    assert_eq!(keep(1000), 1024);
    let kept = (live() - before) / 1000;
    println!("bytes held for a payload of 64 that came alone and is kept: {kept}");
    assert!(kept < 1024, "{kept} bytes are held for a payload of 64");

    // Once to fill tables and buffers, then to count.
    let sent = tell(10_000);
    assert_eq!(sent, 10_000);
    ask(100);
    let (near_tell, far_tell) = per_message(TELLS, || assert_eq!(tell(TELLS), 10_000 + TELLS));
    let (near_ask, far_ask) = per_message(ASKS, || ask(ASKS));

    println!("allocations per tell: {near_tell:.3} at the sender, {far_tell:.3} at the receiver");
    println!("allocations per ask:  {near_ask:.3} at the sender, {far_ask:.3} at the receiver");
    // What grows with the messages is the message itself: here it has no memory of its own.
    assert!(near_tell < 0.1, "{near_tell} allocations per tell at the sender");
    assert!(far_tell < 0.2, "{far_tell} allocations per tell at the receiver");
    assert!(near_ask < 16.0 && far_ask < 24.0, "{near_ask} and {far_ask} allocations per ask");
    Ok(())
}
