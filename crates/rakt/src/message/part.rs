//! A payload that lies in a block with others.

use bytes::{Buf, Bytes};

/// A part of a block, as what is read: a codec that reads it in place counts no reference to the block but for
/// what it keeps of it.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    block: &'a Bytes,
    /// Where it ends in the block.
    end: usize,
    rest: &'a [u8],
}

impl<'a> Part<'a> {
    /// So many bytes from there on, which the block has.
    #[inline]
    pub(crate) fn of(block: &'a Bytes, start: usize, len: usize) -> Self {
        let end = start + len;
        Self { block, end, rest: &block[start..end] }
    }

    /// The bytes.
    #[inline]
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.rest
    }

    /// Goes on behind the first byte, if there is one.
    #[inline]
    pub(crate) fn skip_byte(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }
}

impl Buf for Part<'_> {
    #[inline(always)]
    fn remaining(&self) -> usize {
        self.rest.len()
    }

    #[inline(always)]
    fn chunk(&self) -> &[u8] {
        self.rest
    }

    #[inline(always)]
    fn advance(&mut self, count: usize) {
        self.rest = &self.rest[count..];
    }

    #[inline]
    fn copy_to_bytes(&mut self, len: usize) -> Bytes {
        let start = self.end - self.rest.len();
        self.advance(len);
        self.block.slice(start..start + len)
    }
}
