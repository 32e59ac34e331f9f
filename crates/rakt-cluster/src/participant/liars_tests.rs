//! What somebody achieves who is no honest member, or no member at all: nothing that outlives him.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::message::{Answer, Envelope, Message, Wish};
use super::{Do, EARLY, Participant, Settings};
use crate::directory::{Entry, Grain, Living, Word};
use crate::epoch::{Epoch, Stamp};
use crate::node::{Incarnation, NodeId, Seat};
use crate::propose::Newcomer;
use crate::register::{Confirmed, Version};
use crate::view::testing::{seconds, view};
use crate::view::{State, View};

/// The first of three members, which has just been confirmed, and the view that all know.
fn member() -> (Participant, View) {
    let view = view(1, &[State::Up; 3]);
    let me = Newcomer {
        id: NodeId(1),
        incarnation: Incarnation(101),
        host: "10.0.0.1".into(),
        port: 3320,
        roles: BTreeSet::new(),
        zone: String::new(),
        weight: 100,
        level: 1,
    };
    let (probe, lease) = (seconds(1), seconds(8));
    let (cluster, kinds) = (7, BTreeMap::new());
    let settings = Settings { me, probe, lease, cluster, seconds: 1, kinds, seed: 1 };
    let mut participant = Participant::new(settings);
    participant.poll(seconds(0));
    participant.read(Some((Version(1), view.encode())), seconds(0));
    participant.poll(seconds(0));
    participant.confirmed(Confirmed::Newest, seconds(0));
    (participant, view)
}

fn seat(view: &View, at: usize) -> Seat {
    view.members()[at].seat()
}

fn stranger(number: u128) -> Seat {
    Seat { id: NodeId(1000 + number), incarnation: Incarnation(number), joined: 2 }
}

/// A grain whose slot is that member's.
fn grain_of(view: &View, owner: Seat, kind: &str) -> Grain {
    let grains = (0..).map(|key: u32| Grain::new(kind, &key.to_string()));
    let mut grains = grains.filter(|grain| view.owner(grain.slot(view.slots())) == Some(owner));
    grains.next().expect("every member owns slots")
}

fn said(view: &View, from: Seat, message: Message) -> Envelope {
    Envelope { cluster: 7, from, to: seat(view, 0), at: view.stamp(), message }
}

fn later(view: &View, by: u64) -> View {
    let mut draft = view.draft();
    draft.version += by;
    View::new(draft).expect("a view")
}

fn alarms(out: &[Do]) -> usize {
    out.iter().filter(|step| matches!(step, Do::Alarm(_))).count()
}

fn epoch(stamp: Stamp, counter: u64) -> Epoch {
    Epoch { stamp, counter }
}

/// What it asks of the register is answered by this view, as far as it asks.
fn ask(participant: &mut Participant, view: &View, now: Duration) -> Vec<Do> {
    let mut out = participant.poll(now);
    if out.contains(&Do::Read) {
        let version = Version(view.stamp().version);
        out.extend(participant.read(Some((version, view.encode())), now));
    } else if out.iter().any(|step| matches!(step, Do::Confirm(_))) {
        out.extend(participant.confirmed(Confirmed::Newest, now));
    }
    out
}

#[test]
fn only_the_owner_has_a_grain_brought_to_life() {
    let (mut participant, view) = member();
    let (me, owner) = (seat(&view, 0), seat(&view, 1));
    let grain = grain_of(&view, owner, "cart");
    let epoch = epoch(view.stamp(), 1_000_000);
    let word = || Word::Activate { grain: grain.clone(), epoch, host: me };
    let starts = |out: Vec<Do>| out.iter().any(|step| matches!(step, Do::Start { .. }));
    for from in [stranger(1), Seat { joined: 1, ..stranger(2) }, seat(&view, 2), me] {
        let out = participant.heard(said(&view, from, Message::Word(word())), seconds(1));
        assert!(!starts(out), "{from}");
    }
    assert!(starts(participant.heard(said(&view, owner, Message::Word(word())), seconds(1))));
}

#[test]
fn nothing_is_remembered_of_who_is_in_no_view() {
    let (mut participant, view) = member();
    let (asked, theirs) = (seconds(1), seconds(1));
    for number in 0..1000 {
        let ack = Message::Ack { back: None, asked, theirs, load: 1 };
        let at = later(&view, 1).stamp();
        let pull = Message::Word(Word::Pull { at, slots: Vec::new() });
        for message in [ack, pull, Message::Greeted, Message::Ready, Message::Over] {
            assert_eq!(participant.heard(said(&view, stranger(number), message), seconds(1)), []);
        }
    }
    let listed = participant.listed.as_ref().expect("it is a member");
    let mut rates = listed.rates.clone();
    rates.learn(&view);
    assert_eq!((listed.loads.len(), listed.early.len(), listed.greeted.len()), (0, 0, 0));
    assert_eq!(rates, listed.rates);
}

#[test]
fn who_is_asked_leaves_out_one_that_is_leaving_alone_and_never_says_for_itself_what_others_ask() {
    let (first, all_up) = member();
    let go_on = |states: [State; 3]| {
        let mut draft = view(2, &states).draft();
        draft.members.iter_mut().zip(all_up.members()).for_each(|(member, known)| {
            // One that is Joining is another run.
            let is_new = member.state == State::Joining;
            member.joined = if is_new { 2 } else { known.joined };
            member.incarnation.0 += u128::from(is_new);
        });
        let next = View::new(draft).expect("a view");
        let mut participant = first.clone();
        participant.hint(seconds(1));
        participant.poll(seconds(1));
        participant.read(Some((Version(2), next.encode())), seconds(1));
        (participant, next)
    };
    let asked = |states: [State; 3], message: Message| {
        let (mut participant, known) = go_on(states);
        let other = seat(&known, 1);
        // As one that has lost a swap, and would ask for what it wants itself.
        participant.asks = true;
        let mut out = participant.heard(said(&known, other, message), seconds(1));
        out.extend(participant.poll(seconds(1)));
        let says = |step: &Do| matches!(step, Do::Send { envelope, .. } if matches!(envelope.message, Message::Leave | Message::Over));
        assert!(!out.iter().any(says), "{out:?}");
        out.into_iter().find_map(|step| match step {
            Do::Swap(attempt) => {
                let next = View::decode(&attempt.bytes).expect("a view");
                assert_eq!(next.state(seat(&next, 0)), known.state(seat(&known, 0)));
                Some(next.state(other))
            }
            _ => None,
        })
    };
    for me in [State::Up, State::Leaving] {
        assert_eq!(asked([me, State::Leaving, State::Up], Message::Over), Some(None));
        assert_eq!(asked([me, State::Up, State::Up], Message::Leave), Some(Some(State::Leaving)));
        // It may host.
        assert_eq!(asked([me, State::Up, State::Up], Message::Over), None);
        assert_eq!(asked([me, State::Joining, State::Up], Message::Over), None, "it may be let in");
        assert_eq!(asked([me, State::Leaving, State::Up], Message::Leave), None);
    }
}

#[test]
fn who_comes_is_put_in_by_its_own_word_alone_and_only_for_a_while() {
    let (participant, view) = member();
    let (id, incarnation) = (NodeId(5), Incarnation(55));
    let new = Newcomer { id, incarnation, port: 9, ..participant.settings.me.clone() };
    let itself = Seat { id: new.id, incarnation: new.incarnation, joined: 0 };
    let joins = |from: Seat, new: &Newcomer, late: Duration| {
        let mut participant = participant.clone();
        participant.heard(said(&view, from, Message::Join(new.clone())), seconds(1));
        let out = participant.poll(seconds(1).saturating_add(late));
        let swap = out.into_iter().find_map(|step| match step {
            Do::Swap(attempt) => Some(View::decode(&attempt.bytes).expect("a view")),
            _ => None,
        });
        swap.and_then(|view| view.node(new.id).map(|member| (member.port, member.state)))
    };
    let (now, late) = (Duration::ZERO, seconds(2));
    assert_eq!(joins(itself, &new, now), Some((9, State::Joining)));
    assert_eq!(joins(itself, &new, late), None, "it may have given up");
    // Of nobody else, and not as a member or as one that was.
    let other = Seat { id: NodeId(77), ..itself };
    let run = Seat { incarnation: Incarnation(77), ..itself };
    for from in [seat(&view, 1), stranger(1), other, run, Seat { joined: 1, ..itself }] {
        assert_eq!(joins(from, &new, now), None, "{from}");
    }
    // Whoever is listed stays what it is.
    let member = Newcomer { id: view.members()[1].id, ..new };
    assert_eq!(joins(Seat { id: member.id, ..itself }, &member, now), None);
}

#[test]
fn a_word_from_the_future_is_not_acted_on() {
    let (mut participant, view) = member();
    let owner = seat(&view, 1);
    let grain = grain_of(&view, owner, "cart");
    let far = Stamp { generation: u64::MAX, version: u64::MAX };
    for (of, at) in [(far, view.stamp()), (far, far), (view.stamp(), far)] {
        let word = Word::Question { grain: grain.clone(), epoch: epoch(of, 1), at };
        participant.heard(said(&view, owner, Message::Word(word)), seconds(1));
    }
    let word = Word::Question {
        grain: grain.clone(),
        epoch: epoch(view.stamp(), u64::MAX),
        at: view.stamp(),
    };
    participant.heard(said(&view, owner, Message::Word(word)), seconds(1));
    // As the answer to a search: it is to live here, and does not.
    participant.find(5, grain.clone(), None, seconds(1));
    let entry = Entry { host: seat(&view, 0), epoch: epoch(far, 1), uid: Some(1) };
    let answer = Answer::Route(entry);
    let found = Message::Found { ticket: 5, grain: grain.clone(), answer };
    participant.heard(said(&view, owner, found), seconds(1));
    let directory = &participant.listed.as_ref().expect("it is a member").directory;
    assert!(directory.floor(&grain).stamp <= view.stamp(), "{}", directory.floor(&grain));
    let word = Word::Activate { grain, epoch: epoch(view.stamp(), 1), host: seat(&view, 0) };
    let out = participant.heard(said(&view, owner, Message::Word(word)), seconds(1));
    assert!(out.iter().any(|step| matches!(step, Do::Start { .. })), "{out:?}");
}

#[test]
fn only_the_owner_says_where_a_grain_lives() {
    let (mut participant, view) = member();
    let grain = grain_of(&view, seat(&view, 1), "cart");
    participant.find(5, grain.clone(), None, seconds(1));
    let found = || Message::Found { ticket: 5, grain: grain.clone(), answer: Answer::NoHost };
    for from in [stranger(1), seat(&view, 2)] {
        assert_eq!(participant.heard(said(&view, from, found()), seconds(1)), []);
    }
    assert_eq!(participant.heard(said(&view, seat(&view, 1), found()), seconds(1)).len(), 1);
}

#[test]
fn what_others_say_of_views_is_a_hint_and_who_lies_is_named_once() {
    let (mut participant, view) = member();
    let far = Stamp { version: u64::MAX, ..view.stamp() };
    let mut told = Vec::new();
    for step in 0..600 {
        let now = seconds(1) + Duration::from_millis(100 * step);
        let from = if step % 2 == 0 { seat(&view, 1) } else { stranger(step.into()) };
        let lie = Envelope { at: far, ..said(&view, from, Message::Changed) };
        participant.heard(lie, now);
        told.extend(ask(&mut participant, &view, now));
        assert!(participant.is_ready(now), "it goes on");
        assert_eq!(participant.view().map(|view| view.stamp()), Some(view.stamp()));
    }
    assert_eq!(alarms(&told), 1);
    let named = |step: &Do| matches!(step, Do::Alarm(text) if text.contains("10.0.0.1:3320"));
    assert!(told.iter().any(named), "{told:?}");
    // One that tells the truth is believed, by what the register says.
    let next = later(&view, 1);
    let now = seconds(62);
    participant.heard(said(&next, seat(&view, 1), Message::Changed), now);
    ask(&mut participant, &next, now);
    assert_eq!(participant.view().map(|view| view.stamp()), Some(next.stamp()));
}

#[test]
fn lies_leave_time_for_what_else_the_register_is_asked() {
    let (mut participant, view) = member();
    let far = Stamp { version: u64::MAX, ..view.stamp() };
    let lie = || Envelope { at: far, ..said(&view, seat(&view, 1), Message::Changed) };
    participant.leave();
    let mut is_proposed = false;
    for step in 0..100 {
        let now = seconds(1) + Duration::from_millis(10 * step);
        // One before each look, and one before each answer.
        participant.heard(lie(), now);
        let out = participant.poll(now);
        is_proposed |= out.iter().any(|step| matches!(step, Do::Swap(_)));
        participant.heard(lie(), now);
        if out.contains(&Do::Read) {
            participant.read(Some((Version(1), view.encode())), now);
        }
    }
    assert!(is_proposed);
}

#[test]
fn an_epoch_of_a_view_that_never_was_raises_the_generation() {
    let swaps = |out: &[Do]| {
        let swap = out.iter().find_map(|step| match step {
            Do::Swap(attempt) => Some(View::decode(&attempt.bytes).expect("a view")),
            _ => None,
        });
        swap.map(|view| view.stamp())
    };
    let (mut participant, view) = member();
    participant.superseded(Stamp { version: u64::MAX, ..view.stamp() });
    let read = ask(&mut participant, &view, seconds(1));
    assert!(read.contains(&Do::Read) && swaps(&read).is_none(), "{read:?}");
    let out = participant.poll(seconds(1));
    assert_eq!(swaps(&out), Some(Stamp { generation: 2, version: 2 }));
    // There may well be such a view: whoever has the epoch knew it before this node does.
    let (mut participant, view) = member();
    let next = later(&view, 1);
    participant.superseded(next.stamp());
    ask(&mut participant, &next, seconds(1));
    assert_eq!(swaps(&participant.poll(seconds(1))), None);
}

#[test]
fn what_nobody_can_have_granted_is_not_handed_over() {
    // It has joined a cluster that was there: it asks the others for its slots.
    let known = view(2, &[State::Up; 3]);
    let (participant, _) = member();
    let mut participant = Participant::new(participant.settings);
    participant.poll(seconds(0));
    participant.read(Some((Version(2), known.encode())), seconds(0));
    participant.poll(seconds(0));
    participant.confirmed(Confirmed::Newest, seconds(0));
    let me = seat(&known, 0);
    let grain = grain_of(&known, me, "cart");
    let far = Stamp { generation: u64::MAX, version: 1 };
    let living = Living { grain: grain.clone(), epoch: epoch(far, 1), uid: Some(1) };
    for (from, lives) in [(1, vec![living]), (2, Vec::new())] {
        let slots = participant.slots.iter().map(|slot| match *slot == grain.slot(known.slots()) {
            true => (*slot, lives.clone()),
            false => (*slot, Vec::new()),
        });
        let report = Word::Report { at: known.stamp(), slots: slots.collect() };
        participant.heard(said(&known, seat(&known, from), Message::Word(report)), seconds(1));
    }
    assert!(participant.is_settled());
    let out = participant.find(5, grain, None, seconds(1));
    assert!(out.iter().any(|step| matches!(step, Do::Start { .. })), "{out:?}");
}

fn seats() -> impl Strategy<Value = Seat> {
    let view = view(1, &[State::Up; 3]);
    let members = [0, 1, 2].map(|at| seat(&view, at));
    let mine_again = Seat { joined: 2, ..members[0] };
    let strangers = (0..1000_u128, select(vec![0, 1, 2, u64::MAX]))
        .prop_map(|(number, joined)| Seat { joined, ..stranger(number) });
    prop_oneof![select([&members[..], &[mine_again]].concat()), strangers]
}

fn stamps() -> impl Strategy<Value = Stamp> {
    let stamps =
        [(0, 0), (1, 0), (1, 1), (1, 1), (1, 2), (2, 1), (1, u64::MAX), (u64::MAX, u64::MAX)];
    let stamp = |(generation, version)| Stamp { generation, version };
    select(stamps.map(stamp).to_vec())
}

fn epochs() -> impl Strategy<Value = Epoch> {
    (stamps(), select(vec![0, 1, 2, 1 << 40, u64::MAX - 1, u64::MAX]))
        .prop_map(|(stamp, counter)| epoch(stamp, counter))
}

fn grains() -> impl Strategy<Value = Grain> {
    (0..40_u32).prop_map(|key| Grain::new("cart", &key.to_string()))
}

fn words() -> impl Strategy<Value = Word> {
    let (me, rule) = (seat(&view(1, &[State::Up; 3]), 0), view(1, &[]).slots());
    let life = || {
        (grains(), epochs(), any::<bool>()).prop_map(|(grain, epoch, lives)| Living {
            grain,
            epoch,
            uid: lives.then_some(1),
        })
    };
    prop_oneof![
        (grains(), epochs()).prop_map(move |(grain, epoch)| Word::Activate {
            grain,
            epoch,
            host: me
        }),
        (grains(), epochs(), stamps()).prop_map(|(grain, epoch, at)| Word::Question {
            grain,
            epoch,
            at
        }),
        life().prop_map(Word::Lives),
        (grains(), epochs()).prop_map(|(grain, epoch)| Word::Ended { grain, epoch }),
        (grains(), stamps())
            .prop_map(move |(grain, at)| Word::Pull { at, slots: vec![grain.slot(rule)] }),
        (grains(), stamps())
            .prop_map(move |(grain, at)| Word::Ask { at, slots: vec![grain.slot(rule)] }),
        (life(), stamps()).prop_map(move |(life, at)| {
            Word::Report { at, slots: vec![(life.grain.slot(rule), vec![life])] }
        }),
        (life(), stamps(), seats()).prop_map(move |(life, at, host)| {
            let Living { grain, epoch, uid } = life;
            let slot = grain.slot(rule);
            Word::Given {
                at,
                slots: vec![(slot, Some([(grain, Entry { host, epoch, uid })].into()))],
            }
        }),
        stamps().prop_map(|at| Word::Newer { at }),
    ]
}

fn lies() -> impl Strategy<Value = Message> {
    let time = || any::<u64>().prop_map(Duration::from_nanos);
    let wish = Wish { refused: None, wakes: true };
    prop_oneof![
        6 => words().prop_map(Message::Word),
        1 => (proptest::option::of(seats()), time()).prop_map(|(back, asked)| Message::Probe { back, asked }),
        1 => seats().prop_map(|to| Message::ProbeFor { to }),
        1 => (proptest::option::of(seats()), time(), time(), any::<u64>())
            .prop_map(|(back, asked, theirs, load)| Message::Ack { back, asked, theirs, load }),
        1 => seats().prop_map(|whose| Message::AckOf { whose }),
        1 => (seats(), any::<bool>()).prop_map(|(accused, accuses)| Message::Accuse { accused, accuses }),
        1 => seats().prop_map(|link| Message::Bad { link }),
        1 => select(vec![Message::Greet, Message::Greeted, Message::Changed, Message::Ready, Message::Over]),
        1 => (any::<u64>(), grains()).prop_map(move |(ticket, grain)| Message::Find { ticket, grain, wish }),
        1 => (0..3_u64, grains(), seats(), epochs()).prop_map(|(ticket, grain, host, epoch)| {
            let answer = Answer::Route(Entry { host, epoch, uid: Some(1) });
            Message::Found { ticket, grain, answer }
        }),
        1 => (grains(), epochs()).prop_map(|(grain, epoch)| Message::Failed { grain, epoch, why: "a lie".into() }),
    ]
}

/// The slot's owner itself could say that, by this view or the next, which comes at the end: who speaks in its name has grains
/// live, as it has.
fn is_grant(view: &View, from: Seat, message: &Message) -> bool {
    let Message::Word(Word::Activate { grain, epoch, .. }) = message else { return false };
    view.owner(grain.slot(view.slots())) == Some(from) && epoch.stamp <= later(view, 1).stamp()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn lies_of_every_sort_change_nothing_for_good(
        lies in vec((seats(), stamps(), lies()), 1..200),
    ) {
        let (mut participant, view) = member();
        let (me, owner) = (seat(&view, 0), seat(&view, 1));
        let mut told = 0;
        participant.find(1, Grain::new("cart", "1"), None, seconds(1));
        for (step, (from, at, message)) in (0..).zip(lies) {
            let now = seconds(1) + Duration::from_millis(20 * step);
            if is_grant(&view, from, &message) {
                continue;
            }
            let mut out = participant.heard(Envelope { at, ..said(&view, from, message) }, now);
            // What is this node's it may grant to itself, whoever asks for it.
            let of_others = |step: &&Do| matches!(step, Do::Start { grain, .. } if view.owner(grain.slot(view.slots())) != Some(me));
            prop_assert!(out.iter().find(of_others).is_none(), "{:?}", out);
            out.extend(ask(&mut participant, &view, now));
            told += alarms(&out);
            prop_assert_eq!(participant.view().map(|view| view.stamp()), Some(view.stamp()));
            let listed = participant.listed.as_ref().expect("it stays a member");
            let mut rates = listed.rates.clone();
            rates.learn(&view);
            prop_assert_eq!(&rates, &listed.rates);
            prop_assert!(listed.loads.len() < 3 && listed.greeted.len() < 3 && listed.early.len() <= EARLY);
            for key in 0..40_u32 {
                let floor = listed.directory.floor(&Grain::new("cart", &key.to_string()));
                prop_assert!(floor.stamp <= view.stamp(), "{}", floor);
            }
        }
        prop_assert!(told <= 1, "{} alarms", told);
        // He is gone, and all is as it was.
        let (next, now) = (later(&view, 1), seconds(10));
        participant.hint(now);
        ask(&mut participant, &next, now);
        prop_assert!(participant.is_ready(now));
        for key in 0..40_u64 {
            let grain = Grain::new("cart", &key.to_string());
            if next.owner(grain.slot(next.slots())) != Some(owner) {
                continue;
            }
            let epoch = epoch(next.stamp(), key + 1);
            let word = Word::Activate { grain: grain.clone(), epoch, host: me };
            let out = participant.heard(said(&next, owner, Message::Word(word)), now);
            prop_assert!(out.contains(&Do::Start { grain, epoch }), "{:?}", out);
        }
        let grain = grain_of(&next, me, "order");
        let out = participant.find(2, grain, None, now);
        prop_assert!(out.iter().any(|step| matches!(step, Do::Start { .. })), "{:?}", out);
    }
}
