//! Shopping carts as grains, whose state outlives the process: each cart is there when somebody has its key.
//!
//! `cargo run -p rakt-redb --example cart`, and again: what was in the carts is there still. They are in `carts.redb` of
//! the directory for temporary files, or in the file that is given.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rakt::grain::{Grain, GrainKind};
use rakt::prelude::*;
use rakt_redb::RedbStore;

/// What is kept of a cart.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "shop.CartState")]
struct CartState {
    #[prost(string, repeated, tag = "1")]
    lines: Vec<String>,
}

/// Puts something into a cart; returns how much is in it.
#[derive(Message)]
#[rakt(reply = usize)]
struct Add(String);

/// What is in a cart.
#[derive(Message)]
#[rakt(reply = Vec<String>)]
struct Show;

#[derive(Default)]
struct Cart {
    state: CartState,
}

impl Actor for Cart {}

impl Grain for Cart {
    const KIND: &'static str = "cart";

    async fn activate(&mut self, ctx: &mut Context<Self>) -> Result {
        self.state = ctx.state()?.unwrap_or_default();
        Ok(())
    }

    async fn reminded(&mut self, reminder: &str, ctx: &mut Context<Self>) -> Result {
        println!("{}: {reminder}, with {} in it", ctx.grain_id(), self.state.lines.len());
        Ok(())
    }
}

impl Handler<Add> for Cart {
    async fn handle(&mut self, Add(line): Add, ctx: &mut Context<Self>) -> Result<usize> {
        self.state.lines.push(line);
        ctx.save(&self.state).await?; // in the file, before anybody hears of it
        ctx.remind("forgotten", Duration::from_millis(100), None).await?;
        Ok(self.state.lines.len())
    }
}

impl Handler<Show> for Cart {
    async fn handle(&mut self, _: Show, _: &mut Context<Self>) -> Result<Vec<String>> {
        Ok(self.state.lines.clone())
    }
}

/// One life of the shop. Returns what is in Ada's cart at its end.
async fn run(file: &Path) -> Result<Vec<String>> {
    let carts = GrainKind::<Cart>::new()
        .store(RedbStore::open(file).await?)
        .reminder_interval(Duration::from_millis(50))
        .limit(50);
    let system = ActorSystem::builder("shop").grain(carts).start().await?;

    let ada = system.grain::<Cart>("ada"); // no cart lives yet, and nothing was read
    let count = ada.ask(Add("tea".into())).await?;
    println!("{ada}: {count} in it");

    // Far more carts than may live at once: those that nobody needs make room.
    for n in 0..300 {
        system.grain::<Cart>(format!("guest-{n}")).ask(Show).await?;
    }
    for kind in system.grains() {
        println!("{} carts live, of {} that did", kind.active, kind.activations);
    }

    tokio::time::sleep(Duration::from_millis(300)).await; // for the reminder
    let lines = ada.ask(Show).await?;
    system.shutdown().await;
    Ok(lines)
}

#[tokio::main]
async fn main() -> Result {
    let given = std::env::args().nth(1).map(PathBuf::from);
    let file = given.unwrap_or_else(|| std::env::temp_dir().join("carts.redb"));
    println!("in {}: {:?}", file.display(), run(&file).await?);
    Ok(())
}

#[test]
fn runs() -> Result {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("carts.redb");
    let runtime = tokio::runtime::Runtime::new()?;
    for times in 1..=2 {
        assert_eq!(runtime.block_on(run(&file))?, vec!["tea"; times]);
    }
    Ok(())
}
