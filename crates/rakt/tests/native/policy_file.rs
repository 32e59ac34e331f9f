//! A policy in a file: what changes in it holds for peers that are connected.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rakt::prelude::*;
use rakt::remote::{Policy, PolicyError, Role, Verb};
use rakt::{AskError, Event, Events, Refusal};
use rakt_wire::Code;

use crate::hostile::{Raw, Target, hello};
use crate::memory::Memory;
use crate::messages::Echo;
use crate::nodes::{config, node_with, remote};
use crate::policy::attempt;
use crate::support::lines::Lines;
use crate::support::{event, within};

/// A directory with a policy in it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rakt-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        let place = Self(path);
        place.write(text);
        place
    }

    fn file(&self) -> PathBuf {
        self.0.join("policy.toml")
    }

    fn write(&self, text: impl AsRef<[u8]>) {
        std::fs::write(self.file(), text).expect("a file");
    }

    fn policy(&self) -> Policy {
        Policy::from_file(self.file()).expect("a policy")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Everybody on this machine may do this with `target`.
fn may(verbs: &str) -> String {
    format!(
        "basis = 'nobody'\nroles.some.rules = [{{ may = [{verbs}], path = 'target' }}]\n\
         grants.'address:**' = 'some'\n"
    )
}

const ALL: &str = "'tell', 'ask', 'lookup'";

/// Two nodes on a network in memory, the second with that policy and an actor on it, which the first one knows.
async fn pair(policy: Policy) -> (ActorSystem, ActorSystem, ActorRef<Target>) {
    let memory = Memory::default();
    let here = node_with("here", config().transport(memory.clone())).await;
    let there = node_with("there", config().transport(memory).policy(policy)).await;
    there.spawn("target", Target::default).await.expect("it starts");
    let target = remote(&here, &there, "target").await;
    (here, there, target)
}

async fn is_allowed(target: &ActorRef<Target>) -> bool {
    match within(target.ask(Echo::default())).await {
        Ok(_) => true,
        Err(AskError::Refused { refusal: Refusal::Denied { .. }, .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

async fn reload_failed(events: &mut Events) -> String {
    event(events, |event| match event {
        Event::PolicyReloadFailed { reason } => Some(rakt::error::Chain(&reason).to_string()),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_peer_loses_and_gains_rights_with_its_next_word() -> Result {
    let place = Place::new("mid-stream", &may(ALL));
    let builder = ActorSystem::builder("victim").remoting(config().policy(place.policy()));
    let system = builder.start().await?;
    system.spawn("target", Target::default).await?;
    let mut raw = Raw::dial(system.advertised().1, hello()).await?;
    let code = |failure: Option<rakt_wire::Failure>| failure.map(|failure| failure.code);
    for _ in 0..2 {
        assert_eq!(attempt(&mut raw, Verb::Ask, "target").await, None);
        assert_eq!(attempt(&mut raw, Verb::Tell, "target").await, None);
    }
    assert_eq!(code(attempt(&mut raw, Verb::Stop, "target").await), Some(Code::Denied));
    assert!(!system.reload_policy().await?, "it is the same");
    place.write(may("'stop', 'tell'"));
    assert!(system.reload_policy().await?);
    assert_eq!(code(attempt(&mut raw, Verb::Ask, "target").await), Some(Code::Denied));
    assert_eq!(attempt(&mut raw, Verb::Tell, "target").await, None);
    place.write(may("'stop'"));
    assert!(system.reload_policy().await?);
    assert_eq!(code(attempt(&mut raw, Verb::Tell, "target").await), Some(Code::Denied));
    assert_eq!(attempt(&mut raw, Verb::Stop, "target").await, None);
    assert_eq!(system.exposed().policy, Some(place.policy().to_string()));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_changes_in_the_file_holds_within_ten_seconds() {
    let place = Place::new("watched", &may(ALL));
    let (_here, _there, target) = pair(place.policy()).await;
    for _ in 0..3 {
        assert!(is_allowed(&target).await);
        place.write(may("'tell'"));
        tokio::time::sleep(Duration::from_secs(11)).await;
        assert!(!is_allowed(&target).await);
        place.write(may(ALL));
        tokio::time::sleep(Duration::from_secs(11)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_file_is_logged_once() {
    let (lines, _guard) = Lines::capture();
    let place = Place::new("logged", &may(ALL));
    let (_here, _there, target) = pair(place.policy()).await;
    place.write(may("'tell'"));
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert!(!is_allowed(&target).await);
    let line = lines.only("the file of the policy has changed");
    assert!(line.contains("roles: 1 changed"), "{line}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_used_changes_nothing_and_is_told_once_a_minute() {
    let (lines, _guard) = Lines::capture();
    let place = Place::new("broken", &may(ALL));
    let (_here, there, target) = pair(place.policy()).await;
    let mut events = there.events();
    let whole = may("'tell'");
    let half = &whole.as_bytes()[..whole.len() / 2];
    let wrong: [(&[u8], &str); 5] = [
        (b"", "basis: it is missing"),
        (half, "no TOML"),
        (b"basis = 'nobody'\xff", "is not UTF-8"),
        (b"basis = 'nobody'\nroles.a.may_manage = '/'", "neither begins nor ends"),
        (&vec![b'#'; 2 << 20], "the limit is 1 MiB"),
    ];
    for (bytes, why) in wrong {
        place.write(bytes);
        let error = there.reload_policy().await.expect_err("of no use");
        let error = rakt::error::Chain(&error).to_string();
        assert!(error.contains(why), "{error}");
        assert!(error.starts_with(&place.file().display().to_string()), "{error}");
        assert!(is_allowed(&target).await, "the old one stays");
        assert_eq!(reload_failed(&mut events).await, error, "and it is told");
        // What is good again is no news, and what is wrong after that is.
        place.write(may(ALL));
        tokio::time::sleep(Duration::from_secs(11)).await;
    }
    lines.take();
    std::fs::remove_file(place.file()).expect("it is there");
    tokio::time::sleep(Duration::from_secs(179)).await;
    let told = lines.take();
    let told: Vec<_> = told.iter().filter(|line| line.contains("the old policy stays")).collect();
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told.iter().all(|line| line.contains("policy.toml cannot be read")), "{told:#?}");
    assert!(is_allowed(&target).await, "the old one stays");
    // What is wrong in another way is told at once.
    place.write(b"");
    tokio::time::sleep(Duration::from_secs(11)).await;
    lines.only("basis: it is missing");
    place.write(may("'tell'"));
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(!is_allowed(&target).await, "it is back");
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_set_takes_the_place_of_the_file() -> Result {
    let (place, other) = (Place::new("first", &may(ALL)), Place::new("second", &may("'tell'")));
    let (_here, there, target) = pair(place.policy()).await;
    there.set_policy(Policy::new())?;
    place.write(may("'ask'"));
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!there.reload_policy().await?, "there is no file");
    assert!(!is_allowed(&target).await, "what was set is not undone by the file");
    there.set_policy(other.policy())?;
    assert!(!is_allowed(&target).await);
    other.write(may(ALL));
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(is_allowed(&target).await, "the file of that one is looked at");
    // There and back: each time it is the last one that counts.
    let first = place.policy();
    there.set_policy(first.clone())?;
    there.set_policy(Policy::new())?;
    there.set_policy(first)?;
    place.write(may("'tell'"));
    other.write(may("'ask'"));
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(!is_allowed(&target).await);
    let changed = place.policy().role("more", Role::new());
    let error = there.set_policy(changed).expect_err("it would be lost").to_string();
    assert!(error.contains("roles and grants are added there"), "{error}");
    Ok(())
}

/// A directory with a link that is swapped, as mounted secrets of Kubernetes are.
#[cfg(unix)]
#[tokio::test]
async fn a_swapped_link_is_noticed_each_time() -> Result {
    let texts = [may(ALL), may("'tell'"), may("'ask'")];
    let places = [0, 1, 2].map(|n| Place::new(&format!("swap-{n}"), &texts[n]));
    let link = std::env::temp_dir().join(format!("rakt-{}-policy-data", std::process::id()));
    let point = |to: &Path| -> Result {
        let new = link.with_extension("new");
        std::os::unix::fs::symlink(to, &new)?;
        Ok(std::fs::rename(new, &link)?)
    };
    point(&places[0].0)?;
    let policy = Policy::from_file(link.join("policy.toml"))?;
    let system = node_with("swapped", config().policy(policy)).await;
    for to in [1, 2, 0] {
        point(&places[to].0)?;
        assert!(system.reload_policy().await?);
        assert!(!system.reload_policy().await?);
        assert_eq!(system.exposed().policy, Some(places[to].policy().to_string()));
    }
    std::fs::remove_file(&link)?;
    let error = system.reload_policy().await.expect_err("it is gone");
    assert!(matches!(error, PolicyError::Unreadable { .. }), "{error}");
    Ok(())
}
