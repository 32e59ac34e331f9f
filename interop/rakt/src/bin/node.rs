//! A rakt node with the actors of the contract, until its standard input ends or it is told to terminate.
//! Prints `ready PORT` once it listens.

use interop::flags::Flags;
use interop::{flags, host, secure};
use rakt::Result;
use rakt::remote::GoAkt;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let known = [&["port", "system", "compression", "keeper"][..], &secure::FLAGS].concat();
    let given = Flags::read(&known)?;
    let name = given.get("system", "rakt".to_owned())?;
    let goakt = GoAkt::new().compression(given.get("compression", Default::default())?);
    let config = secure::apply(host::config(given.get("port", 0)?, goakt), &given)?;
    let mut terminated = signal(SignalKind::terminate())?;
    let keeper = given.get("keeper", 0)?;
    let system = host::start(&name, config, (keeper > 0).then_some(keeper)).await?;
    println!("ready {}", system.advertised().1);
    tokio::select! {
        _ = terminated.recv() => {}
        () = flags::end_of_input() => {}
    }
    system.shutdown().await;
    // A read of standard input that is under way would keep the process alive.
    std::process::exit(0);
}
