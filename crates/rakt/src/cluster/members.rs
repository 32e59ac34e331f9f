//! Who is in a cluster, for people and programs.

use std::fmt;

use rakt_cluster::view::State;
use rakt_cluster::{Stamp, View};

/// The members of a cluster, as a node knows them: see [`ActorSystem::members`](crate::ActorSystem::members).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Members {
    /// The generation and the version of the view; the later one is greater. Both are 0 as long as none is known.
    pub view: (u64, u64),
    /// All that are listed, by their numbers.
    pub members: Vec<Member>,
}

/// One member of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// Its number, in hexadecimal digits: random at each start.
    pub id: String,
    /// Where it listens, without the port.
    pub host: String,
    /// The port there.
    pub port: u16,
    /// How far it has come.
    pub state: MemberState,
    /// Its roles.
    pub roles: Vec<String>,
    /// Where it stands; empty if it did not say.
    pub zone: String,
}

/// How far a member has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemberState {
    /// It has asked to be let in, and hosts nothing yet.
    Joining,
    /// It hosts grains.
    Up,
    /// It is on its way out.
    Leaving,
    /// Others have removed it, and wait until it can host nothing any more.
    Dead,
}

impl Members {
    pub(super) fn of(view: &View) -> Self {
        let Stamp { generation, version } = view.stamp();
        let members = view.members().iter().map(|member| Member {
            id: member.id.to_string(),
            host: member.host.clone(),
            port: member.port,
            state: match member.state {
                State::Joining => MemberState::Joining,
                State::Up => MemberState::Up,
                State::Leaving => MemberState::Leaving,
                State::Dead { .. } => MemberState::Dead,
            },
            roles: member.roles.iter().cloned().collect(),
            zone: member.zone.clone(),
        });
        Self { view: (generation, version), members: members.collect() }
    }

    /// Those that host grains.
    pub fn up(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.state == MemberState::Up)
    }
}

/// `view 1.7: 10.0.0.7:3320 Up, 10.0.0.8:3320 Dead`
impl fmt::Display for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "view {}.{}:", self.view.0, self.view.1)?;
        for (at, Member { host, port, state, .. }) in self.members.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(f, "{comma} {host}:{port} {state:?}")?;
        }
        Ok(())
    }
}
