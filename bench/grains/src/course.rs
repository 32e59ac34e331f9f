//! What is measured, the same of each contestant.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use crate::Result;
use crate::cluster::Cluster;

/// Grains of node 1 that are asked while they live; the nodes know that number as well.
const WARM: usize = 64;
/// Actors and grains are asked in turns, so that what else the machine does meets both.
const TURNS: usize = 5;
/// Asks of a turn, one after the other, and 64 at a time.
const ALONE: usize = 5_000;
const TOGETHER: usize = 100_000;
/// Grains that are brought to life for one figure.
const WOKEN: usize = 10_000;
/// Grains whose node is killed.
const LOST: usize = 3_000;
/// A node that has just come does not call others dead before they had time to be there.
const GROWN: Duration = Duration::from_secs(10);

/// How much is done.
pub(crate) struct Course {
    pub(crate) scale: f64,
}

/// What is told of a contestant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    ActorP50,
    ActorP99,
    GrainP50,
    GrainP99,
    GrainToActorP50,
    ActorRate,
    GrainRate,
    GrainToActorRate,
    WokenHere,
    WokenAnywhere,
    Resident,
    BackP99,
    BackAll,
}

impl Figure {
    pub(crate) const ALL: [Self; 13] = [
        Self::ActorP50,
        Self::ActorP99,
        Self::GrainP50,
        Self::GrainP99,
        Self::GrainToActorP50,
        Self::ActorRate,
        Self::GrainRate,
        Self::GrainToActorRate,
        Self::WokenHere,
        Self::WokenAnywhere,
        Self::Resident,
        Self::BackP99,
        Self::BackAll,
    ];

    /// What it says, and with how many digits after the point.
    pub(crate) fn says(self) -> (&'static str, usize) {
        match self {
            Self::ActorP50 => ("a lone ask of an actor of another node, p50 µs", 1),
            Self::ActorP99 => ("the same, p99 µs", 1),
            Self::GrainP50 => ("a lone ask of a grain that lives there, p50 µs", 1),
            Self::GrainP99 => ("the same, p99 µs", 1),
            Self::GrainToActorP50 => ("grain to actor, p50", 2),
            Self::ActorRate => ("asks of actors a second, 64 under way", 0),
            Self::GrainRate => ("asks of grains a second, 64 under way", 0),
            Self::GrainToActorRate => ("grains to actors, a second", 2),
            Self::WokenHere => ("grains brought to life a second, on the node that asks", 0),
            Self::WokenAnywhere => ("the same, spread over all nodes", 0),
            Self::Resident => ("bytes resident in all processes for one that rests", 0),
            Self::BackP99 => ("grains of a killed node, until 99 % answer, s", 2),
            Self::BackAll => ("the same, until all answer, s", 2),
        }
    }
}

/// The figures of one cluster, and what it could not do.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) values: Vec<(Figure, f64)>,
    pub(crate) failures: Vec<String>,
}

impl Course {
    fn of(&self, count: usize) -> usize {
        ((count as f64 * self.scale) as usize).max(WARM)
    }

    /// Starts a cluster, and runs through all that is measured. `pace` multiplies the asks that are made 64 at a time, so that
    /// each contestant has enough of them, and none too long.
    pub(crate) fn run(&self, program: &[OsString], pace: f64) -> Result<Figures> {
        let mut cluster = Cluster::start(program)?;
        let mut figures = Figures::default();
        cluster.tell(1, &format!("wake here 0 {WARM}"))?;
        let parts = [
            self.wake_here(&mut cluster, &mut figures),
            self.wake_anywhere(&mut cluster, &mut figures),
            self.ask(&mut cluster, pace, &mut figures),
            self.lose(&mut cluster, &mut figures),
        ];
        figures.failures =
            parts.into_iter().filter_map(|part| Some(part.err()?.to_string())).collect();
        Ok(figures)
    }

    fn wake_here(&self, cluster: &mut Cluster, figures: &mut Figures) -> Result {
        let count = self.of(WOKEN);
        // What grows with the first grains only is there before.
        cluster.tell(0, &format!("wake here 100000 {}", count / 4))?;
        let before = cluster.resident()?;
        let took = cluster.tell(0, &format!("wake here 200000 {count}"))?;
        figures.note(Figure::WokenHere, took.rate(count));
        let grown = cluster.resident()? as f64 - before as f64;
        figures.note(Figure::Resident, grown / count as f64);
        Ok(())
    }

    fn wake_anywhere(&self, cluster: &mut Cluster, figures: &mut Figures) -> Result {
        let count = self.of(WOKEN);
        let took = cluster.tell(0, &format!("wake random 300000 {count}"))?;
        figures.note(Figure::WokenAnywhere, took.rate(count));
        Ok(())
    }

    fn ask(&self, cluster: &mut Cluster, pace: f64, figures: &mut Figures) -> Result {
        let (alone, together) = (self.of(ALONE), self.of((TOGETHER as f64 * pace) as usize));
        // Connections are there, places are known, caches and windows have opened.
        for whom in ["actors", "grains"] {
            cluster.tell(0, &format!("ask {whom} 64 {together}"))?;
        }
        let mut told = BTreeMap::<Figure, Vec<f64>>::new();
        for _ in 0..TURNS {
            let mut turns = Vec::new();
            for whom in ["actors", "grains"] {
                let lone = cluster.tell(0, &format!("ask {whom} 1 {alone}"))?;
                let many = cluster.tell(0, &format!("ask {whom} 64 {together}"))?;
                let [p50, p99] = [lone.p50, lone.p99].map(|time| time.as_secs_f64() * 1e6);
                turns.push((p50, p99, many.rate(together)));
            }
            let (actor, grain) = (turns[0], turns[1]);
            for (figure, value) in [
                (Figure::ActorP50, actor.0),
                (Figure::ActorP99, actor.1),
                (Figure::ActorRate, actor.2),
                (Figure::GrainP50, grain.0),
                (Figure::GrainP99, grain.1),
                (Figure::GrainRate, grain.2),
                (Figure::GrainToActorP50, grain.0 / actor.0),
                (Figure::GrainToActorRate, grain.2 / actor.2),
            ] {
                told.entry(figure).or_default().push(value);
            }
        }
        for (figure, mut values) in told {
            values.sort_by(f64::total_cmp);
            figures.note(figure, values[TURNS / 2]);
        }
        Ok(())
    }

    fn lose(&self, cluster: &mut Cluster, figures: &mut Figures) -> Result {
        let count = self.of(LOST);
        cluster.tell(2, &format!("wake here 400000 {count}"))?;
        cluster.age(GROWN);
        cluster.kill(2)?;
        let took = cluster.tell(0, &format!("back 400000 {count}"))?;
        figures.note(Figure::BackP99, took.p99.as_secs_f64());
        figures.note(Figure::BackAll, took.most.as_secs_f64());
        Ok(())
    }
}

impl Figures {
    fn note(&mut self, figure: Figure, value: f64) {
        self.values.push((figure, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_little_is_done_all_warm_grains_are_asked() {
        assert_eq!(Course { scale: 0.000_1 }.of(ALONE), WARM);
        assert_eq!(Course { scale: 2.0 }.of(ALONE), 2 * ALONE);
    }
}
