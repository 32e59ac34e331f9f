//! The example `cluster` of rakt, whose three nodes keep themselves who is a member: nobody else has to.
//!
//! `cargo run --release -p rakt-raft --example embedded`, with ` -- --carts 10000 --lease 8` as there.

use rakt::cluster::{Config, Static};
use rakt::prelude::*;
use rakt_raft::Embedded;

use shop::{GATEWAY, Place};

#[path = "../../rakt/examples/cluster/keeper.rs"]
mod keeper;
#[path = "../../rakt/examples/cluster/shop.rs"]
mod shop;

fn membership(place: &Place) -> Config {
    let register = Embedded::at(place.dir.join(place.node.to_string()));
    // The gateway does not vote, and comes when there is a cluster.
    let register = if place.node == GATEWAY { register } else { register.expect(3) };
    Config::on(register).discover(Static::new(place.ports.map(|port| ("127.0.0.1", port))))
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
