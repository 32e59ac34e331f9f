//! What compression costs and what it saves, on a network in memory whose bytes are counted and whose
//! clock stands still while nodes work. So nothing here depends on how fast the machine is.

use std::time::Duration;

use rakt::prelude::*;
use rakt::remote::Compression;
use tokio::time::Instant;

use crate::memory::Memory;
use crate::nodes::{config, node_with, remote};
use crate::probe::{Blob, Probe, echo, noise};
use crate::support::within;

/// A probe on one node, as seen from another.
async fn probe_over(network: &Memory, compression: Compression) -> Result<ActorRef<Probe>> {
    let options = || config().transport(network.clone()).compression(compression);
    let (here, there) = (node_with("here", options()).await, node_with("there", options()).await);
    Probe::spawn(&there, "probe").await;
    let probe = remote(&here, &there, "probe").await;
    within(probe.ask(echo("opens the connection"))).await?;
    // Names are written once, with the first message of a type.
    within(probe.tell(blob(Vec::new())).confirmed()).await?;
    Ok(probe)
}

fn blob(bytes: Vec<u8>) -> Blob {
    Blob { bytes, back: false }
}

/// Bytes on the line for `count` messages and what comes back for them.
async fn bytes_for(compression: Compression, count: usize, payload: &[u8]) -> Result<u64> {
    let network = Memory::default();
    let probe = probe_over(&network, compression).await?;
    let before = network.written();
    for _ in 0..count {
        within(probe.tell(blob(payload.to_vec())).confirmed()).await?;
    }
    Ok(network.written() - before)
}

#[tokio::test(start_paused = true)]
async fn a_small_payload_is_not_compressed_however_much_it_would_shrink() -> Result {
    // The fields around the zeros take three bytes; from 1024 on it is compressed.
    for (zeros, is_small) in [(64, true), (1020, true), (1021, false)] {
        let payload = vec![0; zeros];
        let plain = bytes_for(Compression::None, 100, &payload).await?;
        let zstd = bytes_for(Compression::Zstd, 100, &payload).await?;
        assert!(plain > 100 * zeros as u64, "{zeros} zeros: {plain} bytes for 100 of them");
        match is_small {
            true => assert_eq!(zstd, plain, "{zeros} zeros"),
            false => assert!(zstd < plain / 10, "{zeros} zeros: {zstd} bytes instead of {plain}"),
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_compression_does_not_make_smaller_leaves_as_it_is() -> Result {
    for len in [2_000, 1 << 20] {
        let payload = noise(len);
        let plain = bytes_for(Compression::None, 2, &payload).await?;
        assert_eq!(bytes_for(Compression::Zstd, 2, &payload).await?, plain, "{len} bytes");
    }
    Ok(())
}

/// What a server might log: text of which each line is new, and much like the one before.
fn log_lines(len: usize) -> Vec<u8> {
    let mut text = String::new();
    for (n, id) in noise(len / 8).chunks_exact(2).enumerate() {
        let (shop, user) = (id[0] % 8, id[1]);
        text += &format!("2024-05-06T07:08:{:02} INFO shop {shop}: user {user} has paid\n", n % 60);
    }
    let mut bytes = text.into_bytes();
    bytes.truncate(len);
    bytes
}

/// The time on the paused clock until 16 messages of 1 MiB have arrived over 100 Mbit/s. Only the line
/// makes it pass: compressing takes none.
async fn time_at_100_mbit(compression: Compression) -> Result<Duration> {
    let probe = probe_over(&Memory::with_rate(100_000_000 / 8), compression).await?;
    let payload = log_lines(1 << 20);
    assert_eq!(payload.len(), 1 << 20);
    let start = Instant::now();
    for _ in 0..16 {
        within(probe.tell(blob(payload.clone()))).await?;
    }
    within(probe.ask(echo("after all of them")).timeout(Duration::from_secs(30))).await?;
    Ok(start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn on_a_line_of_100_mbit_zstd_makes_large_text_several_times_as_fast() -> Result {
    let plain = time_at_100_mbit(Compression::None).await?;
    let zstd = time_at_100_mbit(Compression::default()).await?;
    // 16 MiB at 12.5 MB a second; the line makes up for at most a few milliseconds.
    let least = Duration::from_secs_f64(16.0 * 1_048_576.0 / 12.5e6 - 0.01);
    assert!(plain >= least && plain < least.mul_f64(1.1), "{plain:?} is not what the line takes");
    assert!(zstd * 3 < plain, "{zstd:?} with zstd, {plain:?} without");
    Ok(())
}
