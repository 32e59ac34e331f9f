//! A node of GoAkt v4, which is not understood: nothing that it is told is taken for delivered.

use interop::messages::text;
use rakt::error::Chain;
use rakt::{BoxError, Result};

use crate::report::{Check, checks};
use crate::target::{SHORT_TIMEOUT, error_of};

pub(crate) const CHECKS: &[Check] = checks! {
    "a tell to GoAkt v4 is not confirmed" => |x| {
        named(error_of(x.actor("echo").tell(text("lost")).confirmed().await)?)
    };
    "an ask of GoAkt v4 fails" => |x| {
        named(error_of(x.actor("echo").ask(text("lost")).timeout(10 * SHORT_TIMEOUT).await)?)
    };
    "a lookup at GoAkt v4 fails" => |x| {
        named(error_of(x.lookup("echo").await)?)
    };
};

/// Whether the error says which version is needed.
fn named(error: impl std::error::Error + 'static) -> Result<(), BoxError> {
    let text = Chain(&error).to_string();
    match text.contains("is it GoAkt v3.14 (v4 hangs up)") {
        true => Ok(()),
        false => Err(text.into()),
    }
}
