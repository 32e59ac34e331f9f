//! What the operating system is asked about processes: cores, CPU time, memory, and ending together.

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::str::FromStr;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::Result;

/// Where client and server run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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

    /// The cores of client and server; none means all.
    pub(crate) fn cpus(self) -> Result<(Vec<usize>, Vec<usize>)> {
        let mut cpus = allowed_cpus()?.into_iter();
        let first = Vec::from_iter(cpus.next());
        match self {
            Self::Split => match cpus.next() {
                Some(second) => Ok((first, vec![second])),
                None => Err("--pin split needs two cores; there is one".into()),
            },
            Self::One => Ok((first.clone(), first)),
            Self::None => Ok((Vec::new(), Vec::new())),
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

/// Becomes `program`: with its threads on the cores of `cpus`, as many open files as are allowed, and
/// killed when the process ends that started this one, however that happens.
pub(crate) fn become_pinned(cpus: &[usize], program: &[OsString]) -> Result<Infallible> {
    set_pdeathsig(Signal::SIGKILL)?;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    if !cpus.is_empty() {
        let mut set = CpuSet::new();
        cpus.iter().try_for_each(|&cpu| set.set(cpu))?;
        sched_setaffinity(Pid::this(), &set)?;
    }
    let (program, args) = program.split_first().ok_or("no program is named")?;
    Err(std::process::Command::new(program).args(args).exec().into())
}

/// A command that starts `program` by way of [`become_pinned`]; without `cpus` it stays where its
/// parent is.
pub(crate) fn pinned(
    cpus: &[usize],
    program: impl IntoIterator<Item = OsString>,
) -> Result<tokio::process::Command> {
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command.arg("pinned");
    for cpu in cpus {
        command.args(["--cpu", &cpu.to_string()]);
    }
    command.arg("--").args(program);
    Ok(command)
}

/// The CPU time, user and system, of all threads of some processes.
pub(crate) struct CpuClock(Vec<ClockId>);

impl CpuClock {
    pub(crate) fn of_self() -> Result<Self> {
        Self::of(&[std::process::id()])
    }

    pub(crate) fn of(pids: &[u32]) -> Result<Self> {
        let clock = |&pid: &u32| Ok(clock_getcpuclockid(Pid::from_raw(pid.try_into()?))?);
        Ok(Self(pids.iter().map(clock).collect::<Result<_>>()?))
    }

    pub(crate) fn now(&self) -> Result<Duration> {
        self.0.iter().map(|&clock| Ok(Duration::from(clock_gettime(clock)?))).sum()
    }
}

/// Bytes that some processes have resident, all together.
pub(crate) fn resident_memory(pids: &[u32]) -> Result<u64> {
    pids.iter().map(|&pid| status_bytes(pid, "VmRSS:")).sum()
}

/// Bytes that some processes ever had resident, the most of each added up.
pub(crate) fn peak_memory(pids: &[u32]) -> Result<u64> {
    pids.iter().map(|&pid| status_bytes(pid, "VmHWM:")).sum()
}

fn status_bytes(pid: u32, key: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)).ok_or("no such line")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024)
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
        assert_eq!(client.len(), 1);
    }

    #[test]
    fn memory_that_is_touched_is_resident_and_stays_in_the_peak() {
        let pids = [std::process::id()];
        let before = resident_memory(&pids).expect("the process exists");
        let touched = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(resident_memory(&pids).expect("the process exists") >= before + (32 << 20));
        drop(touched);
        assert!(peak_memory(&pids).expect("the process exists") >= before + (32 << 20));
        assert_eq!(peak_memory(&[]).ok(), Some(0));
    }
}
