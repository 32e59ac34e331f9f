//! NATS: `nats-server`, a process of its own, between client and responder.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;

use async_nats::{ConnectOptions, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use prost::Message as _;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Child;
use tokio::task::JoinSet;

use crate::contestant::{Contestant, Halves, Ready};
use crate::measured::Measured;
use crate::message::Note;
use crate::workload::{Job, TARGETS, Workload};
use crate::{Result, drive, process};

/// What the responder holds while it is behind: past it, async-nats drops messages.
const SUBSCRIPTION_CAPACITY: usize = 8 << 20;

/// Messages that wait in a client until they are written: the default.
const WAITING: usize = 2048;
/// The same where they are of 1 MiB.
const LARGE_WAITING: usize = 16;

/// A free port, and room for 1 MiB and its protobuf header: the default is exactly 1 MiB.
const SERVER_CONFIG: &str = "host: 127.0.0.1\nport: -1\nmax_payload: 8MB\n";

pub(crate) const CONTESTANT: Contestant = Contestant {
    name: "nats",
    about: "nats-server on the server's side, async-nats on both: publish, request; prost messages",
    marks: "through a broker; unacked, a slow subscriber loses messages",
    workloads: &[
        Workload::Ask1,
        Workload::Ask64,
        Workload::Tell,
        Workload::Fan,
        Workload::Bulk,
        Workload::Mixed,
        Workload::Links,
    ],
    scale: |workload| match workload {
        Workload::Tell | Workload::Fan => 0.5,
        _ => 1.0,
    },
    check: is_installed,
    halves: Halves::Rust {
        serve: |ready| Box::pin(serve(ready, None)),
        run: |job| Box::pin(run(job, None)),
    },
};

/// The certificates are issued by rakt.
#[cfg(feature = "rakt")]
pub(crate) const TLS: Contestant = Contestant {
    name: "nats-tls",
    about: "nats over mutual TLS: crypto/tls in the server, rustls with aws-lc-rs in its clients",
    marks: "through a broker; unacked, a slow subscriber loses messages; server and clients have verified each other",
    halves: Halves::Rust {
        serve: |ready| Box::pin(async { serve(ready, Some(certificates("nats-server")?)).await }),
        run: |job| Box::pin(async { run(job, Some(certificates("nats-client")?)).await }),
    },
    ..CONTESTANT
};

/// Issues what a process shows, into a folder of its own.
#[cfg(feature = "rakt")]
fn certificates(name: &str) -> Result<PathBuf> {
    use async_nats::rustls::crypto::aws_lc_rs;
    // Several providers are compiled in, and async-nats takes the one of the process. Another was there before: as good.
    let _ = aws_lc_rs::default_provider().install_default();
    let folder = crate::external::folder(name)?;
    crate::secret::issue_into(&folder)?;
    Ok(folder)
}

/// A folder with `ca.pem`, `node.pem` and `node.key`, where all is encrypted.
type Certificates = Option<PathBuf>;

fn is_installed() -> Result {
    let asked = std::process::Command::new("nats-server").arg("--version").output();
    asked.map_err(|error| format!("nats-server (Debian: nats-server) does not run: {error}"))?;
    Ok(())
}

/// How many notes came.
#[derive(Clone, PartialEq, prost::Message)]
struct Counted {
    #[prost(uint64, tag = "1")]
    notes: u64,
}

async fn serve(ready: Ready, certificates: Certificates) -> Result {
    let (mut server, port) = start_server(&certificates).await?;
    let client = connect(port, WAITING, &certificates).await?;
    let mut actors = JoinSet::new();
    for index in 0..=TARGETS {
        // One subscription for all that an actor understands keeps them in order.
        let messages = client.subscribe(format!("{index}.*")).await?;
        actors.spawn(work(client.clone(), messages));
    }
    client.flush().await?;
    ready(port, &[server.id().ok_or("nats-server ended at once")?])?;
    tokio::select! {
        status = server.wait() => Err(format!("nats-server ended: {}", status?).into()),
        Some(ended) = actors.join_next() => ended?,
    }
}

async fn work(client: async_nats::Client, mut messages: Subscriber) -> Result {
    let mut notes = 0;
    while let Some(message) = messages.next().await {
        let note = Note::decode(message.payload)?;
        let Some(reply) = message.reply else {
            notes += 1;
            continue;
        };
        let answer = if message.subject.ends_with(".echo") {
            note.encode_to_vec()
        } else {
            Counted { notes }.encode_to_vec()
        };
        client.publish(reply, answer.into()).await?;
    }
    Err("a subscription ended".into())
}

/// Starts `nats-server`; it ends with this process.
async fn start_server(certificates: &Certificates) -> Result<(Child, u16)> {
    let program = ["nats-server", "--config", "/dev/stdin"];
    let mut server = process::pinned(&[], program.map(OsString::from))?
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = server.stdin.take().ok_or("no pipe")?;
    stdin.write_all(SERVER_CONFIG.as_bytes()).await?;
    if let Some(folder) = certificates {
        let path = |name| folder.join(name).display().to_string();
        let (ca, certificate, key) = (path("ca.pem"), path("node.pem"), path("node.key"));
        let tls = format!(
            "tls {{\nca_file: {ca:?}\ncert_file: {certificate:?}\nkey_file: {key:?}\nverify: true\n}}\n"
        );
        stdin.write_all(tls.as_bytes()).await?;
    }
    drop(stdin);
    let mut log = BufReader::new(server.stderr.take().ok_or("no pipe")?).lines();
    while let Some(line) = log.next_line().await? {
        if let Some((_, address)) = line.split_once("Listening for client connections on ") {
            let port = address.rsplit(':').next().ok_or("no port")?.parse()?;
            tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
            return Ok((server, port));
        }
    }
    Err("nats-server ended before it listened".into())
}

async fn connect(
    port: u16,
    waiting: usize,
    certificates: &Certificates,
) -> Result<async_nats::Client> {
    let mut options =
        ConnectOptions::new().client_capacity(waiting).subscription_capacity(SUBSCRIPTION_CAPACITY);
    if let Some(folder) = certificates {
        options = options
            .require_tls(true)
            .add_root_certificates(folder.join("ca.pem"))
            .add_client_certificate(folder.join("node.pem"), folder.join("node.key"));
    }
    Ok(options.connect(format!("127.0.0.1:{port}")).await?)
}

async fn run(job: Job, certificates: Certificates) -> Result<Measured> {
    if job.workload == Workload::Links {
        let connect = async || connect(job.port, WAITING, &certificates).await;
        let peer = async || Ok(Client::new(&connect().await?, 0));
        return drive::links(peer, job.clone()).await;
    }
    let waiting = match job.workload {
        Workload::Bulk | Workload::Mixed => LARGE_WAITING,
        _ => WAITING,
    };
    let client = connect(job.port, waiting, &certificates).await?;
    let actor = |index| Client::new(&client, index);
    match job.workload {
        Workload::Fan => drive::fan((1..=TARGETS).map(actor).collect(), job).await,
        Workload::Mixed => drive::mixed(actor(0), actor(1), job).await,
        _ => drive::run(actor(0), job).await,
    }
}

/// One actor, known by its subjects.
#[derive(Clone)]
struct Client {
    client: async_nats::Client,
    note: Subject,
    echo: Subject,
    count: Subject,
}

impl Client {
    fn new(client: &async_nats::Client, index: usize) -> Self {
        let subject = |name| Subject::from(format!("{index}.{name}"));
        let (note, echo, count) = (subject("note"), subject("echo"), subject("count"));
        Self { client: client.clone(), note, echo, count }
    }

    async fn request(&self, subject: &Subject, payload: Bytes) -> Result<Bytes> {
        let note = Note { payload }.encode_to_vec();
        Ok(self.client.request(subject.clone(), note.into()).await?.payload)
    }
}

impl drive::Client for Client {
    async fn tell(&self, payload: Bytes) -> Result {
        let note = Note { payload }.encode_to_vec();
        Ok(self.client.publish(self.note.clone(), note.into()).await?)
    }

    async fn echo(&self, payload: Bytes) -> Result<Bytes> {
        Ok(Note::decode(self.request(&self.echo, payload).await?)?.payload)
    }

    async fn count(&self) -> Result<u64> {
        self.client.flush().await?;
        Ok(Counted::decode(self.request(&self.count, Bytes::new()).await?)?.notes)
    }
}
