//! Worlds of nodes that start when they like, hear what gets through, and are killed between any two steps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::plan::voters;
use super::{Card, Declined, Founding, Member, Plan, Standing, Step, Times, Wait, Welcome};
use crate::names::{ClusterId, Id, Place};

const TIMES: Times = Times {
    settle: Duration::from_secs(5),
    fresh: Duration::from_secs(3),
    patience: Duration::from_secs(30),
};

/// Enough of randomness for a test, and the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn is(&mut self, per_cent: u64) -> bool {
        self.roll(100) < per_cent
    }
}

struct Node {
    founding: Founding,
    /// What is on its disk.
    standing: Standing,
    lists: BTreeSet<Place>,
    starts: Duration,
    expect: Option<u32>,
    id: Id,
}

#[derive(Clone)]
enum Word {
    Hello(Card),
    Welcome(Welcome),
    Propose(Plan),
    Answer(Plan, Id, Result<(), Declined>),
}

struct Parcel {
    due: Duration,
    to: usize,
    from: usize,
    word: Word,
}

struct World {
    dice: Dice,
    now: Duration,
    nodes: Vec<Node>,
    parcels: Vec<Parcel>,
    founded: BTreeSet<ClusterId>,
    /// Per cent of the messages that are lost, and of the steps at which a node is killed.
    lossy: u64,
    deadly: u64,
    /// Who is cut off from whom: those of one number reach each other, and find only each other.
    islands: Vec<u64>,
    /// Whether they are cut off whenever one of them has got further.
    is_torn: bool,
    times: Times,
}

fn place(n: usize) -> Place {
    Place { host: "node".to_owned(), port: n as u16 + 1 }
}

impl World {
    fn new(seed: u64, lossy: u64, deadly: u64) -> Self {
        let (now, nodes) = (Duration::ZERO, Vec::new());
        Self {
            dice: Dice(seed),
            now,
            nodes,
            parcels: Vec::new(),
            founded: BTreeSet::new(),
            lossy,
            deadly,
            islands: Vec::new(),
            is_torn: false,
            times: TIMES,
        }
    }

    fn add(
        &mut self,
        expect: Option<u32>,
        starts: Duration,
        lists: impl IntoIterator<Item = usize>,
    ) {
        let (n, id) = (self.nodes.len(), self.dice.roll(1 << 30));
        let founding = Founding::new(id, place(n), expect, self.times);
        let lists = lists.into_iter().map(place).collect();
        self.nodes.push(Node { founding, standing: Standing::Fresh, lists, starts, expect, id });
    }

    /// A node begins anew with what is on its disk.
    fn restart(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.founding = Founding::new(node.id, place(n), node.expect, self.times);
        node.starts = self.now + Duration::from_millis(self.dice.roll(8_000));
        // What was for it finds nobody.
        self.parcels.retain(|parcel| parcel.to != n);
    }

    /// A node whose disk is new.
    fn wipe(&mut self, n: usize) {
        self.nodes[n].id = self.dice.roll(1 << 30);
        self.nodes[n].standing = Standing::Fresh;
        self.restart(n);
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        self.islands.get(from) == self.islands.get(to)
    }

    fn send(&mut self, from: usize, to: usize, word: Word) {
        let copies = if self.dice.is(5) { 2 } else { 1 };
        for _ in 0..copies {
            if self.dice.is(self.lossy) {
                continue;
            }
            // Most are fast; some are under way for so long that nobody waits for them.
            let delay = if self.dice.is(3) { self.dice.roll(20_000) } else { self.dice.roll(200) };
            let due = self.now + Duration::from_millis(delay);
            self.parcels.push(Parcel { due, to, from, word: word.clone() });
        }
    }

    /// What its discovery lists now: those whom it reaches.
    fn lists(&self, n: usize) -> BTreeSet<Place> {
        let lists = self.nodes[n].lists.iter();
        lists.filter(|at| self.reaches(n, usize::from(at.port) - 1)).cloned().collect()
    }

    fn card(&self, n: usize) -> Card {
        let node = &self.nodes[n];
        node.founding.card(self.now, &node.standing, &self.lists(n))
    }

    /// Cuts one off from all others, of whom as many reach each other as found a cluster.
    fn leave_alone(&mut self, n: usize) {
        let most = self.nodes[n].expect.map_or(0, |expect| expect as usize);
        self.islands = (1..).take(self.nodes.len()).collect();
        let first = self.dice.roll(self.nodes.len() as u64) as usize;
        let others = (0..self.nodes.len()).map(|at| (at + first) % self.nodes.len());
        for at in others.filter(|at| *at != n).take(most) {
            self.islands[at] = 0;
        }
    }

    fn write(&mut self, n: usize, standing: Standing) {
        if self.dice.is(self.deadly) {
            // Killed before it was on the disk.
            return self.restart(n);
        }
        if let (Standing::Proposed(plan), Standing::Member(member)) =
            (&self.nodes[n].standing, &standing)
            && plan.cluster == member.cluster
        {
            self.founded.insert(plan.cluster);
        }
        self.nodes[n].standing = standing;
        // At the worst moment.
        if self.is_torn && self.dice.is(50) {
            self.leave_alone(n);
        }
        if self.dice.is(self.deadly) {
            self.restart(n);
        }
    }

    fn take(&mut self, Parcel { to, from, word, .. }: Parcel) {
        if self.nodes[to].starts > self.now || !self.reaches(from, to) {
            return;
        }
        let now = self.now;
        match word {
            Word::Hello(card) => {
                let own = self.card(to);
                let node = &mut self.nodes[to];
                node.founding.hear(now, None, card.clone());
                let welcome = node.founding.welcome(&card, &node.standing, own);
                self.send(to, from, Word::Welcome(welcome));
            }
            Word::Welcome(Welcome { card, given_up }) => {
                let node = &mut self.nodes[to];
                let id = card.id;
                node.founding.hear(now, Some(&place(from)), card);
                let over =
                    given_up.and_then(|plan| node.founding.given_up(id, plan, &node.standing));
                if let Some(standing) = over {
                    self.write(to, standing);
                }
            }
            Word::Propose(plan) => {
                let id = self.nodes[to].id;
                let answer = self.nodes[to].founding.promise(now, &self.nodes[to].standing, &plan);
                let told = match answer {
                    Ok(standing) => {
                        let promised = standing.clone();
                        self.write(to, standing);
                        // It may have been killed instead.
                        if self.nodes[to].standing != promised {
                            return;
                        }
                        Ok(())
                    }
                    Err(declined) => Err(declined),
                };
                self.send(to, from, Word::Answer(plan, id, told));
            }
            Word::Answer(plan, by, answer) => {
                let node = &mut self.nodes[to];
                node.founding.answered(&node.standing, &plan, by, answer);
            }
        }
    }

    fn turn(&mut self, n: usize) -> Option<Wait> {
        let now = self.now;
        let lists = self.lists(n);
        self.nodes[n].founding.list(now, lists);
        for at in self.nodes[n].founding.places() {
            let card = self.card(n);
            self.send(n, usize::from(at.port) - 1, Word::Hello(card));
        }
        let mut name = [0; 16];
        name.fill_with(|| self.dice.roll(256) as u8);
        let node = &mut self.nodes[n];
        match node.founding.step(now, &node.standing, ClusterId(name)) {
            Step::Wait(wait) => return Some(wait),
            Step::Become(standing) => self.write(n, standing),
            Step::Persuade(plan, open) => {
                for (_, at) in open {
                    self.send(n, usize::from(at.port) - 1, Word::Propose(plan.clone()));
                }
            }
            Step::Done(_) => {}
        }
        None
    }

    /// Lets time pass, and each node have a turn in each half second.
    fn run(&mut self, seconds: u64) -> BTreeMap<usize, Wait> {
        self.run_for(Duration::from_secs(seconds))
    }

    fn run_for(&mut self, time: Duration) -> BTreeMap<usize, Wait> {
        let until = self.now + time;
        let mut waits = BTreeMap::new();
        while self.now < until {
            self.now += Duration::from_millis(100);
            let due: Vec<Parcel> =
                self.parcels.extract_if(.., |parcel| parcel.due <= self.now).collect();
            for parcel in due {
                self.take(parcel);
            }
            for n in 0..self.nodes.len() {
                if self.nodes[n].starts <= self.now
                    && (self.now.as_millis() / 100) % 5 == n as u128 % 5
                {
                    match self.turn(n) {
                        Some(wait) => waits.insert(n, wait),
                        None => waits.remove(&n),
                    };
                }
            }
        }
        waits
    }

    fn clusters(&self) -> Vec<Option<ClusterId>> {
        let of = |node: &Node| match &node.standing {
            Standing::Member(Member { cluster, .. }) => Some(*cluster),
            _ => None,
        };
        self.nodes.iter().map(of).collect()
    }
}

#[test]
fn nodes_that_see_each_other_found_one_cluster() {
    for (n, most) in [(2, 1), (3, 3), (4, 3), (5, 5), (7, 5)] {
        let mut world = World::new(n, 0, 0);
        for _ in 0..n {
            // All of them know one.
            world.add(Some(n as u32), Duration::ZERO, [0]);
        }
        world.run(20);
        assert_eq!(world.founded.len(), 1);
        let founded = world.founded.first().copied();
        assert!(world.clusters().iter().all(|cluster| *cluster == founded));
        let Standing::Member(member) = &world.nodes[0].standing else { panic!("it is one") };
        let mut ids: Vec<Id> = world.nodes.iter().map(|node| node.id).collect();
        ids.sort_unstable();
        assert_eq!(member.voters.keys().copied().collect::<Vec<_>>(), ids[..most]);
        assert_eq!(member.voters.len(), voters(n as usize));
    }
}

#[test]
fn all_promises_are_needed_and_one_is_given_at_a_time() {
    let now = Duration::ZERO;
    let plan = |name| Plan {
        cluster: ClusterId([name; 16]),
        nodes: (1..=3).map(|id| (id, place(id as usize))).collect(),
    };
    let (plan, other) = (plan(7), plan(8));
    let mut founder = Founding::new(1, place(1), Some(3), TIMES);
    let proposed = Standing::Proposed(plan.clone());
    let mut next = |by: Option<Id>, of: &Plan| {
        if let Some(by) = by {
            founder.answered(&proposed, of, by, Ok(()));
        }
        founder.step(now, &proposed, ClusterId([9; 16]))
    };
    let open = |ids: &[Id]| {
        Step::Persuade(plan.clone(), ids.iter().map(|id| (*id, place(*id as usize))).collect())
    };
    assert_eq!(next(None, &plan), open(&[2, 3]));
    assert_eq!(next(Some(3), &plan), open(&[2]));
    // Late, for a plan that was given up.
    assert_eq!(next(Some(2), &other), open(&[2]));
    assert_eq!(next(Some(2), &plan), Step::Become(Standing::Member(plan.founded())));

    let second = Founding::new(2, place(2), Some(3), TIMES);
    let promised = Standing::Promised(plan.clone());
    assert_eq!(second.promise(now, &Standing::Fresh, &plan), Ok(promised.clone()));
    assert_eq!(second.promise(now, &promised, &plan), Ok(promised.clone()));
    assert_eq!(second.promise(now, &promised, &other), Err(Declined::NotFree));
    let member = Standing::Member(plan.founded());
    assert_eq!(second.promise(now, &member, &other), Err(Declined::NotFree));
    let stranger = Founding::new(4, place(4), Some(3), TIMES);
    assert_eq!(stranger.promise(now, &Standing::Fresh, &plan), Err(Declined::NotOurs));
    let elsewhere = Founding::new(2, place(2), Some(5), TIMES);
    assert_eq!(elsewhere.promise(now, &Standing::Fresh, &plan), Err(Declined::NotOurs));
}

#[test]
fn one_node_needs_nobody() {
    let mut world = World::new(1, 0, 0);
    world.add(Some(1), Duration::ZERO, []);
    world.run(1);
    assert_eq!(world.founded.len(), 1);
    assert!(world.clusters()[0].is_some());
}

#[test]
fn what_is_waited_for_is_told() {
    let wait = |expect: &[Option<u32>], lists: &[usize]| {
        let mut world = World::new(3, 0, 0);
        for expect in expect {
            world.add(*expect, Duration::ZERO, lists.iter().copied());
        }
        // Listed, and never there.
        world.add(Some(2), Duration::from_secs(1_000), []);
        let waits = world.run(30);
        assert!(world.founded.is_empty(), "{waits:?}");
        waits.get(&0).cloned().expect("it waits")
    };
    let (seen, expected) = (2, 3);
    assert_eq!(wait(&[Some(3), Some(3)], &[0, 1]), Wait::Fewer { seen, expected });
    assert_eq!(wait(&[Some(2), Some(2)], &[0, 1, 2]), Wait::Silent(place(2)));
    assert_eq!(wait(&[Some(2), Some(2), Some(2)], &[0, 1, 2]), Wait::More { seen: 3, expected: 2 });
    assert_eq!(wait(&[Some(2), Some(3)], &[0, 1]), Wait::Others { expected: 2 });
    assert_eq!(wait(&[None, Some(2)], &[0, 1]), Wait::Nobody);
}

#[test]
fn a_node_joins_the_cluster_that_is_there_and_not_one_of_two() {
    let mut world = World::new(4, 0, 0);
    world.add(Some(1), Duration::ZERO, []);
    world.add(Some(1), Duration::ZERO, []);
    world.run(1);
    world.add(None, Duration::ZERO, [0]);
    world.add(Some(2), Duration::ZERO, [1]);
    world.add(Some(2), Duration::ZERO, [0, 1]);
    let waits = world.run(5);
    let clusters = world.clusters();
    assert_eq!((clusters[2], clusters[3], clusters[4]), (clusters[0], clusters[1], None));
    assert!(matches!(waits.get(&4), Some(Wait::Two(..))), "{waits:?}");
}

#[test]
fn a_new_disk_founds_nothing_and_joins_what_is_there() {
    let mut world = World::new(5, 0, 0);
    for _ in 0..3 {
        world.add(Some(3), Duration::ZERO, 0..3);
    }
    world.run(20);
    assert_eq!(world.founded.len(), 1);
    world.wipe(0);
    let id = world.nodes[0].id;
    world.run(30);
    assert_eq!(world.founded.len(), 1);
    assert_eq!(world.clusters()[0], world.founded.first().copied());
    let Standing::Member(member) = &world.nodes[0].standing else { panic!("it is one") };
    assert!(!member.voters.contains_key(&id), "it is not the voter that it was");
}

#[test]
fn a_founding_that_cannot_be_finished_is_given_up_and_another_one_is_made() {
    let mut world = World::new(6, 0, 0);
    for _ in 0..3 {
        world.add(Some(3), Duration::ZERO, 0..3);
    }
    // One loses its disk while it is asked to promise, and another one has promised.
    let is = |world: &World, wanted: fn(&Standing) -> bool| {
        (0..3).find(|n| wanted(&world.nodes[*n].standing))
    };
    let promised = loop {
        world.run_for(Duration::from_millis(100));
        assert!(world.now < Duration::from_secs(60) && world.founded.is_empty());
        let founder = is(&world, |standing| matches!(standing, Standing::Proposed(_)));
        if let Some(founder) = founder {
            // Whoever is next hears of it, and the third does not.
            world.parcels.retain(|parcel| {
                !matches!(parcel.word, Word::Propose(_)) || parcel.to == (founder + 1) % 3
            });
            world.islands = vec![0; 3];
            world.islands[(founder + 2) % 3] = 1;
            if let Some(promised) = is(&world, |standing| matches!(standing, Standing::Promised(_)))
            {
                world.wipe((founder + 2) % 3);
                break promised;
            }
        }
    };
    world.islands.clear();
    assert!(matches!(world.nodes[promised].standing, Standing::Promised(_)));
    world.run(90);
    assert_eq!(world.founded.len(), 1);
    assert!(world.clusters().iter().all(|cluster| *cluster == world.founded.first().copied()));
}

/// A few where nobody has asked for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(8)
}

/// The same as below where they are cut off from each other whenever one has got further, find only those that they reach, and
/// need not agree for long.
#[test]
fn founding_twice_is_impossible_on_islands() {
    let (mut founded, runs) = (0, 8 * u64::from(cases()));
    for seed in 0..runs {
        let n = 2 + (seed % 3) as u32;
        let mut world = World::new(seed, 5, seed % 7);
        world.times = Times {
            settle: Duration::from_millis(600),
            fresh: Duration::from_millis(1_500),
            ..TIMES
        };
        world.is_torn = true;
        let nodes = 2 * n as usize - 1;
        for _ in 0..nodes {
            world.add(Some(n), Duration::ZERO, 0..nodes);
        }
        for _ in 0..6 {
            let any = world.dice.roll(nodes as u64) as usize;
            world.leave_alone(any);
            let time = Duration::from_millis(500 + world.dice.roll(8_000));
            world.run_for(time);
            assert!(world.founded.len() <= 1, "seed {seed}: founded {:?}", world.founded);
        }
        founded += world.founded.len() as u64;
    }
    assert!(founded > runs / 4, "only {founded} of {runs} have founded at all");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// As long as there are not twice as many nodes as found a cluster, counting those with a new disk twice, there is one
    /// cluster at most: whatever each of them is told of the others, whenever it starts, is killed, or loses its disk.
    #[test]
    fn founding_twice_is_impossible(
        seed in any::<u64>(), n in 2..5_u32, lossy in 0..60_u64, deadly in prop_oneof![Just(0), 1..30_u64],
    ) {
        let mut world = World::new(seed, lossy, deadly);
        let most = 2 * n as usize - 1;
        let nodes = n as usize + world.dice.roll(u64::from(n)) as usize;
        for own in 0..nodes {
            let starts = Duration::from_millis(world.dice.roll(30_000));
            let lists: Vec<_> = (0..nodes).filter(|_| world.dice.is(60)).chain([own]).collect();
            world.add(Some(n), starts, lists);
        }
        let mut ids = nodes;
        for _ in 0..10 {
            world.run(10);
            for own in 0..nodes {
                let lists = (0..nodes).filter(|_| world.dice.is(60)).map(place).collect();
                world.nodes[own].lists = lists;
            }
            let any = world.dice.roll(nodes as u64) as usize;
            if ids < most && world.dice.is(50) {
                world.wipe(any);
                ids += 1;
            } else if world.dice.is(50) {
                world.restart(any);
            }
            prop_assert!(world.founded.len() <= 1, "founded {:?}", world.founded);
        }
    }

    /// Where all are listed there may be any number of nodes: those who came first found, or nobody does.
    #[test]
    fn who_sees_all_founds_once(
        seed in any::<u64>(), n in 2..4_u32, nodes in 2..9_usize, lossy in 0..20_u64, deadly in prop_oneof![Just(0), 1..20_u64],
    ) {
        let mut world = World::new(seed, lossy, deadly);
        for _ in 0..nodes {
            let starts = Duration::from_millis(world.dice.roll(40_000));
            world.add(Some(n), starts, 0..nodes);
        }
        for _ in 0..8 {
            world.run(10);
            prop_assert!(world.founded.len() <= 1, "founded {:?}", world.founded);
        }
    }

    /// With a network that works and nobody killed any more, those who are to found do.
    #[test]
    fn what_was_interrupted_is_finished(seed in any::<u64>(), n in 1..6_u32, lossy in 0..60_u64, deadly in 0..40_u64) {
        let mut world = World::new(seed, lossy, deadly);
        for _ in 0..n {
            let starts = Duration::from_millis(world.dice.roll(10_000));
            world.add(Some(n), starts, 0..n as usize);
        }
        world.run(30);
        (world.lossy, world.deadly) = (0, 0);
        let waits = world.run(200);
        prop_assert_eq!(world.founded.len(), 1, "{:?}", waits);
        let founded = world.founded.first().copied();
        prop_assert!(world.clusters().iter().all(|cluster| *cluster == founded), "{:?}", waits);
    }
}
