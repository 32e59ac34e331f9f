//! How connections share what a node has for its peers.

use std::sync::Arc;

use bytes::Bytes;
use rakt_wire::native::{
    Alias, Budget, Event, Hello, Inbound, Limits, Payload, Role, Session, Side, Sink,
    UNCOUNTED_REPLIES,
};
use rakt_wire::{Code, Compression};

use super::accepted::Accepted;
use super::conn::{Conn, Half};
use super::dialed::{Dialed, NotTaken};
use crate::error::Refusal;
use crate::mailbox::reply::ReplyTo;
use crate::remote::account::Account;
use crate::remote::budget::Part;
use crate::remote::resources::Resources;
use crate::remote::resources::tests::resources;

const MIB: usize = 1024 * 1024;

/// What a handshake with a peer comes to.
pub(crate) fn session(limits: Limits) -> Session {
    let peer = Hello::new("peer", [1; 16]);
    let compression = Compression::None;
    Session { version: 1, limits, compression, features: Vec::new(), peer }
}

/// An open connection that a peer dialed, and that nobody drives.
pub(crate) fn accepted(resources: &Arc<Resources>) -> Arc<Conn<Accepted>> {
    accepted_from(resources, crate::Peer::unproven("peer:1"))
}

/// The same, of this peer.
pub(crate) fn accepted_from(resources: &Arc<Resources>, who: crate::Peer) -> Arc<Conn<Accepted>> {
    let session = session(Limits::default());
    let account = Account::new(resources.clone());
    let half = Accepted::new(&session, account.clone());
    Conn::new(account, half, &session, who)
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

    fn admit_head(&mut self, _: usize) -> Result<(), u64> {
        Ok(())
    }

    fn release_head(&mut self, _: usize) {}
}

/// How the peer hears that requests have ended.
pub(crate) fn answers(conn: &Conn<Accepted>) -> Vec<Answer> {
    let (mut bytes, mut answers) = (Vec::new(), Answers::default());
    conn.lock().poll_transmit(&mut bytes);
    let taken = Inbound::new(Role::Dialer, conn.limits).handle_bytes(&bytes, &mut answers);
    assert_eq!(taken, Ok(bytes.len()));
    answers.0
}

/// The peer does not take replies of about so many bytes, or of as many as there is room for.
fn leave(conn: &Conn<Accepted>, bytes: usize) {
    let piece = Bytes::from(vec![0; bytes.min(16 * MIB)]);
    let mut left = bytes;
    while left > 0 {
        let bytes = piece.slice(..left.min(piece.len()));
        left -= bytes.len();
        drop(reply(conn, bytes));
    }
}

fn reply(conn: &Conn<Accepted>, bytes: Bytes) -> Result<(), rakt_wire::native::ReplyError> {
    conn.with(|session| session.reply(1, Payload::Ready { bytes, raw_len: None }))
}

fn is_backed_up(conn: &Conn<Accepted>) -> bool {
    conn.lock().half.is_backed_up()
}

#[tokio::test]
async fn replies_that_peers_do_not_take_share_one_limit() {
    let resources = resources();
    let part = resources.budget.limit(Part::Replies) as usize / 8;
    let conns: Vec<_> = (0..8).map(|_| accepted(&resources)).collect();
    let replied: Vec<_> = conns
        .iter()
        .map(|conn| {
            // A little less than what one may leave, for the heads of the replies.
            leave(conn, part - 1024);
            reply(conn, Bytes::new()).is_ok()
        })
        .collect();
    // The eighth would leave nothing for others.
    assert_eq!(replied, [true, true, true, true, true, true, true, false]);
    conns[0].close("it is over");
    assert_eq!(reply(&conns[7], Bytes::new()), Ok(()));
}

#[tokio::test]
async fn the_names_that_peers_define_share_one_limit() {
    let resources = resources();
    let conns: Vec<_> = (0..16).map(|_| accepted(&resources)).collect();
    let tenth = resources.budget.limit(Part::Names) / 10;
    let charged = conns.iter().filter(|conn| conn.account.charge(Part::Names, tenth)).count();
    assert_eq!(charged, 9, "what would be left is less than half of a tenth");
    conns.iter().for_each(|conn| conn.account.release_all(Part::Names));
    assert!(conns[0].account.charge(Part::Names, tenth));
}

#[tokio::test]
async fn refusals_that_a_peer_does_not_take_count_as_replies_do() {
    let resources = resources();
    let conn = accepted(&resources);
    let detail = "n".repeat(1000);
    for corr in 0..1000 {
        conn.refuse(corr, &Refusal::NotAccepted { message: detail.clone() });
    }
    assert!(
        resources.budget.used(Part::Replies) > 900_000,
        "{}",
        resources.budget.used(Part::Replies)
    );
    for type_id in 0..1000 {
        let from = Alias { id: 1, epoch: 0 };
        conn.nack(from, None, type_id, &Refusal::NotAccepted { message: detail.clone() });
    }
    assert!(
        resources.budget.used(Part::Replies) > 1_900_000,
        "{}",
        resources.budget.used(Part::Replies)
    );
    conn.close("it is over");
    assert_eq!(resources.budget.used(Part::Replies), 0);
}

#[tokio::test]
async fn without_room_in_the_node_who_takes_nothing_is_not_read_from_and_hears_no_details() {
    let resources = resources();
    let budget = &resources.budget;
    let others = budget.crowd(Part::Replies, 1);
    let conn = accepted(&resources);
    leave(&conn, UNCOUNTED_REPLIES - 100);
    assert!(!is_backed_up(&conn), "it takes what there is");
    leave(&conn, 101);
    assert!(is_backed_up(&conn));
    let buffered = || conn.lock().half.session().writer().buffered();
    let before = buffered();
    conn.refuse(1, &Refusal::NotAccepted { message: "n".repeat(1000) });
    assert!(buffered() - before < 32);
    budget.disperse(&others);
    assert!(!is_backed_up(&conn), "there is room again");
}

#[tokio::test]
async fn who_does_not_want_to_wait_hears_which_bound_is_reached() {
    let resources = resources();
    let session = session(Limits { max_in_flight: 2, ..Limits::default() });
    let conn = Conn::new(
        Account::new(resources),
        Dialed::new(&session),
        &session,
        crate::Peer::unproven("peer:1"),
    );
    let ping =
        || conn.request(&rakt_wire::Operation::Ping, std::time::Duration::from_secs(1), None);
    let Ok(first) = ping() else { panic!("none is in flight") };
    let Ok(_second) = ping() else { panic!("one is in flight") };
    match ping() {
        Err(NotTaken::Refused(Refusal::ResourceExhausted { bound, limit: 2 })) => {
            assert_eq!(bound.to_string(), "requests in flight");
        }
        _ => panic!("two are in flight"),
    }
    drop(first);
    conn.lock().poll_transmit(&mut Vec::new());
    assert!(ping().is_ok(), "the cancellation has left");
}

#[cfg(feature = "_tls")]
#[tokio::test]
async fn a_connection_that_is_to_retire_stays_so_until_another_has_its_place() {
    use crate::remote::tls::Guarded;
    let session = session(Limits::default());
    let account = Account::new(resources());
    let conn = Conn::new(account, Dialed::new(&session), &session, crate::Peer::unproven("peer:1"));
    let told = Arc::<crate::sync::Mutex<Vec<String>>>::default();
    let heard = told.clone();
    conn.see_to_successor();
    conn.on_retire(move |why| heard.lock().push(why.to_owned()));
    conn.see_to_successor();
    assert!(told.lock().is_empty(), "it is good");
    Guarded::retire(&*conn, "it ends soon");
    // It has come into its place after that.
    conn.see_to_successor();
    assert_eq!(*told.lock(), ["it ends soon", "it ends soon"]);
}
