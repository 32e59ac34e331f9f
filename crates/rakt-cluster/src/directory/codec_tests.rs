//! What holds for the bytes of words and of their parts.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::bytes::{DecodeError, put_varint};
use crate::node::{Incarnation, NodeId};

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..300_u64, any::<u64>()]
}

fn stamp() -> impl Strategy<Value = Stamp> {
    (number(), number()).prop_map(|(generation, version)| Stamp { generation, version })
}

fn epoch() -> impl Strategy<Value = Epoch> {
    (stamp(), number()).prop_map(|(stamp, counter)| Epoch { stamp, counter })
}

fn seat() -> impl Strategy<Value = Seat> {
    (any::<u128>(), any::<u128>(), number()).prop_map(|(id, incarnation, joined)| Seat {
        id: NodeId(id),
        incarnation: Incarnation(incarnation),
        joined,
    })
}

fn grain() -> impl Strategy<Value = Grain> {
    ("[a-c]{1,2}", "\\PC{1,40}").prop_map(|(kind, key)| Grain::new(&kind, &key))
}

fn uid() -> impl Strategy<Value = Option<u64>> {
    proptest::option::of(number())
}

fn slot() -> impl Strategy<Value = Slot> {
    (0..4096_u16).prop_map(|number| Slot::new(number).expect("a slot"))
}

fn slots() -> impl Strategy<Value = Vec<Slot>> {
    btree_set(slot(), 0..300).prop_map(|slots| slots.into_iter().collect())
}

fn entries() -> impl Strategy<Value = Entries> {
    let entry = (seat(), epoch(), uid()).prop_map(|(host, epoch, uid)| Entry { host, epoch, uid });
    btree_map(grain(), entry, 0..4)
}

fn lives() -> impl Strategy<Value = Vec<Living>> {
    btree_map(grain(), (epoch(), uid()), 0..4).prop_map(|lives| {
        let living = |(grain, (epoch, uid))| Living { grain, epoch, uid };
        lives.into_iter().map(living).collect()
    })
}

fn word() -> impl Strategy<Value = Word> {
    let given = btree_map(slot(), proptest::option::of(entries()), 0..6);
    let report = btree_map(slot(), lives(), 0..6);
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
        (grain(), epoch(), uid()).prop_map(|(grain, epoch, uid)| Word::Lives(Living {
            grain,
            epoch,
            uid
        })),
        (grain(), epoch()).prop_map(|(grain, epoch)| Word::Ended { grain, epoch }),
        (stamp(), slots()).prop_map(|(at, slots)| Word::Pull { at, slots }),
        (stamp(), slots()).prop_map(|(at, slots)| Word::Ask { at, slots }),
        (stamp(), given)
            .prop_map(|(at, slots)| Word::Given { at, slots: slots.into_iter().collect() }),
        (stamp(), report)
            .prop_map(|(at, slots)| Word::Report { at, slots: slots.into_iter().collect() }),
        stamp().prop_map(|at| Word::Newer { at }),
    ]
}

/// What is said of each slot, by whichever word.
fn said(words: &[Word]) -> BTreeMap<Slot, Vec<Word>> {
    let mut said = BTreeMap::<Slot, Vec<Word>>::new();
    let mut say = |slot, word| said.entry(slot).or_default().push(word);
    for word in words.iter().cloned() {
        match word {
            Word::Pull { at, slots } => {
                slots.into_iter().for_each(|s| say(s, Word::Pull { at, slots: vec![s] }));
            }
            Word::Ask { at, slots } => {
                slots.into_iter().for_each(|s| say(s, Word::Ask { at, slots: vec![s] }));
            }
            Word::Given { at, slots } => {
                slots.into_iter().for_each(|s| say(s.0, Word::Given { at, slots: vec![s] }));
            }
            Word::Report { at, slots } => {
                slots.into_iter().for_each(|s| say(s.0, Word::Report { at, slots: vec![s] }));
            }
            _ => {}
        }
    }
    said
}

fn count(word: &Word) -> usize {
    match word {
        Word::Pull { slots, .. } | Word::Ask { slots, .. } => slots.len(),
        Word::Given { slots, .. } => slots.len(),
        Word::Report { slots, .. } => slots.len(),
        _ => 0,
    }
}

proptest! {
    #[test]
    fn a_word_survives_its_bytes(word in word()) {
        prop_assert_eq!(Word::decode(&word.encode()), Ok(word));
    }

    #[test]
    fn bytes_that_can_be_read_are_those_of_the_word(
        word in word(), changes in vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = word.encode();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(read) = Word::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }

    #[test]
    fn cut_and_longer_bytes_are_no_word(word in word(), at in any::<Index>()) {
        let mut bytes = word.encode();
        prop_assert!(Word::decode(&bytes[..at.index(bytes.len())]).is_err());
        bytes.push(0);
        prop_assert_eq!(Word::decode(&bytes), Err(DecodeError::Trailing { len: 1 }.into()));
    }

    #[test]
    fn any_bytes_are_read_without_panic(kind in 0..11_u8, bytes in vec(any::<u8>(), 0..200)) {
        let bytes = [&[kind], &bytes[..]].concat();
        if let Ok(read) = Word::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }

    #[test]
    fn parts_say_what_the_word_does_and_fit(word in word(), max in 0..400_usize) {
        let parts = word.clone().split(max);
        for part in &parts {
            prop_assert_eq!(Word::decode(&part.encode()), Ok(part.clone()));
            prop_assert!(part.encode().len() <= max || count(part) <= 1, "{:?}", part);
        }
        prop_assert_eq!(said(&parts), said(std::slice::from_ref(&word)));
        prop_assert_eq!(word.clone().split(word.encode().len() + 1000), [word]);
    }
}

#[test]
fn a_kind_that_is_not_known_is_named() {
    assert_eq!(Word::decode(&[10, 1]), Err(WordError::Kind { kind: 10 }));
    assert_eq!(Word::decode(&[0]), Err(WordError::Kind { kind: 0 }));
    let empty = DecodeError::Truncated { what: "the kind of a word" };
    assert_eq!(Word::decode(&[]), Err(empty.into()));
}

#[test]
fn what_there_is_too_much_of_is_refused() {
    let at = Stamp { generation: 1, version: 2 };
    let error = |word: Word| match Word::decode(&word.encode()) {
        Err(WordError::Decode(error)) => error,
        other => panic!("{other:?}"),
    };
    for (kind, key, what) in [(256, 1, "the kind of a grain"), (1, 256, "the key of a grain")] {
        let epoch = Epoch { stamp: at, counter: 1 };
        let grain = |kind: usize, key: usize| Grain::new(&"k".repeat(kind), &"k".repeat(key));
        let long = error(Word::Ended { grain: grain(kind, key), epoch });
        assert_eq!(long, DecodeError::TooLarge { what, value: 256, limit: 255 });
        let most = Word::Ended { grain: grain(kind.min(255), key.min(255)), epoch };
        assert_eq!(Word::decode(&most.encode()), Ok(most));
        let none = error(Word::Ended { grain: grain(kind % 256, key % 256), epoch });
        assert_eq!(none, DecodeError::Invalid { what });
    }
    let all = Word::Ask { at, slots: Slot::all().collect() };
    // A byte for each, since they follow each other.
    assert_eq!(all.encode().len(), 3 + 2 + 4096);
    let mut bytes = all.encode();
    bytes.pop();
    bytes.push(1);
    let above = DecodeError::TooLarge { what: "a slot", value: 4096, limit: 4095 };
    assert_eq!(Word::decode(&bytes), Err(above.into()));
    let mut many = vec![7, 1, 2];
    put_varint(&mut many, 4097);
    let many = Word::decode(&many);
    let limit = DecodeError::TooLarge { what: "the number of slots", value: 4097, limit: 4096 };
    assert_eq!(many, Err(limit.into()));
    let mut lives = vec![8, 1, 2, 1, 0];
    put_varint(&mut lives, MAX_ENTRIES as u64 + 1);
    let what = "the number of grains";
    let (value, limit) = (MAX_ENTRIES as u64 + 1, MAX_ENTRIES as u64);
    let error = DecodeError::TooLarge { what, value, limit };
    assert_eq!(Word::decode(&lives), Err(error.into()));
}

#[test]
fn grains_that_do_not_ascend_are_refused() {
    let at = Stamp { generation: 1, version: 2 };
    let living = |key| Living { grain: Grain::new("cart", key), epoch: at.floor(), uid: None };
    let slot = Slot::new(7).expect("a slot");
    let word = |lives| Word::Report { at, slots: vec![(slot, lives)] };
    // Whatever the order, it is written as one.
    let bytes = word(vec![living("b"), living("a")]).encode();
    assert_eq!(bytes, word(vec![living("a"), living("b")]).encode());
    let changed = |from: u8, to: u8| -> Vec<u8> {
        bytes.iter().map(|byte| if *byte == from { to } else { *byte }).collect()
    };
    let order = DecodeError::Invalid { what: "the order of grains" };
    // "cart" has an a as well.
    assert_eq!(Word::decode(&changed(b'b', b'a')), Err(order.clone().into()));
    assert_eq!(Word::decode(&changed(b'b', b'A')), Err(order.into()));
}
