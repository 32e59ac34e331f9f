//! Who writes what is asked.

use std::sync::Arc;
use std::task::{Poll, Waker};

use bytes::BytesMut;
use rakt_wire::native::{Limits, Outgoing};
use rakt_wire::{Terminated, Wish};
use tokio::io::{AsyncRead, AsyncReadExt, DuplexStream, ReadBuf};

use super::conn::Conn;
use super::dialed::{Dialed, Sent, ToWake};
use super::driver::drive;
use super::replies::{Owner, RepliesReader};
use super::tests::session;
use crate::answer::RemoteAnswer;
use crate::remote::account::Account;
use crate::remote::resources::tests::resources;

struct Nobody;

impl Owner for Nobody {
    fn has_shut_down(&self, _: &Conn<Dialed>) {}
    fn terminated(&self, _: u64, _: Terminated) {}
    fn lost(self: Arc<Self>, _: &Arc<Conn<Dialed>>) {}
    fn needs(&self, _: &Conn<Dialed>) -> bool {
        true
    }
}

/// A connection that is driven, with nothing to write, and its other end, which has room for so many bytes.
async fn dialed(room: usize) -> (Arc<Conn<Dialed>>, DuplexStream) {
    let session = session(Limits::default());
    let half = Dialed::new(&session);
    let who = crate::Peer::unproven("peer:1");
    let conn = Conn::new(Account::new(resources()), half, &session, who);
    let (here, there) = tokio::io::duplex(room);
    let reader = RepliesReader::new(conn.clone(), Arc::new(Nobody), &session);
    tokio::spawn(drive(conn.clone(), Box::new(here), reader, BytesMut::new()));
    tokio::task::yield_now().await;
    (conn, there)
}

const LEN: usize = 100;

/// Asks with [`LEN`] bytes, and sees to it that they are written.
fn ask(conn: &Arc<Conn<Dialed>>, is_alone: bool) -> RemoteAnswer {
    let message = Outgoing {
        wish: Wish::Ask,
        path: "a",
        uid: None,
        known: None,
        type_name: "tests.Ask",
        sender: None,
        remaining: None,
        metadata: None,
    };
    let (payload, waker) = ([7; LEN].as_slice(), Some(Waker::noop()));
    let sent = conn.poll_send(&message, (&payload, is_alone), &mut Default::default(), waker);
    let Poll::Ready(Ok(Sent { answer: Some(answer), driver, .. })) = sent else {
        panic!("there is room")
    };
    match driver {
        ToWake::Asker => answer.write_now(),
        driver => driver.wake(),
    }
    answer
}

/// How many bytes have arrived, without a turn for anybody.
fn arrived(there: &mut DuplexStream) -> usize {
    let mut bytes = [0; 1024];
    let mut buf = ReadBuf::new(&mut bytes);
    let mut cx = std::task::Context::from_waker(Waker::noop());
    let _ = std::pin::Pin::new(there).poll_read(&mut cx, &mut buf);
    buf.filled().len()
}

#[tokio::test]
async fn who_asks_alone_writes_that_and_wakes_nobody() {
    let (conn, mut there) = dialed(1024).await;
    let _answer = ask(&conn, true);
    assert!(!conn.lock().is_woken());
    assert!(arrived(&mut there) > LEN);
}

#[tokio::test]
async fn what_is_asked_beside_other_things_is_written_together() {
    let (conn, mut there) = dialed(1024).await;
    // One of several that the same task waits for.
    let _first = ask(&conn, false);
    // It is not the only one under way.
    let _second = ask(&conn, true);
    assert_eq!(arrived(&mut there), 0);
    assert!(conn.lock().is_woken());
    // The driver lets others go first, once.
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    assert!(arrived(&mut there) > 2 * LEN);
}

#[tokio::test]
async fn what_the_stream_does_not_take_the_driver_goes_on_with() {
    let (conn, mut there) = dialed(LEN / 2).await;
    let _answer = ask(&conn, true);
    assert!(conn.lock().is_woken());
    let mut bytes = [0; LEN + LEN / 2];
    let mut len = 0;
    while bytes[..len].iter().filter(|byte| **byte == 7).count() < LEN {
        len += there.read(&mut bytes[len..]).await.expect("it is open");
    }
}

#[tokio::test]
async fn a_write_that_fails_ends_the_connection() {
    let (conn, there) = dialed(1024).await;
    // Only who writes or reads sees that: the driver has not been told yet.
    drop(there);
    let _answer = ask(&conn, true);
    conn.gone.opened().await;
    assert!(conn.closed().is_some());
}
