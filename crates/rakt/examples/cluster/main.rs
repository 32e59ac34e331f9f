//! A cluster of three processes, and what it does on a bad day: one is killed, and all are restarted under load.
//!
//! `shop.rs` is the program. Who is a member is kept in memory by the process that starts the others (`keeper.rs`), for which a
//! service has etcd; the example `embedded` of rakt-raft is the same with nodes that keep it themselves.
//!
//! `cargo run --release --features cluster --example cluster`, with ` -- --carts 10000 --lease 8` for how many grains there
//! are and for how many seconds a node may host them without being confirmed as a member.

use rakt::cluster::Config;
use rakt::prelude::*;

use shop::Place;

mod keeper;
#[allow(dead_code, reason = "the other example needs the rest")]
mod shop;

fn membership(place: &Place) -> Config {
    Config::on(place.shared.clone())
}

#[tokio::main]
async fn main() -> Result {
    shop::main(membership).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn runs() -> Result {
        shop::test(membership).await
    }
}
