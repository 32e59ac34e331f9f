//! Device twins behind HTTP: three processes, of which the one with the twins may be killed at any time.
//!
//! - `messages`: what they say to each other, in protobuf and in serde
//! - `gateway`: HTTP on one side, `ask` with safe repetitions on the other
//! - `twins`: an actor for each device, which survives in a journal
//! - `alarms`: hears of devices that are too hot, of each time once
//! - `journal`: a file that holds what was confirmed

mod alarms;
mod gateway;
mod journal;
mod messages;
mod twins;

use std::time::Duration;

use rakt::error::Chain;

const USAGE: &str = "\
twins alarms PORT JOURNAL                          the node that hears of alarms
twins twins PORT ALARMS-PORT JOURNAL [IDLE-MS]     the node with the twins
twins gateway HTTP-PORT TWINS-PORT ALARMS-PORT     the web server
Port 0 takes a free one. Each says where it listens.";

#[tokio::main]
async fn main() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let args: Vec<_> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    if let Err(error) = run(&args).await {
        eprintln!("{}", Chain(&*error));
        std::process::exit(1);
    }
}

async fn run(args: &[&str]) -> rakt::Result {
    match *args {
        ["alarms", port, journal] => alarms::run(port.parse()?, journal).await,
        ["twins", port, alarms, journal, ref rest @ ..] => {
            let idle = rest.first().map_or(Ok(60_000), |idle| idle.parse())?;
            let idle = Duration::from_millis(idle);
            twins::run(port.parse()?, alarms.parse()?, journal, idle).await
        }
        ["gateway", http, twins, alarms] => {
            gateway::run(http.parse()?, twins.parse()?, alarms.parse()?).await
        }
        _ => Err(USAGE.into()),
    }
}

/// What is said on the output once requests are taken.
fn listening(port: u16) {
    println!("listening on {port}");
}
