//! Slots: every grain belongs to one of 4,096, and every slot to one member. Nothing of it is stored anywhere.
//!
//! The owner is found by weighted rendezvous: each member draws a number for the slot, and the one that draws best, for its
//! weight, owns it. So a slot moves only to a member that came or gained weight, or away from one that left or lost weight.
//!
//! Integers only. A logarithm of floating point may differ between platforms and compilers, and two nodes that see
//! two owners in one view would grant equal epochs.

use crate::node::NodeId;

/// How many slots there are.
pub const SLOTS: u16 = 4096;

/// One of the slots, below [`SLOTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

/// How grains are spread over slots, and slots over members. It stands in the view, so that no two nodes of a cluster can
/// differ; a node that does not know the rule cannot read the view, and does not join.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SlotRule {
    /// XXH64 with seed 0 of the kind, the byte `0xff` and the key, modulo [`SLOTS`]. A member draws what splitmix64 with
    /// the XXH64 of its id (16 bytes, most significant first) as seed gives as its number `slot`, counted from 0; the
    /// lowest −log₂ of it over the weight owns the slot. Ties go to the lower id.
    #[default]
    One,
}

impl Slot {
    /// The slot of this number, if there is one.
    #[must_use]
    pub fn new(number: u16) -> Option<Self> {
        (number < SLOTS).then_some(Self(number))
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SLOTS).map(Self)
    }
}

impl SlotRule {
    /// The number of this rule in a view.
    #[must_use]
    pub fn code(self) -> u64 {
        match self {
            Self::One => 1,
        }
    }

    /// The rule of this number, if this version of rakt knows it.
    #[must_use]
    pub fn from_code(code: u64) -> Option<Self> {
        (code == 1).then_some(Self::One)
    }

    /// The slot of a grain.
    #[must_use]
    pub fn slot(self, kind: &str, key: &str) -> Slot {
        // No UTF-8 has the byte 0xff, so no two pairs are the same bytes.
        let bytes = [kind.as_bytes(), &[0xff], key.as_bytes()].concat();
        const { assert!(SLOTS.is_power_of_two()) };
        Slot(xxh64(&bytes) as u16 & (SLOTS - 1))
    }

    /// Who owns a slot among these members and their weights. A member of weight 0 owns nothing; nobody owns a slot if no
    /// other is there. The order of the members does not matter.
    pub fn owner(
        self,
        slot: Slot,
        members: impl IntoIterator<Item = (NodeId, u16)>,
    ) -> Option<NodeId> {
        let may = members.into_iter().filter(|(_, weight)| *weight > 0);
        let draws = may.map(|(id, weight)| self.draw(slot, seed(id), id, weight));
        draws.reduce(|a, b| if b.beats(&a) { b } else { a }).map(|draw| draw.id)
    }

    /// What a member draws for a slot, whose seed is known. Its weight is not 0.
    pub(crate) fn draw(self, slot: Slot, seed: u64, id: NodeId, weight: u16) -> Draw {
        Draw { cost: cost(draw(seed, slot)), weight: u64::from(weight), id }
    }
}

/// What a member has drawn for a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    cost: u64,
    weight: u64,
    id: NodeId,
}

impl Draw {
    /// Whether this one owns the slot, of the two.
    pub(crate) fn beats(&self, other: &Self) -> bool {
        // A cost has 38 bits and a weight 16.
        let (mine, others) =
            (self.cost.wrapping_mul(other.weight), other.cost.wrapping_mul(self.weight));
        (mine, self.id) < (others, other.id)
    }
}

/// What a member's draws begin with.
pub(crate) fn seed(id: NodeId) -> u64 {
    xxh64(&id.0.to_be_bytes())
}

/// What a member draws for a slot: any of the 2⁶⁴ numbers.
fn draw(seed: u64, slot: Slot) -> u64 {
    let steps = u64::from(slot.0).wrapping_add(1);
    let mut x = seed.wrapping_add(steps.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// −log₂ of a drawn number as a part of 2⁶⁴, in steps of 2⁻³², and never 0. Between the 257 points of the table it is a
/// line, which is wrong by less than 3 in 10⁶.
fn cost(drawn: u64) -> u64 {
    let drawn = drawn | 1;
    let zeros = drawn.leading_zeros();
    let mantissa = drawn.wrapping_shl(zeros);
    let (at, part) = ((mantissa >> 55) as usize & 0xff, (mantissa >> 23) & 0xffff_ffff);
    let low = LOG2.get(at).copied().unwrap_or(0);
    let high = LOG2.get(at.wrapping_add(1)).copied().unwrap_or(low);
    let log = low.wrapping_add(high.wrapping_sub(low).wrapping_mul(part) >> 32);
    (u64::from(zeros).wrapping_add(1) << 32).wrapping_sub(log)
}

/// log₂(1 + i/256) for each i, in steps of 2⁻³², rounded down.
#[allow(clippy::indexing_slicing, reason = "the compiler works it out, or stops")]
const LOG2: [u64; 257] = {
    let mut table = [1 << 32; 257];
    let mut i = 0;
    while i < 256 {
        // A number from 1 to 2, in steps of 2⁻⁶³. Its square is from 1 to 4; whether that is 2 or more is the next bit.
        let mut x = (1_u128 << 63) + ((i as u128) << 55);
        let mut log = 0;
        let mut bit = 0;
        while bit < 32 {
            x = (x * x) >> 63;
            log <<= 1;
            if x >= 1 << 64 {
                x >>= 1;
                log |= 1;
            }
            bit += 1;
        }
        table[i] = log;
        i += 1;
    }
    table
};

const P1: u64 = 0x9e37_79b1_85eb_ca87;
const P2: u64 = 0xc2b2_ae3d_27d4_eb4f;
const P3: u64 = 0x1656_67b1_9e37_79f9;
const P4: u64 = 0x85eb_ca77_c2b2_ae63;
const P5: u64 = 0x27d4_eb2f_1656_67c5;

fn round(acc: u64, word: u64) -> u64 {
    acc.wrapping_add(word.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1)
}

/// XXH64 with seed 0 (<https://github.com/Cyan4973/xxHash>): a hash whose value is the same everywhere and for ever.
pub(crate) fn xxh64(bytes: &[u8]) -> u64 {
    let mut lanes = [P1.wrapping_add(P2), P2, 0, 0_u64.wrapping_sub(P1)];
    let mut stripes = bytes.chunks_exact(32);
    for stripe in stripes.by_ref() {
        for (lane, word) in lanes.iter_mut().zip(stripe.chunks_exact(8)) {
            *lane = round(*lane, le(word));
        }
    }
    let mut hash = if bytes.len() < 32 {
        P5
    } else {
        let turned = lanes.iter().zip([1, 7, 12, 18]).map(|(lane, by)| lane.rotate_left(by));
        let sum = turned.fold(0, u64::wrapping_add);
        let merge =
            |hash: u64, lane: &u64| (hash ^ round(0, *lane)).wrapping_mul(P1).wrapping_add(P4);
        lanes.iter().fold(sum, merge)
    };
    hash = hash.wrapping_add(bytes.len() as u64);
    let mut rest = stripes.remainder();
    while let Some((word, tail)) = rest.split_first_chunk::<8>() {
        hash ^= round(0, le(word));
        hash = hash.rotate_left(27).wrapping_mul(P1).wrapping_add(P4);
        rest = tail;
    }
    if let Some((word, tail)) = rest.split_first_chunk::<4>() {
        hash ^= u64::from(u32::from_le_bytes(*word)).wrapping_mul(P1);
        hash = hash.rotate_left(23).wrapping_mul(P2).wrapping_add(P3);
        rest = tail;
    }
    for byte in rest {
        hash ^= u64::from(*byte).wrapping_mul(P5);
        hash = hash.rotate_left(11).wrapping_mul(P1);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(P2);
    hash = (hash ^ (hash >> 29)).wrapping_mul(P3);
    hash ^ (hash >> 32)
}

/// Up to eight bytes, the least significant first.
fn le(word: &[u8]) -> u64 {
    word.iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests;
