use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::view::testing::{seconds, view};
use crate::view::{MAX_ROLES, Step};

fn newcomer(id: u128, incarnation: u128) -> Newcomer {
    Newcomer {
        id: NodeId(id),
        incarnation: Incarnation(incarnation),
        host: "a.example".into(),
        port: 3320,
        roles: BTreeSet::new(),
        zone: String::new(),
        weight: 100,
        level: 1,
    }
}

fn one(view: &View, change: Change) -> Result<View, ChangeError> {
    let Proposal { view, mut refused } = propose(view, &[change]);
    view.ok_or_else(|| refused.remove(0).1)
}

fn seat(view: &View, at: usize) -> Seat {
    view.members()[at].seat()
}

#[test]
fn a_node_goes_through_a_view() {
    let mut now =
        found(7, 1000, None, seconds(8), vec![newcomer(2, 2), newcomer(1, 1)]).expect("founded");
    assert_eq!((now.stamp().generation, now.origin(), now.up().count()), (1000, 1000, 2));
    let mut state = None;
    let changes: [fn(&View) -> Change; 4] = [
        |_| Change::Join(newcomer(3, 3), None),
        |v| Change::Up(seat(v, 2)),
        |v| Change::Leave(seat(v, 2)),
        |v| Change::Gone(seat(v, 2)),
    ];
    for change in changes {
        let next = one(&now, change(&now)).expect("a view");
        assert_eq!(now.step(&next), Ok(Step::Newer { in_row: true }));
        now = next;
        state = now.node(NodeId(3)).map(|member| (member.joined, member.state)).or(state);
    }
    assert_eq!(state, Some((2, State::Leaving)));
    assert_eq!((now.stamp().version, now.members().len()), (5, 2));
}

#[test]
fn states_only_go_forward() {
    let states = [State::Joining, State::Up, State::Leaving, State::Dead { since: 2 }];
    let view = view(5, &states);
    type Make = fn(Seat) -> Change;
    let changes: [(Make, [bool; 4]); 4] = [
        (Change::Up, [true, false, false, false]),
        (Change::Leave, [false, true, false, false]),
        (Change::Gone, [true, false, true, false]),
        (Change::Dead, [true, true, true, false]),
    ];
    for (change, good) in changes {
        let done: Vec<_> = (0..4).map(|at| one(&view, change(seat(&view, at))).is_ok()).collect();
        assert_eq!(done, good, "{:?}", change(seat(&view, 0)));
    }
    assert_eq!(one(&view, Change::Dead(seat(&view, 3))), Err(ChangeError::Already));
    let unknown = Seat { joined: 2, ..seat(&view, 1) };
    assert_eq!(one(&view, Change::Dead(unknown)), Err(ChangeError::Unlisted(unknown)));
    let dead = one(&view, Change::Dead(seat(&view, 1))).expect("a view");
    assert_eq!(dead.members()[1].state, State::Dead { since: 6 });
}

#[test]
fn another_run_of_a_node_waits_until_the_first_is_gone_or_proven_over() {
    let view = view(5, &[State::Up, State::Dead { since: 4 }]);
    let again = newcomer(1, 55);
    assert_eq!(
        one(&view, Change::Join(again.clone(), None)),
        Err(ChangeError::Occupied(NodeId(1)))
    );
    let same = Newcomer { incarnation: view.members()[0].incarnation, ..again.clone() };
    assert_eq!(one(&view, Change::Join(same, Some(Proof::Lock))), Err(ChangeError::Already));
    let next = one(&view, Change::Join(again, Some(Proof::Lock))).expect("a view");
    assert_eq!((next.members()[0].state, next.members()[0].joined), (State::Joining, 6));
    assert_eq!(next.state(seat(&view, 0)), None);
    assert_eq!(view.step(&next), Ok(Step::Newer { in_row: true }));
    let over = Over::proven(seat(&view, 1), Proof::ExitCode);
    assert_eq!(one(&view, Change::Drop(over)).expect("a view").members().len(), 1);
}

#[test]
fn leases_and_levels_only_rise() {
    let view = view(5, &[State::Up]);
    assert_eq!(one(&view, Change::Lease(seconds(3))), Err(ChangeError::Lowered("the lease")));
    assert_eq!(one(&view, Change::Lease(seconds(60))).expect("a view").lease(), seconds(60));
    assert_eq!(one(&view, Change::Level(2)), Err(ChangeError::Lowered("the level")));
    let old = Newcomer { level: 0, ..newcomer(9, 9) };
    assert_eq!(one(&view, Change::Join(old, None)), Err(ChangeError::Lowered("the level")));
    let raised = one(&view, Change::Raise { above: 77 }).expect("a view");
    assert_eq!((raised.stamp().generation, raised.stamp().version, raised.origin()), (78, 6, 1));
    assert_eq!(one(&raised, Change::Raise { above: 77 }), Err(ChangeError::Already));
}

#[test]
fn what_is_refused_holds_up_nothing_else() {
    let view = view(5, &[State::Up, State::Up]);
    let bad = Newcomer { port: 0, ..newcomer(9, 9) };
    let changes = [
        Change::Join(bad, None),
        Change::Dead(seat(&view, 1)),
        Change::Up(seat(&view, 0)),
        Change::Join(newcomer(8, 8), None),
    ];
    let Proposal { view: next, refused } = propose(&view, &changes);
    let next = next.expect("a view");
    assert_eq!(refused.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 2]);
    assert_eq!((next.stamp().version, next.members().len(), next.up().count()), (6, 3, 1));
    assert_eq!(propose(&view, &[]).view, None);
}

#[test]
fn however_many_come_the_view_has_room_to_say_that_all_are_gone() {
    let large = |id| Newcomer {
        host: vec!["a".repeat(60); 4].join("."),
        roles: (0..MAX_ROLES).map(|role| format!("{role:064}")).collect(),
        zone: "z".repeat(64),
        ..newcomer(id, id)
    };
    let old = View::new(Draft { version: u64::MAX - 2, ..view(5, &[State::Up]).draft() });
    let old = old.expect("a view");
    let joins = (10..).take(MAX_MEMBERS).map(|id| Change::Join(large(id), None));
    let Proposal { view: full, refused } = propose(&old, &joins.collect::<Vec<_>>());
    let full = full.expect("a view");
    assert_eq!(full.members().len() + refused.len(), MAX_MEMBERS + 1);
    assert!(refused.iter().all(|(_, why)| *why == ChangeError::Full));
    let deaths: Vec<_> = full.members().iter().map(|member| Change::Dead(member.seat())).collect();
    let Proposal { view: all_dead, refused } = propose(&full, &deaths);
    assert_eq!((all_dead.expect("a view").dead().count(), refused), (deaths.len(), vec![]));
    assert_eq!(one(&full, Change::Join(large(1000), None)), Err(ChangeError::Full));
}

#[test]
fn a_recovered_cluster_counts_all_old_members_as_dead() {
    let copy = view(5, &[State::Up, State::Dead { since: 4 }, State::Leaving]);
    let view = recover(&copy, 900, seconds(9)).expect("a view");
    assert_eq!((view.origin(), view.stamp().generation, view.stamp().version), (900, 900, 6));
    assert_eq!(view.lease(), seconds(9));
    // And one for those that nobody knows of.
    assert_eq!(view.dead().count(), 4);
    assert!(copy.members().iter().all(|member| view.member(member.seat()).is_some()));
    assert_eq!(copy.step(&view), Ok(Step::Recovered));
    let again = recover(&view, 900, seconds(8)).expect("a view");
    assert_eq!((again.origin(), again.lease(), again.dead().count()), (901, seconds(9), 5));
    assert!(again.members().is_sorted_by(|a, b| a.id < b.id));
    assert_eq!(found(7, 5, Some(9), seconds(8), vec![]).expect("a view").origin(), 10);
}

fn change() -> impl Strategy<Value = (u8, u128, u128)> {
    (0..9_u8, 1..4_u128, 0..3_u128)
}

fn make(view: &View, (what, id, incarnation): (u8, u128, u128)) -> Change {
    let nobody = Seat { id: NodeId(id), incarnation: Incarnation(0), joined: 1 };
    let seat = view.node(NodeId(id)).map_or(nobody, Member::seat);
    match what {
        0 => Change::Join(newcomer(id, incarnation), None),
        1 => Change::Join(newcomer(id, incarnation), Some(Proof::Lock)),
        2 => Change::Up(seat),
        3 => Change::Leave(seat),
        4 => Change::Gone(seat),
        5 => Change::Dead(seat),
        6 => Change::Drop(Over::proven(seat, Proof::Lock)),
        7 => Change::Raise { above: view.stamp().generation },
        _ => Change::Weigh(seat, incarnation as u16),
    }
}

proptest! {
    /// A node may sleep through any number of views, and still follow the one that it wakes up to.
    #[test]
    fn every_view_leads_to_every_later_one(batches in vec(vec(change(), 1..4), 1..20)) {
        let mut views = vec![view(1, &[State::Up, State::Up])];
        for batch in batches {
            let last = views.last().expect("one");
            let changes: Vec<_> = batch.into_iter().map(|change| make(last, change)).collect();
            views.extend(propose(last, &changes).view);
        }
        for (at, from) in views.iter().enumerate() {
            prop_assert!(View::decode(&from.encode()).as_ref() == Ok(from));
            for (to, later) in views.iter().enumerate().skip(at + 1) {
                prop_assert_eq!(from.step(later), Ok(Step::Newer { in_row: to == at + 1 }));
                prop_assert_eq!(later.step(from), Ok(Step::Older));
            }
        }
    }
}
