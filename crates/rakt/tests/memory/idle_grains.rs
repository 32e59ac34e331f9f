//! What a grain costs while it lives and has nothing to do, and when it does not live.

use std::time::Duration;

use rakt::grain::{Grain, GrainKind, MemoryStore};
use rakt::prelude::*;

use crate::TURN;
use crate::allocator::here;

#[derive(Default)]
struct Idle(u64);

struct Work;
rakt::messages! { Work => u64 }

impl Actor for Idle {}

impl Grain for Idle {
    const KIND: &'static str = "idle";
}

impl Handler<Work> for Idle {
    async fn handle(&mut self, _: Work, _: &mut Context<Self>) -> Result<u64> {
        self.0 += 1;
        Ok(self.0)
    }
}

const GRAINS: i64 = 10_000;
/// Of a living grain, besides its state: an idle actor is some 320 of it.
const LIMIT: i64 = 920;
const IDLE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn an_idle_grain_costs_little_and_one_that_does_not_live_nothing() -> Result {
    let _turn = TURN.lock().await;
    let kind = GrainKind::<Idle>::new().passivate_after(IDLE);
    let system = ActorSystem::builder("tests").grain(kind).start().await?;
    // What comes and goes once, such as the room of tables.
    live(&system, "first").await?;
    let before = here();
    let (living, gone) = live(&system, "other").await?;
    let (living, gone) = ((living - before) / GRAINS, (gone - before) / GRAINS);
    println!("bytes per grain: {living} while it lives, {gone} after that");
    assert!(living < LIMIT, "{living}");
    assert!(gone < 8, "{gone}");
    Ok(())
}

/// What is allocated while all of these keys live and rest, and once none does.
async fn live(system: &ActorSystem, keys: &str) -> Result<(i64, i64)> {
    for n in 0..GRAINS {
        system.grain::<Idle>(format!("{keys}-{n:08}")).ask(Work).await?;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let living = here();
    while system.actor_count() > 0 {
        tokio::time::sleep(IDLE).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok((living, here()))
}

/// However many keys are touched, no more live than the limit says.
#[tokio::test]
async fn a_hundred_thousand_keys_stay_within_the_limit() -> Result {
    let _turn = TURN.lock().await;
    const MOST: usize = 500;
    let kind = GrainKind::<Idle>::new().limit(MOST);
    let system = ActorSystem::builder("tests").grain(kind).start().await?;
    let before = here();
    let mut most = 0;
    for n in 0..100_000 {
        system.grain::<Idle>(format!("idle-{n:08}")).ask(Work).await?;
        most = most.max(here() - before);
    }
    println!("bytes held at most for {MOST} of 100,000 grains: {most}");
    assert!(system.grains()[0].active <= MOST);
    // One that has just worked has a task yet.
    assert!(most < MOST as i64 * 4096, "{most}");
    Ok(())
}

/// What is stored of a grain that does not live is the business of its store.
#[tokio::test(start_paused = true)]
async fn a_store_in_memory_is_all_that_grows() -> Result {
    let _turn = TURN.lock().await;
    let kind = GrainKind::<Idle>::new().passivate_after(IDLE).store(MemoryStore::new());
    let system = ActorSystem::builder("tests").grain(kind).start().await?;
    live(&system, "idle").await?;
    let before = here();
    let (_, gone) = live(&system, "idle").await?;
    assert!(gone - before < 64 * 1024, "{}", gone - before);
    Ok(())
}

#[cfg(feature = "cluster")]
mod in_a_cluster {
    use rakt::cluster::{Config, MemoryRegister};

    use super::*;

    /// Nor does any node of a cluster keep anything of a key that has lived, but its name: each end of a connection remembers
    /// so many of them, as of all receivers.
    #[tokio::test]
    async fn a_grain_that_does_not_live_costs_the_nodes_of_a_cluster_its_name() -> Result {
        const LOOK: Duration = Duration::from_millis(500);
        const MANY: i64 = 3000;
        let _turn = TURN.lock().await;
        let register = MemoryRegister::new();
        let node = async || {
            let kind = GrainKind::<Counted>::new().passivate_after(Duration::from_millis(100));
            let system = ActorSystem::builder("tests").grain(kind);
            let remoting = remote::Config::new("127.0.0.1", 0).read_idle_timeout(LOOK);
            let system = system.remoting(remoting);
            system.cluster(Config::on(register.clone())).start().await
        };
        let nodes = [node().await?, node().await?];
        let live = async |keys: &str| -> Result<i64> {
            for n in 0..MANY {
                nodes[0].grain::<Counted>(format!("{keys}-{n:08}")).ask(Count {}).await?;
            }
            while nodes.iter().any(|node| node.grains()[0].active > 0) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // Connections look from time to time who has ended.
            tokio::time::sleep(4 * LOOK).await;
            Ok(here())
        };
        // Two rounds: tables grow by doubling, and windows open.
        live("first").await?;
        let before = live("second").await?;
        let gone = (live("third").await? - before) / MANY;
        println!("bytes per grain that has lived in a cluster: {gone}");
        // Half of them are reached over a connection. Tables of names may have doubled; the actor itself would be as much again.
        assert!(gone < 600, "{gone}");
        Ok(())
    }

    #[derive(Default)]
    struct Counted;

    #[derive(Clone, PartialEq, prost::Message, Message)]
    #[rakt(name = "tests.Count", reply = u64)]
    struct Count {}

    impl Actor for Counted {
        fn accepts(accepts: &mut Accepts<Self>) {
            accepts.remote::<Count>();
        }
    }

    impl Grain for Counted {
        const KIND: &'static str = "counted";
    }

    impl Handler<Count> for Counted {
        async fn handle(&mut self, _: Count, _: &mut Context<Self>) -> Result<u64> {
            Ok(1)
        }
    }
}
