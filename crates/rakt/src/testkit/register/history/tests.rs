//! Is what is said of a history what trying all orders says?

use std::collections::HashSet;

use bytes::Bytes;
use proptest::prelude::*;

use super::{Answer, Asked, Call, Order};
use crate::cluster::Version;

fn fault(calls: &[Call]) -> Option<String> {
    Order::of(calls).and_then(|order| order.check(calls)).err()
}

/// A register, and the calls that have had their effect.
#[derive(Clone)]
struct Tried {
    version: Version,
    view: Bytes,
    had: HashSet<Version>,
}

/// Whether there is an order in which the register says all of it: each call that ended before another one began comes
/// before that.
fn has_order(calls: &[Call], left: &mut Vec<usize>, tried: &Tried) -> bool {
    let is_needed = |call: &Call| match (&call.asked, &call.answer) {
        (Asked::Swap(..), None | Some((_, Answer::Failed))) => false,
        (_, answer) => !matches!(answer, None | Some((_, Answer::Failed))),
    };
    if !left.iter().any(|n| is_needed(&calls[*n])) {
        return true;
    }
    for at in 0..left.len() {
        let call = &calls[left[at]];
        let is_behind = left.iter().any(|n| {
            let other = &calls[*n];
            // What failed may have its effect after it ended.
            let ended =
                other.answer.as_ref().filter(|(_, answer)| !matches!(answer, Answer::Failed));
            ended.is_some_and(|(ended, _)| *ended < call.began)
        });
        if is_behind {
            continue;
        }
        let Some(next) = step(calls, call, tried) else { continue };
        let n = left.remove(at);
        let found = has_order(calls, left, &next);
        left.insert(at, n);
        if found {
            return true;
        }
    }
    false
}

/// What the register is after the call, if it can say that.
fn step(calls: &[Call], call: &Call, tried: &Tried) -> Option<Tried> {
    let same = |holds: bool| holds.then(|| tried.clone());
    match (&call.asked, call.answer.as_ref().map(|(_, answer)| answer)) {
        (Asked::Read, Some(Answer::Read(version, view))) => {
            same(*version == tried.version && *view == tried.view)
        }
        (Asked::Confirm(seen), Some(Answer::Confirmed(yes))) => {
            same((*seen == tried.version) == *yes)
        }
        (Asked::Swap(over, _), Some(Answer::Conflict)) => same(*over != tried.version),
        (Asked::Swap(over, view), answer) => {
            let version = match answer {
                Some(Answer::Swapped(version)) => *version,
                // The one that somebody has read it as, or one that nobody has seen.
                _ => calls
                    .iter()
                    .find_map(|other| match &other.answer {
                        Some((_, Answer::Read(version, read))) if read == view => Some(*version),
                        _ => None,
                    })
                    .unwrap_or(Version(1_000 + call.began)),
            };
            let mut had = tried.had.clone();
            let fits = *over == tried.version && had.insert(version);
            fits.then(|| Tried { version, view: view.clone(), had })
        }
        _ => None,
    }
}

/// Calls of three clients. What they are answered is drawn, so that some are in order and most are not.
fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = (0..3_usize, 0..3_u8, 0..4_u64, 0..6_u8, 0..4_u64);
    prop::collection::vec((call, any::<prop::sample::Index>()), 1..8).prop_map(|drawn| {
        // What is there first is known.
        let nothing = Answer::Read(Version(0), Bytes::new());
        let mut calls =
            vec![Call { node: 3, asked: Asked::Read, began: 1, answer: Some((2, nothing)) }];
        let mut open: [Option<usize>; 3] = [None; 3];
        let mut moment = 2;
        let view = |n: u64| if n == 0 { Bytes::new() } else { Bytes::from(format!("v{n}")) };
        for (number, ((client, asked, named, answer, told), other)) in drawn.iter().enumerate() {
            // One or more of those under way end first, its own in any case.
            for ending in [Some(*client), Some(other.index(4)).filter(|n| *n < 3)] {
                if let Some(n) = ending.and_then(|client| open[client].take()) {
                    moment += 1;
                    if let Some((ended, _)) = &mut calls[n].answer {
                        *ended = moment;
                    }
                }
            }
            moment += 1;
            // Named is what somebody was told before: the view `vN` is version N.
            let known: Vec<u64> = calls
                .iter()
                .filter_map(|call| match call.answer {
                    Some((ended, Answer::Swapped(version) | Answer::Read(version, _)))
                        if ended < moment =>
                    {
                        Some(version.0)
                    }
                    _ => None,
                })
                .chain([0])
                .collect();
            let named = Version(known[*named as usize % known.len()]);
            let mine = number as u64 + 1;
            let told = told % (mine + 1);
            let (asked, answer) = match (asked, answer) {
                (0, 0) => (Asked::Read, Answer::Failed),
                (0, _) => (Asked::Read, Answer::Read(Version(told), view(told))),
                (1, n) => (Asked::Confirm(named), Answer::Confirmed(n % 2 == 0)),
                (_, 0) => (Asked::Swap(named, view(mine)), Answer::Failed),
                (_, 1) => (Asked::Swap(named, view(mine)), Answer::Conflict),
                (_, _) => (Asked::Swap(named, view(mine)), Answer::Swapped(Version(mine))),
            };
            open[*client] = Some(calls.len());
            calls.push(Call {
                node: *client,
                asked,
                began: moment,
                answer: Some((u64::MAX, answer)),
            });
        }
        for call in &mut calls {
            if call.answer.as_ref().is_some_and(|(ended, _)| *ended == u64::MAX) {
                moment += 1;
                if let Some((ended, _)) = &mut call.answer {
                    *ended = moment;
                }
            }
        }
        calls
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn it_says_what_trying_all_orders_says(calls in calls()) {
        let start = Tried { version: Version(0), view: Bytes::new(), had: [Version(0)].into() };
        let mut left = (0..calls.len()).collect();
        let has_order = has_order(&calls, &mut left, &start);
        let fault = fault(&calls);
        prop_assert_eq!(fault.is_none(), has_order, "{:?}", fault);
    }
}

/// Among the histories that are tried both sorts are many.
#[test]
fn histories_of_both_sorts_are_tried() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut good, mut bad) = (0, 0);
    for _ in 0..1_000 {
        let calls = calls().new_tree(&mut runner).expect("it draws").current();
        if calls.len() < 4 {
            continue;
        }
        *(if fault(&calls).is_none() { &mut good } else { &mut bad }) += 1;
    }
    assert!(good > 30 && bad > 30, "{good} in order, {bad} not");
}
