//! A rakt node with the actors of the contract, until its standard input ends or it is told to terminate.
//! Prints `ready PORT` once it listens.

use interop::flags::Flags;
use interop::{host, secure};
use rakt::Result;
use rakt::remote::GoAkt;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let known = [&["port", "system", "compression"][..], &secure::FLAGS].concat();
    let flags = Flags::read(&known)?;
    let name = flags.get("system", "rakt".to_owned())?;
    let goakt = GoAkt::new().compression(flags.get("compression", Default::default())?);
    let config = secure::apply(host::config(flags.get("port", 0)?, goakt), &flags)?;
    let mut terminated = signal(SignalKind::terminate())?;
    let system = host::start(&name, config).await?;
    println!("ready {}", system.advertised().1);
    tokio::select! {
        _ = terminated.recv() => {}
        () = end_of_input() => {}
    }
    system.shutdown().await;
    // A read of standard input that is under way would keep the process alive.
    std::process::exit(0);
}

async fn end_of_input() {
    let (mut input, mut sink) = (tokio::io::stdin(), [0; 64]);
    while matches!(input.read(&mut sink).await, Ok(1..)) {}
}
