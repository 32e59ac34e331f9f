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

/// So many are named in a line of the log; of more it has the numbers.
const NAMED: usize = 16;

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

    /// As a line that does not grow with the cluster.
    pub(super) fn in_brief(&self) -> String {
        if self.members.len() <= NAMED {
            return self.to_string();
        }
        let states =
            [MemberState::Joining, MemberState::Up, MemberState::Leaving, MemberState::Dead];
        let counts = states.map(|state| {
            let count = self.members.iter().filter(|member| member.state == state).count();
            format!("{count} {state:?}")
        });
        format!("view {}.{}: {}", self.view.0, self.view.1, counts.join(", "))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn members(count: usize) -> Members {
        let member = |n: usize| Member {
            id: n.to_string(),
            host: "127.0.0.1".to_owned(),
            port: 4000,
            state: if n == 0 { MemberState::Dead } else { MemberState::Up },
            roles: Vec::new(),
            zone: String::new(),
        };
        Members { view: (1, 7), members: (0..count).map(member).collect() }
    }

    #[test]
    fn a_few_are_named_and_many_are_counted() {
        let few = members(2);
        assert_eq!(few.in_brief(), "view 1.7: 127.0.0.1:4000 Dead, 127.0.0.1:4000 Up");
        assert_eq!(members(NAMED).in_brief(), members(NAMED).to_string());
        let many = members(4096).in_brief();
        assert_eq!(many, "view 1.7: 0 Joining, 4095 Up, 0 Leaving, 1 Dead");
    }
}
