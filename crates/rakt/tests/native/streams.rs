//! Replies as streams, from an actor of the process and from one of another node.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures_core::Stream;
use rakt::error::{Bound, Chain};
use rakt::prelude::*;
use rakt::stream::{Items, Streamed};
use rakt::{Dialect, RestartReason};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::cable::Cable;
use crate::memory::Memory;
use crate::nodes::{config, node_with, open, remote};
use crate::support::within;

const HOUR: Duration = Duration::from_secs(3600);

#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.streams.Row")]
struct Row {
    #[prost(uint64, tag = "1")]
    n: u64,
    #[prost(bytes = "vec", tag = "2")]
    bytes: Vec<u8>,
}

/// How the rows end, once as many as that have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
enum End {
    Ends = 0,
    Fails = 1,
    Panics = 2,
    Waits = 3,
}

#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.streams.Query", reply = Streamed<Row>)]
struct Query {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(uint64, tag = "2")]
    len: u64,
    #[prost(enumeration = "End", tag = "3")]
    end: i32,
}

fn query(count: u64, end: End) -> Query {
    Query { count, len: 0, end: end as i32 }
}

struct Table {
    taken: Arc<AtomicUsize>,
    dropped: mpsc::UnboundedSender<()>,
}

impl Actor for Table {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Query>();
    }

    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        // A fault of a stream is none of the actor's.
        assert!(!matches!(ctx.restart_reason(), Some(RestartReason::Failed(_))), "it has failed");
        Ok(())
    }
}

impl Handler<Query> for Table {
    async fn handle(&mut self, query: Query, ctx: &mut Context<Self>) -> Result<Streamed<Row>> {
        let rows =
            Rows { next: 0, taken: self.taken.clone(), dropped: self.dropped.clone(), query };
        ctx.reply_try_stream(rows).await
    }
}

struct Rows {
    next: u64,
    query: Query,
    taken: Arc<AtomicUsize>,
    dropped: mpsc::UnboundedSender<()>,
}

impl Drop for Rows {
    fn drop(&mut self) {
        let _ = self.dropped.send(());
    }
}

impl Stream for Rows {
    type Item = Result<Row, std::fmt::Error>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        if self.next == self.query.count {
            return match self.query.end() {
                End::Ends => Poll::Ready(None),
                End::Fails => Poll::Ready(Some(Err(std::fmt::Error))),
                End::Panics => panic!("in the rows"),
                End::Waits => Poll::Pending,
            };
        }
        let row = Row { n: self.next, bytes: vec![7; self.query.len as usize] };
        self.next += 1;
        self.taken.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(row)))
    }
}

/// A table, and a reference to it from the same node or from another.
struct Setup {
    here: ActorSystem,
    there: ActorSystem,
    cable: Cable,
    table: ActorRef<Table>,
    taken: Arc<AtomicUsize>,
    dropped: mpsc::UnboundedReceiver<()>,
}

impl Setup {
    async fn new(is_remote: bool) -> Self {
        let memory = Memory::default();
        let cable = Cable::over(&memory);
        let there = node_with("there", open().transport(memory.clone())).await;
        let here = node_with("here", config().transport(cable.clone())).await;
        let (dropped, told) = mpsc::unbounded_channel();
        let taken = Arc::<AtomicUsize>::default();
        let counted = taken.clone();
        let factory = move || Table { taken: counted.clone(), dropped: dropped.clone() };
        let local = there.spawn("table", factory).await.expect("it starts");
        let table = if is_remote { remote(&here, &there, "table").await } else { local };
        Self { here, there, cable, table, taken, dropped: told }
    }

    /// The stream is dropped, and its source with it; nothing is lost by that.
    async fn is_over(&mut self) {
        within(self.dropped.recv()).await.expect("it is dropped");
        within(async {
            while self.there.actor_count() > 1 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        assert_eq!((self.here.dead_letter_count(), self.there.dead_letter_count()), (0, 0));
    }
}

/// All items up to the end or the error.
async fn all(mut items: Items<Row>) -> (Vec<u64>, Option<AskError<()>>) {
    let mut got = Vec::new();
    loop {
        match within(items.next()).await {
            Some(Ok(row)) => got.push(row.n),
            end => {
                assert!(within(items.next()).await.is_none(), "it goes on after its end");
                return (got, end.and_then(Result::err));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn all_items_come_in_order() {
    for is_remote in [false, true] {
        let mut setup = Setup::new(is_remote).await;
        for count in [0, 1, 255, 256, 257, 1000] {
            let (got, error) = all(setup.table.ask_stream(query(count, End::Ends))).await;
            assert!(error.is_none(), "{error:?}");
            assert_eq!(got, (0..count).collect::<Vec<_>>());
            setup.is_over().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn items_may_be_larger_than_a_batch() {
    let mut setup = Setup::new(true).await;
    let large = Query { len: 300_000, ..query(5, End::Ends) };
    let (got, error) = all(setup.table.ask_stream(large)).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(got, [0, 1, 2, 3, 4]);
    setup.is_over().await;
}

/// What a consumer does not take stays in the stream: two batches at most are on their way.
#[tokio::test(start_paused = true)]
async fn a_slow_consumer_holds_its_source_back() -> Result {
    for (is_remote, len, most) in [(false, 0, 2 * 256), (true, 0, 2 * 256), (true, 8192, 2 * 9)] {
        let setup = Setup::new(is_remote).await;
        let endless = Query { len, ..query(u64::MAX, End::Ends) };
        let mut rows = setup.table.ask_stream(endless);
        assert_eq!(within(rows.next()).await.ok_or("there is one")??.n, 0);
        tokio::time::sleep(HOUR).await;
        let taken = setup.taken.load(Ordering::Relaxed);
        assert!(taken <= most, "{taken} of {most}");
        for n in 1..2000 {
            assert_eq!(within(rows.next()).await.ok_or("there is one")??.n, n);
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn dropping_the_items_ends_the_source() -> Result {
    for is_remote in [false, true] {
        let mut setup = Setup::new(is_remote).await;
        // While it waits for an item, while a batch is ready, and before anything has come.
        let mut rows = setup.table.ask_stream(query(1, End::Waits));
        within(rows.next()).await.ok_or("there is one")??;
        tokio::time::timeout(HOUR, rows.next()).await.expect_err("there is no more");
        drop(rows);
        setup.is_over().await;
        let mut rows = setup.table.ask_stream(query(u64::MAX, End::Ends));
        within(rows.next()).await.ok_or("there is one")??;
        tokio::time::sleep(HOUR).await;
        drop(rows);
        setup.is_over().await;
        drop(setup.table.ask_stream(query(1, End::Ends)));
        assert_eq!(setup.there.actor_count(), 1, "nothing was asked");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_deadline_is_that_of_the_whole_stream() -> Result {
    for is_remote in [false, true] {
        let mut setup = Setup::new(is_remote).await;
        let began = Instant::now();
        let limit = Duration::from_secs(30);
        let mut rows = setup.table.ask_stream(query(1, End::Waits)).timeout(limit);
        within(rows.next()).await.ok_or("there is one")??;
        let late = tokio::time::timeout(HOUR, rows.next()).await?.ok_or("it is late")?;
        let error = late.expect_err("it is late");
        assert!(matches!(error, AskError::Timeout { .. }), "{error}");
        assert_eq!(began.elapsed().as_secs(), 30);
        assert!(within(rows.next()).await.is_none());
        setup.is_over().await;
        // A source whose consumer does not look ends by itself.
        let mut rows = setup.table.ask_stream(query(u64::MAX, End::Ends)).timeout(limit);
        within(rows.next()).await.ok_or("there is one")??;
        tokio::time::sleep(2 * limit).await;
        setup.is_over().await;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_stream_comes_after_its_items() {
    let fails = [(End::Fails, "an error occurred"), (End::Panics, "panicked: in the rows")];
    for is_remote in [false, true] {
        for (end, text) in fails {
            for count in [0, 3, 256] {
                let mut setup = Setup::new(is_remote).await;
                let (got, error) = all(setup.table.ask_stream(query(count, end))).await;
                assert_eq!(got.len() as u64, count);
                let error = error.expect("it fails");
                assert!(matches!(error.refusal(), Some(Refusal::HandlerFailed { .. })), "{error}");
                assert!(Chain(&error).to_string().contains(text), "{}", Chain(&error));
                setup.is_over().await;
                let (got, _) = all(setup.table.ask_stream(query(2, End::Ends))).await;
                assert_eq!(got.len(), 2, "the actor is well");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_stops_cuts_its_streams_short() -> Result {
    for is_remote in [false, true] {
        let mut setup = Setup::new(is_remote).await;
        let mut rows = setup.table.ask_stream(query(1, End::Waits));
        within(rows.next()).await.ok_or("there is one")??;
        tokio::time::timeout(HOUR, rows.next()).await.expect_err("there is no more");
        let began = Instant::now();
        within(setup.table.stop()).await?;
        assert!(began.elapsed() < Duration::from_secs(1), "it waits for its stream");
        let error = within(rows.next()).await.ok_or("it is cut short")?.expect_err("no item");
        assert!(error.refusal().is_some(), "{error}");
        within(setup.dropped.recv()).await.ok_or("it is dropped")?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_ends_both_sides() -> Result {
    let mut setup = Setup::new(true).await;
    let mut rows = setup.table.ask_stream(query(1, End::Waits));
    within(rows.next()).await.ok_or("there is one")??;
    tokio::time::timeout(HOUR, rows.next()).await.expect_err("there is no more");
    setup.cable.cut();
    let error = within(rows.next()).await.ok_or("it is cut short")?.expect_err("no item");
    assert!(matches!(error, AskError::ConnectionLost { .. }), "{error}");
    setup.is_over().await;
    Ok(())
}

/// An answer whose items nobody takes, since it was lost or the asker wants the reply alone.
#[tokio::test(start_paused = true)]
async fn a_source_that_nobody_comes_for_ends() -> Result {
    let mut setup = Setup::new(true).await;
    let began = Instant::now();
    let reply = within(setup.table.ask(query(1, End::Waits))).await?;
    assert!(format!("{reply:?}").contains("table/rakt.anonymous."), "{reply:?}");
    tokio::time::timeout(HOUR, setup.dropped.recv()).await?.ok_or("it is dropped")?;
    assert_eq!(began.elapsed().as_secs(), 30);
    Ok(())
}

/// The streams of one actor are bounded, so that askers who take nothing do not fill the node; what has ended makes room.
#[tokio::test(start_paused = true)]
async fn an_actor_has_so_many_streams_at_a_time() -> Result {
    let setup = Setup::new(false).await;
    let ask = || within(setup.table.ask(query(1, End::Waits)));
    for _ in 0..Context::<Table>::STREAM_CAPACITY {
        ask().await?;
    }
    let error = ask().await.expect_err("there are too many");
    let limit = Context::<Table>::STREAM_CAPACITY as u64;
    let bound = Bound::Tasks;
    assert_eq!(error.refusal(), Some(&Refusal::ResourceExhausted { bound, limit }));
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(setup.there.actor_count(), 1, "nobody came for them");
    ask().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_go_node_is_refused_by_name() -> Result {
    let setup = Setup::new(true).await;
    let address = setup.table.address().with_dialect(Dialect::GoAkt);
    let mut rows = setup.here.actor(&address).ask_stream(query(1, End::Ends));
    let error = within(rows.next()).await.ok_or("it is refused")?.expect_err("no item");
    assert!(error.is_safe_to_retry() && !error.is_worth_retrying(), "{error}");
    let text = Chain(&error).to_string();
    assert!(text.contains("a Go node has no streams of replies"), "{text}");
    Ok(())
}
