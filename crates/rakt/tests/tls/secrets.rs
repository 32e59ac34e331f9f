//! Nothing that is secret is ever written: a process of its own does all that has to do with secrets and writes
//! whatever can be written of it; none of them is found in its output.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rakt::Metadata;
use rakt::error::Chain;
use rakt::prelude::*;
use rakt::remote::certificate::{Authority, Directory, Request};
use rakt::remote::{Client, ClientConfig, Config, Policy, Secret, Tls, Verify};

use crate::certificates::Ca;
use crate::strangers::{client, refused};

/// Where the process looks for what it is to use, and writes what is secret.
const AT: &str = "RAKT_TESTS_SECRETS";
const METADATA: &str = "a-token-that-nobody-sees";

/// Ends with the test.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[test]
fn no_secret_is_in_anything_that_is_written() -> Result {
    let place = Place(std::env::temp_dir().join(format!("rakt-secrets-{}", std::process::id())));
    std::fs::create_dir_all(&place.0)?;
    let mut process = Command::new(std::env::current_exe()?);
    process.args(["--exact", "secrets::what_has_to_do_with_secrets", "--ignored", "--nocapture"]);
    let output = process.env(AT, &place.0).env("RUST_BACKTRACE", "1").output()?;
    let written = [output.stdout, output.stderr].concat();
    let written = String::from_utf8_lossy(&written).into_owned();
    assert!(output.status.success(), "{written}");
    for part in ["INFO", "WARN", "link up", "a counter: rakt", "Debug of", "refused a peer"] {
        assert!(written.contains(part), "{part:?} shows that the process writes: {written}");
    }
    let secrets = std::fs::read_to_string(place.0.join("secrets"))?;
    let secrets: BTreeSet<_> = secrets.lines().filter(|line| line.len() >= 8).collect();
    assert!(secrets.len() > 20, "{} lines are secret", secrets.len());
    // Nor are they there in other forms: as numbers of a list of bytes, or in hexadecimal.
    for secret in &secrets {
        let bytes = &secret.as_bytes()[..8];
        let list = bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        for form in [(*secret).to_owned(), list, hex] {
            let line = written.lines().find(|line| line.contains(&form));
            assert_eq!(line, None, "a secret in a line of the output");
        }
    }
    Ok(())
}

#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.Whisper", reply = u64)]
struct Whisper {}

struct Listener;

impl Actor for Listener {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Whisper>();
    }
}

impl Handler<Whisper> for Listener {
    async fn handle(&mut self, _: Whisper, ctx: &mut Context<Self>) -> Result<u64> {
        match ctx.metadata().and_then(|metadata| metadata.get("token")) {
            Some(METADATA) => Err("it is heard".into()),
            _ => Ok(0),
        }
    }
}

/// Has everything written that can be: with all that a subscriber may ask for, and the figures of the metrics.
fn listen() {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(std::io::stdout)
        .init();
    #[cfg(feature = "metrics")]
    metrics::set_global_recorder(Told).expect("there is none");
    #[cfg(not(feature = "metrics"))]
    println!("a counter: rakt");
}

#[cfg(feature = "metrics")]
struct Told;

#[cfg(feature = "metrics")]
impl metrics::Recorder for Told {
    fn describe_counter(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }
    fn describe_gauge(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }
    fn describe_histogram(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }

    fn register_counter(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
        println!("a counter: {} {key:?}", key.name());
        metrics::Counter::noop()
    }

    fn register_gauge(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
        println!("a gauge: {} {key:?}", key.name());
        metrics::Gauge::noop()
    }

    fn register_histogram(
        &self,
        key: &metrics::Key,
        _: &metrics::Metadata<'_>,
    ) -> metrics::Histogram {
        println!("a histogram: {} {key:?}", key.name());
        metrics::Histogram::noop()
    }
}

fn show(what: &dyn std::fmt::Debug) {
    println!("Debug of {what:?}\nand {what:#?}");
}

fn show_error(error: &(dyn std::error::Error + 'static)) {
    println!("an error: {}", Chain(error));
    show(&error);
}

/// Whispers to a node, and to one of whom it will not hear.
async fn whisper(tls: Tls, node: &ActorSystem) -> Result {
    let config = ClientConfig::new().tls(tls);
    show(&config);
    let client = Client::new("client", config)?;
    show(&client);
    let mut metadata = Metadata::new();
    metadata.append("token", METADATA)?;
    let (host, port) = node.advertised();
    for path in ["listener", "nobody"] {
        let address = Address::new(path, node.name(), host, port)?;
        let asked = client.ask(&address, Whisper {}).metadata(metadata.clone());
        let error = asked.timeout(Duration::from_secs(20)).await.expect_err("nobody says anything");
        show_error(&error);
    }
    client.close().await;
    Ok(())
}

#[tokio::test]
#[ignore = "what another test looks at, in a process of its own"]
async fn what_has_to_do_with_secrets() -> Result {
    let Some(place) = std::env::var_os(AT).map(PathBuf::from) else { return Ok(()) };
    listen();
    let mut secrets = vec![METADATA.to_owned()];
    let ca = Ca::new("ca");
    let (server, client_own) = (ca.node("server"), ca.node("client"));
    let secret = Secret::generate();
    let authority = Authority::generate("ca")?;
    let issued = authority.issue(&Request::new("server").host("127.0.0.1"))?;
    secrets.extend([secret.reveal(), server.key.clone(), client_own.key.clone()]);
    secrets.extend([
        authority.key_pem(),
        issued.key_pem().to_owned(),
        secret.authority()?.key_pem(),
    ]);
    let directory = Directory::new(place.join("dev"));
    let files = directory.find_or_issue(&Request::new("server").host("127.0.0.1"))?;
    for entry in std::fs::read_dir(place.join("dev"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "key") {
            secrets.push(std::fs::read_to_string(path)?);
        }
    }
    // The armour of a key is no secret.
    let lines =
        secrets.iter().flat_map(|text| text.lines().filter(|line| !line.starts_with("---")));
    std::fs::write(place.join("secrets"), lines.collect::<Vec<_>>().join("\n"))?;

    for shown in [&secret as &dyn std::fmt::Debug, &authority, &issued, &directory, &files] {
        show(shown);
    }
    let dev = Tls::dev(place.join("dev"));
    let by_secret = Tls::from_secret(secret.clone()).also_trust(Secret::generate());
    let pairs = [
        (server.tls(&ca.pem), client_own.tls(&ca.pem)),
        (by_secret.clone(), by_secret.clone()),
        (dev.clone(), dev),
    ];
    for (own, of_client) in pairs {
        show(&own);
        show(&of_client.clone().verify(Verify::uri("rakt://tests/*")));
        let config = Config::new("127.0.0.1", 0).tls(own).policy(Policy::open());
        show(&config);
        let node = ActorSystem::builder("server").remoting(config).start().await?;
        show(&node);
        node.spawn("listener", || Listener).await?;
        whisper(of_client, &node).await?;
        println!("what is refused: {}", refused(node.advertised().1, client(None)).await);
        println!("reloaded: {:?}", node.reload_tls().await);
        node.shutdown().await;
    }
    // What cannot be used says so, and not what it is.
    let wrong_key = Tls::from_pem(&server.certificate, &client_own.key, &ca.pem);
    let half = &server.key[..server.key.len() / 2];
    let half_a_key = Tls::from_pem(&server.certificate, half, &ca.pem);
    let not_base64 = server.key.replace('M', "%");
    let broken = Tls::from_pem(&server.certificate, not_base64, &ca.pem);
    let swapped = Tls::from_pem(&server.key, &server.certificate, &server.key);
    for tls in [wrong_key, half_a_key, broken, swapped] {
        let config = Config::new("127.0.0.1", 0).tls(tls.clone());
        let error = ActorSystem::builder("server").remoting(config).start().await;
        show_error(&*rakt::BoxError::from(error.expect_err("it cannot be used")));
        if let Err(error) = Client::new("client", ClientConfig::new().tls(tls)) {
            show_error(&error);
        }
    }
    let mut mistyped = secret.reveal();
    mistyped.pop();
    show_error(&mistyped.parse::<Secret>().expect_err("it is cut off"));
    show_error(&Authority::from_pem(&ca.pem, &server.key).expect_err("another key"));
    Ok(())
}
