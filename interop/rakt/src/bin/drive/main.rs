//! Drives a GoAkt node that keeps the contract with rakt, and checks what comes of it. Prints a line for
//! each check; the exit status is 1 if one of them failed.
//!
//! - `target`, `report`: what all checks use
//! - `go_node`: Go nodes that checks start
//! - `messaging`, `batches`, `lifecycle`: the suite `operations`
//! - `errors`, `headers`, `senders`, `frames`, `mixed`, `native`, `restart`, `outages`, `version`, `tls`: a suite each

mod batches;
mod errors;
mod frames;
mod go_node;
mod headers;
mod lifecycle;
mod load;
mod messaging;
mod mixed;
mod native;
mod outages;
mod report;
mod restart;
mod senders;
mod target;
mod tls;
mod version;

use std::process::ExitCode;

use interop::flags::Flags;
use interop::secure;
use rakt::{BoxError, Result};
use report::{Check, Report};
use target::Target;

const SUITES: &str =
    "operations, errors, headers, senders, frames, mixed, native, restart, outages, version, tls";

fn suite(name: &str) -> Result<Vec<Check>> {
    Ok(match name {
        "operations" => [messaging::CHECKS, batches::CHECKS, lifecycle::CHECKS].concat(),
        "errors" => errors::CHECKS.to_vec(),
        "headers" => headers::CHECKS.to_vec(),
        "senders" => senders::CHECKS.to_vec(),
        "frames" => frames::CHECKS.to_vec(),
        "mixed" => mixed::CHECKS.to_vec(),
        "native" => native::CHECKS.to_vec(),
        "restart" => restart::CHECKS.to_vec(),
        "outages" => outages::CHECKS.to_vec(),
        "version" => version::CHECKS.to_vec(),
        "tls" => tls::CHECKS.to_vec(),
        other => return Err(format!("unknown --suite {other:?}: {SUITES}").into()),
    })
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("drive: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<bool, BoxError> {
    let known =
        ["suite", "port", "system", "compression", "count", "restart-within", "only", "node"];
    let flags = Flags::read(&[&known[..], &secure::FLAGS].concat())?;
    let checks = suite(&flags.get("suite", String::new())?)?;
    let only = flags.get("only", String::new())?;
    let target = Target::new(&flags).await?;
    let mut report = Report::default();
    for check in checks.iter().filter(|check| check.name.contains(&only)) {
        let ended = tokio::time::timeout(check.timeout, (check.run)(&target)).await;
        let late = |_| Err(format!("not done after {:?}", check.timeout).into());
        report.check(check.name, ended.unwrap_or_else(late));
    }
    target.system.shutdown().await;
    Ok(report.end())
}
