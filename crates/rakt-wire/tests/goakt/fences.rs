//! Tells to a node that leaves requests without a response, or has another one for them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use rakt_wire::Metadata;
use rakt_wire::goakt::{
    Answer, Call, ClientError, ERROR_NAME, ErrorCode, GoError, Procedure, SendError,
};

use super::*;

const FENCE_AFTER: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(30);
const ACK: &str = "internalpb.RemoteTellResponse";
const FENCE_ACK: &str = "internalpb.RemoteAskResponse";

/// What the node does instead of what it should.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// There is no response.
    Left,
    /// It fails; the text is the number of the request.
    Fails,
    /// The response is another.
    Says(&'static str),
}

/// A client, and a node that takes its requests one after another.
struct Pair {
    client: Client,
    now: Instant,
    faults: Vec<Fault>,
    /// The name of each request that the node has seen, and what it answered.
    seen: Vec<(String, Option<&'static str>)>,
    /// Responses on their way.
    coming: VecDeque<Vec<u8>>,
    outcomes: BTreeMap<u64, Option<Answer>>,
    broken: Option<ClientError>,
}

impl Pair {
    /// The fault of each request, by its number; there are none after the last.
    fn new(faults: &[Fault]) -> Self {
        let config = ClientConfig {
            compression: Compression::None,
            fence_after: Some(FENCE_AFTER),
            ..Default::default()
        };
        Self {
            client: Client::new(config).expect("it is always there"),
            now: start(),
            faults: faults.to_vec(),
            seen: Vec::new(),
            coming: VecDeque::new(),
            outcomes: BTreeMap::new(),
            broken: None,
        }
    }

    /// Sends tells, the last of which somebody waits for.
    fn tell(&mut self, count: usize) {
        self.tell_idly(count);
        self.client.hurry();
    }

    fn tell_idly(&mut self, count: usize) {
        for _ in 0..count {
            let call = [outgoing("t", b"x")];
            let sent =
                self.client.send(&Call::Tell(&call), &Metadata::new(), None, self.now + LIMIT);
            assert!(sent.is_ok() || self.broken.is_some() || self.client.is_full(), "{sent:?}");
        }
    }

    /// All that waits reaches the node, which answers.
    fn transmit(&mut self) {
        let mut wire = Vec::new();
        self.client.poll_transmit(self.now, &mut wire).expect("there is memory");
        for (name, body) in frames(&wire) {
            let number = self.seen.len();
            let fault = self.faults.get(number).copied().unwrap_or(Fault::None);
            let own = if name.contains("Tell") { ACK } else { FENCE_ACK };
            assert!(own == ACK || body.is_empty(), "a fence asks nobody");
            let said = match fault {
                Fault::None => Some(own),
                Fault::Left => None,
                Fault::Fails => Some(ERROR_NAME),
                Fault::Says(name) => Some(name),
            };
            self.seen.push((name, said));
            self.coming.extend(said.map(|name| response(name, number)));
        }
    }

    /// So many responses arrive.
    fn deliver(&mut self, count: usize) {
        for bytes in self.coming.drain(..count.min(self.coming.len())) {
            let mut unread = BytesMut::from(&bytes[..]);
            loop {
                match self.client.poll_answer(&mut unread) {
                    Ok(Some((id, answer))) => {
                        let before = self.outcomes.insert(id, answer);
                        assert_eq!(before, None, "{id} has one outcome");
                    }
                    Ok(None) => break,
                    Err(error) => self.broken = Some(error),
                }
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        if let Err(error) = self.client.handle_timeout(self.now) {
            self.broken = Some(error);
        }
        self.transmit();
    }

    /// Goes on until nothing more comes, and checks that nothing was said that is not so.
    fn finish(mut self) -> Self {
        self.transmit();
        for _ in 0..3 {
            self.deliver(usize::MAX);
            self.pass(FENCE_AFTER);
        }
        self.deliver(usize::MAX);
        for (id, outcome) in &self.outcomes {
            let said = self.seen[*id as usize].1;
            match outcome {
                Some(Answer::Done) => assert_eq!(said, Some(ACK), "{id} was not acknowledged"),
                Some(Answer::Error(error)) => {
                    assert_eq!((said, &error.message), (Some(ERROR_NAME), &id.to_string()));
                }
                None => {}
                other => panic!("{id}: {other:?}"),
            }
        }
        let told = self.seen.iter().zip(0..).filter(|((name, _), _)| name.contains("Tell"));
        let told: Vec<u64> = told.map(|(_, id)| id).collect();
        let lost = self.client.take_lost().filter(|lost| lost.is_sent).map(|lost| lost.id);
        let mut ended: Vec<u64> = lost.chain(self.outcomes.keys().copied()).collect();
        ended.sort_unstable();
        assert_eq!(ended, told, "each has an outcome or is lost");
        self
    }

    /// The outcomes in order: acknowledged, failed, missing.
    fn text(&self) -> String {
        let letter = |outcome: &Option<Answer>| match outcome {
            Some(Answer::Done) => 'k',
            Some(_) => 'e',
            None => '?',
        };
        self.outcomes.values().map(letter).collect()
    }

    fn fences(&self) -> Vec<usize> {
        let fences = self.seen.iter().zip(0..).filter(|((name, _), _)| name.contains("Ask"));
        fences.map(|(_, number)| number).collect()
    }
}

/// A response in the plain form.
fn response(name: &str, number: usize) -> Vec<u8> {
    let mut body = Vec::new();
    if name == ERROR_NAME {
        let error = GoError::new(ErrorCode::NotFound, number.to_string());
        body =
            [&[0x08, error.code as u8, 0x12, error.message.len() as u8], error.message.as_bytes()]
                .concat();
    }
    let len = (8 + name.len() + body.len()) as u32;
    [&len.to_be_bytes(), &(name.len() as u32).to_be_bytes(), name.as_bytes(), &body].concat()
}

#[test]
fn one_after_another_they_need_no_fence() {
    let mut pair = Pair::new(&[Fault::None, Fault::Fails]);
    for n in 1..=5 {
        pair.tell(1);
        pair.transmit();
        pair.deliver(1);
        assert_eq!(pair.outcomes.len(), n, "it is certain at once");
    }
    // Those that leave together need none either, once all have their responses.
    pair.tell(3);
    pair.transmit();
    pair.deliver(2);
    assert_eq!(pair.outcomes.len(), 5);
    pair.deliver(1);
    let pair = pair.finish();
    assert_eq!((&*pair.text(), pair.fences()), ("kekkkkkk", vec![]));
}

#[test]
fn what_follows_others_brings_one_fence_in_a_round_trip() {
    let mut pair = Pair::new(&[]);
    for _ in 0..4 {
        pair.tell(2);
        pair.transmit();
    }
    assert_eq!(pair.fences(), [4], "behind the second two");
    pair.deliver(4);
    assert_eq!(pair.outcomes.len(), 0);
    pair.deliver(1);
    assert_eq!(pair.text(), "kkkk");
    pair.deliver(2);
    assert_eq!(pair.text(), "kkkk", "more are under way");
    pair.tell(1);
    pair.transmit();
    assert_eq!(pair.fences(), [4, 10]);
    pair.deliver(3);
    assert_eq!(pair.text(), "kkkk");
    let pair = pair.finish();
    assert_eq!((&*pair.text(), pair.client.is_usable()), ("kkkkkkkkk", false));
    assert_eq!(pair.broken, None);
}

#[test]
fn what_nobody_waits_for_is_fenced_by_the_number_and_by_time() {
    let mut pair = Pair::new(&[]);
    let half = ClientConfig::default().max_in_flight / 2;
    for n in 1..half {
        pair.tell_idly(1);
        pair.transmit();
        assert_eq!(pair.fences(), [], "{n}");
    }
    pair.tell_idly(1);
    pair.transmit();
    assert_eq!(pair.fences(), [half]);
    pair.deliver(half);
    assert_eq!(pair.outcomes.len(), 0);
    pair.tell_idly(2 * half);
    assert_eq!(pair.client.in_flight(), 2 * half, "those without an outcome count");
    pair.deliver(1);
    assert_eq!(pair.outcomes.len(), half);
    pair.transmit();
    pair.tell_idly(1);
    pair.transmit();
    assert_eq!(pair.fences(), [half, 2 * half + 2], "the next follows the outcome of the first");
    // Time counts from the last fence on.
    pair.deliver(half + 2);
    pair.tell_idly(2);
    pair.transmit();
    pair.tell_idly(1);
    pair.pass(FENCE_AFTER - Duration::from_nanos(1));
    assert_eq!(pair.fences().len(), 2);
    pair.pass(Duration::from_nanos(1));
    assert_eq!(pair.fences().len(), 3);
    assert_eq!(pair.finish().broken, None);
}

#[test]
fn a_missing_response_costs_the_requests_around_it_and_nothing_else() {
    // Seven tells with a fence as the fourth request and another as the seventh.
    for (at, expected) in [
        (0, "???kkkk"),
        (1, "???kkkk"),
        (2, "???kkkk"),
        (4, "kkk???k"),
        (5, "kkk???k"),
        (6, "kkk???k"),
    ] {
        let mut faults = vec![Fault::None; at];
        faults.push(Fault::Left);
        let mut pair = Pair::new(&faults);
        pair.tell(2);
        pair.transmit();
        pair.tell(1);
        pair.transmit();
        pair.tell(2);
        pair.transmit();
        pair.deliver(if at < 4 { 3 } else { 4 });
        assert_eq!(pair.text(), if at < 3 { "???" } else { "kkk" }, "{at}");
        // The next fence goes with this one.
        pair.tell(1);
        pair.transmit();
        assert_eq!(pair.fences(), [3, 7]);
        pair.tell(1);
        let pair = pair.finish();
        assert_eq!((&*pair.text(), &pair.broken), (expected, &None), "{at}");
    }
}

#[test]
fn a_request_that_is_last_and_has_no_response_is_noticed_after_a_while() {
    let mut pair = Pair::new(&[Fault::None, Fault::Left]);
    let expires = pair.now + LIMIT;
    pair.tell(1);
    pair.transmit();
    pair.deliver(1);
    pair.tell(1);
    pair.transmit();
    assert_eq!(pair.client.poll_timeout(), Some(pair.now + FENCE_AFTER));
    pair.pass(FENCE_AFTER / 2);
    assert_eq!(pair.fences(), []);
    pair.pass(FENCE_AFTER / 2);
    assert_eq!(pair.fences(), [2]);
    assert_eq!(pair.client.poll_timeout(), Some(expires), "one fence is enough");
    pair.deliver(1);
    assert_eq!((&*pair.text(), pair.client.is_usable()), ("k?", true));
    pair.tell(1);
    assert_eq!(pair.finish().text(), "k?k");
}

#[test]
fn a_fence_without_a_response_ends_the_connection() {
    let mut pair = Pair::new(&[Fault::None, Fault::None, Fault::Left]);
    pair.tell(1);
    pair.transmit();
    pair.tell(1);
    pair.transmit();
    assert_eq!(pair.fences(), [2]);
    pair.tell(1);
    pair.transmit();
    pair.deliver(3);
    let found = ACK.to_owned();
    assert_eq!(pair.broken, Some(ClientError::OutOfStep { found }));
    assert_eq!(pair.outcomes.len(), 0);
    let pair = pair.finish();
    assert!(!pair.client.is_usable());

    // With nothing behind it, once its time is up.
    let mut pair = Pair::new(&[Fault::None, Fault::None, Fault::Left]);
    for _ in 0..2 {
        pair.tell(1);
        pair.transmit();
    }
    pair.deliver(2);
    pair.pass(LIMIT);
    assert_eq!(pair.broken, Some(ClientError::TimedOut { id: 2 }));
}

#[test]
fn a_fence_that_fails_shows_nothing_but_holds_nothing_up() {
    let mut pair = Pair::new(&[Fault::None, Fault::None, Fault::Fails]);
    for _ in 0..3 {
        pair.tell(1);
        pair.transmit();
    }
    pair.deliver(3);
    assert_eq!(pair.outcomes.len(), 0, "it may be the failure of what is behind it");
    // All have responses: no doubt is left.
    pair.deliver(1);
    assert_eq!(pair.text(), "kkk");

    // Where one is missing besides, the next fence tells.
    let mut pair = Pair::new(&[Fault::None, Fault::None, Fault::Fails, Fault::Left]);
    for _ in 0..3 {
        pair.tell(1);
        pair.transmit();
    }
    pair.deliver(3);
    pair.pass(FENCE_AFTER);
    assert_eq!(pair.fences(), [2, 4]);
    pair.deliver(1);
    assert_eq!((&*pair.text(), pair.broken), ("???", None));
}

#[test]
fn whatever_is_no_tell_goes_alone_where_responses_may_be_missing() {
    let mut pair = Pair::new(&[]);
    let now = pair.now;
    let ask = Call::Ask { messages: &[outgoing("t", b"")], timeout: LIMIT };
    let mut send = |call: &Call<'_>| pair.client.send(call, &Metadata::new(), None, now);
    assert_eq!(send(&ask), Ok(0));
    let told = [outgoing("t", b"")];
    assert!(matches!(send(&Call::Tell(&told)), Err(SendError::Full { .. })));
    assert!(pair.client.is_full());
    pair.client.poll_transmit(now, &mut Vec::new()).unwrap();
    // It may take long, and its response is like that to a fence.
    assert_eq!(pair.client.poll_timeout(), Some(now));
    let mut unread = BytesMut::from(&response(FENCE_ACK, 0)[..]);
    let outcome = pair.client.poll_answer(&mut unread);
    assert!(matches!(outcome, Ok(Some((0, Some(Answer::Replies(_)))))), "{outcome:?}");
    pair.tell(1);
    let sent = pair.client.send(&ask, &Metadata::new(), None, now);
    assert!(matches!(sent, Err(SendError::Full { .. })));
}

#[test]
fn one_fault_at_any_place_makes_nobody_believe_what_is_not_so() {
    let names = Procedure::ALL.iter().map(|procedure| procedure.response_name());
    let faults = names.map(Fault::Says).chain([Fault::Left, Fault::Fails]);
    for (fault, at) in faults.flat_map(|fault| (0..12).map(move |at| (fault, at))) {
        for step in 1..5 {
            let mut faults = vec![Fault::None; at];
            faults.push(fault);
            let mut pair = Pair::new(&faults);
            for n in 0..6 {
                pair.tell(1 + n % 2);
                pair.transmit();
                pair.deliver(n % step);
            }
            pair.finish();
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Tell(usize),
    Await(usize),
    Transmit,
    Deliver(usize),
    Pass,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..4_usize).prop_map(Step::Tell),
        (1..4_usize).prop_map(Step::Await),
        Just(Step::Transmit),
        (1..6_usize).prop_map(Step::Deliver),
        Just(Step::Pass),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => Just(Fault::None),
        2 => Just(Fault::Left),
        2 => Just(Fault::Fails),
        // A fence may also be taken for a tell; a tell succeeds as an ask nowhere.
        1 => Just(Fault::Says(ACK)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_number_of_faults_makes_anybody_believe_what_is_not_so(
        faults in vec(fault(), 0..60), steps in vec(step(), 0..60),
    ) {
        let is_sound = faults.iter().all(|fault| *fault == Fault::None);
        let mut pair = Pair::new(&faults);
        for step in steps {
            match step {
                Step::Tell(count) => pair.tell_idly(count),
                Step::Await(count) => pair.tell(count),
                Step::Transmit => pair.transmit(),
                Step::Deliver(count) => pair.deliver(count),
                Step::Pass => pair.pass(FENCE_AFTER),
            }
        }
        let pair = pair.finish();
        if is_sound {
            prop_assert!(pair.text().bytes().all(|outcome| outcome == b'k'));
            prop_assert_eq!(pair.outcomes.len() + pair.fences().len(), pair.seen.len());
        }
    }
}
