//! A machine of its own for a test: namespaces of Linux, which are gone with the test whatever becomes of it. In it is a bridge,
//! and each node has a network of its own on it. Needs root, `unshare`, `nsenter` and `ip`.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use rakt::prelude::*;

/// Tells a process that it runs in the world of a test.
const INSIDE: &str = "RAKT_TEST_WORLD";
/// After this a test is hung.
const LIMIT: Duration = Duration::from_secs(1_800);

/// Runs a test in a world of its own. `name` is that of the test, with its module.
pub(crate) fn inside(name: &str, test: impl AsyncFnOnce() -> Result) -> Result {
    if std::env::var_os(INSIDE).is_none() {
        let kinds = ["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"];
        let output = Command::new("unshare")
            .args(kinds)
            .arg(std::env::current_exe()?)
            .args([name, "--exact", "--ignored", "--nocapture"])
            .env(INSIDE, name)
            .output()?;
        print!("{}", String::from_utf8_lossy(&output.stdout));
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        return match output.status.success() {
            true => Ok(()),
            false => Err(format!("it failed, with {}; it needs root", output.status).into()),
        };
    }
    let link = "link add name bridge type bridge\nlink set dev bridge up\nlink set dev lo up";
    ip(None, &format!("{link}\naddr add {}/24 dev bridge", host(OBSERVER)))?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build()?.block_on(async {
        tokio::time::timeout(LIMIT, test()).await.map_err(|_| "the test hangs")?
    })
}

/// The number of the test itself in the network.
const OBSERVER: u64 = 200;
/// Where all nodes listen, each in a network of its own.
pub(crate) const PORT: u16 = 3320;

pub(crate) fn host(node: u64) -> String {
    format!("10.9.0.{node}")
}

/// The node at that host.
pub(crate) fn node(host: &str) -> Result<u64> {
    Ok(host.rsplit('.').next().ok_or("it has parts")?.parse()?)
}

/// Does this in the network of a process, or in that of the test.
fn ip(of: Option<u32>, commands: &str) -> Result {
    let mut command = match of {
        Some(process) => {
            let mut enter = Command::new("nsenter");
            enter.args(["--net", "--target", &process.to_string(), "ip"]);
            enter
        }
        None => Command::new("ip"),
    };
    let mut child = command.args(["-batch", "-"]).stdin(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("it has an input")?.write_all(commands.as_bytes())?;
    match child.wait()?.success() {
        true => Ok(()),
        false => Err(format!("ip could not do: {commands}").into()),
    }
}

/// Connects a process that has a network of its own.
pub(crate) fn connect(node: u64, process: u32) -> Result {
    // What is left of one before it may take a moment to go by itself.
    let before = Command::new("ip").args(["link", "del", &format!("node{node}")]).output()?;
    drop(before);
    // A node that starts again has the card that it had: others know it by that.
    let card = format!("peer name eth0 address 02:00:00:00:01:{node:02x} netns {process}");
    let link = format!("link add name node{node} type veth {card}");
    ip(None, &format!("{link}\nlink set dev node{node} master bridge up"))?;
    let address = format!("addr add {}/24 dev eth0", host(node));
    ip(Some(process), &format!("{address}\nlink set dev lo up\nlink set dev eth0 up"))
}

/// What the process sends to these nodes is lost without a word: it goes to an address that nobody has.
pub(crate) fn lose(process: u32, to: &[u64]) -> Result {
    let lost = |node: &u64| {
        format!("neigh replace {} lladdr 02:00:00:00:00:ff dev eth0 nud permanent\n", host(*node))
    };
    ip(Some(process), &to.iter().map(lost).collect::<String>())
}

/// What it sends to these nodes arrives again.
pub(crate) fn heal(process: u32, to: &[u64]) -> Result {
    let found = |node: &u64| format!("neigh del {} dev eth0\n", host(*node));
    ip(Some(process), &to.iter().map(found).collect::<String>())
}
