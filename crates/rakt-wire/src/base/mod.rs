//! What all protocols of this crate are made of. Nothing here knows any of them.
//!
//! | file | holds |
//! | --- | --- |
//! | `varint.rs` | reading and writing the fields of a frame |
//! | `text.rs` | text of others: cutting it to a length, and showing it |
//! | `encode.rs` | payloads that write themselves, and what a message costs |
//! | `cause.rs` | errors with all that caused them |
//! | `codes.rs` | tables of numbered codes |
//! | `magic.rs` | how a connection of rakt's own protocol starts |

pub(crate) mod cause;
pub(crate) mod codes;
pub(crate) mod encode;
pub(crate) mod magic;
pub(crate) mod text;
pub(crate) mod varint;
