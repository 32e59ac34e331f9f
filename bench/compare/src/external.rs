//! Contestants that are programs of their own, in other languages; their sources are beside this
//! package. They are built into a folder beside this program, once for each comparison.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
#[cfg(feature = "rakt")]
use crate::contestant::SAME;
use crate::contestant::{Contestant, Halves};
use crate::workload::Workload::{
    self, Ask1, Ask64, Bulk, Fan, Links, LocalAsk, LocalTell, Mixed, Spawn, Tell,
};

/// The folder that holds this package and the sources of the programs.
const BENCH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

pub(crate) const ALL: &[Contestant] = &[
    GOAKT3,
    #[cfg(feature = "rakt")]
    crate::rakt_side::GOAKT3_TO_RAKT,
    #[cfg(feature = "rakt")]
    crate::rakt_side::RAKT_TO_GOAKT3,
    GOAKT3_PLAIN,
    GOAKT3_BATCH,
    GOAKT4,
    GOAKT4_ZSTD,
    #[cfg(feature = "rakt")]
    GO_TLS,
    ERLANG,
];

/// What GoAkt does between two processes.
pub(crate) const REMOTE: &[Workload] = &[Ask1, Ask64, Tell, Fan, Bulk, Mixed, Links];

pub(crate) const GOAKT3: Contestant = Contestant {
    name: "goakt3",
    about: "GoAkt v3.14 with its defaults, RemoteTell and RemoteAsk of NoSender",
    marks: "each tell acked by the mailbox before the next; zstd; mailbox unbounded",
    workloads: &[Ask1, Ask64, Tell, Fan, Bulk, Mixed, Links, LocalTell, LocalAsk, Spawn],
    scale: |workload| match workload {
        Tell => 0.01,
        Fan => 0.025,
        Spawn => 0.02,
        _ => 1.0,
    },
    check: || found("go", "version"),
    halves: Halves::Program { program: goakt3 },
};

const GOAKT3_PLAIN: Contestant = Contestant {
    name: "goakt3-plain",
    about: "goakt3 with NoCompression on both sides",
    marks: "each tell acked by the mailbox before the next; mailbox unbounded",
    workloads: REMOTE,
    halves: Halves::Program { program: || goakt("v3", &["--compression", "none"]) },
    ..GOAKT3
};

const GOAKT3_BATCH: Contestant = Contestant {
    name: "goakt3-batch",
    about: "goakt3 whose tells go by RemoteBatchTell, 1,000 at once",
    marks: "each batch acked by the mailbox before the next; zstd; mailbox unbounded",
    workloads: &[Tell],
    scale: |_| 0.4,
    halves: Halves::Program { program: || goakt("v3", &["--batch", "1000"]) },
    ..GOAKT3
};

const GOAKT4: Contestant = Contestant {
    name: "goakt4",
    about: "GoAkt v4.2.13 with its defaults, Tell and Ask of NoSender",
    marks: "tells not acked, except of 1 MiB; sender waits for a full queue, mailbox unbounded",
    scale: |workload| match workload {
        Tell => 0.2,
        Fan => 0.1,
        Spawn => 0.02,
        _ => 1.0,
    },
    halves: Halves::Program { program: || goakt("v4", &[]) },
    ..GOAKT3
};

const GOAKT4_ZSTD: Contestant = Contestant {
    name: "goakt4-zstd",
    about: "goakt4 with ZstdCompression on both sides",
    marks: "as goakt4; zstd",
    workloads: REMOTE,
    halves: Halves::Program { program: || goakt("v4", &["--compression", "zstd"]) },
    ..GOAKT4
};

#[cfg(feature = "rakt")]
const GO_TLS: Contestant = Contestant {
    name: "go-tls",
    about: "frames over Go's crypto/tls, TLS 1.3, mutual; no library of actors",
    marks: "tells not acked; no actors: the reader counts and answers; sender waits for 256 KiB unwritten",
    workloads: REMOTE,
    scale: SAME,
    halves: Halves::Program { program: go_tls },
    ..GOAKT3
};

const ERLANG: Contestant = Contestant {
    name: "erlang",
    about: "two Erlang nodes without epmd, `!` and gen_server:call to a plain process",
    marks: "tells not acked; sender waits for a busy connection, mailbox unbounded; no protobuf",
    workloads: &[Ask1, Ask64, Tell, Fan, Bulk, Mixed, LocalTell, LocalAsk, Spawn],
    scale: |workload| match workload {
        Tell | Fan => 0.1,
        _ => 1.0,
    },
    check: || found("erl", "+V").and_then(|()| found("erlc", "+V")),
    halves: Halves::Program { program: erlang },
};

/// GoAkt v3 with its defaults.
pub(crate) fn goakt3() -> Result<Vec<OsString>> {
    goakt("v3", &[])
}

/// Builds the Go program of a folder; `options` come before what it is to do.
fn goakt(name: &str, options: &[&str]) -> Result<Vec<OsString>> {
    let program = folder("goakt")?.join(name);
    let mut build = Command::new("go");
    build.arg("build").arg("-o").arg(&program).arg(".");
    succeed(build.current_dir(Path::new(BENCH).join("goakt").join(name)))?;
    Ok([program.into()].into_iter().chain(options.iter().map(OsString::from)).collect())
}

#[cfg(feature = "rakt")]
fn go_tls() -> Result<Vec<OsString>> {
    let certificates = folder("certificates")?;
    crate::secret::issue_into(&certificates)?;
    let mut program = goakt("tls", &["--certificates"])?;
    program.push(certificates.into());
    Ok(program)
}

fn erlang() -> Result<Vec<OsString>> {
    let (ebin, sources) = (folder("erlang")?, Path::new(BENCH).join("erlang"));
    let mut build = Command::new("erlc");
    build.arg("-o").arg(&ebin);
    build.args(["bench.erl", "bench_clock.erl", "bench_epmd.erl"]);
    succeed(build.current_dir(&sources))?;
    Ok(vec![sources.join("run").into(), ebin.into()])
}

/// Where what is built is kept, by name.
pub(crate) fn folder(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let folder = this.with_file_name("external").join(name);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// That a tool can be started; whatever it then says.
fn found(tool: &str, harmless: &str) -> Result {
    match Command::new(tool).arg(harmless).output() {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{tool} cannot be started: {error}").into()),
    }
}

fn succeed(command: &mut Command) -> Result {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    // erlc complains on its standard output.
    let complaint = [output.stdout, output.stderr].concat();
    let complaint = String::from_utf8_lossy(&complaint);
    let last = complaint.lines().next_back().unwrap_or("it said nothing");
    Err(format!("{:?} failed: {last}", command.get_program()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_is_not_there_is_named() {
        let error = found("no-such-tool", "").expect_err("it is not there");
        assert!(error.to_string().starts_with("no-such-tool cannot be started"), "{error}");
    }

    #[test]
    fn a_build_that_fails_says_why() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo building; echo why >&2; exit 1"]);
        let error = succeed(&mut command).expect_err("it fails");
        assert_eq!(error.to_string(), "\"sh\" failed: why");
    }
}
