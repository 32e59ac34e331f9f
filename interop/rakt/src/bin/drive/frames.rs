//! The largest frames.

use interop::actors::produced;
use interop::messages::{Produce, bytes};
use rakt::Result;
use rakt::error::Chain;
use rakt::prelude::*;

use crate::report::{Check, checks};
use crate::target::{Target, error_of, expect};

/// The largest frame that a node takes unless told otherwise, in bytes.
const MAX_FRAME: usize = 16 << 20;

pub(crate) const CHECKS: &[Check] = checks! {
    "a request of 16 MiB is taken" => |x| {
        Ok(x.actor("silent").tell(bytes(produced(largest(x).await?))).confirmed().await?)
    };
    "a request of one byte more is not sent" => |x| {
        let size = largest(x).await? + 1;
        let error = error_of(x.actor("silent").tell(bytes(produced(size))).confirmed().await)?;
        let limit = MAX_FRAME as u64;
        expect(error.refusal(), Some(&Refusal::TooLarge { size: limit + 1, limit }))?;
        x.expect_echo("echo").await
    };
    "an echo of nearly 16 MiB" => |x| {
        let message = bytes(produced(MAX_FRAME - 1024));
        expect(x.actor("echo").ask(message.clone()).await? == message, true)
    };
    "a response of more than 16 MiB is an error" => |x| {
        match error_of(x.actor("producer").ask(Produce { size: MAX_FRAME as u32 }).await)? {
            AskError::ConnectionLost { source, .. } => {
                expect(Chain(&source).to_string().contains(&MAX_FRAME.to_string()), true)?;
            }
            error => return Err(error.to_string().into()),
        }
        x.expect_echo("echo").await
    };
};

/// How many bytes a message to the silent actor can have. A refusal says how large its frame would be.
async fn largest(x: &Target) -> Result<usize> {
    let too_large = bytes(vec![0; MAX_FRAME]);
    match error_of(x.actor("silent").tell(too_large).confirmed().await)?.refusal() {
        Some(&Refusal::TooLarge { size, .. }) => Ok(2 * MAX_FRAME - usize::try_from(size)?),
        other => Err(format!("{other:?}").into()),
    }
}
