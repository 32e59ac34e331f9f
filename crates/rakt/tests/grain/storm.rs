//! Everything at once, on several threads: what may never happen does not.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rakt::grain::{Epoch, MemoryStore};
use rakt::testkit::{FaultyStore, store};

use super::*;
use crate::support::within;

/// What all activations of one grain see of each other.
#[derive(Default)]
struct Sight {
    living: u64,
    last_epoch: Option<Epoch>,
    /// By sender, the number of the last message.
    last: HashMap<u64, u64>,
    /// What should not be: a grain that panics is restarted, and the test would not hear of it.
    wrong: Vec<String>,
}

impl Sight {
    fn holds(&mut self, holds: bool, what: &str) {
        if !holds {
            self.wrong.push(what.to_owned());
        }
    }
}

type Sights = Arc<Mutex<HashMap<String, Sight>>>;

/// Is wary of its own kind.
struct Wary {
    sights: Sights,
    key: Option<String>,
    sum: Total,
}

#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "grain-tests.Total")]
struct Total {
    #[prost(uint64, tag = "1")]
    sum: u64,
}

#[derive(Message)]
#[rakt(reply = u64)]
struct Step {
    sender: u64,
    number: u64,
    what: u64,
}

impl Actor for Wary {}

impl Grain for Wary {
    const KIND: &'static str = "wary";

    async fn activate(&mut self, ctx: &mut Context<Self>) -> Result {
        let key = ctx.grain_id().key().to_owned();
        {
            let mut sights = self.sights.lock().expect("not poisoned");
            let sight = sights.entry(key.clone()).or_default();
            sight.living += 1;
            sight.holds(sight.living == 1, "I1: two live at once");
            sight.holds(sight.last_epoch <= Some(ctx.epoch()), "I6: an epoch went back");
            sight.last_epoch = Some(ctx.epoch());
        }
        self.key = Some(key);
        tokio::task::yield_now().await;
        self.sum = ctx.state()?.unwrap_or_default();
        Ok(())
    }
}

impl Drop for Wary {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.sights.lock().expect("not poisoned").get_mut(&key).expect("it lives").living -= 1;
        }
    }
}

impl Handler<Step> for Wary {
    async fn handle(&mut self, step: Step, ctx: &mut Context<Self>) -> Result<u64> {
        {
            let mut sights = self.sights.lock().expect("not poisoned");
            let sight = sights.get_mut(self.key.as_ref().expect("it lives")).expect("it lives");
            let last = sight.last.insert(step.sender, step.number);
            sight.holds(last < Some(step.number), "I4: a message came out of order");
        }
        match step.what {
            0 => ctx.stop(),
            1 => return Err("as it was told".into()),
            // A panic that nothing is printed of.
            2 => std::panic::resume_unwind(Box::new("as it was told")),
            3 => tokio::time::sleep(Duration::from_millis(1)).await,
            _ => tokio::task::yield_now().await,
        }
        self.sum.sum += 1;
        ctx.save(&self.sum).await?;
        Ok(self.sum.sum)
    }
}

/// I1, I3 to I6: with far more keys than may live, grains that stop, fail and panic, and a store that does as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_may_never_happen_does_not() {
    const SENDERS: u64 = 8;
    const EACH: u64 = 400;
    const KEYS: u64 = 12;
    let seed = std::env::var("GRAIN_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| std::collections::hash_map::RandomState::new().hash_one(0));
    println!("GRAIN_SEED={seed}");
    let odds = store::Odds::none()
        .lost(0.02)
        .failed(0.02)
        .late(0.02, Duration::from_millis(3))
        .delayed(0.1, Duration::from_millis(2));
    let store = Arc::new(FaultyStore::seeded(MemoryStore::new(), seed, odds));
    let sights = Sights::default();
    let seen = sights.clone();
    let kind = GrainKind::built_by(move || Wary {
        sights: seen.clone(),
        key: None,
        sum: Total::default(),
    })
    .store(store.clone())
    .limit(5)
    .passivate_after(Duration::from_millis(2));
    let system = system(kind).await;
    let confirmed: Arc<Vec<AtomicU64>> = Arc::new((0..KEYS).map(|_| AtomicU64::new(0)).collect());
    let senders = (0..SENDERS).map(|sender| {
        let (system, confirmed) = (system.clone(), confirmed.clone());
        tokio::spawn(async move {
            let mut random = seed ^ sender;
            for number in 0..EACH {
                // A simple generator is random enough, and the same for each seed.
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
                let (key, what) = ((random >> 33) % KEYS, (random >> 40) % 40);
                let grain = system.grain::<Wary>(key.to_string());
                let step = Step { sender, number, what };
                // One in three is told: its place in the order is that of the others.
                match number % 3 {
                    0 => drop(grain.tell(step).await),
                    _ => {
                        // I3: it ends.
                        if within(grain.ask(step)).await.is_ok() {
                            confirmed[key as usize].fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            }
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        within(sender).await.expect("no sender panics");
    }
    store.set_odds(store::Odds::none());
    tokio::time::sleep(Duration::from_millis(10)).await;
    store.assert_fenced();
    for key in 0..KEYS {
        let grain = system.grain::<Wary>(key.to_string());
        let step = Step { sender: SENDERS, number: 0, what: 9 };
        let sum = within(grain.ask(step)).await.expect("the store is well");
        let least = confirmed[key as usize].load(Ordering::Relaxed);
        assert!(sum > least, "I5: {least} were confirmed of {key}, and {} are there", sum - 1);
    }
    assert!(within(system.shutdown()).await.unfinished.is_empty());
    let sights = sights.lock().expect("not poisoned");
    for (key, sight) in &*sights {
        assert_eq!((sight.living, &*sight.wrong), (0, &[][..]), "of {key}");
    }
}
