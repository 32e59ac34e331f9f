//! One connection, whatever is spoken over it: its bytes, its turns and its time.
//!
//! | file | what is in it |
//! | --- | --- |
//! | [`session`](Session) | what a dialect does on one side of a connection |
//! | [`pump`](Pump) | the task that moves the bytes between a session and a stream |
//! | [`pace`](Pace) | how slow a peer may be in the middle of a frame |
//! | [`rate`](Rate) | how many cheap frames a peer may send |
//! | [`stand_in`](Pumps) | another task for it where its own is held up |
//! | [`spare`] | where it reads them to |
//! | [`dial`] | the way to a peer, up to the greeting |
//! | [`farewell`](Farewell) | the last bytes of a connection |
//!
//! A session decides, the pump moves: nothing here knows a frame.

mod dial;
mod farewell;
mod pace;
mod pump;
mod rate;
mod session;
pub(crate) mod spare;
mod stand_in;

pub(crate) use dial::dial;
#[cfg(feature = "_tls")]
pub(crate) use farewell::FAREWELL_LEN;
pub(crate) use farewell::{Farewell, say_goodbye};
pub(crate) use pace::Pace;
pub(crate) use pump::Pump;
pub(crate) use rate::Rate;
pub(crate) use session::{Buffers, Fault, Reading, Session, WriteNow};
pub(crate) use stand_in::Pumps;
