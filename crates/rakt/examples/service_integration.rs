//! A service that works with actors on other nodes: it finds them, calls them, and notifies them. It
//! also shows what the service sees when they are not there, or not there any more.
//!
//! The nodes are three actor systems in one process here; for the service it makes no difference.
//!
//! `cargo run --release --example service_integration`

use std::time::Duration;

use rakt::error::Chain;
use rakt::prelude::*;
use rakt::{AskError, Event, OperationError};

#[derive(Clone, PartialEq, prost::Message, rakt::Message)]
#[rakt(name = "service_integration.WorkRequest", reply = WorkResponse)]
struct WorkRequest {
    #[prost(string, tag = "1")]
    job: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WorkResponse {
    #[prost(string, tag = "1")]
    result: String,
}

#[derive(Clone, PartialEq, prost::Message, rakt::Message)]
#[rakt(name = "service_integration.LogEvent")]
struct LogEvent {
    #[prost(string, tag = "1")]
    text: String,
}

struct Worker;

impl Actor for Worker {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<WorkRequest>();
    }
}

impl Handler<WorkRequest> for Worker {
    async fn handle(&mut self, work: WorkRequest, ctx: &mut Context<Self>) -> Result<WorkResponse> {
        if work.job == "a nap" {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(60)) => {}
                () = ctx.cancelled() => println!("             worker-1: nobody waits, no nap then"),
            }
        }
        Ok(WorkResponse { result: format!("{} is done", work.job) })
    }
}

struct Logger;

impl Actor for Logger {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<LogEvent>();
    }
}

impl Handler<LogEvent> for Logger {
    async fn handle(&mut self, event: LogEvent, _: &mut Context<Self>) -> Result {
        println!("             logger: {}", event.text);
        Ok(())
    }
}

/// Why a call of the service failed.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Lookup(#[from] OperationError),
    #[error("there is no {0}")]
    NoSuchActor(String),
    #[error(transparent)]
    Ask(#[from] AskError<WorkRequest>),
}

impl CallError {
    /// Whether the request has certainly had no effect.
    fn is_safe_to_retry(&self) -> bool {
        match self {
            Self::Lookup(_) | Self::NoSuchActor(_) => true,
            Self::Ask(error) => error.is_safe_to_retry(),
        }
    }
}

/// The service. It holds what it needs to reach others, and neither connections nor references: the
/// system pools the former, and an address is all that it has to know of its logger.
struct Service {
    system: ActorSystem,
    logger: Address,
}

impl Service {
    /// Finds a worker by its name and has it do a job.
    async fn call(
        &self,
        host: &str,
        port: u16,
        name: &str,
        job: &str,
        limit: Duration,
    ) -> Result<String, CallError> {
        let worker = self.system.node(host, port).lookup::<Worker>(name).await?;
        let worker = worker.ok_or_else(|| CallError::NoSuchActor(name.to_owned()))?;
        let reply = worker.ask(WorkRequest { job: job.to_owned() }).timeout(limit).await?;
        Ok(reply.result)
    }

    /// Leaves a note with the logger, and does not wait for it.
    async fn notify(&self, text: &str) -> Result {
        self.system.tell(&self.logger, LogEvent { text: text.to_owned() }).await?;
        Ok(())
    }

    /// Leaves a note with the logger, and waits until it has it.
    async fn notify_surely(&self, text: &str) -> Result {
        self.system.tell(&self.logger, LogEvent { text: text.to_owned() }).confirmed().await?;
        Ok(())
    }
}

async fn node(name: &str) -> Result<ActorSystem> {
    let remoting = remote::Config::new("127.0.0.1", 0);
    Ok(ActorSystem::builder(name).remoting(remoting).start().await?)
}

fn show(what: &str, result: &Result<String, CallError>) {
    match result {
        Ok(reply) => println!("{what:<12} {reply}"),
        Err(error) => {
            let retry =
                if error.is_safe_to_retry() { "safe to retry" } else { "may have happened" };
            println!("{what:<12} {} ({retry})", Chain(error));
        }
    }
}

#[tokio::main]
async fn main() -> Result {
    let (work, logs) = (node("work-system").await?, node("log-system").await?);
    work.spawn("worker-1", || Worker).await?;
    let logger = logs.spawn("logger", || Logger).await?;

    let system = node("service-system").await?;
    let mut events = system.events();
    let service = Service { system: system.clone(), logger: logger.address() };
    let (host, port) = work.advertised();
    let second = Duration::from_secs(1);

    let reply = service.call(host, port, "worker-1", "the laundry", 5 * second).await;
    show("call", &reply);
    service.notify("the laundry is done").await?;
    println!("notify       on its way");
    service.notify_surely("and nothing else happened").await?;
    println!("notify       in the logger's mailbox");

    let nobody = service.call(host, port, "worker-9", "the dishes", second).await;
    show("no actor", &nobody);
    let late = service.call(host, port, "worker-1", "a nap", second / 5).await;
    show("no answer", &late);

    // The logger ends. Telling it still works, since nobody waits for an answer; that the note did
    // not arrive comes back as a dead letter.
    logger.stop().await?;
    service.notify("is anybody there?").await?;
    let dead_letter = |event| match event {
        Event::DeadLetter(letter) => Some(letter),
        _ => None,
    };
    let letter = events.find(dead_letter).await.ok_or("the system is gone")?;
    println!("dead letter  {} for {}: {}", letter.message, letter.target, Chain(&letter.reason));

    // The whole node ends.
    work.shutdown().await;
    let gone = service.call(host, port, "worker-1", "the shopping", second).await;
    show("no node", &gone);

    assert!(matches!(reply.as_deref(), Ok("the laundry is done")));
    assert!(matches!(nobody, Err(CallError::NoSuchActor(_))));
    assert!(matches!(late, Err(CallError::Ask(AskError::Timeout { .. }))));
    assert!(matches!(gone, Err(CallError::Lookup(OperationError::NotSent { .. }))));

    system.shutdown().await;
    logs.shutdown().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn runs() -> super::Result {
        super::main()
    }
}
