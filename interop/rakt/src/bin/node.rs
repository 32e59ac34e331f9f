//! A rakt node with the actors of the contract, until its standard input ends or it is told to terminate.
//! Prints `ready PORT` once it listens.

use interop::flags::Flags;
use interop::host;
use rakt::Result;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let flags = Flags::read(&["port", "system", "compression"])?;
    let name = flags.get("system", "rakt".to_owned())?;
    let compression = flags.get("compression", Default::default())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let system = host::start(&name, flags.get("port", 0)?, compression).await?;
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
