//! All that peers can reach in a system, to be printed.

use std::collections::BTreeMap;
use std::fmt;

use rakt_wire::is_reserved;

use super::core::{ActorSystem, ExposedKind};

/// All that peers can reach: kinds, actors, and the policy that says who may do what with them.
///
/// Printed, it has a line for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exposed {
    /// What peers may spawn.
    pub kinds: Vec<ExposedKind>,
    /// The kinds of grains, whether any of them live or not.
    pub grains: Vec<ExposedGrains>,
    /// The actors that live now, and are neither grains nor spawned as one of the kinds: those of one list of messages are
    /// together.
    /// Routers and topics are among them.
    pub actors: Vec<ExposedActors>,
    /// The [policy](crate::SystemBuilder::remoting), as it prints itself; `None` without remoting.
    pub policy: Option<String>,
}

/// A kind of grains, and what peers may send to them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExposedGrains {
    /// The name of the kind.
    pub kind: &'static str,
    /// The wire names of the messages that they accept from peers.
    pub accepts: Vec<&'static str>,
}

/// Actors that accept the same messages from peers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExposedActors {
    /// The wire names of the messages that they accept from peers. None: peers may look them up and watch them alone.
    pub accepts: Vec<&'static str>,
    /// How many there are.
    pub count: usize,
    /// The paths of the first eight, in the order of the alphabet.
    pub paths: Vec<String>,
}

/// How many paths are shown of actors that accept the same.
const SHOWN_PATHS: usize = 8;

impl ActorSystem {
    /// All that peers can reach here now: what they may spawn, what they may send, and the policy that narrows it. Looks
    /// at every actor.
    pub fn exposed(&self) -> Exposed {
        let policy = self.remoting().map(|remoting| remoting.policy());
        let kinds = self.0.grains.iter();
        let grains = kinds.map(|(kind, host)| ExposedGrains { kind, accepts: host.wire_names() });
        Exposed {
            kinds: self.kinds().exposed(),
            grains: grains.collect(),
            actors: self.exposed_actors(),
            policy,
        }
    }

    fn exposed_actors(&self) -> Vec<ExposedActors> {
        let mut all: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for cell in self.0.registry.all() {
            let is_grain = cell.parent().is_none() && cell.path().contains('/');
            if cell.kind().is_none() && !is_grain && !cell.path().split('/').any(is_reserved) {
                all.entry(cell.wire_names()).or_default().push(cell.path().to_owned());
            }
        }
        let together = |(accepts, mut paths): (_, Vec<String>)| {
            let count = paths.len();
            paths.sort_unstable();
            paths.truncate(SHOWN_PATHS);
            ExposedActors { accepts, count, paths }
        };
        all.into_iter().map(together).collect()
    }
}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self.kinds.iter().map(|kind| format!("kind {kind}"));
        let grains = self.grains.iter().map(|grains| format!("grains {grains}"));
        let actors = self.actors.iter().map(|actors| format!("actors {actors}"));
        let lines: Vec<_> = kinds.chain(grains).chain(actors).chain(self.policy.clone()).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl fmt::Display for ExposedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let argument = self.argument.unwrap_or_default();
        write!(f, "{}({argument}) accepts {}", self.kind, listed(&self.accepts))
    }
}

impl fmt::Display for ExposedGrains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} accept {}", self.kind, listed(&self.accepts))
    }
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "no messages".to_owned() } else { names.join(", ") }
}

impl fmt::Display for ExposedActors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.paths.join(", "))?;
        if self.count > self.paths.len() {
            write!(f, " and {} more", self.count - self.paths.len())?;
        }
        write!(f, " accept {}", listed(&self.accepts))
    }
}
