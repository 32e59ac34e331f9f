//! A model of a cluster that runs what is shipped: the lease, the waits, proposals and the directory of each node.
//!
//! The environment kills members (it says Dead in the view; the process may run on, paused or cut off), drops them after a wait,
//! moves slots by weights, restarts nodes, lets others in and has some leave; or it loses the register, and puts an old copy or a
//! new cluster in its place. A word, once sent, may arrive at any time, any number of times, or never. Nodes learn views late
//! and may skip some.
//!
//! Time is ticks, two of which are a lease: in one, half a lease passes on the clock of who holds it and 0.6 on the clock
//! of who waits, which are the worst rates that are allowed. A node to which nothing happens between two ticks is paused; one to
//! which much happens is fast. All times are kept as seen from [`NOW`], so that states repeat.
//!
//! | file | holds |
//! | --- | --- |
//! | this | the state and the steps |
//! | `losses` | the register is lost, and what takes its place |
//! | `settling` | that a cluster to which nothing more happens serves again |
//! | `checks` | what is checked, with all guards and with each one taken out |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use stateright::{Model, Property};

use crate::directory::{Command, Directory, Found, Grain, Guard, Guards, Word};
use crate::epoch::Epoch;
use crate::lease::{Lease, Look};
use crate::node::{Incarnation, NodeId, Seat};
use crate::propose::{Change, Newcomer, found, propose};
use crate::register::Confirmed;
use crate::slots::Slot;
use crate::takeover::Proof;
use crate::view::{Member, State as Standing, View};

mod checks;
mod losses;
mod settling;

/// The moment in which everything happens.
const NOW: Duration = Duration::from_secs(100);
const LEASE: Duration = Duration::from_secs(2);

/// A cluster and what may happen to it.
#[derive(Clone, Debug)]
struct Cluster {
    /// Nodes at first, with ids from 0.
    founders: u8,
    grains: Vec<Grain>,
    slots: Arc<[Slot]>,
    /// Whether time passes. Where it does not, no lease ends and no wait either.
    ticks: bool,
    /// Whether lives end and owners ask hosts.
    ends: bool,
    /// Whether each state is tried for whether all is well again once nothing more goes wrong.
    settles: bool,
    /// Whether some runs begin with a grain that is alive, or on its way.
    alive: bool,
    /// Whether one more node has joined before anything else happens.
    joined: bool,
    /// The most of each.
    most: Most,
    faults: Faults,
}

/// How often something may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Most {
    versions: u8,
    kills: u8,
    drops: u8,
    moves: u8,
    restarts: u8,
    joins: u8,
    leaves: u8,
    raises: u8,
    rejoins: u8,
    wipes: u8,
    /// A copy of the first view becomes the register.
    recoveries: u8,
    grants: u8,
    /// Looks at the register whose answer is late.
    looks: u8,
}

/// What is wrong with this cluster.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    without: &'static [Guard],
    lease_from_reply: bool,
    /// Takers wait for half of what they should.
    half_wait: bool,
    /// Who is listed again has the admission of before.
    same_seat: bool,
    /// The lease may get shorter.
    shorter: bool,
    /// A cluster that is founded anew counts from the same generation.
    same_generation: bool,
    /// One that is recovered from a copy goes on with the history of that.
    same_origin: bool,
    /// It waits for those alone that the copy lists.
    forgets_the_lost: bool,
    /// It has a lease of half the length of the one that was lost.
    shorter_copy: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    /// The register with its history; the last is the truth.
    views: Vec<Arc<View>>,
    nodes: BTreeMap<NodeId, Node>,
    sent: BTreeSet<Sent>,
    /// The highest epoch that has claimed each grain.
    store: Vec<Epoch>,
    /// A life was begun under an epoch that was not above all before.
    back: bool,
    /// A node was granted what lived there.
    duplicate: bool,
    left: Most,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    directory: Directory,
    lease: Lease,
    look: Option<(Look, Arc<View>)>,
    /// Of a cluster whose register is lost.
    cut_off: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Sent {
    from: Seat,
    to: NodeId,
    word: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Act {
    Tick,
    /// The register takes these changes, whoever proposes them.
    Swap(What, NodeId),
    Wipe,
    Recover,
    Learn(NodeId, usize),
    Confirm(NodeId),
    Look(NodeId),
    Answer(NodeId),
    Grant(NodeId, usize, NodeId),
    Doubt(NodeId, usize),
    Finish(NodeId, usize),
    Deliver(Sent),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum What {
    Kill,
    Drop,
    Weigh,
    Restart,
    Join,
    Leave,
    Gone,
    Raise,
    Rejoin,
    Shorten,
}

fn newcomer(id: NodeId, incarnation: u128) -> Newcomer {
    let incarnation = Incarnation(incarnation);
    let (host, roles, zone) = ("h".into(), BTreeSet::new(), String::new());
    Newcomer { id, incarnation, host, port: 1, roles, zone, weight: 100, level: 1 }
}

impl Cluster {
    fn node(&self, view: &Arc<View>, id: NodeId, sent: &mut BTreeSet<Sent>) -> Node {
        let member = view.node(id).expect("listed");
        let guards = Guards { without: self.faults.without };
        let (seat, slots) = (member.seat(), self.slots.clone());
        let (directory, commands) = Directory::guarded(view.clone(), seat, slots, NOW, guards);
        let mut lease = Lease::new(view, id, member.incarnation).expect("listed");
        let look = lease.look(NOW);
        let _ = lease.confirmed(look, Confirmed::Newest);
        for command in commands {
            if let Command::Send { to, word } = command {
                sent.insert(Sent { from: seat, to: to.id, word });
            }
        }
        Node { directory, lease, look: None, cut_off: false }
    }

    fn first(&self) -> State {
        let founders = (0..self.founders).map(|id| newcomer(NodeId(id.into()), 0)).collect();
        let view = Arc::new(found(1, 1, None, LEASE, founders).expect("founded"));
        let mut sent = BTreeSet::new();
        let ids = view.members().iter().map(|member| member.id);
        let nodes = ids.map(|id| (id, self.node(&view, id, &mut sent))).collect();
        let store = vec![Epoch::default(); self.grains.len()];
        let (views, left) = (vec![view], self.most);
        State { views, nodes, sent, store, back: false, duplicate: false, left }
    }

    /// Does what a directory asks for. What has no bearing on safety is not said at all.
    fn follow(&self, s: &mut State, from: Seat, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Send { word: Word::Newer { .. } | Word::Lives(_), .. } => {}
                Command::Send { to, word } => {
                    s.sent.insert(Sent { from, to: to.id, word });
                }
                Command::Start { grain, epoch } => {
                    let at = self.grains.iter().position(|known| *known == grain).expect("known");
                    s.back |= epoch <= s.store[at];
                    s.store[at] = s.store[at].max(epoch);
                }
                Command::Duplicate { .. } => s.duplicate = true,
                Command::EndAll => {}
            }
        }
    }

    fn learn(&self, s: &mut State, id: NodeId, view: &Arc<View>) {
        let node = s.nodes.get_mut(&id).expect("there");
        node.lease.learn(view);
        let seat = node.directory.seat();
        let commands = node.directory.learn(view.clone(), NOW);
        self.follow(s, seat, commands);
    }

    fn deliver(&self, s: &mut State, sent: Sent) {
        let Sent { from, to, word } = sent;
        for _ in 0..2 {
            let Some(node) = s.nodes.get_mut(&to) else { return };
            let seat = node.directory.seat();
            match node.directory.handle(from, word.clone(), &node.lease, NOW) {
                Ok(commands) => return self.follow(s, seat, commands),
                Err(behind) => {
                    let known = s.views.iter().find(|view| view.stamp() == behind.0).cloned();
                    let Some(view) = known else { return };
                    self.learn(s, to, &view);
                }
            }
        }
    }

    /// Drops words that can never have an effect again. Views and floors only rise, so no behaviour is lost.
    fn forget(&self, s: &mut State) {
        let nodes = &s.nodes;
        let again = s.left.restarts > 0 || s.left.rejoins > 0;
        s.sent.retain(|sent| {
            let Some(node) = nodes.get(&sent.to) else { return again };
            let directory = &node.directory;
            if directory.ended() {
                return again;
            }
            let view = directory.view().stamp();
            match &sent.word {
                Word::Activate { grain, epoch, .. } => *epoch >= directory.floor(grain),
                Word::Question { grain, at, .. } => {
                    *at >= directory.floor(grain).stamp
                        || self.faults.without.contains(&Guard::FloorOnQuestion)
                }
                Word::Pull { at, .. } | Word::Ask { at, .. } => view <= *at,
                Word::Given { at, .. } | Word::Report { at, .. } => {
                    view < *at || (view == *at && directory.is_moving())
                }
                _ => true,
            }
        });
    }

    fn swap(&self, s: &mut State, what: What, id: NodeId) -> Option<()> {
        let last = s.views.last().expect("one").clone();
        let seat = last.node(id).map(Member::seat);
        let left = &mut s.left;
        let (budget, changes) = match what {
            What::Kill => (&mut left.kills, vec![Change::Dead(seat?)]),
            What::Drop => {
                let can = |node: &&Node| node.directory.view().stamp() == last.stamp();
                let over = |node: &Node| {
                    node.directory.waits().droppable(NOW).find(|over| Some(over.seat()) == seat)
                };
                let over = s.nodes.values().filter(can).find_map(over)?;
                (&mut left.drops, vec![Change::Drop(over)])
            }
            What::Weigh => {
                let weight = 100 - last.node(id)?.weight;
                (&mut left.moves, vec![Change::Weigh(seat?, weight)])
            }
            What::Restart => {
                let new = newcomer(id, seat?.incarnation.0 + 1);
                (&mut left.restarts, vec![Change::Join(new, Some(Proof::Lock))])
            }
            What::Join => (&mut left.joins, vec![Change::Join(newcomer(id, 0), None)]),
            What::Leave => (&mut left.leaves, vec![Change::Leave(seat?)]),
            What::Gone => (&mut left.versions, vec![Change::Gone(seat?)]),
            What::Raise => {
                (&mut left.raises, vec![Change::Raise { above: last.stamp().generation }])
            }
            What::Shorten => (&mut left.raises, Vec::new()),
            What::Rejoin => (&mut left.rejoins, vec![Change::Join(newcomer(id, 0), None)]),
        };
        *budget = budget.checked_sub(1)?;
        if !matches!(what, What::Gone) {
            left.versions = left.versions.checked_sub(1)?;
        }
        let mut next = if matches!(what, What::Shorten) {
            let (mut draft, version) = (last.draft(), last.stamp().version + 1);
            (draft.version, draft.lease) = (version, LEASE / 2);
            View::new(draft).expect("a view")
        } else {
            propose(&last, &changes).view?
        };
        if let Some(joined) = next.node(id).filter(|member| member.state == Standing::Joining) {
            // Let in by the same swap.
            let mut draft = next.draft();
            let same = self.faults.same_seat && matches!(what, What::Rejoin);
            let joined = if same { 1 } else { joined.joined };
            let member = draft.members.iter_mut().find(|member| member.id == id)?;
            (member.state, member.joined) = (Standing::Up, joined);
            next = View::new(draft).expect("a view");
        }
        let next = Arc::new(next);
        s.views.push(next.clone());
        match what {
            // These start. One that is gone learns of that later, since another may have written it.
            What::Restart | What::Join => {
                let node = self.node(&next, id, &mut s.sent);
                s.nodes.insert(id, node);
            }
            _ => {}
        }
        Some(())
    }

    /// Who may act on a grain, by its own lights.
    fn lives<'a>(
        &'a self,
        s: &'a State,
        grain: &'a Grain,
    ) -> impl Iterator<Item = (&'a Node, Epoch)> {
        let lives = |node: &'a Node| node.directory.lives().map(move |living| (node, living));
        s.nodes
            .values()
            .flat_map(lives)
            .filter(|(_, living)| living.grain == *grain)
            .map(|(n, l)| (n, l.epoch))
    }
}

impl Model for Cluster {
    type State = State;
    type Action = Act;

    fn init_states(&self) -> Vec<State> {
        let idle = self.first();
        let idle = if self.joined { self.with_one_more(idle) } else { idle };
        let newest = idle.views.last().expect("one");
        let owner = newest.owner(self.grains[0].slot(newest.slots())).expect("one").id;
        // Nothing yet; or the first grain is on its way to, or alive on, one of the nodes.
        let mut all = vec![idle.clone()];
        for host in idle.nodes.keys().filter(|_| self.alive) {
            let before = State { left: Most { grants: u8::MAX, ..idle.left }, ..idle.clone() };
            let Some(granted) = self.next_state(&before, Act::Grant(owner, 0, *host)) else {
                continue;
            };
            let way = State { left: idle.left, ..granted };
            let mut alive = way.clone();
            if let Some(sent) = way.sent.first() {
                self.deliver(&mut alive, sent.clone());
                all.push(way);
            }
            all.push(alive);
        }
        all
    }

    fn actions(&self, s: &State, out: &mut Vec<Act>) {
        let (newest, left) = (s.views.last().expect("one"), &s.left);
        if self.ticks {
            out.push(Act::Tick);
        }
        if left.versions > 0 {
            for member in newest.members() {
                let (id, up) = (member.id, member.state == Standing::Up);
                let few = newest.up().count() < 2;
                let dead = matches!(member.state, Standing::Dead { .. });
                let may = [
                    (What::Kill, left.kills > 0 && !dead && !(up && few)),
                    (What::Drop, left.drops > 0 && dead),
                    (What::Weigh, left.moves > 0 && up && !few),
                    (What::Restart, left.restarts > 0),
                    (What::Leave, left.leaves > 0 && up && !few),
                    (What::Gone, member.state == Standing::Leaving && self.has_left(s, id)),
                ];
                out.extend(
                    may.into_iter().filter(|(_, may)| *may).map(|(what, _)| Act::Swap(what, id)),
                );
            }
            let spare = NodeId(self.founders.into());
            if left.joins > 0 && newest.node(spare).is_none() {
                out.push(Act::Swap(What::Join, spare));
            }
            if left.raises > 0 {
                let what = if self.faults.shorter { What::Shorten } else { What::Raise };
                out.push(Act::Swap(what, NodeId(0)));
            }
            if left.rejoins > 0 {
                let gone = s.nodes.keys().filter(|id| newest.node(**id).is_none());
                out.extend(gone.map(|id| Act::Swap(What::Rejoin, *id)));
            }
        }
        if left.wipes > 0 {
            out.push(Act::Wipe);
        }
        if left.recoveries > 0 {
            out.push(Act::Recover);
        }
        for (id, node) in s.nodes.iter().filter(|(_, node)| !node.directory.ended()) {
            self.actions_of(s, *id, node, out);
        }
        out.extend(s.sent.iter().cloned().map(Act::Deliver));
    }

    fn next_state(&self, last: &State, act: Act) -> Option<State> {
        let mut s = last.clone();
        match act {
            Act::Tick => {
                let waited = if self.faults.half_wait { LEASE * 12 / 10 } else { LEASE * 6 / 10 };
                for node in s.nodes.values_mut() {
                    node.lease.shift(LEASE / 2, NOW);
                    node.directory.shift(waited, NOW);
                    node.look.iter_mut().for_each(|(look, _)| look.shift(LEASE / 2, NOW));
                }
            }
            Act::Swap(what, id) => self.swap(&mut s, what, id)?,
            Act::Wipe => self.wipe(&mut s),
            Act::Recover => self.recover(&mut s)?,
            Act::Learn(id, to) => {
                let view = s.views[to].clone();
                self.learn(&mut s, id, &view);
            }
            Act::Confirm(id) => {
                let node = s.nodes.get_mut(&id)?;
                let look = node.lease.look(NOW);
                let newest = s.views.last()?.clone();
                if newest.stamp() == node.directory.view().stamp() {
                    let _ = node.lease.confirmed(look, Confirmed::Newest);
                } else {
                    let _ = node.lease.read(look, &newest);
                    self.learn(&mut s, id, &newest);
                }
            }
            Act::Look(id) => {
                let node = s.nodes.get_mut(&id)?;
                s.left.looks -= 1;
                node.look = Some((node.lease.look(NOW), s.views.last()?.clone()));
            }
            Act::Answer(id) => {
                let node = s.nodes.get_mut(&id)?;
                let (mut look, view) = node.look.take()?;
                if self.faults.lease_from_reply {
                    look = node.lease.look(NOW);
                }
                let _ = node.lease.read(look, &view);
                self.learn(&mut s, id, &view);
            }
            Act::Grant(id, grain, host) => {
                s.left.grants -= 1;
                let node = s.nodes.get_mut(&id)?;
                let (seat, host) =
                    (node.directory.seat(), node.directory.view().node(host)?.seat());
                let commands =
                    node.directory.grant(&self.grains[grain], host, &node.lease, NOW).ok()?;
                self.follow(&mut s, seat, commands);
            }
            Act::Doubt(id, grain) => {
                let node = s.nodes.get_mut(&id)?;
                let (seat, grain) = (node.directory.seat(), &self.grains[grain]);
                let (Found::Claimed(entry) | Found::Route(entry)) =
                    node.directory.find(grain, &node.lease, NOW)
                else {
                    return None;
                };
                let commands = node.directory.doubt(grain, entry.epoch);
                self.follow(&mut s, seat, commands);
            }
            Act::Finish(id, grain) => {
                let node = s.nodes.get_mut(&id)?;
                let (seat, grain) = (node.directory.seat(), &self.grains[grain]);
                let epoch = node.directory.lives().find(|living| living.grain == *grain)?.epoch;
                let commands = node.directory.finished(grain, epoch);
                self.follow(&mut s, seat, commands);
            }
            Act::Deliver(sent) => self.deliver(&mut s, sent),
        }
        self.forget(&mut s);
        (s != *last).then_some(s)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("one at a time", |m: &Self, s: &State| {
                let acting = |(node, _): &(&Node, Epoch)| !node.cut_off && node.lease.may_host(NOW);
                m.grains.iter().all(|grain| m.lives(s, grain).filter(acting).count() <= 1)
            }),
            Property::always("one life an epoch", |m: &Self, s: &State| {
                m.grains.iter().all(|grain| {
                    let epochs: Vec<_> = m.lives(s, grain).map(|(_, epoch)| epoch).collect();
                    epochs.iter().collect::<BTreeSet<_>>().len() == epochs.len()
                })
            }),
            Property::always("epochs never go back", |_: &Self, s: &State| !s.back),
            Property::always("no grant of what lives", |_: &Self, s: &State| !s.duplicate),
            Property::always("serves again", |m: &Self, s: &State| !m.settles || m.serves_again(s)),
            Property::sometimes("taken over", |_: &Self, s: &State| {
                s.nodes.values().any(|node| {
                    let first = node.directory.view().origin();
                    node.directory
                        .lives()
                        .any(|l| l.epoch.stamp.version > 1 || l.epoch.stamp.generation > first)
                })
            }),
        ]
    }
}

impl Cluster {
    fn actions_of(&self, s: &State, id: NodeId, node: &Node, out: &mut Vec<Act>) {
        let directory = &node.directory;
        let full = node.lease.until() == Some(NOW + node.directory.view().lease());
        if !node.cut_off {
            let known = directory.view().stamp();
            let later = s.views.iter().enumerate().filter(|(_, view)| view.stamp() > known);
            out.extend(later.map(|(to, _)| Act::Learn(id, to)));
            if node.look.is_some() {
                out.push(Act::Answer(id));
            } else if !full {
                out.push(Act::Confirm(id));
                if s.left.looks > 0 {
                    out.push(Act::Look(id));
                }
            }
        }
        for living in directory.lives().filter(|_| self.ends) {
            let at = self.grains.iter().position(|grain| *grain == living.grain).expect("known");
            out.push(Act::Finish(id, at));
        }
        for (at, grain) in self.grains.iter().enumerate() {
            match directory.find(grain, &node.lease, NOW) {
                Found::Vacant if s.left.grants > 0 => {
                    out.extend(directory.view().up().map(|host| Act::Grant(id, at, host.id)));
                }
                Found::Claimed(_) | Found::Route(_) if self.ends => out.push(Act::Doubt(id, at)),
                _ => {}
            }
        }
    }

    /// Whether a node that leaves knows it, and has nothing left.
    fn has_left(&self, s: &State, id: NodeId) -> bool {
        s.nodes.get(&id).is_some_and(|node| {
            let leaves =
                node.directory.view().node(id).is_some_and(|m| m.state == Standing::Leaving);
            leaves && node.directory.lives().count() == 0
        })
    }
}
