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
    live(&system).await?;
    let before = here();
    let (living, gone) = live(&system).await?;
    let (living, gone) = ((living - before) / GRAINS, (gone - before) / GRAINS);
    println!("bytes per grain: {living} while it lives, {gone} after that");
    assert!(living < LIMIT, "{living}");
    assert!(gone < 8, "{gone}");
    Ok(())
}

/// What is allocated while all live and rest, and once none does.
async fn live(system: &ActorSystem) -> Result<(i64, i64)> {
    for n in 0..GRAINS {
        system.grain::<Idle>(format!("idle-{n:08}")).ask(Work).await?;
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
    live(&system).await?;
    let before = here();
    let (_, gone) = live(&system).await?;
    assert!(gone - before < 64 * 1024, "{}", gone - before);
    Ok(())
}
