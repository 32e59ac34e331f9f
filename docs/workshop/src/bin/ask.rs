//! Asks the worker of the other process to do something.

use rakt::error::Chain;
use rakt::prelude::*;
use workshop::{Work, Worker};

async fn run() -> Result {
    let client = remote::Client::new("asker", remote::ClientConfig::new())?;
    let node = client.node("127.0.0.1", 3321);
    let worker = node.lookup::<Worker>("worker").await?.ok_or("nobody is called worker there")?;
    let done = worker.ask(Work { job: "the tea".into() }).await?;
    println!("that makes {}", done.count);
    client.close().await;
    Ok(())
}

#[tokio::main]
async fn main() {
    if let Err(error) = run().await {
        eprintln!("{}", Chain(&*error)); // the error and what caused it, in one line
        std::process::exit(1);
    }
}
