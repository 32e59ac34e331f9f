//! What outlives an activation, and who may write it.

use std::time::Duration;

use rakt::grain::{Epoch, GrainId, GrainStore, MemoryStore, SaveError, Writer};
use rakt::supervision::Directive;
use rakt::testkit::{FaultyStore, store};

use super::*;

#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "grain-tests.Saved")]
struct Saved {
    #[prost(uint64, tag = "1")]
    sum: u64,
    #[prost(bytes = "vec", tag = "2")]
    padding: Vec<u8>,
}

#[derive(Default)]
struct Sum(Saved);

#[derive(Message)]
#[rakt(reply = u64)]
struct Add(u64);

/// The error of the save, if there was one.
#[derive(Message)]
#[rakt(reply = Option<String>)]
struct SaveBytes(usize);

#[derive(Message)]
struct Clear;

#[derive(Message)]
struct End;

impl Actor for Sum {}

impl Grain for Sum {
    const KIND: &'static str = "sum";

    async fn activate(&mut self, ctx: &mut Context<Self>) -> Result {
        self.0 = ctx.state()?.unwrap_or_default();
        Ok(())
    }
}

impl Handler<Add> for Sum {
    async fn handle(&mut self, Add(n): Add, ctx: &mut Context<Self>) -> Result<u64> {
        self.0.sum += n;
        ctx.save(&self.0).await?;
        Ok(self.0.sum)
    }
}

impl Handler<SaveBytes> for Sum {
    async fn handle(
        &mut self,
        SaveBytes(len): SaveBytes,
        ctx: &mut Context<Self>,
    ) -> Result<Option<String>> {
        let saved = ctx.save(&Saved { padding: vec![7; len], ..Saved::default() }).await;
        Ok(saved.err().map(|error| rakt::error::Chain(&error).to_string()))
    }
}

impl Handler<Clear> for Sum {
    async fn handle(&mut self, _: Clear, ctx: &mut Context<Self>) -> Result {
        ctx.clear().await?;
        Ok(())
    }
}

impl Handler<End> for Sum {
    async fn handle(&mut self, _: End, ctx: &mut Context<Self>) -> Result {
        ctx.stop();
        Ok(())
    }
}

fn sums() -> GrainKind<Sum> {
    GrainKind::new()
}

fn id(key: &str) -> GrainId {
    GrainId::new("sum", key).expect("it is valid")
}

#[tokio::test(start_paused = true)]
async fn what_was_saved_is_there_in_the_next_activation_and_in_the_next_system() {
    let store = Arc::new(MemoryStore::new());
    for round in 0..3 {
        let system = system(sums().store(store.clone())).await;
        let (a, b) = (system.grain::<Sum>("a"), system.grain::<Sum>("b"));
        assert_eq!(a.ask(Add(1)).await.expect("it adds"), 2 * round + 1);
        a.ask(End).await.expect("it ends");
        assert_eq!(a.ask(Add(1)).await.expect("it adds"), 2 * round + 2);
        assert_eq!(b.ask(Add(10)).await.expect("it adds"), 10 * (round + 1));
        system.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_grain_goes_on_with_what_it_had_saved() {
    #[derive(Message)]
    struct Spoil;
    impl Handler<Spoil> for Sum {
        async fn handle(&mut self, _: Spoil, _: &mut Context<Self>) -> Result {
            self.0.sum = 999;
            Err("spoilt".into())
        }
    }
    let system = system(sums().store(MemoryStore::new())).await;
    let grain = system.grain::<Sum>("a");
    grain.ask(Add(5)).await.expect("it adds");
    grain.ask(Spoil).await.expect_err("it fails");
    assert_eq!(grain.ask(Add(1)).await.expect("it adds"), 6);
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_is_gone() {
    let system = system(sums().store(MemoryStore::new())).await;
    let grain = system.grain::<Sum>("a");
    grain.ask(Add(5)).await.expect("it adds");
    grain.ask(Clear).await.expect("it clears");
    grain.ask(End).await.expect("it ends");
    assert_eq!(grain.ask(Add(1)).await.expect("it adds"), 1);
}

/// Another node has claimed the grain: what this one saves is refused, it ends, and the next activation here reads the
/// truth.
#[tokio::test(start_paused = true)]
async fn who_has_lost_the_claim_cannot_write() {
    let store = Arc::new(MemoryStore::new());
    let system = system(sums().store(store.clone())).await;
    let grain = system.grain::<Sum>("a");
    assert_eq!(grain.ask(Add(1)).await.expect("it adds"), 1);

    let elsewhere = Writer { incarnation: [9; 16], uid: 1 };
    let later = Epoch { generation: u64::MAX / 2, view: 3, counter: 0 };
    let stored = store.claim(&id("a"), later, elsewhere).await.expect("it is later");
    let version = stored.expect("it was saved").version;
    let state = prost::Message::encode_to_vec(&Saved { sum: 100, ..Saved::default() });
    store.save(&id("a"), (later, elsewhere), version, Some(state.into())).await.expect("it holds");

    let error = grain.ask(Add(1)).await.expect_err("another has taken over");
    assert!(rakt::error::Chain(&error).to_string().contains("taken over"), "{error}");
    assert_eq!(grain.ask(Add(1)).await.expect("it adds"), 101, "the truth, with a later claim");
    let error = store.save(&id("a"), (later, elsewhere), version + 1, None).await;
    assert!(matches!(error, Err(SaveError::Fenced)), "now the other is too late");
}

/// the store has seen later epochs than the clock of this node would give out.
#[tokio::test(start_paused = true)]
async fn epochs_rise_above_what_the_store_has_seen() {
    let store = Arc::new(FaultyStore::new(MemoryStore::new()));
    let seen = Epoch { generation: u64::MAX / 2, view: 7, counter: 9 };
    let elsewhere = Writer { incarnation: [9; 16], uid: 1 };
    store.claim(&id("a"), seen, elsewhere).await.expect("it is the first");
    let system = system(sums().store(store.clone())).await;
    let grain = system.grain::<Sum>("a");
    assert_eq!(grain.ask(Add(1)).await.expect("it adds"), 1);
    let claims = store.calls(store::Call::Claim);
    grain.ask(End).await.expect("it ends");
    assert_eq!(grain.ask(Add(1)).await.expect("it adds"), 2);
    assert_eq!(store.calls(store::Call::Claim), claims + 1, "the next one is later at once");
    let lost = store.save(&id("a"), (seen, elsewhere), 0, None).await;
    assert!(matches!(lost, Err(SaveError::Fenced)));
}

#[tokio::test(start_paused = true)]
async fn a_state_that_is_too_long_is_not_saved() {
    let system = system(sums().store(MemoryStore::new()).max_state_len(100)).await;
    let grain = system.grain::<Sum>("a");
    grain.ask(Add(3)).await.expect("it adds");
    let error = grain.ask(SaveBytes(200)).await.expect("it answers").expect("it is too long");
    assert!(error.contains("limit of 100"), "{error}");
    assert_eq!(grain.ask(SaveBytes(50)).await.expect("it answers"), None, "it is well");
}

#[tokio::test(start_paused = true)]
async fn without_a_store_nothing_is_saved() {
    let system = system(sums()).await;
    let grain = system.grain::<Sum>("a");
    let error = grain.ask(SaveBytes(1)).await.expect("it answers").expect("there is no store");
    assert!(error.contains("has no store"), "{error}");
}

/// It does, whatever its handler and its supervision make of the error.
#[tokio::test(start_paused = true)]
async fn who_has_lost_the_claim_ends() {
    let store = Arc::new(MemoryStore::new());
    let resumed = sums().supervision(Supervision::always(Directive::Resume));
    let system = system(resumed.store(store.clone())).await;
    let grain = system.grain::<Sum>("a");
    grain.ask(Add(1)).await.expect("it adds");
    let elsewhere = Writer { incarnation: [9; 16], uid: 1 };
    let later = Epoch { generation: u64::MAX / 2, view: 3, counter: 0 };
    store.claim(&id("a"), later, elsewhere).await.expect("it is later");
    let said = grain.ask(SaveBytes(1)).await.expect("it answers").expect("it is not saved");
    assert!(said.contains("taken over"), "{said}");
    assert_eq!(grain.ask(Add(1)).await.expect("it adds"), 2, "by another activation");
    assert_eq!(system.grains()[0].activations, 2);
}

/// Nobody knows whether it was written: nothing more is, and the next activation reads the truth.
#[tokio::test(start_paused = true)]
async fn after_a_save_of_which_nobody_knows_nothing_more_is_written() {
    /// What two saves in one handler say.
    #[derive(Message)]
    #[rakt(reply = [Option<String>; 2])]
    struct SaveTwice;
    impl Handler<SaveTwice> for Sum {
        async fn handle(
            &mut self,
            _: SaveTwice,
            ctx: &mut Context<Self>,
        ) -> Result<[Option<String>; 2]> {
            let mut said = [const { None }; 2];
            for (n, said) in (1..).zip(&mut said) {
                let saved = ctx.save(&Saved { sum: 100 * n, ..Saved::default() }).await;
                *said = saved.err().map(|error| error.to_string());
            }
            Ok(said)
        }
    }
    let store = Arc::new(FaultyStore::new(MemoryStore::new()));
    let system = system(sums().store(store.clone())).await;
    let grain = system.grain::<Sum>("a");
    grain.ask(Add(5)).await.expect("it adds");
    for (fault, sum) in [
        (store::Fault::LoseReply, 101),
        // It is not there yet as the next activation claims, and is refused then.
        (store::Fault::Late(Duration::from_secs(60)), 102),
    ] {
        store.next(store::Call::Save, fault);
        let said = grain.ask(SaveTwice).await.expect("it answers").map(Option::unwrap_or_default);
        assert!(said[0].contains("not known") && said[1].contains("taken over"), "{said:?}");
        assert_eq!(grain.ask(Add(1)).await.expect("it adds"), sum);
    }
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(grain.ask(Add(0)).await.expect("it adds"), 102);
    store.assert_fenced();
}

/// I5: with a store that fails in all ways, what was confirmed is there, and nothing is counted twice.
#[tokio::test(start_paused = true)]
async fn what_was_confirmed_is_there_whatever_the_store_does() {
    for seed in 0..20 {
        let odds = store::Odds::none()
            .lost(0.1)
            .failed(0.1)
            .late(0.1, Duration::from_secs(2))
            .delayed(0.2, Duration::from_secs(1));
        let store = Arc::new(FaultyStore::seeded(MemoryStore::new(), seed, odds));
        let system = system(sums().store(store.clone())).await;
        let grain = system.grain::<Sum>("a");
        let (mut confirmed, mut tried, mut last) = (0, 0, 0);
        for n in 0..100 {
            tried += 1;
            if let Ok(sum) = grain.ask(Add(1)).await {
                assert!(sum > last, "seed {seed}: {sum} after {last}");
                (confirmed, last) = (confirmed + 1, sum);
            }
            if n % 10 == 9 {
                let _ = grain.ask(End).await;
            }
        }
        store.set_odds(store::Odds::none());
        tokio::time::sleep(Duration::from_secs(10)).await;
        let sum = grain.ask(Add(0)).await.expect("the store is well");
        assert!(
            confirmed > 0 && confirmed <= sum && sum <= tried,
            "seed {seed}: {confirmed} {sum}"
        );
        store.assert_fenced();
    }
}
