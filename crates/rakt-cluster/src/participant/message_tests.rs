//! The bytes of what participants say: each value has one form, and nothing else is read.

use std::time::Duration;

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use super::message::{Answer, Envelope, Message, MessageError, Refused, Wish};
use crate::directory::{Entry, Grain, Living, Word};
use crate::epoch::{Epoch, Stamp};
use crate::node::{Incarnation, NodeId, Seat};
use crate::propose::Newcomer;

fn time() -> impl Strategy<Value = Duration> {
    any::<u64>().prop_map(Duration::from_nanos)
}

fn seat() -> impl Strategy<Value = Seat> {
    let seat = |(id, incarnation, joined)| Seat {
        id: NodeId(id),
        incarnation: Incarnation(incarnation),
        joined,
    };
    any::<(u128, u128, u64)>().prop_map(seat)
}

fn stamp() -> impl Strategy<Value = Stamp> {
    any::<(u64, u64)>().prop_map(|(generation, version)| Stamp { generation, version })
}

fn epoch() -> impl Strategy<Value = Epoch> {
    (stamp(), any::<u64>()).prop_map(|(stamp, counter)| Epoch { stamp, counter })
}

fn grain() -> impl Strategy<Value = Grain> {
    ("[a-z]{1,8}", ".{1,8}").prop_map(|(kind, key)| Grain::new(&kind, &key))
}

fn wish() -> impl Strategy<Value = Wish> {
    let refused = any::<(u128, u64, bool)>().prop_map(|(incarnation, uid, ended)| Refused {
        incarnation: Incarnation(incarnation),
        uid,
        ended,
    });
    (option::of(refused), any::<bool>()).prop_map(|(refused, wakes)| Wish { refused, wakes })
}

fn answer() -> impl Strategy<Value = Answer> {
    let entry = (seat(), epoch(), option::of(any::<u64>()))
        .prop_map(|(host, epoch, uid)| Answer::Route(Entry { host, epoch, uid }));
    prop_oneof![
        entry,
        ".{0,20}".prop_map(Answer::Failed),
        Just(Answer::Nobody),
        Just(Answer::NoHost),
        Just(Answer::Fenced),
        Just(Answer::NotOwner),
    ]
}

fn word() -> impl Strategy<Value = Word> {
    prop_oneof![
        (grain(), epoch(), seat()).prop_map(|(grain, epoch, host)| Word::Activate {
            grain,
            epoch,
            host
        }),
        (grain(), epoch(), stamp()).prop_map(|(grain, epoch, at)| Word::Question {
            grain,
            epoch,
            at
        }),
        (grain(), epoch(), option::of(any::<u64>()))
            .prop_map(|(grain, epoch, uid)| Word::Lives(Living { grain, epoch, uid })),
        (grain(), epoch()).prop_map(|(grain, epoch)| Word::Ended { grain, epoch }),
        stamp().prop_map(|at| Word::Newer { at }),
    ]
}

fn newcomer() -> impl Strategy<Value = Newcomer> {
    let roles = btree_set("[a-z]{1,8}", 0..3);
    let place = ("[a-z]{1,8}", 1..=u16::MAX, roles, "[a-z]{0,8}");
    (any::<(u128, u128)>(), place, any::<u16>(), any::<u32>()).prop_map(
        |((id, incarnation), (host, port, roles, zone), weight, level)| Newcomer {
            id: NodeId(id),
            incarnation: Incarnation(incarnation),
            host,
            port,
            roles,
            zone,
            weight,
            level,
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        (option::of(seat()), time()).prop_map(|(back, asked)| Message::Probe { back, asked }),
        seat().prop_map(|to| Message::ProbeFor { to }),
        (option::of(seat()), time(), time(), any::<u64>())
            .prop_map(|(back, asked, theirs, load)| Message::Ack { back, asked, theirs, load }),
        seat().prop_map(|whose| Message::AckOf { whose }),
        (seat(), any::<bool>()).prop_map(|(accused, accuses)| Message::Accuse { accused, accuses }),
        seat().prop_map(|link| Message::Bad { link }),
        Just(Message::Greet),
        Just(Message::Greeted),
        Just(Message::Changed),
        newcomer().prop_map(Message::Join),
        Just(Message::Ready),
        Just(Message::Leave),
        Just(Message::Over),
        word().prop_map(Message::Word),
        (any::<u64>(), grain(), wish()).prop_map(|(ticket, grain, wish)| Message::Find {
            ticket,
            grain,
            wish
        }),
        (any::<u64>(), grain(), answer()).prop_map(|(ticket, grain, answer)| Message::Found {
            ticket,
            grain,
            answer
        }),
        (grain(), epoch(), ".{0,20}").prop_map(|(grain, epoch, why)| Message::Failed {
            grain,
            epoch,
            why
        }),
    ]
}

fn envelope() -> impl Strategy<Value = Envelope> {
    (any::<u128>(), seat(), seat(), stamp(), message())
        .prop_map(|(cluster, from, to, at, message)| Envelope { cluster, from, to, at, message })
}

proptest! {
    #[test]
    fn what_is_said_is_heard(said in envelope()) {
        prop_assert_eq!(Envelope::decode(&said.encode()), Ok(said));
    }

    #[test]
    fn what_is_cut_short_or_goes_on_is_refused(said in envelope(), more in 0..=u8::MAX) {
        let mut bytes = said.encode();
        for len in 0..bytes.len() {
            prop_assert!(Envelope::decode(&bytes[..len]).is_err());
        }
        bytes.push(more);
        prop_assert!(Envelope::decode(&bytes).is_err());
    }

    #[test]
    fn what_is_changed_is_refused_or_something_else_in_its_one_form(
        said in envelope(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = said.encode();
        for (at, to) in changes {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        if let Ok(heard) = Envelope::decode(&bytes) {
            prop_assert_eq!(heard.encode(), bytes);
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(mut bytes in vec(any::<u8>(), 0..200)) {
        let _ = Envelope::decode(&bytes);
        if let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        let _ = Envelope::decode(&bytes);
    }
}

#[test]
fn the_text_of_an_error_is_cut_between_characters() {
    let one = Seat { id: NodeId(1), incarnation: Incarnation(2), joined: 3 };
    let said = |why: String| {
        let (grain, epoch) = (Grain::new("k", "1"), Epoch::default());
        let message = Message::Failed { grain, epoch, why };
        Envelope { cluster: 1, from: one, to: one, at: Stamp::default(), message }
    };
    let long = said("ä".repeat(4000));
    assert_eq!(Envelope::decode(&long.encode()), Ok(said("ä".repeat(2048))));
}

#[test]
fn another_form_and_an_unknown_kind_are_told_apart() {
    let one = Seat { id: NodeId(1), incarnation: Incarnation(2), joined: 3 };
    let (cluster, at, message) = (1, Stamp::default(), Message::Greet);
    let mut bytes = Envelope { cluster, from: one, to: one, at, message }.encode();
    *bytes.last_mut().expect("the kind") = 99;
    let unknown = |what, number| Err(MessageError::Unknown { what, number });
    assert_eq!(Envelope::decode(&bytes), unknown("kind", 99));
    bytes[0] = 2;
    assert_eq!(Envelope::decode(&bytes), unknown("form", 2));
}
