//! The work that every contestant does.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::message::{BULK_LEN, SMALL_LEN};

/// Asks under way at once in [`Workload::Ask64`].
pub(crate) const ASKERS: usize = 64;
/// Tasks that send in [`Workload::Fan`].
pub(crate) const PRODUCERS: usize = 20;
/// Actors that they send to: producer `p` to those whose index leaves `p` when divided by [`PRODUCERS`].
pub(crate) const TARGETS: usize = 2000;
/// Tasks that tell in [`Workload::LocalTell8`].
pub(crate) const TELLERS: usize = 8;
/// Asks for each peer in [`Workload::Links`].
pub(crate) const ASKS_PER_LINK: u64 = 20;
/// [`Workload::Mixed`] ends after this long, however many asks were answered.
pub(crate) const MIXED_LIMIT: Duration = Duration::from_secs(5);

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
    /// 20 producers' small tells to 2,000 actors.
    Fan,
    /// One producer's large tells to one actor.
    Bulk,
    /// One ask after the other to one actor, large tells to another beside it.
    Mixed,
    /// One ask after the other, with 1,000 idle peers beside it.
    Links,
    /// [`Self::Tell`] within one process.
    LocalTell,
    /// The same by 8 producers.
    #[serde(rename = "local-tell-8")]
    LocalTell8,
    /// One ask after the other within one process.
    LocalAsk,
    /// Starting actors that then have nothing to do.
    Spawn,
}

impl Workload {
    pub(crate) const ALL: [Self; 11] = [
        Self::Ask1,
        Self::Ask64,
        Self::Tell,
        Self::Fan,
        Self::Bulk,
        Self::Mixed,
        Self::Links,
        Self::LocalTell,
        Self::LocalTell8,
        Self::LocalAsk,
        Self::Spawn,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ask1 => "ask-1",
            Self::Ask64 => "ask-64",
            Self::Tell => "tell",
            Self::Fan => "fan",
            Self::Bulk => "bulk",
            Self::Mixed => "mixed",
            Self::Links => "links",
            Self::LocalTell => "local-tell",
            Self::LocalTell8 => "local-tell-8",
            Self::LocalAsk => "local-ask",
            Self::Spawn => "spawn",
        }
    }

    /// Whether it happens within one process.
    pub(crate) fn is_local(self) -> bool {
        matches!(self, Self::LocalTell | Self::LocalTell8 | Self::LocalAsk | Self::Spawn)
    }

    /// Whether it is worth a second look with both sides on one core, where nothing waits for another
    /// core to wake.
    pub(crate) fn is_told_on_one_core(self) -> bool {
        matches!(self, Self::Ask1 | Self::Ask64 | Self::LocalTell | Self::LocalAsk)
    }

    /// At scale 1: messages, and with `links` peers, with `spawn` actors.
    fn full_count(self) -> u64 {
        match self {
            Self::Ask1 => 40_000,
            Self::Ask64 => 200_000,
            Self::Tell | Self::Fan | Self::LocalTell | Self::LocalTell8 => 4_000_000,
            Self::Bulk => 1024,
            Self::Mixed => 2000,
            Self::Links => 1000,
            Self::LocalAsk | Self::Spawn => 1_000_000,
        }
    }

    /// At least one for each asker or producer.
    pub(crate) fn count(self, scale: f64) -> u64 {
        let least = match self {
            Self::Ask64 => ASKERS as u64,
            Self::Fan => TARGETS as u64,
            _ => 8,
        };
        ((self.full_count() as f64 * scale) as u64).max(least)
    }

    /// Messages of the two runs whose difference is in instructions what a message costs; `None` where time
    /// or other things say how many there are.
    pub(crate) fn counted(self) -> Option<[u64; 2]> {
        match self {
            Self::Ask1 => Some([1000, 5000]),
            Self::Ask64 => Some([6400, 32_000]),
            Self::Tell | Self::LocalTell => Some([20_000, 120_000]),
            Self::LocalAsk => Some([5000, 25_000]),
            Self::Fan | Self::Bulk | Self::Mixed | Self::Links => None,
            Self::LocalTell8 | Self::Spawn => None,
        }
    }

    /// Bytes in the payload of one message; with `mixed`, of one ask.
    pub(crate) fn payload_len(self) -> usize {
        match self {
            Self::Bulk => BULK_LEN,
            _ => SMALL_LEN,
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
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) workload: Workload,
    /// How much of it, see [`Workload::count`].
    pub(crate) count: u64,
    /// Of the server; 0 where the workload is local.
    pub(crate) port: u16,
    /// The processes of the server; none where the workload is local.
    pub(crate) server_pids: Vec<u32>,
}

impl Job {
    /// Messages to send before the clock starts, so that caches and windows have opened.
    pub(crate) fn warm_up(&self) -> u64 {
        warm_up(self.count)
    }
}

/// See [`Job::warm_up`].
pub(crate) fn warm_up(count: u64) -> u64 {
    (count / 20).max(1)
}

/// That every note arrived, as the server counts them.
pub(crate) fn check_count(counted: u64, sent: u64) -> Result {
    if counted == sent {
        return Ok(());
    }
    Err(format!("{sent} messages were sent, the server counted {counted}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_is_found_by_its_name() {
        for workload in Workload::ALL {
            assert_eq!(workload.name().parse::<Workload>().ok(), Some(workload));
            let json = serde_json::to_value(workload).expect("a name");
            assert_eq!(json, workload.name());
        }
        assert!("ask".parse::<Workload>().is_err());
    }

    #[test]
    fn a_small_scale_leaves_something_to_do_for_everyone() {
        assert_eq!(Workload::Ask64.count(1e-9), ASKERS as u64);
        assert_eq!(Workload::Fan.count(1e-9), TARGETS as u64);
        assert_eq!(Workload::Links.count(0.5), 500);
    }
}
