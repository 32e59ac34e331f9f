//! How messages are sent to a grain, and what errors say.

use std::time::Duration;

use super::*;

#[tokio::test(start_paused = true)]
async fn keys_are_any_text() {
    let system = system(counters(&Seen::default())).await;
    let keys = ["42", "a/b", "ä ö", "x.a", "a.b", "-", "GoAkt", "rakt.x", "..", &"k".repeat(255)];
    for key in keys {
        let grain = system.grain::<Counter>(key);
        assert_eq!(grain.ask(Count).await.unwrap_or_else(|error| panic!("{key}: {error}")), 1);
        assert_eq!(grain.key(), key);
    }
    let reports = system.grains();
    assert_eq!((reports.len(), reports[0].kind, reports[0].active), (1, "counter", keys.len()));
    let mut living = reports[0].keys.clone();
    living.sort();
    let mut all: Vec<_> = keys.map(str::to_owned).into();
    all.sort();
    assert_eq!(living, all);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_key_is_refused_as_a_message_is_sent() {
    let system = system(counters(&Seen::default())).await;
    for (key, said) in
        [("", "empty"), (&*"k".repeat(256), "limit is 255"), (&*"ä".repeat(50), "limit is 255")]
    {
        let error = system.grain::<Counter>(key).tell(Count).await.expect_err(key);
        let text = rakt::error::Chain(&error).to_string();
        assert!(matches!(error.refusal, Refusal::InvalidArgument { .. }), "{text}");
        assert!(text.contains("key") && text.contains(said), "{text}");
        let error = system.grain::<Counter>(key).ask(Count).await.expect_err(key);
        assert!(error.is_safe_to_retry() && !error.is_worth_retrying());
    }
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_not_registered_is_refused() {
    let system = ActorSystem::builder("none").start().await.expect("it starts");
    let error = system.grain::<Counter>("a").ask(Count).await.expect_err("no such kind");
    assert_eq!(error.refusal(), Some(&Refusal::KindNotRegistered { kind: "counter".into() }));
    assert!(system.grains().is_empty());
}

#[tokio::test]
async fn a_kind_is_registered_once() {
    let seen = Seen::default();
    let builder = ActorSystem::builder("twice").grain(counters(&seen)).grain(counters(&seen));
    let error = builder.start().await.expect_err("it is there twice");
    assert!(error.to_string().contains("counter"), "{error}");
}

#[tokio::test]
async fn no_actor_is_called_as_the_root_of_grains() {
    let system = system(counters(&Seen::default())).await;
    struct Plain;
    impl Actor for Plain {}
    let error = system.spawn("grains", || Plain).await.expect_err("it is reserved");
    assert!(rakt::error::Chain(&error).to_string().contains("reserved"), "{error}");
    system.spawn("grains2", || Plain).await.expect("that is another name");
}

#[tokio::test(start_paused = true)]
async fn a_grain_can_be_told_without_waiting() {
    let system = system(counters(&Seen::default())).await;
    let grain = system.grain::<Counter>("a");
    grain.try_tell(Count).expect("there is room");
    assert_eq!(grain.ask(Count).await.expect("it counts"), 2);
    grain.ask(Stop).await.expect("it stops");
    grain.try_tell(Count).expect("there is room");
    assert_eq!(grain.ask(Count).await.expect("it counts"), 2);
}

#[tokio::test(start_paused = true)]
async fn an_ask_ends_at_its_limit() {
    let system = system(counters(&Seen::default())).await;
    let (grain, gate) = (system.grain::<Counter>("a"), Gate::default());
    grain.tell(Hold(gate.clone())).await.expect("it is sent");
    gate.entered().await;
    let limit = Duration::from_secs(3);
    let began = tokio::time::Instant::now();
    let error = grain.ask(Count).timeout(limit).await.expect_err("it is held");
    assert!(matches!(error, AskError::Timeout { .. }), "{error}");
    assert_eq!(began.elapsed(), limit);
    gate.open();
    assert_eq!(grain.ask(Count).await.expect("it counts"), 1, "what was late was not handled");
}

/// A grain is asked in the course of a message: no longer than the asker of that waits.
#[tokio::test(start_paused = true)]
async fn a_question_within_a_handler_has_its_deadline() {
    #[derive(Message)]
    #[rakt(reply = bool)]
    struct Relay;
    struct Front(GrainRef<Counter>, tokio::sync::mpsc::UnboundedSender<Duration>);
    impl Actor for Front {}
    impl Handler<Relay> for Front {
        async fn handle(&mut self, _: Relay, ctx: &mut Context<Self>) -> Result<bool> {
            let began = tokio::time::Instant::now();
            let asked = ctx.ask(&self.0, Count).await;
            self.1.send(began.elapsed())?;
            Ok(asked.is_err())
        }
    }
    let system = system(counters(&Seen::default())).await;
    let (grain, gate) = (system.grain::<Counter>("a"), Gate::default());
    grain.tell(Hold(gate.clone())).await.expect("it is sent");
    gate.entered().await;
    let (told, mut waited) = tokio::sync::mpsc::unbounded_channel();
    let front = move || Front(grain.clone(), told.clone());
    let front = system.spawn("front", front).await.expect("it starts");
    let relayed = front.ask(Relay).timeout(Duration::from_secs(1)).await;
    assert_eq!(waited.recv().await, Some(Duration::from_secs(1)));
    // Whose timer is first does not matter.
    assert!(matches!(relayed, Ok(true) | Err(AskError::Timeout { .. })), "{relayed:?}");
}

#[tokio::test(start_paused = true)]
async fn what_peers_may_send_to_grains_is_told_whether_they_live_or_not() {
    let system = system(counters(&Seen::default())).await;
    let before = system.exposed();
    assert_eq!(before.to_string(), "grains counter accept no messages");
    system.grain::<Counter>("a").ask(Count).await.expect("it counts");
    assert_eq!(system.exposed(), before);
}
