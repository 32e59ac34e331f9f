use std::collections::BTreeMap;

use proptest::collection::btree_map;
use proptest::prelude::*;

use super::*;

const ONE: SlotRule = SlotRule::One;

fn owners(members: &BTreeMap<NodeId, u16>) -> Vec<Option<NodeId>> {
    Slot::all().map(|slot| ONE.owner(slot, members.iter().map(|(id, w)| (*id, *w)))).collect()
}

fn counts(owners: &[Option<NodeId>]) -> BTreeMap<NodeId, f64> {
    let mut counts = BTreeMap::new();
    for owner in owners.iter().flatten() {
        *counts.entry(*owner).or_insert(0.0) += 1.0;
    }
    counts
}

#[test]
fn the_hash_is_the_published_one() {
    for (text, hash) in [
        ("", 0xef46_db37_51d8_e999),
        ("a", 0xd24e_c4f1_a98c_6e5b),
        ("abc", 0x44bc_2cf5_ad77_0999),
        ("Nobody inspects the spammish repetition", 0xfbce_a83c_8a37_8bf1),
    ] {
        assert_eq!(xxh64(text.as_bytes()), hash, "{text:?}");
    }
}

#[test]
fn the_logarithm_is_right() {
    for (i, log) in LOG2.iter().enumerate() {
        let exact = (1.0 + i as f64 / 256.0).log2() * 2_f64.powi(32);
        assert!((*log as f64 - exact).abs() < 2.0, "{i}: {log} for {exact}");
    }
    assert!(cost(u64::MAX) >= 1);
    assert_eq!(cost(0), 64 << 32);
    assert_eq!(cost(1 << 63), 1 << 32);
}

/// Whoever changes these splits every cluster that nodes of two versions are in. A program in another language, written
/// from the description of the rule alone, gave the same.
#[test]
fn slots_and_owners_stay_what_they_are() {
    let slots =
        [("cart", "42"), ("cart", "43"), ("", ""), ("a", "b/c"), ("a/b", "c"), ("käse", "🦀")];
    let slots = slots.map(|(kind, key)| ONE.slot(kind, key).number());
    assert_eq!(slots, [3861, 2854, 1348, 1007, 1204, 3659]);
    let members: BTreeMap<_, _> = [(1, 100), (2, 100), (3, 50), (u128::MAX, 200)]
        .map(|(id, weight)| (NodeId(id), weight))
        .into();
    let owners = owners(&members);
    let text: Vec<u8> = owners.iter().flat_map(|id| id.expect("one").0.to_be_bytes()).collect();
    assert_eq!(xxh64(&text), 2_718_914_507_154_429_842);
    let mut table = Vec::new();
    LOG2.iter().for_each(|log| table.extend(log.to_be_bytes()));
    assert_eq!(xxh64(&table), 12_786_646_905_807_661_331);
}

#[test]
fn kind_and_key_are_told_apart() {
    assert_ne!(ONE.slot("ab", "c"), ONE.slot("a", "bc"));
}

#[test]
fn nobody_owns_what_none_has_weight_for() {
    let slot = Slot::new(0).expect("a slot");
    assert_eq!(ONE.owner(slot, []), None);
    assert_eq!(ONE.owner(slot, [(NodeId(1), 0)]), None);
    assert_eq!(ONE.owner(slot, [(NodeId(1), 0), (NodeId(2), 1)]), Some(NodeId(2)));
    assert_eq!(Slot::new(SLOTS), None);
}

#[test]
fn a_thousand_members_share_fairly() {
    let members: BTreeMap<_, _> = (0..1000_u128).map(|id| (NodeId(id * 7919), 100)).collect();
    let most = counts(&owners(&members)).into_values().fold(0.0, f64::max);
    // Four each on average, and as spread as dice.
    assert!(most < 20.0, "{most}");
}

fn members() -> impl Strategy<Value = BTreeMap<NodeId, u16>> {
    btree_map(any::<u128>().prop_map(NodeId), 1..500_u16, 2..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_member_that_comes_only_takes_and_one_that_leaves_only_gives(
        all in members(), which in any::<prop::sample::Index>(),
    ) {
        let (id, _) = which.get(&all.iter().collect::<Vec<_>>()).to_owned();
        let mut without = all.clone();
        without.remove(id);
        for (with, without) in owners(&all).into_iter().zip(owners(&without)) {
            prop_assert!(with == without || with == Some(*id));
        }
    }

    #[test]
    fn a_member_that_gains_weight_only_takes(
        all in members(), which in any::<prop::sample::Index>(), more in 1..500_u16,
    ) {
        let (id, weight) = which.get(&all.iter().collect::<Vec<_>>()).to_owned();
        let mut grown = all.clone();
        grown.insert(*id, weight + more);
        for (before, after) in owners(&all).into_iter().zip(owners(&grown)) {
            prop_assert!(before == after || after == Some(*id));
        }
    }

    #[test]
    fn slots_follow_the_weights(all in members()) {
        let total: f64 = all.values().map(|weight| f64::from(*weight)).sum();
        let counts = counts(&owners(&all));
        for (id, weight) in &all {
            let share = f64::from(*weight) / total;
            let (mean, count) = (share * 4096.0, counts.get(id).copied().unwrap_or(0.0));
            // Six times the deviation of dice.
            let bound = 6.0 * (mean * (1.0 - share)).sqrt() + 2.0;
            prop_assert!((count - mean).abs() <= bound, "{count} of {mean} ± {bound}");
        }
    }

    #[test]
    fn the_order_of_members_does_not_matter(all in members(), slot in 0..SLOTS) {
        let slot = Slot::new(slot).expect("a slot");
        let forth = ONE.owner(slot, all.iter().map(|(id, w)| (*id, *w)));
        let back = ONE.owner(slot, all.iter().rev().map(|(id, w)| (*id, *w)));
        prop_assert_eq!(forth, back);
    }

    #[test]
    fn the_cost_falls_as_the_draw_rises(a in any::<u64>(), b in any::<u64>()) {
        prop_assert!(a > b || cost(a) >= cost(b));
        let exact = (64.0 - ((a | 1) as f64).log2()) * 2_f64.powi(32);
        prop_assert!((cost(a) as f64 - exact).abs() < 3e-6 * 2_f64.powi(32) + 2.0);
    }
}
