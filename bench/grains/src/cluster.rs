//! Three processes that are a cluster, as whoever has started them sees it.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::Result;

/// How many nodes there are, and ports of each: a program uses as many of them as it needs.
pub(crate) const NODES: usize = 3;
pub(crate) const PORTS: usize = 3;

/// How long something took, and its parts.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub(crate) struct Took {
    #[serde(with = "seconds", rename = "seconds")]
    pub(crate) all: Duration,
    #[serde(with = "seconds")]
    pub(crate) p50: Duration,
    #[serde(with = "seconds")]
    pub(crate) p99: Duration,
    #[serde(with = "seconds")]
    pub(crate) most: Duration,
}

impl Took {
    /// So many, a second.
    pub(crate) fn rate(&self, count: usize) -> f64 {
        count as f64 / self.all.as_secs_f64()
    }
}

/// What a node answers to a command.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Done(Took),
    Failed { error: String },
}

mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

/// Killed when dropped.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    began: Instant,
}

struct Node {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Cluster {
    /// Returns once all nodes say that they are ready.
    pub(crate) fn start(program: &[OsString]) -> Result<Self> {
        let (program, before) = program.split_first().ok_or("no program is named")?;
        let (ports, began) = (free_ports()?, Instant::now());
        let mut nodes = Vec::new();
        for index in 0..NODES {
            let mut process = Command::new(program)
                .args(before)
                .args(["node", "--index", &index.to_string(), "--ports", &ports])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?;
            let input = process.stdin.take().ok_or("no pipe")?;
            let output = BufReader::new(process.stdout.take().ok_or("no pipe")?);
            nodes.push(Node { process, input, output });
        }
        let mut cluster = Self { nodes, began };
        for index in 0..NODES {
            match cluster.line(index)?.as_str() {
                "ready" => {}
                other => return Err(format!("node {index} says {other:?}").into()),
            }
        }
        Ok(cluster)
    }

    /// Waits until the cluster is so old.
    pub(crate) fn age(&self, age: Duration) {
        std::thread::sleep(age.saturating_sub(self.began.elapsed()));
    }

    /// Has a node do what a command says, and waits for it.
    pub(crate) fn tell(&mut self, node: usize, command: &str) -> Result<Took> {
        writeln!(self.nodes[node].input, "{command}")?;
        match serde_json::from_str(&self.line(node)?)? {
            Answer::Done(took) => Ok(took),
            Answer::Failed { error } => Err(format!("`{command}`: {error}").into()),
        }
    }

    /// What all have resident in bytes, once they have given back what is free.
    pub(crate) fn resident(&mut self) -> Result<u64> {
        let mut sum = 0;
        for node in 0..NODES {
            self.tell(node, "rest")?;
            let pid = self.nodes[node].process.id();
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let kibibytes: u64 =
                line.ok_or("no line VmRSS")?.trim().trim_end_matches("kB").trim().parse()?;
            sum += kibibytes * 1024;
        }
        Ok(sum)
    }

    /// Ends a node without a warning.
    pub(crate) fn kill(&mut self, node: usize) -> Result {
        self.nodes[node].process.kill()?;
        self.nodes[node].process.wait()?;
        Ok(())
    }

    fn line(&mut self, node: usize) -> Result<String> {
        let mut line = String::new();
        self.nodes[node].output.read_line(&mut line)?;
        match line.strip_suffix('\n') {
            Some(line) => Ok(line.to_owned()),
            None => Err(format!("node {node} has ended").into()),
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            // An error means that it has ended.
            let _ = node.process.kill();
            let _ = node.process.wait();
        }
    }
}

/// They are free a moment later, and known to all nodes before any of them starts.
fn free_ports() -> Result<String> {
    let any = |_| TcpListener::bind(("127.0.0.1", 0));
    let listeners = (0..NODES * PORTS).map(any).collect::<Result<Vec<_>, _>>()?;
    let ports = listeners.iter().map(|listener| Ok(listener.local_addr()?.port().to_string()));
    Ok(ports.collect::<Result<Vec<_>>>()?.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_answers_how_long_it_took_or_why_it_did_not() {
        let done = r#"{"seconds": 1.5, "p50": 0.25, "p99": 0.5, "most": 1}"#;
        let Ok(Answer::Done(took)) = serde_json::from_str(done) else { panic!("it is done") };
        assert_eq!((took.all, took.p50), (Duration::from_millis(1500), Duration::from_millis(250)));
        let failed = r#"{"error": "no"}"#;
        assert!(
            matches!(serde_json::from_str(failed), Ok(Answer::Failed { error }) if error == "no")
        );
    }

    #[test]
    fn every_node_has_ports_of_its_own() {
        let ports = free_ports().expect("some are free");
        let mut ports: Vec<&str> = ports.split(',').collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), NODES * PORTS);
    }
}
