//! rakt, as a user would write it, with its defaults.

use std::time::Duration;

use bytes::Bytes;
use rakt::prelude::*;

use crate::contestant::{Contestant, Ready};
use crate::message::Note;
use crate::workload::{Job, Measured};
use crate::{Result, drive};

/// The answer to a count waits behind every note sent before.
const COUNT_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) const CONTESTANT: Contestant = Contestant {
    name: "rakt",
    about: "rakt's native protocol, the defaults",
    serve: |ready| Box::pin(serve(ready)),
    run: |job| Box::pin(run(job)),
};

/// A message to answer with the same payload.
#[derive(Clone, PartialEq, prost::Message)]
struct Echo {
    #[prost(bytes = "bytes", tag = "1")]
    payload: Bytes,
}

/// Asks how many notes came.
#[derive(Clone, PartialEq, prost::Message)]
struct Count {}

#[derive(Clone, PartialEq, prost::Message)]
struct Counted {
    #[prost(uint64, tag = "1")]
    notes: u64,
}

rakt::messages! {
    Note as "compare.Note",
    Echo => Echo as "compare.Echo",
    Count => Counted as "compare.Count",
}

#[derive(Default)]
struct Counter {
    notes: u64,
}

impl Actor for Counter {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Note>().remote::<Echo>().remote::<Count>();
    }
}

impl Handler<Note> for Counter {
    async fn handle(&mut self, _: Note, _: &mut Context<Self>) -> Result {
        self.notes += 1;
        Ok(())
    }
}

impl Handler<Echo> for Counter {
    async fn handle(&mut self, echo: Echo, _: &mut Context<Self>) -> Result<Echo> {
        Ok(echo)
    }
}

impl Handler<Count> for Counter {
    async fn handle(&mut self, _: Count, _: &mut Context<Self>) -> Result<Counted> {
        Ok(Counted { notes: self.notes })
    }
}

async fn serve(ready: Ready) -> Result {
    let system = start("server").await?;
    let _counter = system.spawn("counter", Counter::default).await?;
    ready(system.advertised().1)?;
    std::future::pending().await
}

async fn run(job: Job) -> Result<Measured> {
    let system = start("client").await?;
    let counter = system
        .lookup::<Counter>("127.0.0.1", job.port, "counter")
        .await?
        .ok_or("the server has no counter")?;
    drive::run(Client(counter), job).await
}

async fn start(name: &str) -> Result<ActorSystem> {
    let config = rakt::remote::Config::new("127.0.0.1", 0);
    Ok(ActorSystem::builder(name).remoting(config).start().await?)
}

#[derive(Clone)]
struct Client(ActorRef<Counter>);

impl drive::Client for Client {
    async fn tell(&self, payload: Bytes) -> Result {
        Ok(self.0.tell(Note { payload }).await?)
    }

    async fn echo(&self, payload: Bytes) -> Result<Bytes> {
        Ok(self.0.ask(Echo { payload }).await?.payload)
    }

    async fn count(&self) -> Result<u64> {
        Ok(self.0.ask(Count {}).timeout(COUNT_TIMEOUT).await?.notes)
    }
}
