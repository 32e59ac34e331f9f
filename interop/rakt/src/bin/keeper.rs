//! Keeps what the nodes of a cluster share, until its standard input ends or it is killed. Prints `ready PORT` once it listens.

use interop::{flags, host};
use rakt::Result;

#[tokio::main]
async fn main() -> Result {
    let system = host::keep_register().await?;
    println!("ready {}", system.advertised().1);
    flags::end_of_input().await;
    // A read of standard input that is under way would keep the process alive.
    std::process::exit(0);
}
