//! What the operating system is asked about processes: cores, CPU time, and ending together.

use std::str::FromStr;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::Result;

/// Where client and server run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pin {
    /// On a core each.
    Split,
    /// Both on one core.
    One,
    /// Wherever the scheduler puts them.
    None,
}

impl Pin {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::One => "one",
            Self::None => "none",
        }
    }

    /// The cores of client and server.
    pub(crate) fn cpus(self) -> Result<(Option<usize>, Option<usize>)> {
        let mut cpus = allowed_cpus()?.into_iter();
        let first = cpus.next();
        match self {
            Self::Split => match cpus.next() {
                Some(second) => Ok((first, Some(second))),
                None => Err("--pin split needs two cores; there is one".into()),
            },
            Self::One => Ok((first, first)),
            Self::None => Ok((None, None)),
        }
    }
}

impl FromStr for Pin {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Split, Self::One, Self::None]
            .into_iter()
            .find(|pin| pin.name() == name)
            .ok_or_else(|| "--pin is split, one or none".to_owned())
    }
}

/// The cores that this process may use.
fn allowed_cpus() -> Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::this())?;
    Ok((0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect())
}

/// Keeps this process, and every thread that it starts from now on, on one core.
pub(crate) fn pin_to(cpu: Option<usize>) -> Result {
    let Some(cpu) = cpu else { return Ok(()) };
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(sched_setaffinity(Pid::this(), &set)?)
}

/// Has this process killed when the one that started it ends, however that happens.
pub(crate) fn end_with_parent() -> Result {
    Ok(set_pdeathsig(Signal::SIGKILL)?)
}

/// The CPU time, user and system, of all threads of one process.
pub(crate) struct CpuClock(ClockId);

impl CpuClock {
    pub(crate) fn of_self() -> Result<Self> {
        Self::of(Pid::this().as_raw())
    }

    pub(crate) fn of(pid: i32) -> Result<Self> {
        Ok(Self(clock_getcpuclockid(Pid::from_raw(pid))?))
    }

    pub(crate) fn now(&self) -> Result<Duration> {
        Ok(clock_gettime(self.0)?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_grows_with_work() {
        let clock = CpuClock::of_self().expect("the process exists");
        let before = clock.now().expect("the process exists");
        let sum: u64 = (0..20_000_000_u64).map(std::hint::black_box).sum();
        assert!(clock.now().expect("the process exists") > before, "summing to {sum}");
    }

    #[test]
    fn both_on_one_core_means_the_same_core() {
        let (client, server) = Pin::One.cpus().expect("there is a core");
        assert_eq!(client, server);
        assert!(client.is_some());
    }
}
