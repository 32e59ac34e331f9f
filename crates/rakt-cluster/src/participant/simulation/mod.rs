//! A whole cluster in one thread: participants, hosts, callers, clocks, a network and a register, all of one seed.
//!
//! | file | holds |
//! | --- | --- |
//! | `state` | what there is |
//! | `world` | what happens, in order of time |
//! | `node` | what lies between a participant and the world, and those who look for grains |
//! | `network`, `register`, `random` | what they say |
//! | `checks` | what must hold at any time |
//! | `chaos` | random faults of many seeds |
//! | `scenarios` | faults by name |
//! | `available` | what becomes of grains that are hosted without a lease |
//! | `liars` | who is no member, and speaks |
//! | `restarts` | many that come at once |
//! | `takeovers` | what is told of those that were removed |
//! | `versions` | what becomes of nodes of different versions |
//!
//! `RAKT_NODES=500 cargo test -p rakt-cluster restarts` restarts so many at once.
//!
//! `RAKT_SEEDS=10000 cargo test -p rakt-cluster seeds` runs so many, from `RAKT_FIRST` on; `RAKT_SEED=7` one alone. What
//! fails is run again with a trace, whose end is shown: `RAKT_TRACE` lines.

mod available;
mod chaos;
mod checks;
mod liars;
mod network;
mod node;
mod random;
mod register;
mod restarts;
mod scenarios;
mod state;
mod takeovers;
mod versions;
mod world;
