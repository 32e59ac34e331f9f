//! What the sending side knows by number: receivers with their credit, senders, message types.
//!
//! Numbers are dense, so a message finds its receiver by index. Names are looked up in ordered maps,
//! and only when a caller does not know the number yet.

use std::collections::BTreeMap;

use super::frame::{FrameKind, begin_frame, end_frame};
use super::hello::Limits;
use crate::base::varint::{put_optional_u64, put_string, put_varint};

#[derive(Debug)]
pub(super) struct Tables {
    limits: Limits,
    epoch: u32,
    receivers: Vec<Receiver>,
    receiver_ids: BTreeMap<Box<str>, BTreeMap<Option<u64>, u32>>,
    senders: BTreeMap<Box<str>, u32>,
    types: BTreeMap<Box<str>, u32>,
}

#[derive(Debug)]
pub(super) struct Receiver {
    /// Bytes that may still be sent; below zero after a message that took more than was left.
    pub(super) credit: i64,
    /// Whether a message to it is being cut into chunks.
    pub(super) is_busy: bool,
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
            senders: BTreeMap::new(),
            types: BTreeMap::new(),
        }
    }

    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

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
        if let Some(id) = self.receiver_ids.get(path).and_then(|lives| lives.get(&uid)) {
            return Ok(*id);
        }
        let id = next_id(self.receivers.len(), self.limits.max_receivers)?;
        let start = begin_frame(out, FrameKind::Receiver);
        put_varint(out, u64::from(id));
        put_optional_u64(out, uid);
        put_string(out, path);
        end_frame(out, start);
        let lives = self.receiver_ids.entry(path.into()).or_default();
        lives.insert(uid, id);
        self.receivers.push(Receiver { credit: self.window(), is_busy: false });
        Ok(id)
    }

    pub(super) fn sender(&mut self, out: &mut Vec<u8>, address: &str) -> Result<u32, Full> {
        define(&mut self.senders, FrameKind::Sender, self.limits.max_senders, out, address)
    }

    pub(super) fn message_type(&mut self, out: &mut Vec<u8>, name: &str) -> Result<u32, Full> {
        define(&mut self.types, FrameKind::Type, self.limits.max_types, out, name)
    }

    /// Forgets all names and tells the peer to.
    pub(super) fn reset(&mut self, out: &mut Vec<u8>) {
        let start = begin_frame(out, FrameKind::Reset);
        end_frame(out, start);
        *self = Self { epoch: self.epoch.wrapping_add(1), ..Self::new(self.limits) };
    }
}

fn define(
    table: &mut BTreeMap<Box<str>, u32>,
    kind: FrameKind,
    limit: u32,
    out: &mut Vec<u8>,
    name: &str,
) -> Result<u32, Full> {
    if let Some(id) = table.get(name) {
        return Ok(*id);
    }
    let id = next_id(table.len(), limit)?;
    let start = begin_frame(out, kind);
    put_varint(out, u64::from(id));
    put_string(out, name);
    end_frame(out, start);
    table.insert(name.into(), id);
    Ok(id)
}

fn next_id(len: usize, limit: u32) -> Result<u32, Full> {
    u32::try_from(len).ok().filter(|id| *id < limit).ok_or(Full)
}
