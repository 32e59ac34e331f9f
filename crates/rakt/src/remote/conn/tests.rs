//! The bounds of a connection that no peer reaches in a test's time.

use bytes::Bytes;
use rakt_wire::native::{Budget, Event, Head, Hello, Inbound, MessageKind, Payload, Sink};
use rakt_wire::{Code, Operation, Wish};

use super::asking::KNOWN_SENDERS;
use super::*;
use crate::actor::Actor;
use crate::mailbox::arrivals::ReplyTo;
use crate::remote::resources::Resources;
use crate::remote::resources::tests::resources;
use crate::system::ActorSystem;

const MIB: usize = 1024 * 1024;

struct Nobody;
impl Actor for Nobody {}

/// An open connection that nobody drives.
pub(crate) fn conn(resources: &Arc<Resources>, role: Role) -> Arc<Conn> {
    conn_with(resources, role, Limits::default())
}

fn conn_with(resources: &Arc<Resources>, role: Role, limits: Limits) -> Arc<Conn> {
    let peer = Hello::new("peer", [1; 16]);
    let compression = Compression::None;
    let session = Session { version: 1, limits, compression, features: Vec::new(), peer };
    Conn::new(resources.clone(), role, &session, "peer:1")
}

/// Notes which requests were answered, and what was exhausted where that is why they failed.
#[derive(Default)]
struct Answers(Vec<Answer>);

pub(crate) type Answer = (u64, Option<(String, u64)>);

impl Sink for Answers {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Reply { corr, .. } | Event::Response { corr, .. } => self.0.push((corr, None)),
            Event::Fail { corr, failure } => {
                assert_eq!(failure.code, Code::ResourceExhausted);
                self.0.push((corr, Some((failure.detail, failure.limit))));
            }
            other => panic!("{other:?}"),
        }
    }
}

impl Budget for Answers {
    fn admit(&mut self, _: usize) -> bool {
        true
    }

    fn release(&mut self, _: usize) {}
}

/// How the peer hears that requests have ended.
pub(crate) fn answers(conn: &Conn) -> Vec<Answer> {
    let (mut bytes, mut answers) = (Vec::new(), Answers::default());
    while conn.lock().out.poll_transmit(&mut bytes) {}
    let taken = Inbound::new(Role::Dialer, conn.limits).handle_bytes(&bytes, &mut answers);
    assert_eq!(taken, Ok(bytes.len()));
    answers.0
}

/// The peer has left so many bytes that are being written.
fn leave(conn: &Conn, bytes: usize) {
    conn.lock().writing = bytes;
}

#[tokio::test]
async fn replies_that_a_peer_does_not_take_are_bounded() {
    let resources = resources();
    let conn = conn(&resources, Role::Acceptor);
    leave(&conn, MAX_BUFFERED_REPLIES);
    conn.reply(1, None, &[].as_slice());
    assert_eq!(answers(&conn), [(1, None)]);
    leave(&conn, MAX_BUFFERED_REPLIES + 1);
    conn.reply(2, None, &[].as_slice());
    conn.respond(3, Ok(rakt_wire::Outcome::Done));
    let full = Some(("buffered replies (bytes)".to_owned(), 128 * MIB as u64));
    assert_eq!(answers(&conn), [(2, full.clone()), (3, full)]);
}

#[tokio::test]
async fn replies_that_peers_do_not_take_share_a_gibibyte() {
    let resources = resources();
    let conns: Vec<_> = (0..8).map(|_| conn(&resources, Role::Acceptor)).collect();
    let replied: Vec<_> = conns
        .iter()
        .map(|conn| {
            leave(conn, MAX_BUFFERED_REPLIES);
            conn.reply(1, None, &[].as_slice());
            answers(conn)[0].1.is_none()
        })
        .collect();
    // The eighth would leave nothing for others.
    assert_eq!(replied, [true, true, true, true, true, true, true, false]);
    conns[0].close("it is over");
    conns[7].reply(2, None, &[].as_slice());
    assert_eq!(answers(&conns[7]), [(2, None)]);
}

#[tokio::test]
async fn the_names_that_peers_define_share_a_gibibyte() {
    let resources = resources();
    let conns: Vec<_> = (0..16).map(|_| conn(&resources, Role::Acceptor)).collect();
    let charged = conns.iter().filter(|conn| conn.charge_names(100 * MIB as u64)).count();
    assert_eq!(charged, 9, "nine hundred MiB, and what is left is less than a part");
    conns.iter().for_each(|conn| conn.release_names());
    assert!(conns[0].charge_names(100 * MIB as u64));
}

#[tokio::test]
async fn an_acceptor_stops_reading_while_much_is_not_taken_and_a_dialer_never() {
    let resources = resources();
    for (role, bytes, is_backed_up) in [
        (Role::Acceptor, LARGE_HIGH_WATER, false),
        (Role::Acceptor, LARGE_HIGH_WATER + 1, true),
        (Role::Dialer, LARGE_HIGH_WATER + 1, false),
    ] {
        let conn = conn(&resources, role);
        leave(&conn, bytes);
        assert_eq!(conn.is_backed_up(&mut conn.lock()), is_backed_up, "{role:?} {bytes}");
    }
}

#[tokio::test]
async fn refusals_that_a_peer_does_not_take_count_as_replies_do() {
    let resources = resources();
    let conn = conn(&resources, Role::Acceptor);
    let detail = "n".repeat(1000);
    for corr in 0..1000 {
        conn.refuse(corr, &Refusal::NotAccepted { message: detail.clone() });
    }
    assert!(resources.budgets.replies.used() > 900_000, "{}", resources.budgets.replies.used());
    for type_id in 0..1000 {
        let from = Alias { id: 1, epoch: 0 };
        conn.nack(from, None, type_id, &Refusal::NotAccepted { message: detail.clone() });
    }
    assert!(resources.budgets.replies.used() > 1_900_000, "{}", resources.budgets.replies.used());
    conn.close("it is over");
    assert_eq!(resources.budgets.replies.used(), 0);
}

#[tokio::test]
async fn without_room_in_the_node_who_takes_nothing_is_not_read_from_and_hears_no_details() {
    let resources = resources();
    let greedy: Vec<_> = (0..16).map(|_| conn(&resources, Role::Acceptor)).collect();
    for conn in &greedy {
        leave(conn, MAX_BUFFERED_REPLIES);
        conn.is_backed_up(&mut conn.lock());
    }
    let conn = conn(&resources, Role::Acceptor);
    leave(&conn, UNCOUNTED_REPLIES);
    assert!(!conn.is_backed_up(&mut conn.lock()), "it takes what there is");
    leave(&conn, UNCOUNTED_REPLIES + 1);
    assert!(conn.is_backed_up(&mut conn.lock()));
    let before = conn.lock().out.buffered();
    conn.refuse(1, &Refusal::NotAccepted { message: "n".repeat(1000) });
    assert!(conn.lock().out.buffered() - before < 32);
    drop(greedy.iter().map(|conn| conn.close("it is over")).collect::<Vec<_>>());
    assert!(!conn.is_backed_up(&mut conn.lock()), "there is room again");
}

#[tokio::test]
async fn senders_wait_while_much_is_not_written() {
    let conn = conn(&resources(), Role::Dialer);
    let mut shared = conn.lock();
    let mut send = |path: &str, bytes: &Bytes| {
        let receiver = shared.out.receiver(path, None);
        let type_id = shared.out.message_type("t").id;
        let payload = || Payload::Ready { bytes: bytes.clone(), raw_len: None };
        let need = shared.need(receiver, Wish::Tell, &payload(), &conn.limits);
        if need.is_none() {
            let receiver = receiver.id;
            let head = Head { receiver, sender: None, type_id, remaining: None, metadata: None };
            shared.out.message(MessageKind::Tell, &head, payload()).expect("it fits");
        }
        need
    };
    let large = Bytes::from(vec![0; 16 * MIB]);
    for path in ["a", "b", "c", "d"] {
        assert!(send(path, &large).is_none(), "64 MiB of large messages");
    }
    assert!(send("e", &large) == Some(Need::Room));
    // They hold up no small ones.
    let (small, mut sent) = (Bytes::from(vec![0; 8 * 1024]), 0);
    let need = loop {
        match send("small", &small) {
            None => sent += small.len(),
            Some(need) => break need,
        }
    };
    assert!(need == Need::Room);
    assert!((HIGH_WATER - 2 * small.len()..=HIGH_WATER).contains(&sent), "{sent}");
}

#[tokio::test]
async fn no_more_requests_are_in_flight_than_agreed() {
    let conn =
        conn_with(&resources(), Role::Dialer, Limits { max_in_flight: 2, ..Limits::default() });
    let ping = || conn.request(&Operation::Ping, std::time::Duration::from_secs(1), None);
    let need = |wish| {
        let mut shared = conn.lock();
        let receiver = shared.out.receiver("a", None);
        shared.need(receiver, wish, &Payload::Encode(&[].as_slice()), &conn.limits)
    };
    let Ok(first) = ping() else { panic!("none is in flight") };
    assert!(need(Wish::Ask).is_none());
    let Ok(_second) = ping() else { panic!("one is in flight") };
    match ping() {
        Err(NotTaken::Refused(Refusal::ResourceExhausted { bound, limit: 2 })) => {
            assert_eq!(bound, "requests in flight");
        }
        _ => panic!("two are in flight"),
    }
    assert!(need(Wish::Ask) == Some(Need::InFlight) && need(Wish::Confirm) == Some(Need::InFlight));
    assert!(need(Wish::Tell).is_none(), "nobody waits for an answer to a tell");
    drop(first);
    assert!(need(Wish::Ask).is_none());
}

#[tokio::test]
async fn the_oldest_of_too_many_cancelled_requests_is_forgotten() {
    let conn = conn(&resources(), Role::Acceptor);
    let most = 65_536;
    (0..most).for_each(|corr| conn.handle_cancel(corr));
    assert!(conn.is_cancelled(0));
    conn.handle_cancel(most);
    assert!(!conn.is_cancelled(0) && conn.is_cancelled(1) && conn.is_cancelled(most));
    let shared = conn.lock();
    assert_eq!((shared.cancelled.len(), shared.cancelled_order.len()), (65_536, 65_536));
}

#[tokio::test]
async fn no_more_senders_are_known_by_actor_than_by_address() {
    let system = ActorSystem::builder("tests").start().await.expect("it starts");
    let actor = system.spawn("sender", || Nobody).await.expect("it starts").untyped();
    let conn = conn(&resources(), Role::Dialer);
    let mut shared = conn.lock();
    let gone = WireAlias { id: 0, epoch: 0 };
    shared.known_senders.extend((1 << 60..).take(KNOWN_SENDERS - 1).map(|uid| (uid, gone)));
    let alias = shared.define_sender(&actor);
    assert_eq!(shared.known_senders.len(), KNOWN_SENDERS);
    shared.known_senders.clear();
    shared.known_senders.extend((1 << 60..).take(KNOWN_SENDERS).map(|uid| (uid, gone)));
    assert_eq!(shared.define_sender(&actor), alias, "it is known by its address");
    assert_eq!(shared.known_senders.len(), 1);
}
