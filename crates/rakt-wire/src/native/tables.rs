//! What the sending side knows by number: receivers with their credit, senders, message types.
//!
//! Numbers are dense, so a message finds its receiver by index. Names are looked up in ordered maps,
//! and only when a caller does not know the number yet. A caller that has a number of its own for a name
//! (the address of a static, the number of an actor) finds it by that without a look at the text.

use std::collections::BTreeMap;
#[expect(
    clippy::disallowed_types,
    reason = "its hasher is fixed, so nothing about it is random"
)]
use std::collections::HashMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::frame::{FrameKind, begin_frame, end_frame};
use super::hello::Limits;
use crate::base::varint::{put_optional_u64, put_string, put_varint};

/// A number that stands for a name until the epoch changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Alias {
    /// The number.
    pub id: u32,
    /// The epoch in which it was given.
    pub epoch: u32,
}

/// The sender of a message.
#[derive(Clone, Copy)]
pub struct Sender<'a> {
    /// A number of the host's that stands for the address: spares writing it down.
    pub key: Option<u64>,
    /// Its address.
    pub address: &'a dyn fmt::Display,
}

impl fmt::Debug for Sender<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)
    }
}

/// Names that are remembered by a number of the caller's; beyond that by their text alone.
pub(super) const MAX_KEYS: usize = 65_536;

#[derive(Debug)]
pub(super) struct Tables {
    limits: Limits,
    epoch: u32,
    receivers: Vec<Receiver>,
    receiver_ids: BTreeMap<Arc<str>, Lives>,
    pub(super) senders: Names,
    pub(super) types: Names,
}

#[derive(Debug)]
pub(super) struct Receiver {
    /// Bytes that may still be sent; below zero after a message that took more than was left.
    pub(super) credit: i64,
    /// Whether a message to it is being cut into chunks.
    pub(super) is_busy: bool,
    pub(super) path: Arc<str>,
}

/// The numbers of one path, by life.
#[derive(Debug)]
enum Lives {
    /// Most often.
    One(Option<u64>, u32),
    More(BTreeMap<Option<u64>, u32>),
}

impl Lives {
    fn id(&self, uid: Option<u64>) -> Option<u32> {
        match self {
            Self::One(life, id) => (*life == uid).then_some(*id),
            Self::More(ids) => ids.get(&uid).copied(),
        }
    }

    fn add(&mut self, uid: Option<u64>, id: u32) {
        match self {
            Self::One(life, first) => *self = Self::More([(*life, *first), (uid, id)].into()),
            Self::More(ids) => drop(ids.insert(uid, id)),
        }
    }
}

/// Which table has no room for one more name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Tables {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            epoch: 0,
            receivers: Vec::new(),
            receiver_ids: BTreeMap::new(),
            senders: Names::new(FrameKind::Sender, limits.max_senders),
            types: Names::new(FrameKind::Type, limits.max_types),
        }
    }

    #[inline]
    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    #[inline]
    pub(super) fn get(&self, receiver: u32) -> Option<&Receiver> {
        self.receivers.get(usize::try_from(receiver).ok()?)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, receiver: u32) -> Option<&mut Receiver> {
        self.receivers.get_mut(usize::try_from(receiver).ok()?)
    }

    #[inline]
    pub(super) fn knows(&self, sender: Option<u32>, type_id: u32) -> bool {
        let below = |id: u32, len: usize| u64::from(id) < len as u64;
        below(type_id, self.types.len()) && sender.is_none_or(|id| below(id, self.senders.len()))
    }

    /// The credit of a receiver that has taken everything.
    pub(super) fn window(&self) -> i64 {
        i64::from(self.limits.receiver_window)
    }

    pub(super) fn receiver(
        &mut self,
        out: &mut Vec<u8>,
        path: &str,
        uid: Option<u64>,
    ) -> Result<u32, Full> {
        if let Some(id) = self.receiver_ids.get(path).and_then(|lives| lives.id(uid)) {
            return Ok(id);
        }
        let id = next_id(self.receivers.len(), self.limits.max_receivers)?;
        let start = begin_frame(out, FrameKind::Receiver);
        put_varint(out, u64::from(id));
        put_optional_u64(out, uid);
        put_string(out, path);
        end_frame(out, start);
        let path: Arc<str> = path.into();
        match self.receiver_ids.entry(path.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(Lives::One(uid, id));
            }
            Entry::Occupied(mut lives) => lives.get_mut().add(uid, id),
        }
        self.receivers.push(Receiver { credit: self.window(), is_busy: false, path });
        Ok(id)
    }

    /// The number of a type and of a sender, if they are those that were used last.
    #[inline]
    pub(super) fn last(
        &self,
        type_name: &'static str,
        sender: Option<Sender<'_>>,
    ) -> Option<(u32, Option<u32>)> {
        let type_id = self.types.last(key_of(type_name))?;
        match sender {
            None => Some((type_id, None)),
            Some(sender) => Some((type_id, Some(self.senders.last(sender.key?)?))),
        }
    }

    /// Forgets all names and tells the peer to.
    pub(super) fn reset(&mut self, out: &mut Vec<u8>) {
        let start = begin_frame(out, FrameKind::Reset);
        end_frame(out, start);
        *self = Self { epoch: self.epoch.wrapping_add(1), ..Self::new(self.limits) };
    }
}

/// One table of names.
#[derive(Debug)]
pub(super) struct Names {
    kind: FrameKind,
    limit: u32,
    by_number: Vec<Arc<str>>,
    numbers: BTreeMap<Arc<str>, u32>,
    #[expect(
        clippy::disallowed_types,
        reason = "its hasher is fixed, so nothing about it is random"
    )]
    by_key: HashMap<u64, u32, BuildHasherDefault<KeyHasher>>,
    /// The key that was used last, and its number: most messages have the type and sender of the one before.
    last: Option<(u64, u32)>,
}

impl Names {
    fn new(kind: FrameKind, limit: u32) -> Self {
        let (by_number, numbers, by_key) = Default::default();
        Self { kind, limit, by_number, numbers, by_key, last: None }
    }

    #[inline]
    fn len(&self) -> usize {
        self.by_number.len()
    }

    pub(super) fn name(&self, id: u32) -> Option<&str> {
        self.by_number.get(usize::try_from(id).ok()?).map(AsRef::as_ref)
    }

    /// The number of a name.
    pub(super) fn define(&mut self, out: &mut Vec<u8>, name: &str) -> Result<u32, Full> {
        if let Some(id) = self.numbers.get(name) {
            return Ok(*id);
        }
        let id = next_id(self.len(), self.limit)?;
        let start = begin_frame(out, self.kind);
        put_varint(out, u64::from(id));
        put_string(out, name);
        end_frame(out, start);
        let name: Arc<str> = name.into();
        self.by_number.push(name.clone());
        self.numbers.insert(name, id);
        Ok(id)
    }

    /// The number of a name that the caller knows by `key`.
    #[inline]
    pub(super) fn define_by(
        &mut self,
        out: &mut Vec<u8>,
        key: u64,
        name: &dyn fmt::Display,
    ) -> Result<u32, Full> {
        if let Some(id) = self.last(key) {
            return Ok(id);
        }
        let id = match self.by_key.get(&key) {
            Some(id) => *id,
            None => self.learn_key(out, key, name)?,
        };
        self.last = Some((key, id));
        Ok(id)
    }

    /// The number of a key, if it was the last one used.
    #[inline]
    pub(super) fn last(&self, key: u64) -> Option<u32> {
        self.last.filter(|(last, _)| *last == key).map(|(_, id)| id)
    }

    #[cold]
    fn learn_key(
        &mut self,
        out: &mut Vec<u8>,
        key: u64,
        name: &dyn fmt::Display,
    ) -> Result<u32, Full> {
        let id = self.define(out, &name.to_string())?;
        // Actors that are gone leave their keys behind.
        if self.by_key.len() >= MAX_KEYS {
            self.by_key.clear();
        }
        self.by_key.insert(key, id);
        Ok(id)
    }
}

/// The place of a static name in memory.
#[inline]
pub(super) fn key_of(name: &'static str) -> u64 {
    name.as_ptr() as u64
}

fn next_id(len: usize, limit: u32) -> Result<u32, Full> {
    u32::try_from(len).ok().filter(|id| *id < limit).ok_or(Full)
}

/// A hash of one number that is our own: no peer chooses it.
#[derive(Clone, Copy, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64((*byte).into()));
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        // Fibonacci hashing; the table takes its bits from both ends.
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_names_are_forgotten_before_they_are_too_many() {
        let mut names = Names::new(FrameKind::Sender, u32::MAX);
        let mut out = Vec::new();
        for key in 0..=MAX_KEYS as u64 {
            let id = names.define_by(&mut out, key, &"always the same");
            assert_eq!(id, Ok(0));
            assert!(names.by_key.len() <= MAX_KEYS);
        }
        assert_eq!(names.by_key.len(), 1);
    }
}
