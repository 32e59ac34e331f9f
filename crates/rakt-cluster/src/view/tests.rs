use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use rakt_wire::DecodeError;

use super::testing::{draft, member, view};
use super::*;
use crate::node::Incarnation;

fn any_state() -> impl Strategy<Value = u8> {
    0..4_u8
}

prop_compose! {
    fn any_member()(
        incarnation in any::<u128>(), joined in 1..50_u64, state in any_state(), host in "[a-z]{1,9}(\\.[a-z]{1,9})?",
        port in 1..=u16::MAX, roles in btree_set("[a-z]{1,8}", 0..4), zone in "[a-z0-9-]{0,8}", weight in any::<u16>(),
        level in any::<u32>(),
    ) -> Member {
        let state = match state {
            0 => State::Joining,
            1 => State::Up,
            2 => State::Leaving,
            _ => State::Dead { since: joined + 1 },
        };
        let incarnation = Incarnation(incarnation);
        Member { id: NodeId(0), incarnation, joined, state, host, port, roles, zone, weight, level }
    }
}

prop_compose! {
    fn any_view()(
        members in btree_map(any::<u128>(), any_member(), 0..6), cluster in any::<u128>(), origin in 1..9_u64,
        more in 0..9_u64, version in 50..1000_u64, millis in 1000..3_600_000_u64, level in any::<u32>(),
    ) -> View {
        let members = members.into_iter().map(|(id, member)| Member { id: NodeId(id), ..member });
        View::new(Draft {
            cluster,
            origin,
            generation: origin + more,
            version,
            slots: SlotRule::One,
            lease: Duration::from_millis(millis),
            level,
            members: members.collect(),
        })
        .expect("a view")
    }
}

proptest! {
    #[test]
    fn a_view_survives_its_bytes(view in any_view()) {
        let bytes = view.encode();
        let read = View::decode(&bytes).expect("its own bytes");
        prop_assert_eq!(read.digest(), view.digest());
        prop_assert!(read == view);
    }

    #[test]
    fn bytes_that_can_be_read_are_those_of_the_view(
        view in any_view(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = view.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = View::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }

    #[test]
    fn cut_bytes_are_no_view(view in any_view(), at in any::<prop::sample::Index>()) {
        let bytes = view.encode();
        prop_assert!(View::decode(&bytes[..at.index(bytes.len())]).is_err());
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _ = View::decode(&bytes);
        let _ = View::decode(&[&[1], bytes.as_slice()].concat());
    }

    #[test]
    fn the_owner_is_up(view in any_view(), slot in 0..4096_u16) {
        if let Some(owner) = view.owner(Slot::new(slot).expect("a slot")) {
            prop_assert_eq!(view.state(owner), Some(State::Up));
        }
    }
}

#[test]
fn a_count_reserves_no_more_than_the_bytes_can_fill() {
    let mut bytes = view(1, &[]).encode();
    bytes.pop();
    bytes.extend([0x80, 0x20]);
    assert!(matches!(View::decode(&bytes), Err(ViewError::Decode(DecodeError::Truncated { .. }))));
}

#[test]
fn roles_have_one_order_in_bytes() {
    let mut draft = draft(1, vec![member(1, 1, State::Up)]);
    draft.members[0].roles = ["aa".to_owned(), "bb".to_owned()].into();
    let bytes = View::new(draft).expect("a view").encode();
    let at = bytes.windows(6).position(|six| six == b"\x02aa\x02bb").expect("the roles");
    for roles in [b"\x02bb\x02aa", b"\x02aa\x02aa"] {
        let mut bytes = bytes.clone();
        bytes[at..at + 6].copy_from_slice(roles);
        let refused = View::decode(&bytes);
        assert!(matches!(refused, Err(ViewError::Decode(DecodeError::Invalid { .. }))));
    }
}

#[test]
fn a_view_of_an_unknown_rule_or_form_is_refused() {
    let mut bytes = view(1, &[State::Up]).encode();
    bytes[20] = 2;
    assert_eq!(View::decode(&bytes), Err(ViewError::Rule { code: 2 }));
    bytes[0] = 2;
    assert!(View::decode(&bytes).is_err());
    assert!(View::decode(&vec![1; MAX_VIEW_LEN + 1]).is_err());
}

#[test]
fn what_breaks_a_rule_is_no_view() {
    let good = draft(5, vec![member(1, 1, State::Up), member(2, 5, State::Dead { since: 5 })]);
    assert!(View::new(good.clone()).is_ok());
    let bad = |change: fn(&mut Draft)| {
        let mut draft = good.clone();
        change(&mut draft);
        View::new(draft).expect_err("no view")
    };
    let ranges: [fn(&mut Draft); 11] = [
        |d| d.origin = 0,
        |d| d.origin = 2,
        |d| d.generation = 0,
        |d| d.version = 4,
        |d| d.lease = Duration::from_millis(999),
        |d| d.lease = Duration::from_secs(3601),
        |d| d.lease = Duration::from_micros(1_000_001),
        |d| d.members[0].joined = 0,
        |d| d.members[1].state = State::Dead { since: 4 },
        |d| d.members[0].port = 0,
        |d| d.members[0].roles = (0..17).map(|n| n.to_string()).collect(),
    ];
    for change in ranges {
        assert!(matches!(bad(change), ViewError::Range { .. }));
    }
    let texts: [fn(&mut Draft); 5] = [
        |d| d.members[0].host = String::new(),
        |d| d.members[0].host = "a b".into(),
        |d| d.members[0].zone = "z".repeat(65),
        |d| d.members[0].zone = "a\nb".into(),
        |d| d.members[0].roles = [String::new()].into(),
    ];
    for change in texts {
        assert!(matches!(bad(change), ViewError::Text { id: NodeId(1), .. }));
    }
    assert_eq!(bad(|d| d.members[1].id = NodeId(1)), ViewError::Order { id: NodeId(1) });
    assert_eq!(bad(|d| d.members.reverse()), ViewError::Order { id: NodeId(1) });
}

#[test]
fn a_seat_is_found_by_all_that_it_is() {
    let view = view(3, &[State::Up, State::Leaving, State::Dead { since: 2 }, State::Joining]);
    let seat = view.members()[0].seat();
    assert_eq!(view.state(seat), Some(State::Up));
    assert_eq!(view.state(Seat { joined: 2, ..seat }), None);
    assert_eq!(view.state(Seat { incarnation: Incarnation(0), ..seat }), None);
    assert_eq!(view.hosts().map(|seat| seat.id.0).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(view.dead().map(|seat| seat.id.0).collect::<Vec<_>>(), [3]);
    assert!(Slot::all().all(|slot| view.owner(slot) == Some(seat)));
}

fn step(from: &View, change: impl FnOnce(&mut Draft)) -> Result<Step, Refused> {
    let mut draft = from.draft();
    change(&mut draft);
    from.step(&View::new(draft).expect("a view"))
}

#[test]
fn views_are_ordered_by_generation_and_version() {
    let old = view(5, &[State::Up, State::Up]);
    assert_eq!(step(&old, |_| ()), Ok(Step::Same));
    assert_eq!(step(&old, |d| d.version = 4), Ok(Step::Older));
    assert_eq!(step(&old, |d| d.version = 6), Ok(Step::Newer { in_row: true }));
    assert_eq!(step(&old, |d| d.version = 7), Ok(Step::Newer { in_row: false }));
    let raised = |d: &mut Draft| (d.generation, d.version) = (9, 6);
    assert_eq!(step(&old, raised), Ok(Step::Newer { in_row: true }));
}

#[test]
fn what_is_no_view_of_this_history_is_refused() {
    let old = view(5, &[State::Up, State::Dead { since: 4 }]);
    let diverged = |stamp| Err(Refused::Diverged(stamp));
    let stamp = old.stamp();
    assert_eq!(step(&old, |d| d.cluster = 8), Err(Refused::Foreign));
    assert_eq!(step(&old, |d| d.members[0].weight = 7), diverged(stamp));
    assert_eq!(step(&old, |d| d.generation = 2), diverged(Stamp { generation: 2, version: 5 }));
    let later = |change: fn(&mut Draft)| {
        step(&old, |draft| {
            draft.version = 9;
            change(draft);
        })
    };
    assert_eq!(later(|d| (d.generation, d.origin) = (2, 2)), Ok(Step::Recovered));
    let returned = |n: usize| Err(Refused::Returned(old.members()[n].seat()));
    assert_eq!(later(|d| d.members[0].state = State::Joining), returned(0));
    assert_eq!(later(|d| d.members[1].state = State::Up), returned(1));
    assert_eq!(later(|d| drop(d.members.pop())), Ok(Step::Newer { in_row: false }));
    assert_eq!(later(|d| d.lease = MIN_LEASE), Err(Refused::Changed("the lease")));
    assert_eq!(later(|d| d.level = 0), Err(Refused::Changed("the level")));
    // One that was gone is listed again with the admission that it had; a new admission is another seat.
    let gone = member(3, 5, State::Up);
    let seat = gone.seat();
    assert_eq!(
        step(&old, |d| {
            d.version = 9;
            d.members.push(gone.clone());
        }),
        Err(Refused::Returned(seat))
    );
    let anew = Member { joined: 6, ..gone };
    assert!(
        step(&old, |d| {
            d.version = 9;
            d.members.push(anew);
        })
        .is_ok()
    );
}

#[test]
fn a_history_that_was_left_is_not_followed() {
    let mut draft = draft(5, vec![]);
    (draft.origin, draft.generation) = (3, 3);
    let recovered = View::new(draft).expect("a view");
    let refused = step(&recovered, |d| (d.origin, d.version) = (1, 6));
    assert!(matches!(refused, Err(Refused::Diverged(_))));
}
