//! The processes of one measurement.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::Result;
use crate::callgrind::Profile;
use crate::contestant::{Contestant, Halves, Program};
use crate::measured::Measured;
use crate::process::{self, Pin};
use crate::workload::Workload;

/// How long a server may take until it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one may take to end when it is told to.
const END_TIMEOUT: Duration = Duration::from_secs(30);

/// How the processes of a measurement run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Running {
    pub(crate) pin: Pin,
    /// Threads of each runtime; `None` is as many as the process may use cores.
    pub(crate) workers: Option<usize>,
    /// Longest time for the client.
    pub(crate) limit: Duration,
}

/// Instructions in user space, from start to end of each process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instructions {
    pub(crate) client: u64,
    /// `None` where the workload is local.
    pub(crate) server: Option<u64>,
}

/// What comes before the programs on their command lines.
#[derive(Default)]
struct Under {
    client: Vec<OsString>,
    server: Vec<OsString>,
}

/// A contestant that can run here.
pub(crate) struct Starter {
    pub(crate) contestant: &'static Contestant,
    server: Words,
    /// Of whoever does the work, also where that is local.
    client: Words,
}

/// What comes before `serve`, `client` or `local` on the command line, and after it.
#[derive(Clone)]
struct Words {
    before: Vec<OsString>,
    after: Vec<OsString>,
    /// Whether it is this program, which is told how many workers it has.
    is_this: bool,
}

impl Starter {
    /// Builds what has to be built; an error says why the contestant cannot run here.
    pub(crate) fn prepare(contestant: &'static Contestant) -> Result<Self> {
        (contestant.check)()?;
        let this = Words {
            before: vec![std::env::current_exe()?.into()],
            after: vec![contestant.name.into()],
            is_this: true,
        };
        let other = |program: Program| {
            program().map(|before| Words { before, after: Vec::new(), is_this: false })
        };
        let (server, client) = match contestant.halves {
            Halves::Rust { .. } | Halves::Local { .. } => (this.clone(), this),
            Halves::Program { program } => {
                let both = other(program)?;
                (both.clone(), both)
            }
            #[cfg(feature = "rakt")]
            Halves::RustServer { client, .. } => (this, other(client)?),
            #[cfg(feature = "rakt")]
            Halves::RustClient { server, .. } => (other(server)?, this),
        };
        Ok(Self { contestant, server, client })
    }

    /// One workload, one time.
    pub(crate) async fn measure(
        &self,
        workload: Workload,
        count: u64,
        how: Running,
    ) -> Result<Measured> {
        Ok(self.run(workload, count, how, &Under::default()).await?.0)
    }

    /// The same under callgrind; `None` where a part of the server is another program.
    pub(crate) async fn instructions(
        &self,
        workload: Workload,
        count: u64,
        how: Running,
    ) -> Result<Option<Instructions>> {
        let (client, server) = (Profile::new("client"), Profile::new("server"));
        let under = Under { client: client.words(), server: server.words() };
        let (_, running) = self.run(workload, count, how, &under).await?;
        let server = match running {
            Some(running) if running.pids.len() > 1 => return Ok(None),
            Some(running) => {
                running.end().await?;
                Some(server.instructions()?)
            }
            None => None,
        };
        Ok(Some(Instructions { client: client.instructions()?, server }))
    }

    /// Gives the server as well, which goes on; none where the workload is local.
    async fn run(
        &self,
        workload: Workload,
        count: u64,
        how: Running,
        under: &Under,
    ) -> Result<(Measured, Option<Server>)> {
        let (client_cpus, server_cpus) = how.pin.cpus()?;
        let job = ["--workload".into(), workload.name().into(), "--count".into()];
        let job = job.into_iter().chain([count.to_string()]);
        if workload.is_local() {
            let cpus = [client_cpus, server_cpus].concat();
            let mut alone = self.client.command(&under.client, "local", &cpus, how.workers)?;
            alone.args(job);
            return Ok((output(alone, how.limit).await?, None));
        }
        let server = self.server.command(&under.server, "serve", &server_cpus, how.workers)?;
        let server = Server::start(server).await?;
        let pids: Vec<String> = server.pids.iter().map(u32::to_string).collect();
        let mut client = self.client.command(&under.client, "client", &client_cpus, how.workers)?;
        client.args(job).args(["--port", &server.port.to_string()]);
        client.args(["--server-pid", &pids.join(",")]);
        Ok((output(client, how.limit).await?, Some(server)))
    }
}

impl Words {
    /// One half, in a process group of its own; `under` comes before all other words.
    fn command(
        &self,
        under: &[OsString],
        half: &str,
        cpus: &[usize],
        workers: Option<usize>,
    ) -> Result<Command> {
        let program = under.iter().chain(&self.before).cloned().chain([half.into()]);
        let mut command = process::pinned(cpus, program.chain(self.after.iter().cloned()))?;
        if let Some(workers) = workers.map(|workers| workers.to_string()) {
            if self.is_this {
                command.args(["--workers", &workers]);
            }
            // What others are told by, also those that this program starts.
            command.env("GOMAXPROCS", &workers).env("ERL_FLAGS", format!("+S {workers}:{workers}"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        command.kill_on_drop(true).process_group(0);
        Ok(command)
    }
}

/// What a client prints when it is done.
async fn output(mut client: Command, limit: Duration) -> Result<Measured> {
    let (child, _group) = start(&mut client)?;
    let output = timeout(limit, child.wait_with_output())
        .await
        .map_err(|_| format!("the client was not done within {limit:?}"))??;
    if !output.status.success() {
        return Err(format!("the client failed: {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A server that is ready; killed when dropped.
struct Server {
    port: u16,
    pids: Vec<u32>,
    _group: Group,
    child: Child,
}

impl Server {
    /// Starts a server and waits until it says on which port it listens.
    async fn start(mut command: Command) -> Result<Self> {
        let (mut child, group) = start(&mut command)?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no pipe")?).lines();
        let line = timeout(READY_TIMEOUT, lines.next_line())
            .await
            .map_err(|_| format!("the server was not ready within {READY_TIMEOUT:?}"))??
            .ok_or("the server ended before it was ready")?;
        let (port, others) = ready(&line)?;
        let own = child.id().ok_or("the server ended at once")?;
        let pids = [own].into_iter().chain(others).collect();
        Ok(Self { port, pids, _group: group, child })
    }

    /// Tells it to end, so that who watches it can write down what was seen.
    async fn end(mut self) -> Result {
        let pid = self.child.id().ok_or("the server has ended before its client")?;
        kill(Pid::from_raw(pid.try_into()?), Signal::SIGTERM)?;
        timeout(END_TIMEOUT, self.child.wait())
            .await
            .map_err(|_| format!("the server did not end within {END_TIMEOUT:?}"))??;
        Ok(())
    }
}

/// The port, and the processes that belong to the server besides the one that was started.
fn ready(line: &str) -> Result<(u16, Vec<u32>)> {
    let mut words = line.split_whitespace();
    if words.next() != Some("ready") {
        return Err(format!("the server said {line:?}").into());
    }
    let port = words.next().ok_or("the server named no port")?.parse()?;
    Ok((port, words.map(str::parse).collect::<Result<_, _>>()?))
}

fn start(command: &mut Command) -> Result<(Child, Group)> {
    let child = command.spawn()?;
    let leader = child.id().ok_or("it ended at once")?;
    Ok((child, Group(Pid::from_raw(leader.try_into()?))))
}

/// A process with all that it started, unless that left the group; killed when dropped.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        // An error means that none of them is left.
        let _ = killpg(self.0, Signal::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_is_told_how_many_workers_it_has() -> Result {
        let told = |is_this, workers| -> Result<String> {
            let words = Words { before: vec!["PROG".into()], after: Vec::new(), is_this };
            let command = words.command(&["valgrind".into()], "serve", &[], workers)?;
            let command = command.as_std();
            let args = command.get_args().skip_while(|arg| *arg != "valgrind");
            let envs = command.get_envs().filter_map(|(_, value)| value);
            let line: Vec<_> = args.chain(envs).map(|word| word.to_string_lossy()).collect();
            Ok(line.join(" "))
        };
        assert_eq!(told(true, Some(2))?, "valgrind PROG serve --workers 2 +S 2:2 2");
        assert_eq!(told(false, Some(2))?, "valgrind PROG serve +S 2:2 2");
        assert_eq!(told(true, None)?, "valgrind PROG serve");
        Ok(())
    }

    #[test]
    fn a_server_names_its_port_and_its_other_processes() {
        assert_eq!(ready("ready 80").ok(), Some((80, vec![])));
        assert_eq!(ready("ready 80 7 8").ok(), Some((80, vec![7, 8])));
        assert!(ready("ready").is_err());
        assert!(ready("ready 80 x").is_err());
        assert!(ready("listening 80").is_err());
    }
}
