//! x
#![forbid(unsafe_code)]
mod blob;
mod delta;
mod document;
mod error;
mod founding;
mod names;
mod store;
mod types;
