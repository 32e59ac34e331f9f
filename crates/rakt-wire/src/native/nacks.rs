//! Refusals of plain tells on their way back. Equal ones in a row go out as one, with a count.

use super::frame::{FrameKind, begin_frame, end_frame};
use super::operations::put_failure;
use crate::base::varint::put_varint;
use crate::failure::Failure;

/// Number of the receiver, of the sender if there is one, and of the type; the epoch of all three.
type About = (u32, Option<u32>, u32, u32);

/// What is to be told of refused tells.
#[derive(Debug, Default)]
pub(super) struct Nacks {
    /// The last one, to which more may be added.
    last: Option<Nack>,
    /// Others were written since all was flushed.
    has_written: bool,
}

#[derive(Debug)]
struct Nack {
    about: About,
    failure: Failure,
    count: u64,
}

impl Nacks {
    pub(super) fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// Adds one. What cannot be told together with it is written to `out`.
    pub(super) fn add(&mut self, out: &mut Vec<u8>, about: About, failure: &Failure) {
        if let Some(nack) = &mut self.last
            && nack.about == about
            && nack.failure == *failure
        {
            nack.count = nack.count.saturating_add(1);
            return;
        }
        self.write(out);
        self.last = Some(Nack { about, failure: failure.clone(), count: 1 });
    }

    /// Writes the last one too. Says whether there is any that was written since this was called last.
    #[inline]
    pub(super) fn flush(&mut self, out: &mut Vec<u8>) -> bool {
        if self.last.is_some() {
            self.write(out);
        }
        std::mem::take(&mut self.has_written)
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        let Some(Nack { about, failure, count }) = self.last.take() else { return };
        let (receiver, sender, type_id, epoch) = about;
        let start = begin_frame(out, FrameKind::Nack);
        put_varint(out, u64::from(receiver));
        put_varint(out, sender.map_or(0, |sender| u64::from(sender).saturating_add(1)));
        put_varint(out, u64::from(type_id));
        put_varint(out, u64::from(epoch));
        put_varint(out, count);
        put_failure(out, &failure);
        end_frame(out, start);
        self.has_written = true;
    }
}
