//! What can be set.

use std::path::PathBuf;
use std::time::Duration;

use openraft::SnapshotPolicy;

use crate::call::MOST_ENTRIES;
use crate::founding::{MOST_NODES, Times};

/// The options of a register.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) dir: PathBuf,
    pub(crate) expect: Option<u32>,
    pub(crate) settle: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) start_timeout: Duration,
    pub(crate) change_interval: Duration,
}

impl Options {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            expect: None,
            settle: Duration::from_secs(5),
            heartbeat: Duration::from_millis(300),
            request_timeout: Duration::from_secs(5),
            start_timeout: Duration::from_secs(600),
            change_interval: Duration::from_secs(60),
        }
    }

    /// What is wrong with them.
    pub(crate) fn fault(&self) -> Option<String> {
        match self.expect {
            Some(n) if !(1..=MOST_NODES).contains(&n) => Some(format!(
                "1 to {MOST_NODES} nodes found a cluster, and not {n}: more of them join it later"
            )),
            _ if self.heartbeat < Duration::from_millis(10)
                || self.heartbeat > Duration::from_secs(60) =>
            {
                Some(format!("a heartbeat is 10 ms to 60 s, and not {:?}", self.heartbeat))
            }
            _ => None,
        }
    }

    /// How often the others are asked who they are.
    pub(crate) fn poll_interval(&self) -> Duration {
        (self.settle / 10).clamp(Duration::from_millis(20), Duration::from_millis(500))
    }

    pub(crate) fn hello_timeout(&self) -> Duration {
        Duration::from_secs(1)
    }

    pub(crate) fn times(&self) -> Times {
        // In the time that one poll takes when somebody does not answer, others are not heard of.
        let fresh = (self.hello_timeout() + self.poll_interval()) * 2;
        Times { settle: self.settle, fresh, patience: self.settle * 6 + Duration::from_secs(5) }
    }

    pub(crate) fn raft(&self) -> Result<openraft::Config, String> {
        let heartbeat = self.heartbeat.as_millis() as u64;
        let config = openraft::Config {
            cluster_name: "rakt".to_owned(),
            heartbeat_interval: heartbeat,
            election_timeout_min: 3 * heartbeat,
            election_timeout_max: 6 * heartbeat,
            max_payload_entries: MOST_ENTRIES as u64,
            // Who is to become a voter has to have all but so many entries.
            replication_lag_threshold: 8,
            // Where snapshots are sent, installed and logs purged is where consensus has been wrong most often.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: u64::MAX,
            ..openraft::Config::default()
        };
        config.validate().map_err(|error| error.to_string())
    }
}
