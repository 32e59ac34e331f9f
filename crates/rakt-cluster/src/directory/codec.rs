//! The bytes of words.
//!
//! ```text
//! word      kind 1 · fields
//! 1         grain · epoch · seat                              activate
//! 2         grain · epoch · stamp                             question
//! 3         life                                              lives
//! 4         grain · epoch                                     ended
//! 5, 7      stamp · count · slots                             pull, ask
//! 6         stamp · count · slots, each with 0 or 1 [entries] given
//! 8         stamp · count · slots, each with lives            report
//! 9         stamp                                             newer
//! slot      how many slots lie between the one before and this
//! entries   count · grain and entry of each
//! lives     count · lives
//! life      grain · epoch · 0 or 1 [uid]
//! entry     seat · epoch · 0 or 1 [uid]
//! grain     kind · key
//! ```
//! Slots ascend, as do the grains of a slot, each is there once, and nothing follows: a word has one form. A form that
//! changes gets another number for the kind.

use std::collections::BTreeMap;

use rakt_wire::MAX_NAME_LEN;

use super::word::{Entries, Entry, Grain, Living, Word};
use crate::bytes::{
    DecodeError, byte, count, finish, optional, put_optional, put_string, put_varint, string,
    varint,
};
use crate::epoch::{Epoch, Stamp};
use crate::node::Seat;
use crate::slots::{SLOTS, Slot};

/// Longest kind and longest key of a grain, in bytes.
pub const MAX_GRAIN_LEN: usize = MAX_NAME_LEN;
/// Most grains of one slot in a word.
pub const MAX_ENTRIES: usize = 1 << 20;

/// Fewest bytes of a slot with what is said of it, of a life and of an entry with its grain: what is left bounds how many can
/// follow.
const MIN_SLOT_LEN: usize = 1;
const MIN_LIFE_LEN: usize = 8;

/// Why bytes are no word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WordError {
    /// They cannot be read.
    #[error("the bytes of a directory's word cannot be read")]
    Decode(#[from] DecodeError),
    /// They are of a kind that this version of rakt does not know.
    #[error("words of the kind {kind} are not known here")]
    Kind {
        /// Its number.
        kind: u8,
    },
}

impl Word {
    /// Its bytes. Slots and grains are written in their order.
    ///
    /// What is longer than [`MAX_GRAIN_LEN`] or more than [`MAX_ENTRIES`], or a kind or key that is empty, nobody can read.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Activate { grain, epoch, host } => {
                out.push(1);
                grain.encode(&mut out);
                epoch.encode(&mut out);
                host.encode(&mut out);
            }
            Self::Question { grain, epoch, at } => {
                out.push(2);
                grain.encode(&mut out);
                epoch.encode(&mut out);
                at.encode(&mut out);
            }
            Self::Lives(living) => {
                out.push(3);
                living.encode(&mut out);
            }
            Self::Ended { grain, epoch } => {
                out.push(4);
                grain.encode(&mut out);
                epoch.encode(&mut out);
            }
            Self::Pull { at, slots } => put_slots(&mut out, 5, *at, slots),
            Self::Given { at, slots } => {
                let slots = slots.iter().map(|(slot, entries)| (*slot, entries));
                put_each(&mut out, 6, *at, slots.collect(), |out, entries| {
                    put_given(out, entries.as_ref());
                });
            }
            Self::Ask { at, slots } => put_slots(&mut out, 7, *at, slots),
            Self::Report { at, slots } => {
                let slots = slots.iter().map(|(slot, lives)| (*slot, lives));
                put_each(&mut out, 8, *at, slots.collect(), |out, lives| put_lives(out, lives));
            }
            Self::Newer { at } => {
                out.push(9);
                at.encode(&mut out);
            }
        }
        out
    }

    /// Reads a word of a peer. Reserves no more than what is there can fill.
    ///
    /// # Errors
    /// Says what is wrong with the bytes, or which kind is not known.
    pub fn decode(bytes: &[u8]) -> Result<Self, WordError> {
        let from = &mut &*bytes;
        let word = match byte(from, "the kind of a word")? {
            1 => Self::Activate {
                grain: Grain::decode(from)?,
                epoch: Epoch::decode(from)?,
                host: Seat::decode(from)?,
            },
            2 => Self::Question {
                grain: Grain::decode(from)?,
                epoch: Epoch::decode(from)?,
                at: Stamp::decode(from)?,
            },
            3 => Self::Lives(Living::decode(from)?),
            4 => Self::Ended { grain: Grain::decode(from)?, epoch: Epoch::decode(from)? },
            5 => Self::Pull { at: Stamp::decode(from)?, slots: slots(from)? },
            6 => Self::Given { at: Stamp::decode(from)?, slots: each(from, given)? },
            7 => Self::Ask { at: Stamp::decode(from)?, slots: slots(from)? },
            8 => Self::Report { at: Stamp::decode(from)?, slots: each(from, lives)? },
            9 => Self::Newer { at: Stamp::decode(from)? },
            kind => return Err(WordError::Kind { kind }),
        };
        finish(from)?;
        Ok(word)
    }
}

impl Grain {
    /// Writes it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, &self.kind);
        put_string(out, &self.key);
    }

    /// Reads one off the front.
    ///
    /// # Errors
    /// If the kind or the key is cut short, empty, longer than [`MAX_GRAIN_LEN`] or not UTF-8. Whether it is a name that rakt
    /// allows is not looked at.
    pub fn decode(from: &mut &[u8]) -> Result<Self, DecodeError> {
        let mut text = |what| match string(from, what, MAX_GRAIN_LEN)? {
            "" => Err(DecodeError::Invalid { what }),
            text => Ok(text),
        };
        let (kind, key) = (text("the kind of a grain")?, text("the key of a grain")?);
        Ok(Self::new(kind, key))
    }
}

impl Entry {
    /// Writes it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.host.encode(out);
        self.epoch.encode(out);
        put_optional(out, self.uid);
    }

    /// Reads one off the front.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    pub fn decode(from: &mut &[u8]) -> Result<Self, DecodeError> {
        let (host, epoch) = (Seat::decode(from)?, Epoch::decode(from)?);
        Ok(Self { host, epoch, uid: optional(from, "the number of a life")? })
    }
}

impl Living {
    /// Writes it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.grain.encode(out);
        self.epoch.encode(out);
        put_optional(out, self.uid);
    }

    /// Reads one off the front.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    pub fn decode(from: &mut &[u8]) -> Result<Self, DecodeError> {
        let (grain, epoch) = (Grain::decode(from)?, Epoch::decode(from)?);
        Ok(Self { grain, epoch, uid: optional(from, "the number of a life")? })
    }
}

fn put_slots(out: &mut Vec<u8>, kind: u8, at: Stamp, slots: &[Slot]) {
    put_each(out, kind, at, slots.iter().map(|slot| (*slot, ())).collect(), |_, ()| ());
}

fn put_each<T>(
    out: &mut Vec<u8>,
    kind: u8,
    at: Stamp,
    slots: BTreeMap<Slot, T>,
    put: impl Fn(&mut Vec<u8>, T),
) {
    out.push(kind);
    at.encode(out);
    put_varint(out, slots.len() as u64);
    let mut next = 0;
    for (slot, what) in slots {
        put_varint(out, u64::from(slot.number().saturating_sub(next)));
        next = slot.number().saturating_add(1);
        put(out, what);
    }
}

pub(super) fn put_given(out: &mut Vec<u8>, entries: Option<&Entries>) {
    out.push(u8::from(entries.is_some()));
    let Some(entries) = entries else { return };
    put_varint(out, entries.len() as u64);
    for (grain, entry) in entries {
        grain.encode(out);
        entry.encode(out);
    }
}

pub(super) fn put_lives(out: &mut Vec<u8>, lives: &[Living]) {
    let lives: BTreeMap<_, _> = lives.iter().map(|living| (&living.grain, living)).collect();
    put_varint(out, lives.len() as u64);
    lives.values().for_each(|living| living.encode(out));
}

fn slots(from: &mut &[u8]) -> Result<Vec<Slot>, DecodeError> {
    let slots = each(from, |_| Ok(()))?;
    Ok(slots.into_iter().map(|(slot, ())| slot).collect())
}

/// Reads slots with what follows each.
fn each<T>(
    from: &mut &[u8],
    read: impl Fn(&mut &[u8]) -> Result<T, DecodeError>,
) -> Result<Vec<(Slot, T)>, DecodeError> {
    let most = usize::from(SLOTS);
    let (count, fits) = count(from, "the number of slots", most, MIN_SLOT_LEN)?;
    let (mut slots, mut next) = (Vec::with_capacity(fits), 0_u64);
    for _ in 0..count {
        let (what, limit) = ("a slot", u64::from(SLOTS).saturating_sub(1));
        let value = next.saturating_add(varint(from, what)?);
        let slot = u16::try_from(value).ok().and_then(Slot::new);
        let slot = slot.ok_or(DecodeError::TooLarge { what, value, limit })?;
        next = value.saturating_add(1);
        slots.push((slot, read(from)?));
    }
    Ok(slots)
}

fn given(from: &mut &[u8]) -> Result<Option<Entries>, DecodeError> {
    match byte(from, "whether a slot is given")? {
        0 => return Ok(None),
        1 => {}
        value => {
            let what = "whether a slot is given";
            return Err(DecodeError::Unknown { what, value: u64::from(value) });
        }
    }
    let (count, _) = count(from, "the number of grains", MAX_ENTRIES, MIN_LIFE_LEN)?;
    let mut entries = Entries::new();
    for _ in 0..count {
        let grain = Grain::decode(from)?;
        ascends(entries.last_key_value().map(|(last, _)| last), &grain)?;
        entries.insert(grain, Entry::decode(from)?);
    }
    Ok(Some(entries))
}

fn lives(from: &mut &[u8]) -> Result<Vec<Living>, DecodeError> {
    let (count, fits) = count(from, "the number of grains", MAX_ENTRIES, MIN_LIFE_LEN)?;
    let mut lives: Vec<Living> = Vec::with_capacity(fits);
    for _ in 0..count {
        let living = Living::decode(from)?;
        ascends(lives.last().map(|last| &last.grain), &living.grain)?;
        lives.push(living);
    }
    Ok(lives)
}

fn ascends(last: Option<&Grain>, next: &Grain) -> Result<(), DecodeError> {
    let good = last.is_none_or(|last| last < next);
    good.then_some(()).ok_or(DecodeError::Invalid { what: "the order of grains" })
}
