//! The disk of a node that votes is full.

use std::process::Command;
use std::time::Duration;

use rakt::prelude::*;

use crate::fleet::{Fleet, LEASE, Rewrite};
use crate::history::Observer;
use crate::world::inside;

/// More than has room in what a log of redb sets aside, by far.
const MOST_WRITES: u64 = 2_000;

#[test]
#[ignore = "needs root"]
fn a_voter_whose_disk_is_full_says_so_and_votes_again_with_room() -> Result {
    inside("full_disk::a_voter_whose_disk_is_full_says_so_and_votes_again_with_room", async || {
        let fleet = Fleet::new(3, LEASE)?;
        let dir = fleet.dir(1);
        std::fs::create_dir(&dir)?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(&dir)
            .status()?;
        assert!(mounted.success());
        let (mut fleet, observer) = Observer::of(fleet, 3).await?;
        let ballast = dir.join("ballast");
        // Until nothing more fits.
        let full = std::io::copy(&mut std::io::repeat(1), &mut std::fs::File::create(&ballast)?);
        assert_eq!(full.map_err(|error| error.kind()), Err(std::io::ErrorKind::StorageFull));
        let (tells, mut written) = (observer.tells(2).await?, 0);
        // What the log has set aside takes some.
        while !fleet.nodes[&1].has_said("votes no more") {
            assert!(written < MOST_WRITES, "it says nothing of its disk");
            written += tells.ask(Rewrite(10)).timeout(Duration::from_secs(60)).await?;
        }
        println!("it votes no more after {written} writes");
        // It is a member as before, and asks the others.
        let all = observer.nodes();
        observer.answers(observer.now(), all, all).await?;

        std::fs::remove_file(&ballast)?;
        fleet.kill(1);
        fleet.launch(1)?;
        let fleet = tokio::task::spawn_blocking(move || {
            fleet.ready().map(|()| fleet).map_err(|error| error.to_string())
        });
        let mut fleet = fleet.await??;
        observer.members(all, all).await?;
        // It counts again: without another one there is a majority.
        fleet.kill(3);
        let killed = observer.now();
        observer.answers(killed, &[1, 2], &[1, 2]).await?;
        println!("{} answers", observer.end().await?);
        Ok(())
    })
}
