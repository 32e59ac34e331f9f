//! Grains that are to serve on while their node is cut off from its cluster.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rakt::Event;
use rakt::cluster::{Config, MemoryRegister};
use rakt::error::Chain;
use rakt::grain::{Consistency, Grain, GrainKind, MemoryStore};
use rakt::prelude::*;
use rakt::testkit::FaultyRegister;

use crate::nodes::{Add, Common, Where};
use crate::readiness::{Faulty, until_not_ready};
use crate::support::{event, within};

/// What all of them have in common.
#[derive(Default)]
struct All {
    /// How many lives have begun.
    begun: AtomicU64,
    passes_on: AtomicBool,
}

/// Counts, and may pass on what it has counted to the next life of itself.
struct Desk {
    total: u64,
    node: u64,
    all: Arc<All>,
}

impl Actor for Desk {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Add>().remote::<Where>();
    }
}

impl Grain for Desk {
    const KIND: &'static str = "desk";

    async fn activate(&mut self, _: &mut Context<Self>) -> Result {
        self.all.begun.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn passivate(&mut self, ctx: &mut Context<Self>) -> Result {
        if self.all.passes_on.load(Ordering::Relaxed) {
            ctx.grain_ref().tell(Add { n: self.total }).await?;
        }
        Ok(())
    }
}

impl Handler<Add> for Desk {
    async fn handle(&mut self, Add { n }: Add, _: &mut Context<Self>) -> Result<u64> {
        self.total += n;
        Ok(self.total)
    }
}

impl Handler<Where> for Desk {
    async fn handle(&mut self, _: Where, _: &mut Context<Self>) -> Result<u64> {
        Ok(self.node)
    }
}

fn desks(node: u64, all: &Arc<All>) -> GrainKind<Desk> {
    let all = all.clone();
    let kind = GrainKind::built_by(move || Desk { total: 0, node, all: all.clone() });
    kind.consistency(Consistency::Available)
}

/// Two nodes, each with a way of its own to the register.
async fn nodes() -> Result<([(ActorSystem, Faulty); 2], Arc<All>)> {
    let (common, all) = (Common::default(), Arc::default());
    let node = async |at: u64| {
        let register: FaultyRegister<MemoryRegister> = FaultyRegister::new(common.register.clone());
        let builder = ActorSystem::builder("cluster")
            .remoting(remote::Config::new("127.0.0.1", 0))
            .cluster(common.configured(register.clone()))
            .grain(desks(at, &all));
        within(builder.start()).await.map(|system| (system, register))
    };
    Ok(([node(0).await?, node(1).await?], all))
}

/// What a grain answers as soon as it does.
async fn answer(grain: &GrainRef<Desk>, n: u64) -> u64 {
    within(async {
        loop {
            match grain.ask(Add { n }).await {
                Ok(total) => return total,
                Err(error) if error.is_safe_to_retry() => {}
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await
}

async fn place(grain: &GrainRef<Desk>) -> u64 {
    within(async {
        loop {
            if let Ok(node) = grain.ask(Where {}).await {
                return node;
            }
        }
    })
    .await
}

const DESKS: u64 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_serve_and_one_life_of_each_is_left() -> Result {
    let ([(stays, _), (cut, register)], all) = nodes().await?;
    let of = |node: &ActorSystem| -> Vec<GrainRef<Desk>> {
        (0..DESKS).map(|key| node.grain(key.to_string())).collect()
    };
    let (here, there) = (of(&stays), of(&cut));
    // Half of them live before that, on either node.
    for grain in &there[..DESKS as usize / 2] {
        within(grain.ask(Where {})).await?;
    }
    let mut events = cut.events();
    register.set_down(true);
    until_not_ready(&cut).await;
    within(async {
        while stays.members().is_none_or(|members| members.up().count() > 1) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for (one, other) in here.iter().zip(&there) {
        assert_eq!((answer(one, 1).await, answer(other, 100).await), (1, 100), "{one}");
        assert_eq!((place(one).await, place(other).await), (0, 1), "{one}");
    }
    all.passes_on.store(true, Ordering::Relaxed);
    register.set_down(false);
    let mut twice = BTreeSet::new();
    while twice.len() < DESKS as usize {
        let grain = event(&mut events, |event| match event {
            Event::DuplicateSeen { grain, granted, living } => {
                assert!(living < granted, "{grain} under {living}, not {granted}");
                Some(grain)
            }
            _ => None,
        });
        assert!(twice.insert(grain.await), "each is told of once");
    }
    within(async {
        while cut.grains()[0].active > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for (one, other) in here.iter().zip(&there) {
        assert_eq!(place(other).await, 0, "{one}");
        // What the other life has passed on as it ended.
        within(async {
            while answer(one, 0).await != 101 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    all.passes_on.store(false, Ordering::Relaxed);
    for node in [cut, stays] {
        within(node.shutdown()).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_register_for_anybody_each_lives_once_and_goes_on() -> Result {
    let ([(one, near), (other, far)], all) = nodes().await?;
    let mut events = one.events();
    let serve = async |until: u64, n: u64| {
        for key in 0..until {
            for node in [&one, &other] {
                answer(&node.grain::<Desk>(key.to_string()), n).await;
            }
        }
    };
    serve(DESKS / 2, 1).await;
    near.set_down(true);
    far.set_down(true);
    until_not_ready(&one).await;
    until_not_ready(&other).await;
    serve(DESKS, 1).await;
    assert_eq!(all.begun.load(Ordering::Relaxed), DESKS, "one each");
    near.set_down(false);
    far.set_down(false);
    for node in [&one, &other] {
        within(node.ready()).await?;
    }
    serve(DESKS, 0).await;
    for key in 0..DESKS {
        let total = answer(&one.grain::<Desk>(key.to_string()), 0).await;
        assert_eq!(total, if key < DESKS / 2 { 4 } else { 2 });
    }
    assert_eq!(all.begun.load(Ordering::Relaxed), DESKS, "they are the same");
    for node in [one, other] {
        within(node.shutdown()).await;
    }
    let duplicate = events.find(|event| matches!(event, Event::DuplicateSeen { .. }).then_some(()));
    assert_eq!(within(duplicate).await, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_ends_such_grains_in_order() -> Result {
    let ([(stays, _), (cut, register)], all) = nodes().await?;
    register.set_down(true);
    until_not_ready(&cut).await;
    for key in 0..DESKS {
        assert_eq!(answer(&cut.grain::<Desk>(key.to_string()), 1).await, 1);
    }
    assert!(all.begun.load(Ordering::Relaxed) >= DESKS);
    let report = within(cut.shutdown()).await;
    assert_eq!((report.unfinished, report.dropped_messages), (Vec::new(), 0));
    within(stays.shutdown()).await;
    Ok(())
}

#[tokio::test]
async fn a_kind_that_may_live_several_times_has_no_store() {
    let kind = desks(0, &Arc::default()).store(MemoryStore::new());
    let builder = ActorSystem::builder("alone").cluster(Config::alone()).grain(kind);
    let error = within(builder.start()).await.expect_err("of two lives one could not save");
    let text = Chain(&error).to_string();
    assert_eq!(
        text,
        "consistency is Available for the kind \"desk\", which has a store, but must be Consistent for a kind with a store"
    );
}
