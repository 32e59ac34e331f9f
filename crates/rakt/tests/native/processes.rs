//! Two real processes: what the promises are worth when one of them is killed, stopped or restarted.
//!
//! The second process is this test binary again, with a test that is ignored otherwise as its role.

use std::io::BufRead;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use rakt::prelude::*;
use rakt::{AskError, Event, Refusal};

use crate::messages::Echo;
use crate::nodes::{self, config, node_with};
use crate::probe::{Hold, Number, echo, number};
use crate::support::{self, within};

/// What the process says on its output when it is ready, followed by its port.
const READY: &str = "the node listens on ";
/// Followed by a number that was handled, when the node ends.
const HANDLED: &str = "the node handled ";
/// Followed by the number of asks that were answered.
const ANSWERED: &str = "the node answered ";
/// Tells the process which port to listen on.
const PORT: &str = "RAKT_TEST_NODE_PORT";
/// Where a process stands still, a silent peer is found within twice this time. Elsewhere it is as long as it
/// is without a word of it, so that a busy machine does not look like one.
const READ_IDLE: Duration = Duration::from_millis(500);

/// Checks the order of what it is told, and reports it when asked or when it ends.
#[derive(Default)]
struct Counter {
    last: u64,
    count: u64,
    asked: u64,
    is_ordered: bool,
}

impl Counter {
    fn new() -> Self {
        Self { is_ordered: true, ..Self::default() }
    }
}

impl Actor for Counter {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Number>().remote::<Echo>().remote::<Hold>();
    }

    async fn stopped(&mut self, _: &mut Context<Self>) -> Result {
        println!("{HANDLED}{}", self.count);
        println!("{ANSWERED}{}", self.asked);
        Ok(())
    }
}

impl Handler<Number> for Counter {
    async fn handle(&mut self, Number { n }: Number, _: &mut Context<Self>) -> Result {
        self.is_ordered &= n > self.last;
        self.last = n;
        self.count += 1;
        Ok(())
    }
}

/// Answers with what it has seen: count, last number, whether they came in order.
impl Handler<Echo> for Counter {
    async fn handle(&mut self, _: Echo, _: &mut Context<Self>) -> Result<Echo> {
        self.asked += 1;
        Ok(Echo { text: format!("{} {} {}", self.count, self.last, self.is_ordered) })
    }
}

/// Never ends.
impl Handler<Hold> for Counter {
    async fn handle(&mut self, _: Hold, _: &mut Context<Self>) -> Result {
        std::future::pending().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the second process of the tests below"]
async fn node_process() -> Result {
    let port = std::env::var(PORT)?.parse()?;
    let config = remote::Config::new("127.0.0.1", port);
    let system = ActorSystem::builder("there").remoting(config).start().await?;
    system.spawn("counter", Counter::new).await?;
    system.spawn("stuck", Counter::new).await?;
    println!("{READY}{}", system.advertised().1);
    system.until_shutdown_signal().await;
    Ok(())
}

/// The other process, ended with this one whatever happens.
struct Process {
    child: Child,
    output: std::io::Lines<std::io::BufReader<ChildStdout>>,
    port: u16,
}

impl Process {
    fn start(port: u16) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["processes::node_process", "--exact", "--ignored", "--nocapture"])
            .env(PORT, port.to_string())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("the node has no output")?;
        let mut output = std::io::BufReader::new(output).lines();
        let port = loop {
            let line = output.next().ok_or("the node ended before it was ready")??;
            if let Some((_, port)) = line.split_once(READY) {
                break port.trim().parse()?;
            }
        };
        Ok(Self { child, output, port })
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for its end; returns what its actors handled, tells and asks.
    fn wait(&mut self) -> Result<(ExitStatus, [u64; 2])> {
        let mut handled = [0, 0];
        for line in self.output.by_ref() {
            let line = line?;
            for (text, sum) in [HANDLED, ANSWERED].iter().zip(&mut handled) {
                if let Some((_, count)) = line.split_once(text) {
                    *sum += count.trim().parse::<u64>()?;
                }
            }
        }
        Ok((self.child.wait()?, handled))
    }

    async fn lookup(&self, from: &ActorSystem, name: &str) -> ActorRef<Counter> {
        // After a failed dial the next one waits for its time.
        within(async {
            loop {
                match from.node("127.0.0.1", self.port).lookup::<Counter>(name).await {
                    Ok(found) => break found.expect("the actor is there"),
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails if it has ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn here() -> ActorSystem {
    node_with("here", config()).await
}

/// A node that soon finds out who is silent.
async fn impatient() -> ActorSystem {
    node_with("here", config().read_idle_timeout(READ_IDLE)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_gets_everything_once_and_in_order() -> Result {
    const COUNT: u64 = 100_000;
    let process = Process::start(0)?;
    let here = here().await;
    let counter = process.lookup(&here, "counter").await;
    for n in 1..=COUNT {
        within(counter.tell(number(n))).await?;
    }
    let report = within(counter.ask(echo("?")).timeout(Duration::from_secs(60))).await?;
    assert_eq!(report.text, format!("{COUNT} {COUNT} true"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_ends_every_ask_and_leaves_a_link_down() -> Result {
    let mut process = Process::start(0)?;
    let here = here().await;
    let counter = process.lookup(&here, "counter").await;
    let stuck = process.lookup(&here, "stuck").await;
    let mut events = here.events();
    let mut asks = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let stuck = stuck.clone();
        asks.spawn(async move { stuck.ask(Hold {}).timeout(Duration::from_secs(600)).await });
    }
    let (killed, until_killed) = tokio::sync::oneshot::channel();
    let streaming = tokio::spawn({
        let counter = counter.clone();
        async move {
            let mut killed = Some(killed);
            for n in 1.. {
                if let Err(error) = within(counter.tell(number(n))).await {
                    return error.refusal;
                }
                if n == 10_000 {
                    killed.take().map(|killed| killed.send(()));
                }
            }
            unreachable!("it ends with the process")
        }
    });
    within(until_killed).await?;
    process.signal("-KILL");
    while let Some(outcome) = within(asks.join_next()).await {
        let error = outcome?.expect_err("it never answers");
        let is_lost = matches!(error, AskError::ConnectionLost { .. });
        let is_unreachable = matches!(error.refusal(), Some(Refusal::Unreachable { .. }));
        assert!(is_lost || is_unreachable, "{error}");
    }
    let refusal = within(streaming).await?;
    assert!(matches!(refusal, Refusal::Unreachable { .. }), "{refusal}");
    let reason = nodes::link_down(&mut events).await;
    assert!(!reason.is_empty());
    let error = within(counter.ask(echo("?"))).await.expect_err("it is dead");
    assert!(matches!(error.refusal(), Some(Refusal::Unreachable { .. })), "{error}");
    assert!(error.is_safe_to_retry());
    assert!(!process.wait()?.0.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_starts_again_under_its_address_is_noticed() -> Result {
    let mut process = Process::start(0)?;
    let here = here().await;
    let old = process.lookup(&here, "counter").await;
    for n in 1..=1000 {
        within(old.tell(number(n))).await?;
    }
    within(old.ask(echo("?"))).await?;
    process.signal("-KILL");
    process.wait()?;
    let process = Process::start(process.port)?;
    let new = process.lookup(&here, "counter").await;

    let error = within(async {
        loop {
            let error = old.ask(echo("?")).await.expect_err("it is another one");
            // The place of its connection may still remember the failed dial.
            match error.refusal() {
                Some(Refusal::Unreachable { .. }) => tokio::task::yield_now().await,
                _ => break error,
            }
        }
    })
    .await;
    assert_eq!(error.refusal(), Some(&Refusal::StaleIncarnation), "{error}");
    let error = within(old.tell(number(2000))).await.expect_err("it is another one");
    assert_eq!(error.refusal, Refusal::StaleIncarnation);
    assert_eq!(within(new.ask(echo("?"))).await?.text, "0 0 true", "nothing of old reached it");
    within(new.tell(number(5))).await?;
    assert_eq!(within(new.ask(echo("?"))).await?.text, "1 5 true");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_told_to_end_handles_what_it_accepted_and_exits_cleanly() -> Result {
    let mut process = Process::start(0)?;
    let here = here().await;
    let counter = process.lookup(&here, "counter").await;
    let mut confirmed = 0;
    let mut pending = tokio::task::JoinSet::new();
    let mut n = 0;
    loop {
        n += 1;
        if n == 5_000 {
            process.signal("-TERM");
        }
        let counter = counter.clone();
        let mut telling = Box::pin(async move { counter.tell(number(n)).confirmed().await });
        // Sent here, so that they leave in order; answered there.
        let sent = std::future::poll_fn(|cx| std::task::Poll::Ready(telling.as_mut().poll(cx)));
        match sent.await {
            std::task::Poll::Ready(Ok(())) => confirmed += 1,
            std::task::Poll::Ready(Err(_)) => break,
            std::task::Poll::Pending => drop(pending.spawn(telling)),
        }
        while let Some(outcome) = pending.try_join_next() {
            confirmed += u64::from(outcome?.is_ok());
        }
        tokio::task::yield_now().await;
    }
    while let Some(outcome) = within(pending.join_next()).await {
        confirmed += u64::from(outcome?.is_ok());
    }
    let (status, handled) = within(tokio::task::spawn_blocking(move || {
        process.wait().map_err(|error| error.to_string())
    }))
    .await??;
    assert!(status.success(), "{status}");
    assert!(confirmed > 0);
    assert_eq!(handled[0], confirmed, "what was confirmed was handled");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_told_to_end_under_load_leaves_no_ask_unknown() -> Result {
    const ASKERS: usize = 64;
    for _ in 0..5 {
        let mut process = Process::start(0)?;
        let here = here().await;
        let counter = process.lookup(&here, "counter").await;
        let mut asking = tokio::task::JoinSet::new();
        let (answered, mut some) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..ASKERS {
            let (counter, answered) = (counter.clone(), answered.clone());
            asking.spawn(async move {
                loop {
                    match counter.ask(echo("?")).timeout(Duration::from_secs(600)).await {
                        // Fails only when the test is over.
                        Ok(_) => drop(answered.send(())),
                        Err(error) => break error,
                    }
                }
            });
        }
        drop(answered);
        let mut ok = 0;
        while ok < 50 * ASKERS as u64 {
            within(some.recv()).await.ok_or("they are asking")?;
            ok += 1;
        }
        process.signal("-TERM");
        while let Some(error) = within(asking.join_next()).await {
            let error = error?;
            assert!(error.is_safe_to_retry(), "{}", rakt::error::Chain(&error));
        }
        while some.recv().await.is_some() {
            ok += 1;
        }
        let (status, handled) = within(tokio::task::spawn_blocking(move || {
            process.wait().map_err(|error| error.to_string())
        }))
        .await??;
        assert!(status.success(), "{status}");
        assert_eq!(handled[1], ok, "what was handled was answered");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stands_still_is_found_by_ping() -> Result {
    let process = Process::start(0)?;
    let here = impatient().await;
    let counter = process.lookup(&here, "counter").await;
    within(counter.ask(echo("?"))).await?;
    let mut events = here.events();
    process.signal("-STOP");
    // The signal is on its way when `kill` returns; what is asked until it arrives is answered.
    let error = within(async {
        loop {
            match counter.ask(echo("?")).timeout(Duration::from_secs(600)).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => break error,
            }
        }
    })
    .await;
    assert!(matches!(error, AskError::ConnectionLost { .. }), "{error}");
    // Twice the time without a byte.
    let reason = nodes::link_down(&mut events).await;
    assert!(reason.contains("nothing was heard from the peer for 1s"), "{reason}");

    process.signal("-CONT");
    let up = support::event(&mut events, |event| match event {
        Event::LinkUp { .. } => Some(()),
        _ => None,
    });
    let again = async {
        loop {
            match counter.ask(echo("?")).await {
                Ok(reply) => break reply,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let ((), reply) = within(async { tokio::join!(up, again) }).await;
    assert!(reply.text.ends_with("true"), "it is the same actor still");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stood_still_while_it_was_told_things_takes_them_in_order() -> Result {
    let process = Process::start(0)?;
    let here = impatient().await;
    let counter = process.lookup(&here, "counter").await;
    within(counter.ask(echo("?"))).await?;
    let mut events = here.events();
    process.signal("-STOP");
    let mut n = 0;
    for _ in 0..1000 {
        n += 1;
        within(counter.tell(number(n))).await?;
    }
    // What was sent lies in the buffers of the operating systems when the connection is given up.
    nodes::link_down(&mut events).await;
    process.signal("-CONT");
    within(async {
        loop {
            n += 1;
            match counter.tell(number(n)).confirmed().await {
                Ok(()) => break,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    let report = within(counter.ask(echo("?"))).await?.text;
    assert!(report.ends_with(&format!(" {n} true")), "in order, the last one last: {report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_that_stands_still_may_have_missed_is_counted() -> Result {
    const COUNT: u64 = 30_000;
    let process = Process::start(0)?;
    let here = impatient().await;
    let counter = process.lookup(&here, "counter").await;
    within(counter.ask(echo("?"))).await?;
    let mut events = here.events();
    let mut told = 0;
    for n in 1..=COUNT {
        if n == COUNT / 3 {
            process.signal("-STOP");
        }
        // Where it is held up, it waits until the connection ends, and is refused.
        told += u64::from(within(counter.tell(number(n))).await.is_ok());
    }
    let unconfirmed = support::event(&mut events, |event| match event {
        Event::LinkDown { unconfirmed, .. } if unconfirmed > 0 => Some(unconfirmed),
        _ => None,
    })
    .await;
    process.signal("-CONT");
    within(async {
        while counter.tell(number(COUNT + 1)).confirmed().await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let report = within(counter.ask(echo("?"))).await?.text;
    let handled: u64 = report.split(' ').next().ok_or("it has counted")?.parse()?;
    // The last one was confirmed. None that was refused here was handled.
    let (handled, dead) = (handled - 1, here.dead_letter_count());
    assert!(handled + dead <= told, "{handled} handled, {dead} dead letters, {told} told");
    let most = handled + dead + unconfirmed;
    assert!(told <= most, "{told} told; {handled} handled, {dead} dead, {unconfirmed} unconfirmed");
    Ok(())
}
