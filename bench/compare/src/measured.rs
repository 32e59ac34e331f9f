//! The clock, and what a client reports of its work.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::message::BULK_LEN;
use crate::process::{CpuClock, peak_memory};
use crate::stats::percentile;
use crate::workload::{Job, Workload};

/// What one client measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// What was done between start and stop of the clock: messages, or actors started.
    pub(crate) count: u64,
    pub(crate) seconds: f64,
    /// User and system, of all threads, between start and stop of the clock.
    pub(crate) client_cpu_seconds: f64,
    /// The same of all processes of the server; 0 where there is none.
    pub(crate) server_cpu_seconds: f64,
    /// The most that was ever resident.
    pub(crate) client_peak_bytes: u64,
    pub(crate) server_peak_bytes: u64,
    pub(crate) figures: Vec<Figure>,
}

/// One number of a workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// What is counted, with its unit.
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) more_is_better: bool,
}

impl Figure {
    pub(crate) fn gain(name: &str, value: f64) -> Self {
        Self { name: name.to_owned(), value, more_is_better: true }
    }

    pub(crate) fn cost(name: &str, value: f64) -> Self {
        Self { name: name.to_owned(), value, more_is_better: false }
    }

    /// The rate at which 1 MiB messages went.
    pub(crate) fn megabytes(messages: u64, elapsed: Duration) -> Self {
        Self::gain("MB/s", messages as f64 * BULK_LEN as f64 / 1e6 / elapsed.as_secs_f64())
    }
}

/// The middle of some latencies and what one in a hundred exceeds.
pub(crate) fn latencies(mut nanos: Vec<u64>) -> Vec<Figure> {
    nanos.sort_unstable();
    [("p50 µs", 0.5), ("p99 µs", 0.99)]
        .into_iter()
        .filter_map(|(name, fraction)| {
            Some(Figure::cost(name, percentile(&nanos, fraction)? as f64 / 1e3))
        })
        .collect()
}

/// A job with its clock running.
pub(crate) struct Run {
    job: Job,
    client: CpuClock,
    server: CpuClock,
    cpu_before: (Duration, Duration),
    began: Instant,
}

impl Job {
    /// Starts the clock, and notes the CPU time that both sides have used so far.
    pub(crate) fn start(&self) -> Result<Run> {
        let (client, server) = (CpuClock::of_self()?, CpuClock::of(&self.server_pids)?);
        Ok(Run {
            job: self.clone(),
            cpu_before: (client.now()?, server.now()?),
            client,
            server,
            began: Instant::now(),
        })
    }
}

impl Run {
    /// Stops the clock after the last of the job's messages, as a rate.
    pub(crate) fn finish(self) -> Result<Measured> {
        let elapsed = self.began.elapsed();
        let count = self.job.count;
        let rate = |name| Figure::gain(name, count as f64 / elapsed.as_secs_f64());
        let figure = match self.job.workload {
            Workload::Ask64 | Workload::LocalAsk => rate("asks/s"),
            Workload::Bulk => Figure::megabytes(count, elapsed),
            _ => rate("messages/s"),
        };
        self.measured(elapsed, count, vec![figure])
    }

    /// Stops the clock after `count` of something, for which `figures` were found.
    pub(crate) fn finish_with(
        self,
        count: u64,
        figures: impl IntoIterator<Item = Figure>,
    ) -> Result<Measured> {
        let elapsed = self.began.elapsed();
        self.measured(elapsed, count, figures.into_iter().collect())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn measured(self, elapsed: Duration, count: u64, figures: Vec<Figure>) -> Result<Measured> {
        let (client_before, server_before) = self.cpu_before;
        let (client, server) = (self.client.now()?, self.server.now()?);
        Ok(Measured {
            count,
            seconds: elapsed.as_secs_f64(),
            client_cpu_seconds: client.saturating_sub(client_before).as_secs_f64(),
            server_cpu_seconds: server.saturating_sub(server_before).as_secs_f64(),
            client_peak_bytes: peak_memory(&[std::process::id()])?,
            server_peak_bytes: peak_memory(&self.job.server_pids)?,
            figures,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_told_in_microseconds() {
        let figures = latencies((1..=1000).rev().map(|n| n * 1000).collect());
        assert_eq!(figures, [Figure::cost("p50 µs", 500.0), Figure::cost("p99 µs", 990.0)]);
        assert_eq!(latencies(Vec::new()), []);
    }

    #[test]
    fn megabytes_are_millions_of_bytes() {
        let figure = Figure::megabytes(1000, Duration::from_secs(2));
        assert!((figure.value - 524.288).abs() < 1e-9, "{}", figure.value);
    }
}
