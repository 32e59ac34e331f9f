//! Real processes: the node with the twins is killed under load, and started again.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rakt::testkit::within;
use rakt::{ActorRef, Result, StopReason, remote};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

const DEVICES: u64 = 24;
/// How often the node is killed.
const KILLS: u64 = 3;
/// Reports that are confirmed before a kill, and after the last one.
const REPORTS: u64 = 400;
/// Every tenth report of a device is too hot.
const HOT: u64 = 10;
/// Every fifth is sent twice, the hot ones among them.
const REPEATED: u64 = 5;
/// The gateway pauses 100 ms between two attempts: it works again within 2 s.
const MOST_ATTEMPTS: u64 = 20;

/// A process of the example. It is ended with this one whatever happens.
struct Process {
    child: Child,
    port: u16,
}

impl Process {
    /// Starts it, and waits until it takes requests.
    fn start(args: &[String]) -> Result<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_twins"));
        let mut child = child.args(args).stdout(Stdio::piped()).spawn()?;
        let mut output = BufReader::new(child.stdout.take().ok_or("it has an output")?).lines();
        let line = output.next().ok_or("it has ended")??;
        let port = line.strip_prefix("listening on ").ok_or("it says where")?.parse()?;
        // What it says later is read, so that it can go on to say it.
        std::thread::spawn(move || output.by_ref().for_each(drop));
        Ok(Self { child, port })
    }
}

/// Kills it as `kill -9` does.
impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it has ended");
    }
}

/// The three processes, and the directory of their journals.
struct Service {
    directory: PathBuf,
    gateway: Process,
    twins: Option<Process>,
    alarms: Process,
    idle_ms: u64,
}

impl Service {
    fn start(name: &str, idle_ms: u64) -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("twins-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let journal = directory.join("alarms").display().to_string();
        let alarms = Process::start(&["alarms".into(), "0".into(), journal])?;
        let twins = Self::start_twins(&directory, 0, alarms.port, idle_ms)?;
        let ports = [0, twins.port, alarms.port].map(|port| port.to_string());
        let gateway = Process::start(&[&["gateway".to_owned()], &ports[..]].concat())?;
        Ok(Self { directory, gateway, twins: Some(twins), alarms, idle_ms })
    }

    fn start_twins(
        directory: &std::path::Path,
        port: u16,
        alarms: u16,
        idle: u64,
    ) -> Result<Process> {
        let journal = directory.join("twins").display().to_string();
        let ports = [port, alarms].map(|port| port.to_string());
        Process::start(&[&["twins".to_owned()], &ports[..], &[journal, idle.to_string()]].concat())
    }

    /// Kills the node with the twins, and starts it again at its port.
    fn kill_twins(&mut self) -> Result {
        let port = self.twins.take().ok_or("it runs")?.port;
        self.twins =
            Some(Self::start_twins(&self.directory, port, self.alarms.port, self.idle_ms)?);
        Ok(())
    }

    fn client(&self) -> Http {
        Http(self.gateway.port)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A client of the gateway.
#[derive(Clone, Copy)]
struct Http(u16);

struct Answer {
    status: u16,
    attempts: u64,
    body: Value,
}

impl Http {
    /// Sends a request, whose answer is yet to be read.
    async fn begin(self, method: &str, path: &str, body: &str) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.0)).await?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        Ok(stream)
    }

    async fn send(self, method: &str, path: &str, body: &str) -> Result<Answer> {
        let mut stream = self.begin(method, path, body).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        let (head, body) = text.split_once("\r\n\r\n").ok_or("no answer")?;
        let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
        let attempts = head.lines().find_map(|line| line.strip_prefix("x-attempts: "));
        let attempts = attempts.map_or(Ok(0), str::parse)?;
        Ok(Answer { status, attempts, body: serde_json::from_str(body).unwrap_or(body.into()) })
    }

    async fn get(self, path: &str) -> Result<Answer> {
        self.send("GET", path, "").await
    }

    /// Reports until that is confirmed, as a device does. Now and then it misses an answer, and repeats the report.
    async fn report(self, device: &str, number: u64) -> Result<Answer> {
        let celsius = if number.is_multiple_of(HOT) { 95.5 } else { 20.5 };
        let body = json!({ "number": number, "celsius": celsius }).to_string();
        let path = format!("/devices/{device}/reports");
        let _missed = match number.is_multiple_of(REPEATED) {
            true => Some(self.begin("POST", &path, &body).await?),
            false => None,
        };
        loop {
            let answer = self.send("POST", &path, &body).await?;
            match answer.status {
                200 => return Ok(answer),
                503 => {}
                status => return Err(format!("status {status}: {}", answer.body).into()),
            }
        }
    }
}

/// Reports one after the other until it is told to stop; returns the number of the last.
async fn device(
    name: String,
    client: Http,
    confirmed: watch::Sender<u64>,
    is_over: Arc<AtomicBool>,
) -> Result<u64> {
    let mut number = 0;
    while !is_over.load(Ordering::Relaxed) {
        number += 1;
        let answer = client.report(&name, number).await?;
        // As many have had an effect as were confirmed: none is lost, none has come twice.
        assert_eq!(
            (&answer.body["number"], &answer.body["count"]),
            (&json!(number), &json!(number))
        );
        confirmed.send_modify(|count| *count += 1);
    }
    Ok(number)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_confirmed_is_lost_or_doubled_when_the_node_is_killed_under_load() -> Result {
    let mut service = Service::start("kill", 60_000)?;
    let client = service.client();
    let (confirmed, mut count) = watch::channel(0);
    let is_over = Arc::new(AtomicBool::new(false));
    let mut devices = Vec::new();
    for n in 0..DEVICES {
        let (name, confirmed) = (format!("device-{n}"), confirmed.clone());
        devices.push(tokio::spawn(device(name, client, confirmed, is_over.clone())));
    }
    for kill in 1..=KILLS {
        within(count.wait_for(|count| *count >= kill * REPORTS)).await?;
        let killed = Instant::now();
        service.kill_twins()?;
        let back = Instant::now();
        let answer = within(client.get("/devices/device-0")).await?;
        println!(
            "kill {kill}: the node was back after {:?}, the gateway worked {:?} later, at attempt {}",
            back - killed,
            back.elapsed(),
            answer.attempts
        );
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.attempts <= MOST_ATTEMPTS, "it took {} attempts", answer.attempts);
    }
    within(count.wait_for(|count| *count >= (KILLS + 1) * REPORTS)).await?;
    is_over.store(true, Ordering::Relaxed);
    let mut numbers = BTreeMap::new();
    for (n, device) in devices.into_iter().enumerate() {
        numbers.insert(format!("device-{n}"), within(device).await??);
    }

    // Once more, with nothing but what is in the journals.
    service.kill_twins()?;
    for (device, number) in &numbers {
        let state = within(client.get(&format!("/devices/{device}"))).await?.body;
        assert_eq!((&state["number"], &state["count"]), (&json!(number), &json!(number)));
    }
    let expected = numbers.iter().flat_map(|(device, last)| {
        (HOT..=*last).step_by(HOT as usize).map(move |number| (device.clone(), number))
    });
    let alarms = within(client.get("/alarms")).await?.body;
    let told = alarms.as_array().ok_or("a list")?.iter();
    let told = told.map(|alarm| (alarm["device"].as_str(), alarm["number"].as_u64()));
    let mut told = told.collect::<Vec<_>>();
    told.sort();
    let expected = expected.collect::<Vec<_>>();
    let expected = expected.iter().map(|(device, n)| (Some(device.as_str()), Some(*n)));
    let mut expected = expected.collect::<Vec<_>>();
    expected.sort();
    assert_eq!(told, expected, "of each time that a device became too hot there is one alarm");
    println!(
        "{} reports were confirmed, {} alarms told",
        numbers.values().sum::<u64>(),
        told.len()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_twin_that_is_idle_is_passivated_and_comes_back_with_its_state() -> Result {
    let service = Service::start("idle", 50)?;
    let client = service.client();
    within(client.report("sensor", 1)).await?;
    let node = remote::Client::new("test", remote::ClientConfig::new())?;
    let port = service.twins.as_ref().ok_or("it runs")?.port;
    let found: Option<ActorRef> = within(node.node("127.0.0.1", port).lookup("sensor")).await?;
    if let Some(twin) = found {
        let reason = within(twin.ended()).await;
        assert!(matches!(reason, StopReason::Passivated | StopReason::NotFound), "{reason}");
    }
    let answer = within(client.report("sensor", 2)).await?;
    assert_eq!((&answer.body["count"], answer.attempts), (&json!(2), 2), "it was started anew");
    let repeated = within(client.report("sensor", 2)).await?;
    assert_eq!(repeated.body["count"], json!(2), "what is repeated has no effect");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_name_is_refused_at_once() -> Result {
    let service = Service::start("names", 60_000)?;
    let refused = within(service.client().get("/devices/a%20device")).await?;
    assert_eq!((refused.status, refused.attempts), (400, 0), "{}", refused.body);
    Ok(())
}
