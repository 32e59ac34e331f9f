//! What one rule works with.

use std::future::Future;

use bytes::Bytes;

use super::history::{Answer, Asked, History, Shown};
use crate::cluster::{Register, RegisterError, SwapError, Version};
use crate::error::Chain;
use crate::testkit::rules::{Calls, Outcome, all_at_once, broken, ensure};
use crate::testkit::violation::Violation;

/// How many nodes open a register.
pub(super) const NODES: usize = 3;

/// The version of what was never written.
pub(super) const NOTHING: Version = Version(0);

/// One rule: how a register is opened, and the calls that were made.
pub(super) struct Trial<'a, F> {
    open: &'a F,
    name: String,
    pub(super) seed: u64,
    calls: Calls,
}

impl<'a, F> Trial<'a, F> {
    pub(super) fn new(open: &'a F, rule: &'static str, run: u64, number: usize) -> Self {
        let name = format!("check-{run:016x}-{number}");
        Self { open, name, seed: run ^ number as u64, calls: Calls::new(rule) }
    }

    pub(super) async fn judge(&self, rule: impl Future<Output = Outcome>) -> Option<Violation> {
        self.calls.judge(rule).await
    }

    /// The nodes of a register that nobody has used: each number is another one.
    pub(super) async fn nodes<R: Register>(&self, number: usize) -> Nodes<'_, R>
    where
        F: AsyncFn(String) -> R,
    {
        let open = || (self.open)(format!("{}-{number}", self.name));
        let registers = all_at_once((0..NODES).map(|_| open())).await;
        Nodes { registers, calls: &self.calls, history: History::default() }
    }
}

/// The register of one name, as the nodes have it.
pub(super) struct Nodes<'a, R> {
    registers: Vec<R>,
    calls: &'a Calls,
    history: History,
}

impl<R: Register> Nodes<'_, R> {
    pub(super) fn of(&self, at: usize) -> &R {
        &self.registers[at]
    }

    pub(super) async fn read(&self, at: usize) -> Result<(Version, Bytes), RegisterError> {
        let answer = self.history.read(at, &self.registers[at]);
        let show = |answer: &Result<(Version, Bytes), RegisterError>| match answer {
            Ok((version, view)) => Answer::Read(*version, view.clone()).to_string(),
            Err(error) => Chain(error).to_string(),
        };
        self.calls.noted(at, Asked::Read.to_string(), answer, show).await
    }

    pub(super) async fn confirm(&self, at: usize, seen: Version) -> Result<bool, RegisterError> {
        let answer = self.history.confirm(at, &self.registers[at], seen);
        let show = |answer: &Result<bool, RegisterError>| match answer {
            Ok(yes) => yes.to_string(),
            Err(error) => Chain(error).to_string(),
        };
        self.calls.noted(at, Asked::Confirm(seen).to_string(), answer, show).await
    }

    pub(super) async fn swap(
        &self,
        at: usize,
        over: Version,
        view: Bytes,
    ) -> Result<Version, SwapError> {
        let call = Asked::Swap(over, view.clone()).to_string();
        let answer = self.history.swap(at, &self.registers[at], over, view);
        let show = |answer: &Result<Version, SwapError>| match answer {
            Ok(version) => Answer::Swapped(*version).to_string(),
            Err(error) => Chain(error).to_string(),
        };
        self.calls.noted(at, call, answer, show).await
    }

    /// Reads what can be read.
    pub(super) async fn found(&self, at: usize) -> Outcome<(Version, Bytes)> {
        self.read(at).await.or_else(|_| broken("the read was to be answered"))
    }

    /// Confirms, or not, what can be.
    pub(super) async fn confirmed(&self, at: usize, seen: Version) -> Outcome<bool> {
        self.confirm(at, seen).await.or_else(|_| broken("the confirmation was to be answered"))
    }

    /// Looks at what is there, by all operations.
    pub(super) async fn holds(
        &self,
        at: usize,
        version: Version,
        view: impl Into<Bytes>,
    ) -> Outcome {
        let view = view.into();
        let found = self.found(at).await?;
        ensure(found == (version, view.clone()), || {
            format!("there was to be version {} with {}", version.0, Shown(&view))
        })?;
        let is_newest = self.confirmed(at, version).await?;
        ensure(is_newest, || format!("version {} was to be confirmed", version.0))
    }

    /// Says that this is not the newest version, and cannot be replaced.
    pub(super) async fn is_over(&self, at: usize, version: Version) -> Outcome {
        let is_newest = self.confirmed(at, version).await?;
        ensure(!is_newest, || {
            format!("version {} was to be confirmed no more, or never", version.0)
        })
    }

    /// Swaps what is to be swapped.
    pub(super) async fn swapped(
        &self,
        at: usize,
        over: Version,
        view: impl Into<Bytes>,
    ) -> Outcome<Version> {
        let version = self.swap(at, over, view.into()).await;
        let version = version.or_else(|_| {
            broken(format!("version {}, which is the newest, was to be replaced", over.0))
        })?;
        ensure(version != NOTHING && version != over, || {
            "a version was to come that was never there, and version 0 is nothing".into()
        })?;
        Ok(version)
    }

    /// Swaps what is not to be swapped.
    pub(super) async fn conflicts(&self, at: usize, over: Version) -> Outcome {
        match self.swap(at, over, Bytes::from("never to be seen")).await {
            Err(SwapError::Conflict) => Ok(()),
            _ => broken(format!(
                "the swap over version {}, another one, was to be a conflict",
                over.0
            )),
        }
    }

    /// Whether all that was answered so far can be one order.
    pub(super) fn has_one_order(&self) -> Outcome {
        self.history.fault().map_or(Ok(()), broken)
    }
}
