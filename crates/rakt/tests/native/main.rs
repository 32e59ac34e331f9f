//! Nodes that talk over the native protocol: one file per capability.
//!
//! | file | asks |
//! | --- | --- |
//! | `backoff.rs` | how often is a peer dialed that is of no use? |
//! | `blocking.rs` | what goes on while handlers block their threads? |
//! | `broken.rs` | what becomes of what a peer has sent when no more can be written to it? |
//! | `causes.rs` | what does an asker hear of what caused an error? |
//! | `compression.rs` | what does compression cost, and what does it save? |
//! | `decoded.rs` | what may a message become when it is decoded? |
//! | `descriptors.rs` | does a node go on that has used up its file descriptors? |
//! | `drain.rs` | what becomes of requests under way when a node shuts down? |
//! | `eager.rs` | how much may a peer send that is cheap? |
//! | `farewell.rs` | how long does a node wait for a peer that does not let go? |
//! | `hostile_frames.rs` | what does a peer hear that breaks the rules of an open connection? |
//! | `hostile_handshake.rs` | who does not get past the greeting? |
//! | `hostile_messages.rs` | what becomes of messages that are well-formed and not welcome? |
//! | `incompatible.rs` | what does a caller hear of a peer that speaks no protocol of ours? |
//! | `injection.rs` | can what a peer writes be more than one line of a log? |
//! | `logs.rs` | how much can a peer write to the log? |
//! | `management.rs` | can the actors of another node be spawned, stopped and asked about? |
//! | `messaging.rs` | what can be said to an actor on another node, and how is it answered? |
//! | `names.rs` | can a name that a caller gives harm a connection? |
//! | `options.rs` | does every option of remoting change what happens? |
//! | `own_node.rs` | what if the node that is asked is one's own? |
//! | `peer.rs` | what does a handler know of the peer that a message came from? |
//! | `policy.rs` | what may peers do, and what do they hear of what they may not? |
//! | `policy_file.rs` | what becomes of peers when the file of the policy changes? |
//! | `processes.rs` | what holds when a process is killed, stopped or restarted? |
//! | `promises.rs` | do order, at most once, one outcome and the bounds hold? |
//! | `references.rs` | what do references mean that travel in messages? |
//! | `senders.rs` | in whose name may a peer send, and what do messages of a framework do? |
//! | `respawned.rs` | what becomes of messages to a name that another actor has taken? |
//! | `serde_types.rs` | what do serde types become on their way? |
//! | `routing.rs` | what do pools and routers take from peers? |
//! | `simulated.rs` | do they hold while the network is cut and hosts restart? |
//! | `sink.rs` | what becomes of messages that are fed to a sink, or taken from a stream? |
//! | `slow.rs` | how long may a peer take for a frame? |
//! | `unconfirmed.rs` | how many tells may be lost with a connection? |
//! | `topic.rs` | who hears what is published? |
//! | `streams.rs` | does a reply that is a stream come whole, in order and no faster than it is wanted? |
//! | `watch.rs` | who hears of the end of an actor on another node? |

#[path = "../support/breaking.rs"]
mod breaking;
#[path = "../support/cable.rs"]
mod cable;
#[expect(dead_code, reason = "the tests of memory use the rest")]
#[path = "../support/hostile.rs"]
mod hostile;
#[path = "../support/memory.rs"]
mod memory;
#[path = "../support/messages.rs"]
mod messages;
#[path = "../support/nodes.rs"]
mod nodes;
#[path = "../support/probe.rs"]
mod probe;
#[path = "../support/mod.rs"]
mod support;

mod backoff;
mod blocking;
mod broken;
mod causes;
#[cfg(feature = "zstd")]
mod compression;
mod decoded;
#[cfg(target_os = "linux")]
mod descriptors;
mod drain;
mod eager;
mod farewell;
mod hostile_frames;
mod hostile_handshake;
mod hostile_messages;
mod incompatible;
mod injection;
mod logs;
mod management;
mod messaging;
mod names;
mod options;
#[cfg(unix)]
mod own_node;
mod peer;
mod policy;
mod policy_file;
mod processes;
mod promises;
#[cfg(feature = "postcard")]
mod references;
mod respawned;
mod routing;
mod senders;
#[cfg(feature = "postcard")]
mod serde_types;
mod simulated;
mod sink;
mod slow;
mod streams;
mod topic;
mod unconfirmed;
mod watch;
