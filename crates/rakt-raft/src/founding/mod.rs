//! How a cluster comes about, exactly once: without I/O. Words of others, what the discovery lists, and time go in; what to
//! do comes out.
//!
//! ```text
//! Fresh ──all n agree, and this one is the lowest──► Proposed ──all n have promised──► Member
//!   │ ▲                                                 │
//!   │ └──────────── somebody does not promise ──────────┘
//!   ├──asked by the lowest──► Promised ──it has founded──► Member
//!   │ ▲                          │
//!   │ └───── it has given up ────┘
//!   └──there is a cluster already──► Member
//! ```
//!
//! Each arrow is on the disk before anybody hears of it. Who promises does so once at a time, and only `n` promises found a
//! cluster: two clusters would need `2 n` nodes, half of which have never heard of the other half, nor has any of them a
//! cluster, nor does a discovery list an address that is not one of its own half.
//!
//! - `standing`: what is on the disk of a node
//! - `plan`: who is to found what

mod plan;
mod standing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use plan::{MOST_NODES, Plan};
pub(crate) use standing::{Member, Standing};

use crate::names::{ClusterId, Id, Place, Places, Shown};

/// Most addresses that a node keeps of what it is told, and tells others.
pub(crate) const MOST_PLACES: usize = 256;

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Card {
    pub(crate) id: Id,
    pub(crate) place: Place,
    /// With how many it wants to found; `None` if it does not.
    pub(crate) expect: Option<u32>,
    pub(crate) standing: Standing,
    /// Whom it sees that has no cluster, itself included.
    pub(crate) sees: BTreeSet<Id>,
    /// Whether it has been so for the time that it has to.
    pub(crate) is_settled: bool,
    /// Where it was told that there are nodes, and where some have answered.
    pub(crate) knows: BTreeSet<Place>,
}

/// The answer to a [`Card`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Welcome {
    pub(crate) card: Card,
    /// The plan that the other has promised to follow, if this one has given it up for good.
    pub(crate) given_up: Option<ClusterId>,
}

/// Why a promise is not given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Declined {
    #[error("it has a cluster, or has promised to found another")]
    NotFree,
    #[error("it knows of a cluster")]
    KnowsCluster,
    #[error("it is no plan that it would be part of")]
    NotOurs,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing yet.
    Wait(Wait),
    /// Write this down, then go on.
    Become(Standing),
    /// Ask these for their promise, by their places.
    Persuade(Plan, Vec<(Id, Place)>),
    /// There is nothing left to do.
    Done(Member),
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Nobody,
    Fewer { seen: usize, expected: usize },
    More { seen: usize, expected: usize },
    Silent(Place),
    Others { expected: usize },
    Differ(Place),
    Settling,
    Lowest(Place),
    Underway(Place),
    Promised { plan: ClusterId, by: Id, at: Place },
    Two(Place, Place),
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("no node of a cluster was found yet, and this one is not to found any (`expect` says with how many)"),
            Self::Fewer { seen, expected } => {
                write!(f, "{seen} nodes without a cluster are seen, this one included, and {expected} are expected to found one")
            }
            Self::More { seen, expected } => {
                write!(f, "{seen} nodes without a cluster are seen, this one included, and no more than {expected} may found one; start the others later, without `expect`")
            }
            Self::Silent(place) => write!(f, "{place} is listed and does not answer: there may be a cluster"),
            Self::Others { expected } => write!(f, "not all of the nodes expect {expected}"),
            Self::Differ(place) => write!(f, "{place} sees other nodes than this one"),
            Self::Settling => f.write_str("all see the same, and have to for a while"),
            Self::Lowest(place) => write!(f, "{place} is to found the cluster, having the lowest id"),
            Self::Underway(place) => write!(f, "{place} takes part in a founding"),
            Self::Promised { plan, by, at } => {
                write!(f, "cluster {plan} was promised to node {} at {at}, which alone can found it or give it up; if its directory is lost, remove that of this node too", Shown(*by))
            }
            Self::Two(one, other) => write!(f, "the nodes at {one} and {other} are of two clusters: which one is it to be?"),
        }
    }
}

/// How long things take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// How long all have to see the same before they found.
    pub(crate) settle: Duration,
    /// How long what was heard is true.
    pub(crate) fresh: Duration,
    /// How long the others may take to promise.
    pub(crate) patience: Duration,
}

/// What a node knows of others while it has no cluster.
#[derive(Debug)]
pub(crate) struct Founding {
    me: (Id, Place),
    expect: Option<u32>,
    times: Times,
    heard: BTreeMap<Id, (Card, Duration)>,
    listed: BTreeMap<Place, Duration>,
    /// Who answers at an address, which may have several names.
    answered: BTreeMap<Place, (Id, Duration)>,
    /// Those who were seen to agree, since when.
    same: Option<(BTreeSet<Id>, Duration)>,
    /// Since when this one proposes, and who has promised.
    proposed: Option<Duration>,
    promised: BTreeSet<Id>,
    was_declined: bool,
}

impl Founding {
    pub(crate) fn new(me: Id, place: Place, expect: Option<u32>, times: Times) -> Self {
        Self {
            me: (me, place),
            expect,
            times,
            heard: BTreeMap::new(),
            listed: BTreeMap::new(),
            answered: BTreeMap::new(),
            same: None,
            proposed: None,
            promised: BTreeSet::new(),
            was_declined: false,
        }
    }

    /// What the discovery lists now, or another node knows.
    pub(crate) fn list(&mut self, now: Duration, places: impl IntoIterator<Item = Place>) {
        for place in places {
            if self.listed.len() < MOST_PLACES || self.listed.contains_key(&place) {
                self.listed.insert(place, now);
            }
        }
    }

    /// Somebody has said what he is. `at` is where he was asked, if he was.
    pub(crate) fn hear(&mut self, now: Duration, at: Option<&Place>, card: Card) {
        if let Some(at) = at
            && (self.answered.len() < MOST_PLACES || self.answered.contains_key(at))
        {
            self.answered.insert(at.clone(), (card.id, now));
        }
        if card.id == self.me.0 {
            return;
        }
        self.list(now, card.knows.iter().take(MOST_PLACES).cloned());
        if self.heard.len() < MOST_PLACES || self.heard.contains_key(&card.id) {
            self.heard.insert(card.id, (card, now));
        }
    }

    /// What is known to be there, to be asked.
    pub(crate) fn places(&self) -> BTreeSet<Place> {
        let heard = self.heard.values().map(|(card, _)| card.place.clone());
        self.listed.keys().cloned().chain(heard).take(MOST_PLACES).collect()
    }

    /// What this node says of itself. `own_list` is what the discovery has listed last: what others have told is not passed
    /// on before it has answered, or it would go round for ever.
    pub(crate) fn card(
        &self,
        now: Duration,
        standing: &Standing,
        own_list: &BTreeSet<Place>,
    ) -> Card {
        let is_settled =
            self.same.as_ref().is_some_and(|(_, since)| now >= *since + self.times.settle);
        let answered = self.answered.iter().filter(|(_, (_, at))| now <= *at + self.times.fresh);
        let knows = own_list.iter().chain(answered.map(|(place, _)| place));
        Card {
            id: self.me.0,
            place: self.me.1.clone(),
            expect: self.expect,
            standing: standing.clone(),
            sees: self.group(now),
            is_settled,
            knows: knows.take(MOST_PLACES).cloned().collect(),
        }
    }

    /// Answers a card.
    pub(crate) fn welcome(&self, card: &Card, standing: &Standing, own: Card) -> Welcome {
        let given_up = match &card.standing {
            // It was on the disk here before anybody promised, and is not any more.
            Standing::Promised(plan) if plan.founder() == Some(self.me.0) => {
                (standing.plan() != Some(plan.cluster)).then_some(plan.cluster)
            }
            _ => None,
        };
        Welcome { card: own, given_up }
    }

    /// The others who have no cluster and want to found one.
    fn founders(&self, now: Duration) -> impl Iterator<Item = &Card> {
        let fresh = self.heard.values().filter(move |(_, at)| now <= *at + self.times.fresh);
        fresh
            .map(|(card, _)| card)
            .filter(|card| matches!(card.standing, Standing::Fresh) && card.expect.is_some())
    }

    fn group(&self, now: Duration) -> BTreeSet<Id> {
        self.founders(now).map(|card| card.id).chain([self.me.0]).take(MOST_PLACES).collect()
    }

    /// Whether to promise to follow a plan, as the node `by` asks.
    ///
    /// # Errors
    /// [`Declined`].
    pub(crate) fn promise(
        &self,
        now: Duration,
        standing: &Standing,
        plan: &Plan,
    ) -> Result<Standing, Declined> {
        let is_ours = self.expect == u32::try_from(plan.nodes.len()).ok()
            && plan.nodes.contains_key(&self.me.0)
            && plan.founder() != Some(self.me.0);
        if !is_ours {
            return Err(Declined::NotOurs);
        }
        match standing {
            Standing::Promised(promised) if promised == plan => Ok(standing.clone()),
            Standing::Fresh if self.member(now).is_some() => Err(Declined::KnowsCluster),
            Standing::Fresh => Ok(Standing::Promised(plan.clone())),
            _ => Err(Declined::NotFree),
        }
    }

    /// What a node answered that was asked to promise to follow this plan.
    pub(crate) fn answered(
        &mut self,
        standing: &Standing,
        plan: &Plan,
        by: Id,
        answer: Result<(), Declined>,
    ) {
        // An answer may come late, when another plan is proposed.
        if !matches!(standing, Standing::Proposed(proposed) if proposed == plan) {
            return;
        }
        match answer {
            Ok(()) => {
                self.promised.insert(by);
            }
            Err(_) => self.was_declined = true,
        }
    }

    /// What the founder of the plan that this one has promised to follow has said of it, when asked after that.
    pub(crate) fn given_up(
        &mut self,
        by: Id,
        cluster: ClusterId,
        standing: &Standing,
    ) -> Option<Standing> {
        match standing {
            Standing::Promised(plan) if plan.cluster == cluster && plan.founder() == Some(by) => {
                self.same = None;
                Some(Standing::Fresh)
            }
            _ => None,
        }
    }

    fn member(&self, now: Duration) -> Option<(&Member, &Place)> {
        self.members(now).next()
    }

    fn members(&self, now: Duration) -> impl Iterator<Item = (&Member, &Place)> {
        let fresh = self.heard.values().filter(move |(_, at)| now <= *at + self.times.fresh);
        fresh.filter_map(|(card, _)| match &card.standing {
            Standing::Member(member) => Some((member, &card.place)),
            _ => None,
        })
    }

    /// What to do now. `random` becomes the name of a cluster that is founded.
    pub(crate) fn step(&mut self, now: Duration, standing: &Standing, random: ClusterId) -> Step {
        let fresh = self.times.fresh;
        // What is listed lives as long as what is heard: an address that has come and gone holds nobody up for ever.
        self.listed.retain(|_, at| now <= *at + fresh);
        self.answered.retain(|_, (_, at)| now <= *at + fresh);
        self.heard.retain(|_, (_, at)| now <= *at + fresh);
        match standing {
            Standing::Member(member) => Step::Done(member.clone()),
            Standing::Promised(plan) => self.follow(now, plan),
            Standing::Proposed(plan) => self.persuade(now, plan),
            Standing::Fresh => match self.look(now) {
                Ok(step) => step,
                Err(nodes) => {
                    (self.proposed, self.was_declined) = (None, false);
                    self.promised.clear();
                    Step::Become(Standing::Proposed(Plan { cluster: random, nodes }))
                }
            },
        }
    }

    fn follow(&self, now: Duration, plan: &Plan) -> Step {
        if let Some((member, _)) =
            self.members(now).find(|(member, _)| member.cluster == plan.cluster)
        {
            return Step::Become(Standing::Member(member.seen_by(self.me.0, true)));
        }
        let (by, at) =
            plan.nodes.first_key_value().map(|(by, at)| (*by, at.clone())).unwrap_or_default();
        Step::Wait(Wait::Promised { plan: plan.cluster, by, at })
    }

    fn persuade(&mut self, now: Duration, plan: &Plan) -> Step {
        let since = *self.proposed.get_or_insert(now);
        let others: Vec<_> = plan.nodes.iter().filter(|(id, _)| **id != self.me.0).collect();
        let open = others.iter().filter(|(id, _)| !self.promised.contains(id));
        let open: Vec<_> = open.map(|(id, place)| (**id, (*place).clone())).collect();
        if open.is_empty() {
            return Step::Become(Standing::Member(plan.founded()));
        }
        // All of it is given up, by this one alone, and for good.
        if self.was_declined || now > since + self.times.patience {
            self.same = None;
            return Step::Become(Standing::Fresh);
        }
        Step::Persuade(plan.clone(), open)
    }

    /// What a node without anything does, or with whom it proposes to found.
    fn look(&mut self, now: Duration) -> Result<Step, Places> {
        let wait = |wait| Ok(Step::Wait(wait));
        let mut members = self.members(now);
        if let Some((member, at)) = members.next() {
            let other = members.find(|(other, _)| other.cluster != member.cluster);
            return match other {
                Some((_, other)) => wait(Wait::Two(at.clone(), other.clone())),
                None => Ok(Step::Become(Standing::Member(member.seen_by(self.me.0, false)))),
            };
        }
        drop(members);
        let same = self.same.take();
        let Some(expect) = self.expect else { return wait(Wait::Nobody) };
        let expected = expect as usize;
        if expected == 1 {
            return Err([self.me.clone()].into());
        }
        let underway = self.heard.values().find(|(card, _)| card.standing.plan().is_some());
        if let Some((card, _)) = underway {
            return wait(Wait::Underway(card.place.clone()));
        }
        let group = self.group(now);
        let seen = group.len();
        if seen > expected {
            return wait(Wait::More { seen, expected });
        }
        let silent = self.listed.keys().find(|place| !self.answered.contains_key(place));
        if let Some(place) = silent {
            return wait(Wait::Silent(place.clone()));
        }
        if seen < expected {
            return wait(Wait::Fewer { seen, expected });
        }
        if self.founders(now).any(|card| card.expect != self.expect) {
            return wait(Wait::Others { expected });
        }
        if let Some(card) = self.founders(now).find(|card| card.sees != group) {
            return wait(Wait::Differ(card.place.clone()));
        }
        let since = same.filter(|(same, _)| *same == group).map_or(now, |(_, since)| since);
        self.same = Some((group, since));
        let is_settled = now >= since + self.times.settle;
        if !is_settled || !self.founders(now).all(|card| card.is_settled) {
            return wait(Wait::Settling);
        }
        let others = self.founders(now).map(|card| (card.id, card.place.clone()));
        let nodes: Places = others.chain([self.me.clone()]).collect();
        match nodes.first_key_value() {
            Some((id, place)) if *id != self.me.0 => wait(Wait::Lowest(place.clone())),
            _ => Err(nodes),
        }
    }
}
