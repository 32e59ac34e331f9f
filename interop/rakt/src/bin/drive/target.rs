//! The node under test, and how checks talk to it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use interop::flags::Flags;
use interop::messages::{Count, CountRequest};
use interop::{host, secure};
use rakt::error::Chain;
use rakt::prelude::*;
use rakt::remote::{Client, ClientConfig, Compression, GoAkt, Tls};
use rakt::{BoxError, OperationError};
use tokio::sync::Mutex;

use crate::go_node::GoNode;

/// How long an ask may take that is meant to be answered.
pub(crate) const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// For asks that are not meant to be answered.
pub(crate) const SHORT_TIMEOUT: Duration = Duration::from_millis(300);

/// The node under test.
pub(crate) struct Target {
    /// What drives it: a node of its own, so that it can be answered.
    pub(crate) system: ActorSystem,
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) compression: Compression,
    pub(crate) count: u64,
    pub(crate) restart_within: Duration,
    /// The program of a GoAkt node, for checks that start their own.
    pub(crate) node: String,
    /// Where certificates are, if anywhere.
    pub(crate) certs: String,
    /// Nodes that checks have started, by their arguments.
    pub(crate) nodes: Mutex<BTreeMap<&'static [&'static str], GoNode>>,
    /// Makes names unique in a node that is tested twice.
    run: u128,
}

impl Target {
    /// What the command line says.
    pub(crate) async fn new(flags: &Flags) -> Result<Self> {
        let port = flags.get("port", 0)?;
        let compression = flags.get("compression", Default::default())?;
        let options =
            GoAkt::new().compression(compression).peer(host::ADDRESS, port).peer("localhost", port);
        let config = secure::apply(host::config(0, options), flags)?;
        Ok(Self {
            system: host::start("driver", config, None).await?,
            name: flags.get("system", "go".to_owned())?,
            port,
            compression,
            count: flags.get("count", 100_000)?,
            restart_within: Duration::from_secs(flags.get("restart-within", 60)?),
            node: flags.get("node", String::new())?,
            certs: flags.get("certs", String::new())?,
            nodes: Mutex::default(),
            run: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos(),
        })
    }

    /// The certificate that all checks have which say nothing else, if there are certificates.
    pub(crate) fn tls(&self) -> Option<Tls> {
        (!self.certs.is_empty()).then(|| secure::with(&self.certs, "rakt", "ca"))
    }

    /// A client of its own.
    pub(crate) fn client(&self, options: GoAkt, tls: Option<Tls>) -> Result<Client> {
        let config = ClientConfig::new().goakt(options.compression(self.compression));
        Ok(Client::new("client", tls.into_iter().fold(config, ClientConfig::tls))?)
    }

    /// A name that no other run has used.
    pub(crate) fn unique(&self, name: &str) -> String {
        format!("{name}-{}", self.run)
    }

    /// Where the actor with the name, or path, is.
    pub(crate) fn address(&self, path: &str) -> Address {
        let Self { name, port, .. } = self;
        goakt(&format!("goakt://{name}@{}:{port}/{path}", host::ADDRESS))
    }

    pub(crate) fn actor(&self, path: &str) -> ActorRef {
        self.system.actor(&self.address(path))
    }

    /// The address by which the node knows an actor of the driver.
    pub(crate) fn own(&self, path: &str) -> String {
        let (host, port) = self.system.advertised();
        format!("goakt://{}@{host}:{port}/{path}", self.system.name())
    }

    pub(crate) async fn lookup(&self, name: &str) -> Result<Option<ActorRef>, OperationError> {
        self.system.node(host::ADDRESS, self.port).lookup(name).await
    }

    pub(crate) async fn spawn(&self, name: &str, kind: &str) -> Result<ActorRef, OperationError> {
        self.system.node(host::ADDRESS, self.port).spawn(name, kind).await
    }

    /// Whether a counter has all notes of the sender, in order.
    pub(crate) async fn expect_count(&self, counter: &str, sender: &str, notes: u64) -> Result {
        let request = CountRequest { sender: sender.to_owned() };
        let count = self.actor(counter).ask(request).timeout(2 * ASK_TIMEOUT).await?;
        expect(count, Count { notes, violations: 0 })
    }

    /// Whether the actor answers.
    pub(crate) async fn expect_echo(&self, path: &str) -> Result {
        let message = interop::messages::text("still there?");
        expect(self.actor(path).ask(message.clone()).await?, message)
    }
}

pub(crate) fn goakt(address: &str) -> Address {
    address.parse().expect("an address")
}

pub(crate) fn expect<T: PartialEq + Debug>(got: T, want: T) -> Result {
    match got == want {
        true => Ok(()),
        false => Err(shortened(&format!("{got:?}, not {want:?}"))),
    }
}

fn shortened(text: &str) -> BoxError {
    text.chars().take(500).collect::<String>().into()
}

/// The error that is expected here.
pub(crate) fn error_of<T, E>(result: Result<T, E>) -> Result<E> {
    result.map_err(Ok::<E, BoxError>).err().unwrap_or_else(|| Err("no error".into()))
}

/// Whether a request was turned down for such a reason, with such a text.
pub(crate) fn expect_refusal(
    refusal: Option<&Refusal>,
    text: &str,
    is_expected: impl Fn(&Refusal) -> bool,
) -> Result {
    let refusal = refusal.ok_or("no refusal")?;
    match is_expected(refusal) && Chain(refusal).to_string().contains(text) {
        true => Ok(()),
        false => Err(format!("{refusal:?}, without {text:?}").into()),
    }
}

/// Whether an ask ended like one that nobody answers.
pub(crate) fn expect_unanswered<T, M>(result: Result<T, AskError<M>>) -> Result {
    match error_of(result)? {
        AskError::Timeout { .. } => Ok(()),
        AskError::Refused { refusal: Refusal::DeadlineExceeded, .. } => Ok(()),
        error => Err(format!("not a timeout but: {error}").into()),
    }
}

/// Repeats a question until the answer is yes, for things that happen some time after what causes them.
pub(crate) async fn until<F: Future<Output = Result<bool>>>(
    what: &str,
    done: impl Fn() -> F,
) -> Result {
    let repeated = async {
        while !done().await? {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    };
    let late = |_| Err(format!("{what}: not within {ASK_TIMEOUT:?}").into());
    tokio::time::timeout(ASK_TIMEOUT, repeated).await.unwrap_or_else(late)
}
