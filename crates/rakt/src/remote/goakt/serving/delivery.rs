//! Where messages come from, as actors see it.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use rakt_wire::native::Encode;

use super::conn::GoConn;
use crate::error::Refusal;
use crate::events::DeadLetter;
use crate::mailbox::letter::{Alias, Origin};

/// Messages of one type from a Go node on their way to one actor, as that sees where they come from.
pub(super) struct Delivery {
    pub(super) conn: Arc<GoConn>,
    pub(super) path: Arc<str>,
    pub(super) type_name: Arc<str>,
    /// Bytes that count against the node's budget as long as any of the messages is here.
    pub(super) charged: u64,
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if self.charged > 0 {
            self.conn.release(self.charged);
        }
    }
}

impl Origin for Delivery {
    fn reply(&self, corr: u64, name: Option<&'static str>, payload: &dyn Encode) {
        match encode_reply(name, payload, self.conn.net.options.max_frame_size) {
            Ok((name, bytes)) => self.conn.reply(corr, name, &bytes),
            Err(refusal) => self.refuse(corr, &refusal),
        }
    }

    fn refuse(&self, corr: u64, refusal: &Refusal) {
        self.conn.refuse(corr, &self.path, refusal);
    }

    fn confirm(&self, corr: u64) {
        self.conn.confirm(corr);
    }

    /// It was acknowledged, so nobody else would hear of it.
    fn nack(&self, _: Alias, _: Option<u32>, _: u32, refusal: &Refusal) {
        self.conn.net.dead_letters(1, || DeadLetter {
            target: self.path.to_string(),
            sender: None,
            message: self.type_name.to_string(),
            reason: refusal.clone(),
            count: 1,
        });
    }

    fn consumed(&self, _: Alias, cost: u64) {
        self.conn.release(cost);
    }

    fn release(&self, bytes: u64) {
        self.conn.release(bytes);
    }

    fn decompress(&self, _: &[u8], _: u32) -> Result<Bytes, Refusal> {
        Err(Refusal::Undecodable { detail: "no message of GoAkt is compressed on its own".into() })
    }

    fn is_cancelled(&self, corr: u64) -> bool {
        self.conn.is_cancelled(corr)
    }

    fn poll_cancelled(&self, corr: u64, cx: &mut Context<'_>) -> Poll<()> {
        self.conn.poll_cancelled(corr, cx)
    }
}

/// A reply as it goes out.
pub(super) fn encode_reply(
    name: Option<&'static str>,
    payload: &dyn Encode,
    limit: u32,
) -> Result<(&'static str, Vec<u8>), Refusal> {
    let Some(name) = name else {
        let detail = "the reply has no wire name, which GoAkt needs".to_owned();
        return Err(Refusal::Unencodable { detail });
    };
    let check = |size: usize| match size as u64 > u64::from(limit) {
        true => Err(Refusal::TooLarge { size: size as u64, limit: limit.into() }),
        false => Ok(()),
    };
    let len = payload.encoded_len().unwrap_or(0);
    check(len)?;
    let mut bytes = Vec::with_capacity(len);
    payload.encode(&mut bytes).map_err(|error| Refusal::Unencodable { detail: error.0 })?;
    check(bytes.len())?;
    Ok((name, bytes))
}
