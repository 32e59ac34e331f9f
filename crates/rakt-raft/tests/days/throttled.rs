//! A node that has a fifth of a processor, and more to do than that.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rakt::prelude::*;

use crate::fleet::Toil;
use crate::history::Observer;
use crate::world::inside;

/// As long as this, in seconds. Default: 15.
const SECONDS: &str = "RAKT_THROTTLED_SECONDS";
/// Of each tenth of a second, in microseconds.
const QUOTA: &str = "20000";
const PERIOD: &str = "100000";

/// A control group, of either version, in which a process has little of the processor.
struct Group(PathBuf);

impl Group {
    fn of(process: u32) -> Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let name = format!("rakt-days-{process}-{}", fastrand::u32(..));
        let is_first = root.join("cpu/cpu.cfs_quota_us").parent().is_some_and(Path::is_dir);
        let group = Self(if is_first { root.join("cpu") } else { root.to_owned() }.join(name));
        if !is_first {
            // It is on already where there are services with quotas.
            let _ = std::fs::write(root.join("cgroup.subtree_control"), "+cpu");
        }
        std::fs::create_dir(&group.0)?;
        match is_first {
            true => {
                std::fs::write(group.0.join("cpu.cfs_period_us"), PERIOD)?;
                std::fs::write(group.0.join("cpu.cfs_quota_us"), QUOTA)?;
            }
            false => std::fs::write(group.0.join("cpu.max"), format!("{QUOTA} {PERIOD}"))?,
        }
        std::fs::write(group.0.join("cgroup.procs"), process.to_string())?;
        Ok(group)
    }

    /// How often it was held back.
    fn throttled(&self) -> Result<u64> {
        let stat = std::fs::read_to_string(self.0.join("cpu.stat"))?;
        let count = stat.lines().find_map(|line| line.strip_prefix("nr_throttled "));
        Ok(count.ok_or("it is counted")?.parse()?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It goes once the process has.
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
#[ignore = "needs root"]
fn a_throttled_node_takes_nobody_down() -> Result {
    inside("throttled::a_throttled_node_takes_nobody_down", async || {
        let seconds = std::env::var(SECONDS).ok().and_then(|seconds| seconds.parse().ok());
        let seconds = seconds.unwrap_or(15);
        // As a cluster has it that nobody has set anything for.
        let (mut fleet, observer) = Observer::founded(3, Duration::from_secs(8)).await?;
        observer.tells(1).await?.tell(Toil(seconds)).await?;
        let group = Group::of(fleet.nodes[&1].process())?;
        let since = observer.now();
        let mut removed = 0;
        while observer.now() - since < Duration::from_secs(seconds) {
            for node in [2, 3] {
                let up = observer.up(node).await?;
                assert!(up.contains(&2) && up.contains(&3), "node {node} knows {up:?}");
                removed += u64::from(!up.contains(&1));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // On a machine that is busy it may have less than its quota all the time.
        println!("held back {} times; looks that did not find it: {removed}", group.throttled()?);
        fleet.kill(1);
        drop(group);
        let killed = observer.now();
        observer.answers(killed, &[2, 3], &[2, 3]).await?;
        println!("{} answers", observer.end().await?);
        Ok(())
    })
}
