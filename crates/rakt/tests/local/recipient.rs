//! References by what an actor takes.

use std::collections::HashSet;

use rakt::{Recipient, Refusal, StopReason, prelude::*};

use crate::support::within;
use crate::system;

#[derive(Message)]
#[rakt(reply = u64)]
struct Add(u64);

#[derive(Message)]
#[rakt(reply = String)]
struct Show;

/// Lists nothing, so that whoever does not know its type can send it nothing.
#[derive(Default)]
struct Sum(u64);

impl Actor for Sum {}

impl Handler<Add> for Sum {
    async fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> Result<u64> {
        self.0 += n;
        Ok(self.0)
    }
}

impl Handler<Show> for Sum {
    async fn handle(&mut self, _: Show, _: &mut Context<Self>) -> Result<String> {
        Ok(self.0.to_string())
    }
}

#[derive(Default)]
struct Double;

impl Actor for Double {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.local::<Add>();
    }
}

impl Handler<Add> for Double {
    async fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> Result<u64> {
        Ok(2 * n)
    }
}

#[tokio::test]
async fn actors_of_several_types_stand_in_one_list() {
    let system = system().await;
    let sum = system.spawn("sum", Sum::default).await.expect("it starts");
    let double = system.spawn("double", Double::default).await.expect("it starts");
    let all: Vec<Recipient<Add>> =
        vec![sum.recipient(), double.recipient(), double.untyped().recipient()];
    let mut replies = Vec::new();
    for recipient in &all {
        replies.push(recipient.ask(Add(21)).await.expect("an answer"));
    }
    assert_eq!(replies, [21, 42, 42]);
    let outcomes = all[0].ask_all([Add(1), Add(2)]).await;
    let sums: Vec<_> = outcomes.into_iter().map(|outcome| outcome.expect("an answer")).collect();
    assert_eq!(sums, [22, 24], "it has what every reference has");
    system.shutdown().await;
}

#[tokio::test]
async fn messages_through_both_references_keep_their_order() {
    let system = system().await;
    let sum = system.spawn("sum", Sum::default).await.expect("it starts");
    let recipient = sum.recipient::<Add>();
    for n in 0..100 {
        recipient.tell(Add(1)).await.expect("taken");
        assert_eq!(sum.ask(Add(1)).await.expect("an answer"), 2 * (n + 1));
    }
    system.shutdown().await;
}

#[tokio::test]
async fn a_recipient_is_the_actor_it_was_made_of() {
    let system = system().await;
    let sum = system.spawn("sum", Sum::default).await.expect("it starts");
    let recipient = sum.recipient::<Add>();
    assert_eq!(recipient, sum);
    assert_eq!(recipient, sum.recipient::<Show>());
    let set = HashSet::from([recipient.untyped(), sum.untyped()]);
    assert_eq!(set.len(), 1, "their hashes are the same as well");
    assert_eq!(recipient.to_string(), sum.to_string());
    let typed = recipient.untyped().typed::<Sum>().expect("it is a sum");
    assert_eq!(typed.ask(Show).await.expect("an answer"), "0", "its type is not lost");
    assert!(recipient.untyped().typed::<Double>().is_none());

    recipient.stop().await.expect("it stops");
    assert_eq!(within(sum.ended()).await, StopReason::Stopped);
    let refused = recipient.tell(Add(1)).await.expect_err("it has ended");
    assert!(matches!(refused.refusal, Refusal::Stopped), "{refused:?}");
    system.shutdown().await;
}

#[tokio::test]
async fn one_made_without_the_type_is_bound_to_the_list_of_the_actor() {
    let system = system().await;
    let sum = system.spawn("sum", Sum::default).await.expect("it starts");
    let refused = sum.untyped().recipient::<Add>().tell(Add(1)).await.expect_err("not listed");
    assert!(matches!(refused.refusal, Refusal::NotAccepted { .. }), "{refused:?}");
    // What has gone through a reference that knew more still knows it.
    let known = sum.recipient::<Add>().untyped().recipient::<Add>();
    assert_eq!(known.ask(Add(1)).await.expect("an answer"), 1);
    let refused = sum.recipient::<Add>().untyped().tell(Show).await.expect_err("not listed");
    assert!(matches!(refused.refusal, Refusal::NotAccepted { .. }), "{refused:?}");
    system.shutdown().await;
}
