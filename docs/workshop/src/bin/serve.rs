//! Serves the worker until Ctrl-C or SIGTERM.

use rakt::prelude::*;
use workshop::Worker;

#[tokio::main]
async fn main() -> Result {
    tracing_subscriber::fmt::init();
    let system = ActorSystem::builder("workshop")
        .remoting(remote::Config::new("127.0.0.1", 3321))
        .start()
        .await?;
    system.spawn("worker", Worker::default).await?;
    system.until_shutdown_signal().await;
    Ok(())
}
