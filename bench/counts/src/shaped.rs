//! Large messages over a slow line, with and without compression.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rakt::remote::Compression;

use crate::Result;
use crate::actors::{Count, Note, counter_over, on_one_thread};
use crate::memory::Memory;
use crate::wire::expect;

/// 100 Mbit/s.
const RATE: u32 = 100_000_000 / 8;
const MESSAGES: u64 = 64;
const LEN: usize = 1 << 20;

pub(crate) fn run() -> Result {
    println!("{MESSAGES} messages of 1 MiB over 100 Mbit/s, all on one thread");
    println!("{:<14} {:>6} {:>8} {:>13}", "payload", "", "MB/s", "of it written");
    for (name, payload) in [("log lines", log_lines(LEN)), ("random bytes", noise(LEN))] {
        for compression in [Compression::None, Compression::Zstd] {
            let payload = payload.clone();
            on_one_thread(async move {
                let (took, written) = send(payload, compression).await?;
                let sent = (MESSAGES * LEN as u64) as f64;
                let (rate, share) = (sent / 1e6 / took.as_secs_f64(), written as f64 / sent);
                println!("{name:<14} {compression:>6} {rate:>8.1} {:>11.1} %", share * 100.0);
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// The time until the receiver has counted all, and the bytes that the line took.
async fn send(payload: Bytes, compression: Compression) -> Result<(Duration, u64)> {
    let network = Memory::with_rate(RATE);
    let counter = counter_over(&network, compression).await?;
    let (start, before) = (Instant::now(), network.written());
    for _ in 0..MESSAGES {
        counter.tell(Note { payload: payload.clone() }).await?;
    }
    let counted = counter.ask(Count {}).timeout(Duration::from_secs(60)).await?;
    expect(counted.notes, MESSAGES)?;
    Ok((start.elapsed(), network.written() - before))
}

/// What a server writes into its log: compresses as text of machines does.
fn log_lines(len: usize) -> Bytes {
    let mut random = random();
    let mut text = String::with_capacity(len + 128);
    let mut millis = 1_700_000_000_000_u64;
    while text.len() < len {
        let (a, b) = (random(), random());
        millis += a % 50;
        let (method, path) =
            [("GET", "orders"), ("GET", "stock"), ("POST", "orders")][(a % 3) as usize];
        let (status, user, took) = ([200, 200, 201, 404][(b % 4) as usize], b >> 48, a >> 50);
        text += &format!("{millis} INFO {method} /api/{path}/{user} {status} took {took} us\n");
    }
    text.truncate(len);
    text.into()
}

fn noise(len: usize) -> Bytes {
    let mut random = random();
    std::iter::repeat_with(|| random().to_le_bytes()).flatten().take(len).collect()
}

/// Numbers that are the same in every run.
fn random() -> impl FnMut() -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}
