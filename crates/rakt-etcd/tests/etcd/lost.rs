//! Answers that are lost, streams that die, and an etcd that is killed or frozen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rakt::cluster::{Register, SwapError, Version};
use rakt::testkit::register::{History, Recorded};
use rakt::testkit::within;
use rakt_etcd::{Etcd, EtcdError};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::proxy::{Proxy, Ways};
use crate::server::Servers;
use crate::{MS, NOTHING, cause, unknown};

/// Long enough for an etcd that is well, whatever else the machine does.
const LIMIT: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts etcd: .ci/run etcd"]
async fn a_swap_whose_answer_is_lost_is_unknown_and_is_read_after() -> rakt::Result {
    let servers = Servers::start(1);
    let proxy = Proxy::before(servers.address(0)).await;
    let register = Etcd::at([proxy.endpoint()]).timeout(LIMIT);
    let first = register.swap(NOTHING, "first".into()).await?;

    proxy.set(Ways { deaf: true, ..Ways::default() });
    let error = unknown(register.swap(first, "lost".into()).await);
    assert!(matches!(error, EtcdError::Late { .. }), "{error:?}");
    // Nobody hears a thing: nothing is known, and nothing is confirmed.
    let error = register.confirm(first).await.expect_err("it is deaf");
    assert!(matches!(cause(&error), EtcdError::Late { .. }), "{error:?}");
    proxy.set(Ways::default());
    // Whoever tries again without a look meets its own swap, which is no proof that it was not written.
    let again = register.swap(first, "lost".into()).await;
    assert!(matches!(again, Err(SwapError::Conflict)), "{again:?}");
    let (version, view) = register.read().await?;
    assert_eq!(view, "lost");
    assert!(register.confirm(version).await? && !register.confirm(first).await?);

    proxy.set(Ways { mute: true, ..Ways::default() });
    let error = unknown(register.swap(version, "never sent".into()).await);
    assert!(matches!(error, EtcdError::Late { .. }), "{error:?}");
    proxy.set(Ways::default());
    // The same words for what has no effect, and so it is read.
    assert_eq!(register.read().await?, (version, "lost".into()));
    register.swap(version, "regained".into()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts etcd: .ci/run etcd"]
async fn a_silent_endpoint_is_left_for_another_one() -> rakt::Result {
    let servers = Servers::start(1);
    let proxy = Proxy::before(servers.address(0)).await;
    let register = Etcd::at([proxy.endpoint(), servers.endpoints()[0].clone()]).timeout(LIMIT);
    let first = register.swap(NOTHING, "first".into()).await?;
    proxy.set(Ways { deaf: true, ..Ways::default() });
    assert!(register.confirm(first).await?, "the other endpoint was to be asked");
    assert_eq!(proxy.opened(), 1);
    register.swap(first, "second".into()).await?;
    // A swap is not asked there again: what it met might be itself.
    proxy.set(Ways::default());
    let register = Etcd::at([proxy.endpoint(), servers.endpoints()[0].clone()]).timeout(LIMIT);
    let (second, _) = register.read().await?;
    proxy.set(Ways { deaf: true, ..Ways::default() });
    let error = unknown(register.swap(second, "third".into()).await);
    assert!(matches!(error, EtcdError::Late { .. }), "{error:?}");
    assert_eq!(register.read().await?.1, "third");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts etcd: .ci/run etcd"]
async fn a_watch_whose_stream_dies_in_silence_comes_back() -> rakt::Result {
    let servers = Servers::start(1);
    let proxy = Proxy::before(servers.address(0)).await;
    let (register, other) = (Etcd::at([proxy.endpoint()]).timeout(LIMIT), servers.register());
    let mut newest = other.swap(NOTHING, "first".into()).await?;
    within(register.changed(NOTHING)).await;
    for round in 0..2 {
        // The hint waits on a stream of which nobody hears that it is dead, and nothing else is asked.
        let opened = proxy.opened();
        let hint = tokio::spawn({
            let register = Etcd::at([proxy.endpoint()]).timeout(LIMIT);
            async move {
                register.changed(NOTHING).await;
                register.read().await
            }
        });
        within(hint).await??;
        proxy.set(Ways { dead: proxy.opened(), ..Ways::default() });
        let next = other.swap(newest, format!("round {round}").into()).await?;
        within(register.changed(newest)).await;
        assert!(proxy.opened() > opened + 1, "it was to connect again");
        newest = next;
    }
    Ok(())
}

/// What nodes do that want to write, each over what it knows, until they are stopped. In doubt they read.
async fn work(register: Recorded<Etcd>, node: usize, stopped: Arc<AtomicBool>) {
    let mut known = NOTHING;
    let mut n = 0;
    while !stopped.load(Ordering::Relaxed) {
        n += 1;
        let view = Bytes::from(format!("node {node}, {n}"));
        match register.swap(known, view).await {
            Ok(version) => known = version,
            Err(_) => match register.read().await {
                Ok((version, _)) => known = version,
                Err(_) => sleep(20 * MS).await,
            },
        }
        if n % 3 == 0 {
            let _ = register.confirm(known).await;
        }
        sleep(MS).await;
    }
}

struct Working {
    history: History,
    stopped: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Working {
    fn start(servers: &Servers, limit: Duration) -> Self {
        let (history, stopped) = (History::default(), Arc::new(AtomicBool::new(false)));
        let mut tasks = JoinSet::new();
        for node in 0..3 {
            // Each begins at another endpoint.
            let mut endpoints = servers.endpoints();
            let count = endpoints.len();
            endpoints.rotate_left(node % count);
            let register = history.node(Etcd::at(endpoints).timeout(limit));
            tasks.spawn(work(register, node, stopped.clone()));
        }
        Self { history, stopped, tasks }
    }

    /// Until so many more swaps were acknowledged.
    async fn go_on(&self, more: usize) {
        let before = self.history.swapped();
        let gone = async {
            while self.history.swapped() < before + more {
                sleep(5 * MS).await;
            }
        };
        within(gone).await;
    }

    /// Nothing that was acknowledged is lost, and all that was said is one order.
    async fn end(self, register: Etcd) -> rakt::Result {
        self.stopped.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
        self.history.node(register).read().await?;
        self.history.assert_one_order();
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts etcd: .ci/run etcd"]
async fn what_a_killed_etcd_has_answered_is_there_when_it_is_back() -> rakt::Result {
    let mut servers = Servers::start(1);
    let working = Working::start(&servers, LIMIT);
    for _ in 0..4 {
        working.go_on(60).await;
        servers.kill(0);
        servers.run(0);
    }
    working.go_on(30).await;
    working.end(servers.register()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts etcd: .ci/run etcd"]
async fn a_frozen_etcd_is_waited_for_no_longer_than_the_limit() -> rakt::Result {
    let servers = Servers::start(1);
    let limit = 500 * MS;
    let (register, other) = (servers.register().timeout(limit), servers.register().timeout(limit));
    let mut newest = register.swap(NOTHING, "before".into()).await?;
    within(other.changed(NOTHING)).await;
    let working = Working::start(&servers, limit);
    working.go_on(20).await;
    for _ in 0..2 {
        servers.freeze(0);
        let frozen = tokio::time::Instant::now();
        // The signal takes effect a moment later.
        let no_answer = async {
            loop {
                if let Err(error) = register.read().await {
                    return error;
                }
            }
        };
        let error = within(no_answer).await;
        assert!(matches!(cause(&error), EtcdError::Late { .. }), "{error:?}");
        register.confirm(newest).await.expect_err("it does not move");
        let error = unknown(register.swap(newest, "frozen".into()).await);
        assert!(matches!(error, EtcdError::Late { .. }), "{error:?}");
        tokio::time::sleep_until(frozen + Duration::from_secs(3)).await;
        servers.thaw(0);
        working.go_on(20).await;
        newest = within(read(&register)).await;
        // The watch is back as well.
        within(other.changed(newest)).await;
    }
    working.end(servers.register()).await
}

/// As soon as it can be read.
async fn read(register: &Etcd) -> Version {
    loop {
        if let Ok((version, _)) = register.read().await {
            return version;
        }
        sleep(20 * MS).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts etcd: .ci/run etcd"]
async fn one_of_three_may_be_lost_and_two_may_not() -> rakt::Result {
    let mut servers = Servers::start(3);
    let working = Working::start(&servers, Duration::from_secs(3));
    for _ in 0..2 {
        working.go_on(30).await;
        let leader = servers.leader();
        servers.kill(leader);
        // The others choose another one, and the nodes find it.
        working.go_on(30).await;
        servers.run(leader);
    }
    // One that is frozen thinks that it leads when it moves again, and must not say what was there before.
    for _ in 0..2 {
        let leader = servers.leader();
        servers.freeze(leader);
        working.go_on(30).await;
        servers.thaw(leader);
        working.go_on(30).await;
    }
    // Without a majority nothing is answered, from memory neither.
    working.go_on(10).await;
    servers.kill(0);
    servers.kill(1);
    let alone = Etcd::at([&servers.endpoints()[2]]).timeout(500 * MS);
    let no_answer = async {
        while alone.read().await.is_ok() {
            sleep(20 * MS).await;
        }
    };
    within(no_answer).await;
    unknown(alone.swap(NOTHING, "alone".into()).await);
    servers.run(0);
    working.go_on(30).await;
    servers.run(1);
    working.end(servers.register()).await
}
