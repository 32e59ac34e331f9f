//! The code in the documents of the repository, compiled and run as tests.
#![cfg(doctest)]

#[doc = include_str!("../README.md")]
struct Readme;
#[doc = include_str!("../ARCHITECTURE.md")]
struct Architecture;
#[doc = include_str!("from-goakt.md")]
struct FromGoakt;
#[cfg(feature = "goakt")]
#[doc = include_str!("goakt.md")]
struct GoAkt;
#[doc = include_str!("PROTOCOL.md")]
struct Protocol;
