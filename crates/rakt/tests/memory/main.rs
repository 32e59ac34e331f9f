//! What rakt holds in memory. An allocator counts, or the memory of the whole process is looked at, so
//! these tests take turns.
//!
//! | file | asks |
//! | --- | --- |
//! | `allocations.rs` | how many allocations does a remote message cost on each side? |
//! | `allocator.rs` | (the allocator that counts) |
//! | `bombs.rs` | what does a small payload cost that becomes large? |
//! | `goakt_peers.rs` | what do connections of Go nodes keep? |
//! | `hostile_peers.rs` | how much can peers make a node hold that try to? |
//! | `idle_actors.rs` | what does an idle actor cost? |
//! | `idle_grains.rs` | what does a grain cost, while it lives and when it does not? |
//! | `idle_peers.rs`, `tls_peers.rs` | what does a peer cost that is connected and says nothing? |

mod allocator;
#[cfg(feature = "_tls")]
#[allow(dead_code, reason = "the tests of TLS use the rest")]
#[path = "../tls/certificates.rs"]
mod certificates;
#[cfg(feature = "goakt")]
#[expect(dead_code, reason = "the tests of what peers do use the rest")]
#[path = "../support/goakt.rs"]
mod goakt;
#[cfg(target_os = "linux")]
#[expect(dead_code, reason = "the tests of what peers do use the rest")]
#[path = "../support/hostile.rs"]
mod hostile;
#[cfg(feature = "goakt")]
#[expect(dead_code, reason = "the tests of what peers do use the rest")]
#[path = "../support/memory.rs"]
mod memory;
#[path = "../support/messages.rs"]
mod messages;
#[cfg(feature = "_tls")]
#[allow(dead_code, reason = "the tests of TLS use the rest")]
#[path = "../tls/strangers.rs"]
mod strangers;
#[expect(dead_code, reason = "the tests of what peers do use the rest")]
#[path = "../support/mod.rs"]
mod support;

mod allocations;
#[cfg(target_os = "linux")]
mod bombs;
#[cfg(feature = "goakt")]
mod goakt_peers;
#[cfg(target_os = "linux")]
mod hostile_peers;
mod idle_actors;
mod idle_grains;
mod idle_peers;
#[cfg(feature = "_tls")]
mod tls_peers;

/// Held by the test that runs.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
