//! One process, one actor: spawn it, tell it something, ask it something.
//!
//! `cargo run --example hello`

use rakt::prelude::*;

/// Greets people, and remembers how many there were.
#[derive(Default)]
struct Greeter {
    greeting: String,
    greeted: u32,
}

/// Changes the greeting; nobody waits for an answer.
#[derive(Message)]
struct UseGreeting(&'static str);

/// Asks for a greeting.
#[derive(Message)]
#[rakt(reply = String)]
struct Greet(&'static str);

impl Actor for Greeter {
    async fn started(&mut self, _: &mut Context<Self>) -> Result {
        "Hello".clone_into(&mut self.greeting);
        Ok(())
    }
}

impl Handler<UseGreeting> for Greeter {
    async fn handle(&mut self, new: UseGreeting, _: &mut Context<Self>) -> Result {
        new.0.clone_into(&mut self.greeting);
        Ok(())
    }
}

impl Handler<Greet> for Greeter {
    async fn handle(&mut self, Greet(name): Greet, _: &mut Context<Self>) -> Result<String> {
        self.greeted += 1;
        Ok(format!("{}, {name}! You are number {}.", self.greeting, self.greeted))
    }
}

async fn run() -> Result<Vec<String>> {
    let system = ActorSystem::builder("hello").start().await?;
    let greeter = system.spawn("greeter", Greeter::default).await?;

    let first = greeter.ask(Greet("Ada")).await?;
    greeter.tell(UseGreeting("Good evening")).await?;
    let second = greeter.ask(Greet("Grace")).await?;

    system.shutdown().await;
    Ok(vec![first, second])
}

#[tokio::main]
async fn main() -> Result {
    for line in run().await? {
        println!("{line}");
    }
    Ok(())
}

#[test]
fn runs() -> Result {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let lines = runtime.block_on(run())?;
    assert_eq!(lines, ["Hello, Ada! You are number 1.", "Good evening, Grace! You are number 2."]);
    Ok(())
}
