//! What must hold at any time.

use std::time::Duration;

use super::state::{Node, World};
use crate::directory::Grain;
use crate::epoch::Epoch;
use crate::view::{Step, View};

impl World {
    /// Something does not hold: the run is over.
    pub(super) fn broken(&mut self, what: impl FnOnce() -> String) {
        if self.checks.broken.is_none() {
            let what = format!("at {:.3} s: {}", self.now.as_secs_f64(), what());
            self.note(|| what.clone());
            self.checks.broken = Some(what);
        }
    }

    /// The register has taken a view.
    pub(super) fn check_register(&mut self) {
        let view = match View::decode(&self.register.bytes) {
            Ok(view) => view,
            Err(error) => return self.broken(|| format!("the register holds no view: {error}")),
        };
        let step = self.checks.newest.as_ref().map(|newest| newest.step(&view));
        if !matches!(step, None | Some(Ok(Step::Newer { in_row: true }))) {
            self.broken(|| format!("{view:?} follows as {step:?}"));
        }
        self.note(|| format!("the register holds {view:?}"));
        if let Some(before) = &self.checks.newest {
            let new = view.dead().filter(|seat| !before.dead().any(|known| known == *seat));
            self.checks.deaths += new.count() as u64;
        }
        self.checks.history.insert(view.stamp(), self.register.bytes.clone());
        self.checks.newest = Some(view);
    }

    pub(super) fn newest(&self) -> Option<&View> {
        self.checks.newest.as_ref()
    }

    /// I6: a node goes on to a view.
    pub(super) fn check_view(&mut self, at: usize, view: &View) {
        let before = self.nodes[at].stamp.replace(view.stamp());
        if before.is_some_and(|before| before >= view.stamp()) {
            self.broken(|| format!("node {at} goes from view {before:?} to {view:?}"));
        }
        if self.checks.history.get(&view.stamp()) != Some(&view.encode()) {
            self.broken(|| format!("node {at} goes to {view:?}, which the register never held"));
        }
    }

    /// A life is begun: under an epoch above all before.
    pub(super) fn check_epoch(&mut self, at: usize, grain: &Grain, epoch: Epoch) {
        self.checks.begun += 1;
        let before = self.checks.last.insert(grain.clone(), epoch);
        if before.is_some_and(|before| before >= epoch) && !self.is_available {
            self.broken(|| format!("{grain:?} begins on {at} under {epoch} after {before:?}"));
        }
    }

    /// I1: of the grains that live on this node no other life runs anywhere.
    pub(super) fn check_alone(&mut self, at: usize) {
        let now = self.now;
        let hosts = |node: &Node| node.hosts(now, self.overstays);
        let mut doubles = Vec::new();
        if hosts(&self.nodes[at]) && !self.is_available {
            for (grain, epoch) in self.nodes[at].lives.keys() {
                let others = self.nodes.iter().enumerate().filter(|(_, node)| hosts(node));
                let same = others.flat_map(|(who, node)| {
                    let of_grain = node.lives.range((grain.clone(), Epoch::default())..);
                    let of_grain = of_grain.take_while(|((other, _), _)| other == grain);
                    of_grain.map(move |((_, epoch), _)| (who, *epoch))
                });
                doubles.extend(same.filter(|other| *other != (at, *epoch)).map(|other| {
                    format!(
                        "{grain:?} runs on {at} under {epoch} and on {} under {}",
                        other.0, other.1
                    )
                }));
            }
        }
        if let Some(double) = doubles.pop() {
            self.broken(|| double);
        }
    }

    /// What is not listed, or listed as Dead, hosts nothing.
    pub(super) fn check_seat(&mut self, at: usize) {
        let node = &self.nodes[at];
        let hosts = node.participant.state().is_some_and(|state| state.hosts());
        let lives = !node.lives.is_empty() && !self.is_available;
        if !hosts && (lives || node.hosts_until.is_some()) {
            let state = node.participant.state();
            self.broken(|| format!("node {at} is {state:?} and hosts"));
        }
    }

    /// I7: all who run are Up in the same view, and nobody else is in it. What is left of the dead may still be.
    pub(super) fn check_equal(&mut self, may_wait: bool) {
        let newest = self.newest().cloned();
        let Some(newest) = newest else {
            return self.broken(|| "there is no view".to_owned());
        };
        let running: Vec<usize> = self.running().collect();
        for at in &running {
            let node = &self.nodes[*at];
            let known = node.participant.view().map(|view| view.stamp());
            if known != Some(newest.stamp()) {
                return self.broken(|| format!("node {at} knows view {known:?}, not {newest:?}"));
            }
            if !node.participant.is_ready(node.clock.at(self.now)) {
                let state = node.participant.state();
                return self.broken(|| format!("node {at} is {state:?} and not ready"));
            }
        }
        let is_whole = newest.up().count() == running.len();
        if !is_whole || (newest.members().len() > running.len() && !may_wait) {
            self.broken(|| format!("{running:?} run, and that is not {newest:?}"));
        }
    }

    /// I3: searches that were begun before that have ended.
    pub(super) fn check_searches(&mut self, before: Duration) {
        let running: Vec<usize> = self.running().collect();
        for at in running {
            if self.nodes[at].wishes.values().any(|since| *since < before) {
                let late: Vec<_> = self.nodes[at].uses.values().cloned().collect();
                return self.broken(|| format!("on {at} some of this go on: {late:?}"));
            }
        }
    }
}
