//! A message on its way to another node, in either dialect.

use std::time::Duration;

use rakt_wire::{Encode, Metadata, Wish};

use crate::reference::ActorRef;

/// A message on its way out.
pub(crate) struct Outgoing<'a> {
    pub(crate) wish: Wish,
    pub(crate) type_name: &'static str,
    #[cfg(feature = "goakt")]
    pub(crate) reply_name: Option<&'static str>,
    pub(crate) payload: &'a dyn Encode,
    pub(crate) sender: Option<&'a ActorRef>,
    pub(crate) remaining: Option<Duration>,
    pub(crate) metadata: Option<&'a Metadata>,
}
