//! A Rust node and a Go node in one system: this process, and `interop/goakt/polyglot/main.go`, which it
//! starts. Actors of each ask and tell those of the other, through the same calls as among themselves.
//!
//! `cargo run --features goakt --example polyglot`, with Go installed

use std::io::BufRead;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use rakt::prelude::*;
use rakt::remote::{Config, GoAkt};
use tokio::sync::mpsc;

// Well-known types, so that this example needs no .proto file. Yours come out of prost-build, and know
// their names.
#[derive(Clone, PartialEq, prost::Message)]
struct StringValue {
    #[prost(string, tag = "1")]
    value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct UInt64Value {
    #[prost(uint64, tag = "1")]
    value: u64,
}

rakt::messages! {
    StringValue as "google.protobuf.StringValue" => StringValue as "google.protobuf.StringValue",
    UInt64Value as "google.protobuf.UInt64Value",
}

fn text(value: &str) -> StringValue {
    StringValue { value: value.to_owned() }
}

/// Composes greetings for the Go node's greeter.
struct Composer;

impl Actor for Composer {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<StringValue>();
    }
}

impl Handler<StringValue> for Composer {
    async fn handle(&mut self, name: StringValue, _: &mut Context<Self>) -> Result<StringValue> {
        Ok(text(&format!("Hello {} from Rust", name.value)))
    }
}

/// Tells a Go actor something when it starts, and is told back.
struct Visitor {
    counter: ActorRef,
    counted: mpsc::UnboundedSender<u64>,
}

impl Actor for Visitor {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<UInt64Value>();
    }

    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        for what in ["one", "two", "three"] {
            ctx.tell(&self.counter, text(what)).await?;
        }
        Ok(())
    }
}

impl Handler<UInt64Value> for Visitor {
    async fn handle(&mut self, count: UInt64Value, _: &mut Context<Self>) -> Result {
        Ok(self.counted.send(count.value)?)
    }
}

#[tokio::main]
async fn main() -> Result {
    // GoAkt has to be told its port: one that is free now.
    let go_port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let system = ActorSystem::builder("rust-node")
        .remoting(Config::new("127.0.0.1", 0).goakt(GoAkt::new().peer("127.0.0.1", go_port)))
        .start()
        .await?;
    system.spawn("composer", || Composer).await?;

    // As Go nodes write it: goakt://rust-node@127.0.0.1:PORT/composer
    let (host, port) = system.advertised();
    let mut go = Command::new("go")
        .args(["run", "./polyglot", &go_port.to_string()])
        .arg(format!("goakt://rust-node@{host}:{port}/composer"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../interop/goakt"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("this example needs Go: {error}"))?;
    let mut ready = String::new();
    std::io::BufReader::new(go.stdout.take().ok_or("no output")?).read_line(&mut ready)?;
    if ready.trim() != "ready" {
        return Err("the Go node has not started".into());
    }

    // Rust asks Go, which asks Rust before it answers.
    let greeter = system.node("127.0.0.1", go_port).lookup::<AnyActor>("greeter").await?;
    let greeter = greeter.ok_or("no greeter")?;
    println!("{greeter}: {}", greeter.ask(text("you")).await?.value);

    // Rust starts an actor in Go. The kind is the Go type with its package, in lower case.
    let counter = system.node("127.0.0.1", go_port).spawn("my-counter", "main.counter").await?;
    let (counted, mut counts) = mpsc::unbounded_channel();
    let visited = counter.clone();
    let visitor = move || Visitor { counter: visited.clone(), counted: counted.clone() };
    system.spawn("visitor", visitor).await?;
    for _ in 0..3 {
        println!("{counter}: {} so far", counts.recv().await.ok_or("the visitor is gone")?);
    }
    counter.stop().await?;

    drop(go.stdin.take());
    go.wait()?;
    system.shutdown().await;
    Ok(())
}
