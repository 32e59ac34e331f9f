//! The smallest framing that does the work: kind (1 byte), actor (2), id (4), length of the body (4), body.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::CHUNK_LEN;
use crate::Result;

pub(super) const HEADER_LEN: usize = 11;
/// Longest body taken, in bytes.
const MAX_BODY_LEN: usize = 2 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// To be counted.
    Note,
    /// To be answered with the same body.
    Echo,
    /// To be answered with the number of notes, in 8 bytes.
    Count,
    /// An answer; the id is that of the question.
    Reply,
}

impl TryFrom<u8> for Kind {
    type Error = String;

    fn try_from(byte: u8) -> Result<Self, String> {
        [Self::Note, Self::Echo, Self::Count, Self::Reply]
            .into_iter()
            .find(|&kind| kind as u8 == byte)
            .ok_or_else(|| format!("no kind of frame is {byte}"))
    }
}

pub(super) struct Frame {
    pub(super) kind: Kind,
    /// To which of the actors on the other side, or from which.
    pub(super) actor: u16,
    pub(super) id: u32,
    pub(super) body: Bytes,
}

pub(super) fn put_header(out: &mut BytesMut, kind: Kind, actor: u16, id: u32, body_len: usize) {
    out.put_u8(kind as u8);
    out.put_u16(actor);
    out.put_u32(id);
    out.put_u32(u32::try_from(body_len).expect("a body is at most 2 MiB"));
}

pub(super) fn put(out: &mut BytesMut, kind: Kind, actor: u16, id: u32, body: &[u8]) {
    put_header(out, kind, actor, id, body.len());
    out.put_slice(body);
}

/// Takes one frame off the front of `buf`; `Ok(None)` means that more bytes are needed.
pub(super) fn take(buf: &mut BytesMut) -> Result<Option<Frame>> {
    let Some(&header) = buf.first_chunk::<HEADER_LEN>() else { return Ok(None) };
    let mut header = &header[..];
    let (kind, actor, id) = (Kind::try_from(header.get_u8())?, header.get_u16(), header.get_u32());
    let body_len = header.get_u32() as usize;
    if body_len > MAX_BODY_LEN {
        return Err(format!("a body of {body_len} bytes").into());
    }
    if buf.len() - HEADER_LEN < body_len {
        buf.reserve(HEADER_LEN + body_len - buf.len());
        return Ok(None);
    }
    buf.advance(HEADER_LEN);
    Ok(Some(Frame { kind, actor, id, body: buf.split_to(body_len).freeze() }))
}

/// Reads more into `buf`; `false` at the end of the stream.
pub(super) async fn read_more(
    reader: &mut (impl AsyncRead + Unpin),
    buf: &mut BytesMut,
) -> Result<bool> {
    buf.reserve(CHUNK_LEN);
    Ok(reader.read_buf(buf).await? > 0)
}

/// Reads until there is a frame; the end of the stream is an error.
pub(super) async fn read(
    reader: &mut (impl AsyncRead + Unpin),
    buf: &mut BytesMut,
) -> Result<Frame> {
    loop {
        if let Some(frame) = take(buf)? {
            return Ok(frame);
        }
        if !read_more(reader, buf).await? {
            return Err("the server closed the connection".into());
        }
    }
}

/// The number in the answer to [`Kind::Count`].
pub(super) fn counted(body: &[u8]) -> Result<u64> {
    let bytes = body.first_chunk().ok_or("a count has 8 bytes")?;
    Ok(u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_arriving_byte_by_byte() {
        let mut sent = BytesMut::new();
        put(&mut sent, Kind::Echo, 1, 7, b"one");
        put(&mut sent, Kind::Reply, 0, 8, b"");
        let (mut buf, mut seen) = (BytesMut::new(), Vec::new());
        for &byte in &sent {
            buf.put_u8(byte);
            while let Some(frame) = take(&mut buf).expect("well formed") {
                seen.push((frame.kind, frame.actor, frame.id, frame.body));
            }
        }
        assert_eq!(
            seen,
            [(Kind::Echo, 1, 7, Bytes::from_static(b"one")), (Kind::Reply, 0, 8, Bytes::new()),]
        );
    }

    #[test]
    fn an_oversized_body_is_refused_before_it_arrives() {
        let mut buf = BytesMut::new();
        put_header(&mut buf, Kind::Note, 0, 0, MAX_BODY_LEN + 1);
        assert!(take(&mut buf).is_err());
    }
}
