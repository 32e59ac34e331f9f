//! Go nodes that checks start by themselves.

use std::process::Stdio;

use interop::host;
use rakt::prelude::*;
use rakt::remote::Compression;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::target::{Target, goakt};

/// A GoAkt node; dropping it kills it.
pub(crate) struct GoNode {
    pub(crate) process: Child,
    pub(crate) port: u16,
}

impl GoNode {
    pub(crate) async fn start(x: &Target, compression: Compression, more: &[&str]) -> Result<Self> {
        if x.node.is_empty() {
            return Err("--node says which program is a GoAkt node".into());
        }
        let mut process = Command::new(&x.node)
            .args(["--compression", &compression.to_string()])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(process.stdout.take().ok_or("no output")?).lines();
        let line = lines.next_line().await?.unwrap_or_default();
        let port = line.strip_prefix("ready ").ok_or_else(|| format!("not ready but {line:?}"))?;
        Ok(Self { port: port.parse()?, process })
    }

    pub(crate) fn address(&self, name: &str) -> Address {
        goakt(&format!("goakt://go@{}:{}/{name}", host::ADDRESS, self.port))
    }
}
