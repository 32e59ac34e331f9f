//! What an idle actor costs. The only test in its process, because it counts all that is allocated.

mod allocated;

use allocated::allocated;
use rakt::prelude::*;

#[derive(Default)]
struct Idle(u64);

struct Work;
rakt::messages! { local Work => u64 }

impl Actor for Idle {}

impl Handler<Work> for Idle {
    async fn handle(&mut self, _: Work, _: &mut Context<Self>) -> Result<u64> {
        self.0 += 1;
        Ok(self.0)
    }
}

const ACTORS: usize = 10_000;
const LIMIT: usize = 450;

#[tokio::test(start_paused = true)]
async fn an_idle_actor_costs_little() -> Result {
    let system = ActorSystem::builder("tests").start().await?;
    let before = allocated();
    for n in 0..ACTORS {
        system.spawn(format!("idle-{n:08}"), Idle::default).await?;
    }
    let fresh = (allocated() - before) / ACTORS;
    for n in 0..ACTORS {
        let actor = system.find(&format!("idle-{n:08}")).ok_or("it is there")?;
        let actor = actor.typed::<Idle>().ok_or("of that type")?;
        for _ in 0..n % 100 {
            actor.tell(Work).await?;
        }
        actor.ask(Work).await?;
    }
    // The clock moves only when all have done what they can, and by now all have come to rest.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let worked = (allocated() - before) / ACTORS;
    // Seen with `--nocapture`; 342 and 384 on x86-64 when this was written.
    println!("bytes per idle actor: {fresh} at first, {worked} after work");
    assert!(fresh < LIMIT && worked < LIMIT, "{fresh} at first, {worked} after work");
    Ok(())
}
