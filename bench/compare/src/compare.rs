//! The rounds: every contestant does every workload, a new server and a new client each time.

use std::fs::File;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::Result;
use crate::args::CompareArgs;
use crate::contestant::{self, Contestant};
use crate::report::{Report, Row, Settings};
use crate::workload::{Measured, Workload};

/// How long a server may take until it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) fn run(args: &CompareArgs) -> Result<ExitCode> {
    if args.list {
        for contestant in contestant::ALL {
            println!("{:<14}{}", contestant.name, contestant.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    // Opened first: a path that cannot be written should not cost a whole comparison.
    let json = args.json.as_deref().map(create).transpose()?;
    // One thread: a child is told of its parent's end when the thread that started it ends.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(compare(args))?;
    print!("{report}");
    if let Some(file) = json {
        serde_json::to_writer_pretty(file, &report)?;
    }
    Ok(if report.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn create(path: &Path) -> Result<File> {
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let file = folder.and_then(|()| File::create(path));
    file.map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}

async fn compare(args: &CompareArgs) -> Result<Report> {
    let contestants: Vec<&Contestant> =
        contestant::ALL.iter().filter(|c| args.only.iter().any(|name| name == c.name)).collect();
    let pairs = args.workloads.iter().flat_map(|&workload| {
        contestants.iter().map(move |contestant| Row::new(workload, contestant.name))
    });
    let mut rows: Vec<Row> = pairs.collect();
    for round in 0..args.rounds {
        eprintln!("round {} of {}", round + 1, args.rounds);
        for rows in rows.chunks_mut(contestants.len()) {
            // Whoever goes first meets the machine as the workload before left it: take turns.
            let first = round % contestants.len();
            let (end, start) = rows.split_at_mut(first);
            for row in start.iter_mut().chain(end) {
                match once(args, contestant::find(&row.contestant)?, row.workload).await {
                    Ok(measured) => row.rounds.push(measured),
                    Err(error) => {
                        eprintln!("{} {}: {error}", row.contestant, row.workload.name());
                        row.failures.push(error.to_string());
                    }
                }
            }
        }
    }
    let settings = Settings { pin: args.pin.name(), rounds: args.rounds, scale: args.scale };
    Ok(Report { settings, rows })
}

/// One contestant, one workload, one time.
async fn once(args: &CompareArgs, contestant: &Contestant, workload: Workload) -> Result<Measured> {
    let (client_cpu, server_cpu) = args.pin.cpus()?;
    let (mut server, port) = Server::start(contestant, server_cpu).await?;
    let server_pid = server.0.id().ok_or("the server ended at once")?;
    let mut client = this_program("client", contestant, client_cpu)?;
    client
        .args(["--workload", workload.name()])
        .args(["--count", &workload.count(args.scale).to_string()])
        .args(["--port", &port.to_string()])
        .args(["--server-pid", &server_pid.to_string()]);
    let output = timeout(args.limit, client.output())
        .await
        .map_err(|_| format!("the client was not done within {:?}", args.limit))??;
    server.stop().await?;
    if !output.status.success() {
        return Err(format!("the client failed: {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

struct Server(Child);

impl Server {
    /// Starts a server and waits until it says on which port it listens.
    async fn start(contestant: &Contestant, cpu: Option<usize>) -> Result<(Self, u16)> {
        let mut child = this_program("serve", contestant, cpu)?.spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no pipe")?).lines();
        let line = timeout(READY_TIMEOUT, lines.next_line())
            .await
            .map_err(|_| format!("the server was not ready within {READY_TIMEOUT:?}"))??
            .ok_or("the server ended before it was ready")?;
        let port = line.strip_prefix("ready ").ok_or("the server printed no port")?.parse()?;
        Ok((Self(child), port))
    }

    async fn stop(&mut self) -> Result {
        Ok(self.0.kill().await?)
    }
}

/// This program as one half of a contestant; killed when dropped.
fn this_program(half: &str, contestant: &Contestant, cpu: Option<usize>) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(half).arg(contestant.name);
    if let Some(cpu) = cpu {
        command.args(["--cpu", &cpu.to_string()]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command.kill_on_drop(true);
    Ok(command)
}
