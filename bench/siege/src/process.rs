//! A node as its parent sees it: a process with a port, whose memory and tasks can be asked for.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::Result;
use crate::limits::Limits;
use crate::over::Over;

/// How long a node may take until it is ready, and until it answers its parent.
const PATIENCE: Duration = Duration::from_secs(20);
/// The allocator gives back at once what is free, and keeps neither many arenas nor addresses.
const ALLOCATOR: &str = "dirty_decay_ms:0,muzzy_decay_ms:0,narenas:2,retain:false,lg_tcache_max:12";
/// The same of the one of the system, from which the C code of zstd has its memory.
const SYSTEM_ALLOCATOR: [(&str, &str); 3] = [
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_MMAP_THRESHOLD_", "65536"),
    ("MALLOC_TRIM_THRESHOLD_", "65536"),
];
/// Bytes of a page.
const PAGE: u64 = 4096;

/// Killed when dropped.
pub(crate) struct Node {
    pub(crate) port: u16,
    pub(crate) pid: u32,
    /// Memory and tasks when it was started and had its first honest client.
    pub(crate) idle: Status,
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

/// What a node holds and does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Status {
    /// Bytes.
    pub(crate) resident: u64,
    pub(crate) tasks: u64,
    pub(crate) actors: u64,
}

impl Node {
    /// Starts a node, with so many bytes of data at most where that is given.
    pub(crate) async fn start(limits: Limits, over: &Over, data: Option<u64>) -> Result<Self> {
        let this = std::env::current_exe()?;
        let mut command = match data {
            None => Command::new(&this),
            Some(bytes) => {
                let mut shell = Command::new("sh");
                let limited = format!("ulimit -d {} && exec \"$0\" \"$@\"", bytes / 1024);
                shell.args(["-c", &limited]).arg(&this);
                shell
            }
        };
        command.arg("node").args(limits.to_args()).env("_RJEM_MALLOC_CONF", ALLOCATOR);
        command.envs(SYSTEM_ALLOCATOR).envs(over.to_env());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let input = child.stdin.take().ok_or("the node has an input")?;
        let output = child.stdout.take().ok_or("the node has an output")?;
        let mut output = BufReader::new(output).lines();
        let ready =
            timeout(PATIENCE, output.next_line()).await??.ok_or("the node did not start")?;
        let port = ready.strip_prefix("ready ").ok_or("the node is not ready")?.parse()?;
        let pid = child.id().ok_or("the node has ended")?;
        Ok(Self { port, pid, idle: Status::default(), child, input, output })
    }

    /// Has the slow actors stand still, or go on.
    pub(crate) async fn hold(&mut self, held: bool) -> Result {
        self.command(if held { "hold" } else { "release" }).await.map(drop)
    }

    /// What it holds and does now.
    pub(crate) async fn status(&mut self) -> Result<Status> {
        let (tasks, actors) = self.command("status").await?;
        Ok(Status { resident: resident(self.pid)?, tasks, actors })
    }

    /// Whether the process is there.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    async fn command(&mut self, word: &str) -> Result<(u64, u64)> {
        self.input.write_all(format!("{word}\n").as_bytes()).await?;
        let line = timeout(PATIENCE, self.output.next_line()).await?;
        let line = line?.ok_or("the node has ended")?;
        let (tasks, actors) = line.split_once(' ').ok_or("the node says two numbers")?;
        Ok((tasks.parse()?, actors.parse()?))
    }

    /// Waits until memory and tasks are as they were by `is_back`, for `limit` at most. Returns the
    /// last status and how long it took.
    pub(crate) async fn settled(
        &mut self,
        limit: Duration,
        is_back: impl Fn(&Status) -> bool,
    ) -> Result<(Status, Duration)> {
        let started = Instant::now();
        loop {
            let (status, waited) = (self.status().await?, started.elapsed());
            if is_back(&status) || waited > limit {
                return Ok((status, waited));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Bytes that a process has resident.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages = statm.split(' ').nth(1).ok_or("statm has two numbers")?;
    Ok(pages.parse::<u64>()? * PAGE)
}
