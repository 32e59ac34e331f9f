//! Random faults, of many seeds.

use std::time::Duration;

use super::state::{Event, Fault, World};
use crate::directory::Guard;

/// After the last fault all are members within this.
const HEALED: Duration = Duration::from_secs(30);
/// All that is asked of the register on the longest way back takes no longer than this.
const ASKED: Duration = Duration::from_secs(3);

/// After the last fault grains can come to life again within this.
///
/// The longest way is that of one that was removed while it lived, and then all others died. It waits 1.2 leases until its own
/// entry may be dropped, joins, says hello to the others for two leases, or ten probes if those take longer, removes them, and
/// waits 1.2 leases for what was theirs: 35.2 s with a lease of 8 s, by a clock that may be 2 % slow.
pub(super) fn usable(lease: Duration) -> Duration {
    let (wait, patience) = (lease * 6 / 5, lease.max(Duration::from_secs(5)));
    HEALED.max((wait * 2 + patience * 2) * 102 / 100 + ASKED)
}

impl World {
    /// Faults come until then, and then all is well again.
    pub(super) fn rage(&mut self, until: Duration) {
        let after = self.random.millis((100, 4000));
        self.plan(self.now + after, Event::Fault(Fault::Next(until)));
    }

    pub(super) fn strike(&mut self, fault: Fault) {
        match fault {
            Fault::Next(until) => {
                if self.now < until {
                    self.harm();
                    self.rage(until);
                }
            }
            Fault::Start(port) => {
                self.start(port);
            }
            Fault::Uncut(cuts) => {
                for cut in cuts {
                    self.network.cuts.remove(&cut);
                }
            }
            Fault::Reach(port) => drop(self.network.cut_off.remove(&port)),
            Fault::Outage(is) => self.network.outage = is,
            Fault::Calm => {
                let cuts = std::mem::take(&mut self.network.cuts);
                let (off, outage) =
                    (std::mem::take(&mut self.network.cut_off), self.network.outage);
                self.network.heal();
                (self.network.cuts, self.network.cut_off, self.network.outage) =
                    (cuts, off, outage);
            }
        }
    }

    fn harm(&mut self) {
        let running: Vec<usize> = self.running().collect();
        let Some(at) = self.random.pick(&running) else {
            let port = self.port();
            {
                self.start(port);
                return;
            }
        };
        let port = self.nodes[at].port;
        let ports: Vec<u16> = running.iter().map(|at| self.nodes[*at].port).collect();
        let lasts = self.random.millis((100, 25_000));
        let ends = self.now + lasts;
        match self.random.below(22) {
            0 | 1 => {
                self.kill(at);
                let same = self.random.chance(500);
                let port = if same { port } else { self.port() };
                let after = self.random.millis((0, 10_000));
                self.plan(self.now + after, Event::Fault(Fault::Start(port)));
            }
            2..=4 => self.pause(at, lasts),
            5 if running.len() > 1 => {
                let all = self.random.chance(300);
                for at in running.into_iter().filter(|one| all || *one == at) {
                    self.leave(at);
                    let port = self.port();
                    self.plan(ends, Event::Fault(Fault::Start(port)));
                }
            }
            6 | 7 if running.len() < 8 => {
                let port = self.port();
                self.start(port);
            }
            8 | 9 => {
                // In two.
                let (one, other): (Vec<u16>, Vec<u16>) =
                    ports.iter().partition(|_| self.random.chance(500));
                let both = |one: &[u16], other: &[u16]| -> Vec<(u16, u16)> {
                    one.iter().flat_map(|a| other.iter().map(|b| (*a, *b))).collect()
                };
                let cuts = [both(&one, &other), both(&other, &one)].concat();
                self.cut(cuts, ends);
            }
            10 => {
                // All that goes to one, or comes from it.
                let to = self.random.chance(500);
                let way = |other: &u16| if to { (*other, port) } else { (port, *other) };
                self.cut(ports.iter().map(way).collect(), ends);
            }
            11 | 12 => {
                // One link, in one direction or both.
                let Some(other) = self.random.pick(&ports) else { return };
                let mut cuts = vec![(port, other)];
                if self.random.chance(500) {
                    cuts.push((other, port));
                }
                self.cut(cuts, ends);
            }
            13 => {
                let loss = self.random.below(900);
                self.note(|| format!("{port} loses {loss}"));
                self.network.loss_at.insert(port, loss);
                self.plan(ends, Event::Fault(Fault::Calm));
            }
            14 => {
                self.network.loss = self.random.below(300);
                self.network.twice = self.random.below(300);
                self.network.delay = (0, self.random.below(600));
                self.note(|| "the network is bad".to_owned());
                self.plan(ends, Event::Fault(Fault::Calm));
            }
            15 => {
                self.network.register_loss = self.random.below(600);
                self.network.register_delay = (1, 2 + self.random.below(900));
                self.note(|| "the register is bad".to_owned());
                self.plan(ends, Event::Fault(Fault::Calm));
            }
            16 => {
                self.network.outage = true;
                self.note(|| "the register is out".to_owned());
                self.plan(ends, Event::Fault(Fault::Outage(false)));
            }
            17 | 18 => {
                self.note(|| format!("{port} is cut off from the register"));
                self.network.cut_off.insert(port);
                self.plan(ends, Event::Fault(Fault::Reach(port)));
            }
            19 | 20 => self.lie(at),
            _ if self.random.chance(200) => {
                let known = self.nodes[at].participant.view().map(|view| view.stamp());
                let mut seen = known.unwrap_or_default();
                seen.version += self.random.below(3) * 1_000_000;
                self.note(|| format!("{at} has seen an epoch of view {seen}"));
                self.nodes[at].participant.superseded(seen);
            }
            _ => {}
        }
    }

    pub(super) fn cut(&mut self, cuts: Vec<(u16, u16)>, ends: Duration) {
        self.note(|| format!("cut until {:.3}: {cuts:?}", ends.as_secs_f64()));
        self.network.cuts.extend(cuts.iter().copied());
        self.plan(ends, Event::Fault(Fault::Uncut(cuts)));
    }

    /// The last fault is over.
    pub(super) fn heal(&mut self) {
        self.note(|| "all is well".to_owned());
        self.network.heal();
        self.queue.retain(|_, event| !matches!(event, Event::Fault(_)));
        let (now, running) = (self.now, self.running().collect::<Vec<_>>());
        for at in running {
            self.nodes[at].paused_until = now;
            self.plan(now, Event::Resume(at));
        }
    }

    /// One run: faults for a while, and then all has to be well.
    fn storm(&mut self) {
        let nodes = 1 + self.random.below(5) as u16;
        for _ in 1..=nodes {
            let port = self.port();
            self.start(port);
            let after = self.random.millis((0, 3000));
            self.run(after);
        }
        let rages = self.random.millis((20_000, 80_000));
        self.rage(self.now + rages);
        self.run(rages);
        self.heal();
        if self.running().all(|at| self.nodes[at].leaves) {
            let port = self.port();
            self.start(port);
        }
        let healed = self.now;
        self.run(HEALED);
        self.check_equal(true);
        // One that has just been granted may take some seconds to come to life.
        self.run(usable(self.lease) - HEALED + Duration::from_secs(5));
        self.check_searches(healed);
        self.use_all(Duration::from_secs(10));
        self.check_equal(false);
        // They leave, at once or one after the other.
        let running = self.running().collect::<Vec<_>>();
        if self.random.chance(500) {
            running.iter().for_each(|at| self.leave(*at));
        }
        for at in running {
            if self.checks.broken.is_none() && self.nodes[at].runs {
                self.leave(at);
                if !self.run_until(Duration::from_secs(10), |world| !world.nodes[at].runs) {
                    self.broken(|| format!("node {at} does not come to leave"));
                }
            }
        }
    }
}

/// What makes a world special.
type Prepare = fn(World) -> World;

/// One run of a seed, with or without a trace.
fn run(seed: u64, is_traced: bool, prepare: Prepare) -> World {
    let mut world = prepare(World::new(seed));
    world.trace = is_traced.then(Vec::new);
    world.lease = Duration::from_secs([3, 5, 8][world.random.below(3) as usize]);
    world.storm();
    world
}

/// What does not hold in this run.
fn broken(seed: u64, prepare: Prepare) -> Option<String> {
    run(seed, false, prepare).checks.broken
}

/// Fails with the end of a trace of what does not hold.
pub(super) fn show(world: &World, seed: u64) {
    let Some(broken) = &world.checks.broken else { return };
    let (lines, trace) = (number("RAKT_TRACE").unwrap_or(80), world.trace.as_ref());
    let trace = trace.map_or(&[][..], |trace| {
        let from = trace.len().saturating_sub(lines as usize);
        &trace[from..]
    });
    panic!("seed {seed}: {broken}\n{}", trace.join("\n"));
}

#[expect(clippy::disallowed_methods, reason = "says how many seeds are run")]
pub(super) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn seeds_hold() {
    let seeds = match number("RAKT_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = number("RAKT_FIRST").unwrap_or(0);
            first..first + number("RAKT_SEEDS").unwrap_or(200)
        }
    };
    let (mut failed, count) = (Vec::new(), seeds.end - seeds.start);
    let (mut begun, mut used) = (0, 0);
    for seed in seeds {
        let world = run(seed, false, |world| world);
        begun += world.checks.begun;
        used += world.used;
        failed.extend(world.checks.broken.map(|broken| (seed, broken)));
    }
    if let Some((seed, _)) = failed.first() {
        let all: Vec<String> =
            failed.iter().map(|(seed, text)| format!("{seed}: {text}")).collect();
        #[expect(clippy::disallowed_macros, reason = "shown where it fails")]
        {
            println!("{} of {count} seeds fail\n{}", failed.len(), all.join("\n"));
        }
        show(&run(*seed, true, |world| world), *seed);
    }
    // It is not that nothing happened.
    assert!(begun > count * 20 && used > count * 100, "{begun} lives, {used} uses");
}

#[test]
fn a_seed_always_runs_the_same() {
    for seed in [1, 2, 3] {
        let traces = [0, 1].map(|_| run(seed, true, |world| world).trace);
        assert!(traces[0].as_ref().is_some_and(|trace| trace.len() > 1000));
        assert_eq!(traces[0], traces[1]);
    }
}

/// Whether one of so many seeds tells that something is wrong.
fn tells(seeds: u64, prepare: Prepare) -> Option<String> {
    (0..seeds).find_map(|seed| broken(seed, prepare))
}

#[test]
fn what_is_wrong_is_found() {
    let wrong: [(&str, Prepare); 3] = [
        ("nobody waits for the dead", |world| world.without(&[Guard::OwnFirstSight])),
        ("what nobody reported is not waited for", |world| world.without(&[Guard::WaitForAll])),
        ("hosts go on after their lease", |mut world| {
            world.overstays = Duration::from_secs(20);
            world
        }),
    ];
    for (what, prepare) in wrong {
        let told = tells(50, prepare);
        assert!(told.as_ref().is_some_and(|told| told.contains("runs on")), "{what}: {told:?}");
    }
}
