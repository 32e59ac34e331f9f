//! Two real processes: this one, and a worker node that it starts. Shows everything that one node can
//! do with the actors of another: tell, ask, batches, lookup, spawn, watch, reinstate, respawn, stop.
//!
//! `cargo run --release --example two_nodes`, or with ` -- --tls` over TLS, with certificates made on the spot

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rakt::error::Chain;
use rakt::prelude::*;
use rakt::supervision::Directive;
use rakt::{AskError, StopReason};
use tokio::sync::mpsc;

#[derive(Clone, PartialEq, prost::Message, rakt::Message)]
#[rakt(name = "two_nodes.WorkRequest", reply = WorkResponse)]
struct WorkRequest {
    #[prost(string, tag = "1")]
    job: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WorkResponse {
    #[prost(string, tag = "1")]
    result: String,
}

/// Works on the other node.
#[derive(Default)]
struct Worker {
    done: u64,
}

impl Actor for Worker {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<WorkRequest>();
    }
}

impl Handler<WorkRequest> for Worker {
    async fn handle(
        &mut self,
        request: WorkRequest,
        _: &mut Context<Self>,
    ) -> Result<WorkResponse> {
        if request.job.is_empty() {
            return Err("a job without a name".into());
        }
        self.done += 1;
        Ok(WorkResponse { result: format!("{} is done, job {} here", request.job, self.done) })
    }
}

/// Lives on this node and hears when a worker on the other one ends.
struct Watcher {
    worker: ActorRef<Worker>,
    ended: mpsc::UnboundedSender<StopReason>,
}

impl Actor for Watcher {
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        ctx.watch(&self.worker);
        Ok(())
    }

    async fn terminated(&mut self, terminated: &Terminated, _: &mut Context<Self>) -> Result {
        self.ended.send(terminated.reason.clone())?;
        Ok(())
    }
}

/// Where the other process finds the certificates; it is not set where nothing is encrypted.
const CERTIFICATES: &str = "TWO_NODES_CERTIFICATES";

/// The node of a process, with its certificate in that directory. Whoever has one of the same CA may do everything here
/// that a peer can be allowed to do.
fn remoting(certificates: Option<&Path>) -> Result<remote::Config> {
    let config = remote::Config::new("127.0.0.1", 0);
    match certificates {
        None => Ok(config),
        #[cfg(feature = "tls")]
        Some(directory) => Ok(config.tls(remote::Tls::dev(directory))),
        #[cfg(not(feature = "tls"))]
        Some(_) => Err("this was built without the feature `tls`".into()),
    }
}

/// The second process: a node with a worker, on which peers may spawn more.
async fn serve() -> Result {
    let certificates = std::env::var_os(CERTIFICATES).map(PathBuf::from);
    let kind = Kind::new(Worker::default).supervision(Supervision::always(Directive::Suspend));
    let system = ActorSystem::builder("system-1")
        .register("WorkerActor", kind)
        .remoting(remoting(certificates.as_deref())?)
        .start()
        .await?;
    system.spawn("worker-1", Worker::default).await?;
    println!("ready {}", system.advertised().1);
    let report = system.until_shutdown_signal().await;
    println!("[node 1] shut down cleanly, {} messages dropped", report.dropped_messages);
    Ok(())
}

/// The first process.
async fn run(certificates: Option<&Path>) -> Result {
    let mut node = Node::start(certificates)?;
    let (host, port) = ("127.0.0.1", node.port);
    println!("[node 2] node 1 is process {} on port {port}", node.child.id());

    let system = ActorSystem::builder("system-2").remoting(remoting(certificates)?).start().await?;
    println!("ping         {:?}", system.node(host, port).ping().await?);

    let worker =
        system.node(host, port).lookup::<Worker>("worker-1").await?.ok_or("no worker-1")?;
    println!("lookup       worker-1 is {worker}");
    let absent = system.node(host, port).lookup::<Worker>("worker-9").await?;
    println!("lookup       worker-9 is {absent:?}");

    let job = |name: &str| WorkRequest { job: name.to_owned() };
    worker.tell(job("a")).await?;
    println!("tell         accepted for sending");
    worker.tell(job("b")).confirmed().await?;
    println!("confirmed    in the mailbox over there");
    let reply = worker.ask(job("c")).timeout(Duration::from_secs(5)).await?;
    println!("ask          {:?}", reply.result);
    for outcome in worker.ask_all(["d", "e", "f"].map(job)).await {
        println!("batch        {:?}", outcome?.result);
    }

    println!("kinds        {:?}", system.node(host, port).kinds().await?);
    let second = system.node(host, port).spawn::<Worker>("worker-2", "WorkerActor").await?;
    println!("spawn        {}: {:?}", second.path(), second.ask(job("g")).await?.result);

    let (sender, mut ended) = mpsc::unbounded_channel();
    let watched = second.clone();
    system
        .spawn("watcher", move || Watcher { worker: watched.clone(), ended: sender.clone() })
        .await?;

    let failure = second.ask(job("")).await.map(drop);
    println!("failure      {}", Chain(&failure.expect_err("the job has no name")));
    let refusal = second.ask(job("h")).await.map(drop);
    if let Err(error @ AskError::Refused { .. }) = refusal {
        println!("suspended    {}", Chain(&error));
    }
    second.reinstate().await?;
    println!("reinstate    it kept its state: {:?}", second.ask(job("i")).await?.result);
    second.respawn().await?;
    println!("respawn      it is a new one: {:?}", second.ask(job("j")).await?.result);

    second.stop().await?;
    println!("stop         worker-2 has ended");
    let reason = tokio::time::timeout(Duration::from_secs(10), ended.recv()).await?;
    println!("watch        the watcher heard: {}", reason.ok_or("the watcher is gone")?);
    let gone = second.ask(job("k")).await.map(drop);
    println!("afterwards   {}", Chain(&gone.expect_err("worker-2 has ended")));

    let report = system.shutdown().await;
    println!("[node 2] shut down cleanly, {} messages dropped", report.dropped_messages);
    node.stop()
}

/// The other process, ended with this one whatever happens.
struct Node {
    child: Child,
    output: std::io::Lines<std::io::BufReader<std::process::ChildStdout>>,
    port: u16,
}

impl Node {
    fn start(certificates: Option<&Path>) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.envs(certificates.map(|directory| (CERTIFICATES, directory)));
        // In the test of this example the program is the test runner, and the node one of its tests.
        command.args(if cfg!(test) {
            &["node", "--ignored", "--nocapture"][..]
        } else {
            &["node"]
        });
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("the node has no output")?;
        let mut output = std::io::BufReader::new(output).lines();
        let port = loop {
            let line = output.next().ok_or("the node ended before it was ready")??;
            if let Some((_, port)) = line.split_once("ready ") {
                break port.trim().parse()?;
            }
        };
        Ok(Self { child, output, port })
    }

    /// Asks the process to end, as a service manager would, and shows what it says.
    fn stop(&mut self) -> Result {
        Command::new("kill").arg(self.child.id().to_string()).status()?;
        for line in self.output.by_ref() {
            let line = line?;
            if line.starts_with("[node") {
                println!("{line}");
            }
        }
        match self.child.wait()? {
            status if status.success() => Ok(()),
            status => Err(format!("node 1 ended with {status}").into()),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Fails if it has ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::main]
async fn main() -> Result {
    match std::env::args().nth(1).as_deref() {
        Some("node") => serve().await,
        Some("--tls") => run_encrypted().await,
        None => run(None).await,
        Some(other) => Err(format!("there is no {other}, only --tls").into()),
    }
}

/// The same with certificates that are made on the spot, and are gone afterwards.
async fn run_encrypted() -> Result {
    let directory = std::env::temp_dir().join(format!("two-nodes-{}", std::process::id()));
    let done = run(Some(&directory)).await;
    std::fs::remove_dir_all(&directory)?;
    done
}

#[cfg(test)]
mod tests {
    #[tokio::test(flavor = "multi_thread")]
    async fn runs() -> super::Result {
        super::run(None).await
    }

    #[cfg(feature = "tls")]
    #[tokio::test(flavor = "multi_thread")]
    async fn runs_encrypted() -> super::Result {
        super::run_encrypted().await
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "the second process of the test above"]
    async fn node() -> super::Result {
        super::serve().await
    }
}
