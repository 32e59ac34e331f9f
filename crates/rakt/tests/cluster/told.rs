//! What are operators told?

use rakt::Event;
use rakt::cluster::Config;
use rakt::error::Chain;
use rakt::grain::{Epoch, GrainId, GrainKind, GrainStore, MemoryStore, Writer};
use rakt::prelude::*;

use crate::nodes::{Add, Common, Counter};
use crate::readiness::node;
use crate::support::{event, within};

/// Of whom it tells, and how much.
fn took_over(event: Event) -> Option<(String, usize, usize)> {
    match event {
        Event::TookOver { node, slots, grains } => Some((node, slots, grains)),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_take_over_say_of_whom_and_how_much() -> Result {
    let common = Common::default();
    let mut nodes = Vec::new();
    for at in 0..3 {
        nodes.push(node(&common, at).await?);
    }
    for key in 0..60 {
        let grain = nodes[0].0.grain::<Counter>(key.to_string());
        within(grain.ask(Add { n: 1 })).await?;
    }
    let lives = |node: &ActorSystem| node.grains().iter().map(|kind| kind.active).sum::<usize>();
    let mut events = [nodes[0].0.events(), nodes[1].0.events()];
    let (lost, register) = &nodes[2];
    let (host, port) = lost.advertised();
    let (lost_at, had) = (format!("{host}:{port}"), lives(lost));
    register.set_down(true);
    let mut sum = 0;
    for events in &mut events {
        let (node, slots, grains) = event(events, took_over).await;
        assert_eq!(node, lost_at);
        assert!((1..4096).contains(&slots), "{slots}");
        // They are placed with the owners of their slots, so nobody else knew of any.
        assert_eq!(grains, 0);
        sum += slots;
    }
    assert!(had > 0 && (800..2000).contains(&sum), "about a third of the slots: {sum}");
    register.set_down(false);
    for (node, _) in &nodes {
        within(node.shutdown()).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_later_epochs_has_the_generation_raised() -> Result {
    let store = std::sync::Arc::new(MemoryStore::new());
    let seen = Epoch { generation: 1 << 40, view: 3, counter: 9 };
    let writer = Writer { incarnation: [7; 16], uid: 7 };
    store.claim(&GrainId::new("counter", "a")?, seen, writer).await?;
    let kind = GrainKind::built_by(|| Counter::at(0, &Default::default())).store(store);
    let builder = ActorSystem::builder("alone").cluster(Config::alone()).grain(kind);
    let system = within(builder.start()).await?;
    let mut events = system.events();
    let grain = system.grain::<Counter>("a");
    within(grain.ask(Add { n: 1 })).await.expect_err("the store has seen a later epoch");
    let (from, to) = event(&mut events, |event| match event {
        Event::GenerationRaised { from, to } => Some((from, to)),
        _ => None,
    })
    .await;
    assert!(from < seen.generation && to > seen.generation, "{from} {to}");
    assert_eq!(within(grain.ask(Add { n: 1 })).await?, 1);
    within(system.shutdown()).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_of_a_view_that_never_was_has_the_generation_raised() -> Result {
    let store = std::sync::Arc::new(MemoryStore::new());
    let kind = GrainKind::built_by(|| Counter::at(0, &Default::default())).store(store.clone());
    let builder = ActorSystem::builder("alone").cluster(Config::alone()).grain(kind);
    let system = within(builder.start()).await?;
    let (generation, _) = system.members().ok_or("it is in one")?.view;
    let seen = Epoch { generation, view: u64::MAX, counter: 9 };
    let writer = Writer { incarnation: [7; 16], uid: 7 };
    store.claim(&GrainId::new("counter", "a")?, seen, writer).await?;
    let mut events = system.events();
    let grain = system.grain::<Counter>("a");
    let error =
        within(grain.ask(Add { n: 1 })).await.expect_err("the store has seen a later epoch");
    let error = Chain(&error).to_string();
    assert!(error.contains("once the generation is raised"), "{error}");
    let (from, to) = event(&mut events, |event| match event {
        Event::GenerationRaised { from, to } => Some((from, to)),
        _ => None,
    })
    .await;
    assert!(from == generation && to > generation, "{from} {to}");
    assert_eq!(within(grain.ask(Add { n: 1 })).await?, 1);
    within(system.shutdown()).await;
    Ok(())
}
