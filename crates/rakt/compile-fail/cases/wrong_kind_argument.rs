//! Arguments of kinds that cannot come from a peer.
use rakt::prelude::*;

#[derive(Message)]
struct Settings;

struct Worker;

impl Actor for Worker {}

fn kind() -> Kind {
    Kind::with_argument(|_: &Settings| Worker)
}

fn main() {}
