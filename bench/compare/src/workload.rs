//! The work that every contestant does, and what a client reports of it.

use std::str::FromStr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::message::{BULK_LEN, SMALL_LEN};
use crate::process::CpuClock;
use crate::stats::percentile;

/// Asks under way at once in [`Workload::Ask64`].
pub(crate) const ASKERS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Workload {
    /// One ask after the other.
    #[serde(rename = "ask-1")]
    Ask1,
    /// 64 askers, each with one ask under way.
    #[serde(rename = "ask-64")]
    Ask64,
    /// One producer's small tells to one actor.
    Tell,
    /// One producer's large tells to one actor.
    Bulk,
}

impl Workload {
    pub(crate) const ALL: [Self; 4] = [Self::Ask1, Self::Ask64, Self::Tell, Self::Bulk];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ask1 => "ask-1",
            Self::Ask64 => "ask-64",
            Self::Tell => "tell",
            Self::Bulk => "bulk",
        }
    }

    /// Messages at scale 1; each takes about a second or more over bare TCP.
    fn full_count(self) -> u64 {
        match self {
            Self::Ask1 => 40_000,
            Self::Ask64 => 400_000,
            Self::Tell => 4_000_000,
            Self::Bulk => 2_000,
        }
    }

    pub(crate) fn count(self, scale: f64) -> u64 {
        ((self.full_count() as f64 * scale) as u64).max(ASKERS as u64)
    }

    /// Bytes in the payload of one message.
    pub(crate) fn payload_len(self) -> usize {
        match self {
            Self::Ask1 | Self::Ask64 | Self::Tell => SMALL_LEN,
            Self::Bulk => BULK_LEN,
        }
    }
}

impl FromStr for Workload {
    type Err = Box<dyn std::error::Error + Send + Sync>;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|workload| workload.name() == name)
            .ok_or_else(|| format!("no workload {name:?}").into())
    }
}

/// What one client is to do.
#[derive(Clone, Copy)]
pub(crate) struct Job {
    pub(crate) workload: Workload,
    /// Messages to measure.
    pub(crate) count: u64,
    pub(crate) port: u16,
    pub(crate) server_pid: i32,
}

impl Job {
    /// Messages to send before the clock starts, so that caches and windows have opened.
    pub(crate) fn warm_up(&self) -> u64 {
        (self.count / 20).max(1)
    }

    /// Starts the clock, and notes the CPU time that both processes have used so far.
    pub(crate) fn start(&self) -> Result<Run> {
        let (client, server) = (CpuClock::of_self()?, CpuClock::of(self.server_pid)?);
        Ok(Run {
            job: *self,
            cpu_before: (client.now()?, server.now()?),
            client,
            server,
            began: Instant::now(),
        })
    }
}

/// A job with its clock running.
pub(crate) struct Run {
    job: Job,
    client: CpuClock,
    server: CpuClock,
    cpu_before: (Duration, Duration),
    began: Instant,
}

impl Run {
    /// Stops the clock after the last of the job's messages, as a rate.
    pub(crate) fn finish(self) -> Result<Measured> {
        let elapsed = self.began.elapsed();
        let per_second = self.job.count as f64 / elapsed.as_secs_f64();
        let megabytes = per_second * self.job.workload.payload_len() as f64 / 1e6;
        let figure = match self.job.workload {
            Workload::Ask1 | Workload::Ask64 => Figure::rate("asks/s", per_second),
            Workload::Tell => Figure::rate("messages/s", per_second),
            Workload::Bulk => Figure::rate("MB/s", megabytes),
        };
        self.measured(elapsed, vec![figure])
    }

    /// Stops the clock; `nanos` holds how long each of the job's messages took.
    pub(crate) fn finish_with_latencies(self, mut nanos: Vec<u64>) -> Result<Measured> {
        let elapsed = self.began.elapsed();
        nanos.sort_unstable();
        let micros = |fraction| percentile(&nanos, fraction).map(|nanos| nanos as f64 / 1e3);
        let figures = [("p50 µs", 0.5), ("p99 µs", 0.99)]
            .into_iter()
            .filter_map(|(name, fraction)| Some(Figure::time(name, micros(fraction)?)))
            .collect();
        self.measured(elapsed, figures)
    }

    fn measured(self, elapsed: Duration, figures: Vec<Figure>) -> Result<Measured> {
        let (client_before, server_before) = self.cpu_before;
        Ok(Measured {
            count: self.job.count,
            seconds: elapsed.as_secs_f64(),
            client_cpu_seconds: (self.client.now()?.saturating_sub(client_before)).as_secs_f64(),
            server_cpu_seconds: (self.server.now()?.saturating_sub(server_before)).as_secs_f64(),
            figures,
        })
    }
}

/// What one client measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) count: u64,
    pub(crate) seconds: f64,
    pub(crate) client_cpu_seconds: f64,
    pub(crate) server_cpu_seconds: f64,
    pub(crate) figures: Vec<Figure>,
}

/// One number of a workload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// What is counted, with its unit.
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) more_is_better: bool,
}

impl Figure {
    fn rate(name: &str, value: f64) -> Self {
        Self { name: name.to_owned(), value, more_is_better: true }
    }

    fn time(name: &str, value: f64) -> Self {
        Self { name: name.to_owned(), value, more_is_better: false }
    }
}

/// That every note arrived, as the server counts them.
pub(crate) fn check_count(counted: u64, sent: u64) -> Result {
    if counted == sent {
        return Ok(());
    }
    Err(format!("{sent} messages were sent, the server counted {counted}").into())
}
