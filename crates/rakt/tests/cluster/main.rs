//! Clusters, through the public API.
//!
//! | file | asks |
//! | --- | --- |
//! | `available.rs` | what becomes of grains that are to serve on without a lease? |
//! | `bad_days.rs` | what goes wrong as nodes start, stop, and pass messages on? |
//! | `clients.rs` | do those who are no members reach grains, by whichever node is there? |
//! | `liars.rs` | what do nodes achieve that lie to clients? |
//! | `names.rs` | is what has a name of the cluster, or is kept alive, there once? |
//! | `outage.rs` | what becomes of grains while the register is out of reach? |
//! | `nodes.rs` | do grains live once, wherever they are asked from and whoever leaves? |
//! | `passing.rs` | what becomes of messages to a grain that lives elsewhere next? |
//! | `processes.rs` | what if the nodes are processes, which are killed, stand still and start again? |
//! | `references.rs` | what can be done with a reference to a grain of another node? |
//! | `secured.rs` | who is heard as a member, over TLS? |
//! | `versions.rs` | do versions live side by side, and is one told that is too old or too new for the others? |
//! | `figures.rs` | how fast is that, with processes? |
//! | `readiness.rs` | does a node say truly whether it does its part? |
//! | `still.rs` | does what has a name of the cluster stand still without a lease? |
//! | `waiting.rs` | what becomes of what is sent to a grain whose node has no lease? |
//! | `told.rs` | what are operators told? |
//! | `register.rs` | does the suite for registers find whatever breaks a promise? |
//! | `faulty_register.rs` | does a register fail as the test says, and is what it answers still one order? |

mod available;
mod bad_days;
mod clients;
mod faulty_register;
#[cfg(target_os = "linux")]
mod figures;
#[cfg(unix)]
#[allow(dead_code, reason = "figures need the rest")]
mod fleet;
#[allow(dead_code, reason = "the native tests use the rest")]
#[path = "../support/hostile.rs"]
mod hostile;
#[allow(dead_code, reason = "the example needs the rest")]
#[path = "../../examples/cluster/keeper.rs"]
mod keeper;
mod liars;
#[allow(dead_code, reason = "the native tests use the rest")]
#[path = "../support/messages.rs"]
mod messages;
mod names;
mod nodes;
mod outage;
mod passing;
#[cfg(unix)]
mod processes;
mod readiness;
mod references;
mod register;
#[cfg(feature = "_tls")]
mod secured;
mod still;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/mod.rs"]
mod support;
mod told;
mod versions;
mod waiting;
