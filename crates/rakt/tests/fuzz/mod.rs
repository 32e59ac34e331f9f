//! What the fuzz targets of this crate run. Each target is one line in `fuzz/`, which includes this file; a test of
//! `tests/tls` runs the corpus through the same function on stable.
//!
//! ```text
//! data ──► client ── line ──► a node that takes TLS only
//! ```

mod client;
mod node;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use client::Forger;
use node::{NODE, Node};

use std::time::Duration;

/// A peer that has left is not kept for longer, in seconds of a paused clock.
const GONE: Duration = Duration::from_secs(60);

/// A peer may say what it likes before its handshake, in it and after it: the node does not panic, ends the connection,
/// and is left with as many tasks as before.
///
/// The first byte says which of these it is, the second how many bytes are written at once.
pub fn tls_accept(data: &[u8]) {
    let Some((&[how, most], script)) = data.split_first_chunk() else { return };
    NODE.with(|node| {
        node.runtime.block_on(async {
            let tasks = node.tasks();
            say(node, how, usize::from(most) + 1, script).await;
            node.has_only(tasks, GONE).await;
        });
    });
}

async fn say(node: &Node, how: u8, most: usize, script: &[u8]) {
    let is_native = how & 4 == 0;
    let mut line = match how % 4 {
        0 => {
            let mut line = node.dial(most, Vec::new());
            drop(line.write_all(script).await);
            line
        }
        1 => {
            let (edits, rest) = client::edits(script);
            let Ok(mut stream) = node.secure(most, edits, is_native).await else { return };
            drop(stream.write_all(&client::greeting()).await);
            drop(stream.write_all(rest).await);
            drop(stream.flush().await);
            stream.into_inner().0
        }
        _ => {
            let stream = node.secure(most, Vec::new(), is_native).await;
            let mut forger = Forger::new(stream.expect("a good handshake"));
            forger.say(script).await;
            forger.line
        }
    };
    drop(line.shutdown().await);
    let heard = timeout(GONE, line.read_to_end(&mut Vec::new())).await;
    assert!(heard.is_ok(), "the node has kept a connection whose peer has left");
}
