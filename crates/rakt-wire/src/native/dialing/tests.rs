//! What the dialing side does with what is sent and with what comes back, without another side.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::compress::Compression;
use crate::native::error::LinkError;
use crate::native::event::Budget;
use crate::native::frame::{FrameKind, put_nonce};
use crate::native::hello::Hello;
use crate::native::outbound::put_reason;

const MIB: usize = 1024 * 1024;

fn session(limits: Limits) -> Session {
    let (peer, compression) = (Hello::new("peer", [1; 16]), Compression::None);
    Session { version: 1, limits, compression, features: Vec::new(), peer }
}

fn dialing(limits: Limits) -> Dialing<()> {
    Dialing::new(&session(limits))
}

/// Sends, or says what has to be waited for.
fn send(dialing: &mut Dialing<()>, wish: Wish, path: &str, bytes: &Bytes) -> Option<Need> {
    let message = Outgoing {
        wish,
        path,
        uid: None,
        known: None,
        type_name: "t",
        sender: None,
        remaining: None,
        metadata: None,
    };
    let payload = Payload::Ready { bytes: bytes.clone(), raw_len: None };
    match dialing.send(&message, payload, || ()) {
        Ok(_) => None,
        Err(NotSent::Wait(need, _)) => Some(need),
        Err(other) => panic!("{other:?}"),
    }
}

fn ping(dialing: &mut Dialing<()>) -> Result<u64, Need> {
    match dialing.request(&Operation::Ping, Duration::from_secs(1), None, || ()) {
        Ok(corr) => Ok(corr),
        Err(NotSent::Wait(need, _)) => Err(need),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn senders_wait_while_much_is_not_written() {
    let mut dialing = dialing(Limits::default());
    let large = Bytes::from(vec![0; 16 * MIB]);
    for path in ["a", "b", "c", "d"] {
        assert_eq!(send(&mut dialing, Wish::Tell, path, &large), None, "64 MiB of large ones");
    }
    assert_eq!(send(&mut dialing, Wish::Tell, "e", &large), Some(Need::Room));
    // They hold up no small ones.
    let (small, mut sent) = (Bytes::from(vec![0; 8 * 1024]), 0);
    let need = loop {
        match send(&mut dialing, Wish::Tell, "small", &small) {
            None => sent += small.len(),
            Some(need) => break need,
        }
    };
    assert_eq!(need, Need::Room);
    assert!((HIGH_WATER - 2 * small.len()..=HIGH_WATER).contains(&sent), "{sent}");
}

#[test]
fn no_more_requests_are_in_flight_than_agreed() {
    let mut dialing = dialing(Limits { max_in_flight: 2, ..Limits::default() });
    let first = ping(&mut dialing).expect("none is in flight");
    ping(&mut dialing).expect("one is in flight");
    assert_eq!(ping(&mut dialing), Err(Need::InFlight));
    for wish in [Wish::Ask, Wish::Confirm] {
        let need = send(&mut dialing, wish, "a", &Bytes::new());
        assert_eq!(need, Some(Need::InFlight));
    }
    let need = send(&mut dialing, Wish::Tell, "a", &Bytes::new());
    assert_eq!(need, None, "nobody waits for an answer to a tell");
    assert_eq!(dialing.cancel(first), Some(()));
    assert_eq!(ping(&mut dialing), Err(Need::InFlight), "it would overtake the cancellation");
    assert_eq!(send(&mut dialing, Wish::Ask, "a", &Bytes::new()), None);
}

#[test]
fn what_was_not_given_out_is_told_at_the_end() {
    let mut dialing = dialing(Limits::default());
    let tell = |dialing: &mut _| send(dialing, Wish::Tell, "a", &Bytes::new());
    (0..3).for_each(|_| assert_eq!(tell(&mut dialing), None));
    dialing.poll_transmit(&mut Vec::new());
    (0..2).for_each(|_| assert_eq!(tell(&mut dialing), None));
    assert_eq!(send(&mut dialing, Wish::Ask, "a", &Bytes::new()), None);
    let left = dialing.close();
    assert_eq!((left.unsent_tells, left.pending.len()), (2, 1));
    assert_eq!(left.unconfirmed_tells, 3);
    assert_eq!(dialing.poll_freed(), Some(Freed::Gone));
}

/// What the answer to a ping of this nonce comes to.
fn pong(dialing: &mut Dialing<()>, nonce: u64) -> Result<(), LinkError> {
    let mut replies = Replies::new(&session(Limits::default()));
    let mut bytes = Vec::new();
    put_nonce(&mut bytes, FrameKind::Pong, nonce);
    replies.handle_bytes(&bytes, &mut Endless).expect("it is a frame");
    assert!(!replies.is_empty());
    dialing.settle(&mut replies, |_| panic!("nothing has ended"))
}

/// Room for everything.
struct Endless;

impl Budget for Endless {
    fn admit(&mut self, _: usize) -> bool {
        true
    }

    fn release(&mut self, _: usize) {}

    fn admit_head(&mut self, _: usize) -> Result<(), u64> {
        Ok(())
    }

    fn release_head(&mut self, _: usize) {}
}

#[test]
fn an_answer_to_a_ping_confirms_the_tells_before_it() {
    let mut dialing = dialing(Limits::default());
    let tell = |dialing: &mut _| assert_eq!(send(dialing, Wish::Tell, "a", &Bytes::new()), None);
    (0..3).for_each(|_| tell(&mut dialing));
    dialing.poll_transmit(&mut Vec::new());
    // The fourth goes behind the ping.
    tell(&mut dialing);
    dialing.writer.ping();
    dialing.poll_transmit(&mut Vec::new());
    assert_eq!(pong(&mut dialing, 4), Err(LinkError::Pong { nonce: 4, pinged: 3 }));
    assert_eq!(pong(&mut dialing, 3), Ok(()));
    assert_eq!(dialing.close().unconfirmed_tells, 1);
}

/// A peer that never answers a ping must not keep a connection that is to end for ever: whoever drives it asks this.
#[test]
fn what_waits_for_a_proof_alone_is_spent() {
    let mut dialing = dialing(Limits::default());
    assert_eq!(send(&mut dialing, Wish::Tell, "a", &Bytes::new()), None);
    dialing.poll_transmit(&mut Vec::new());
    assert!(dialing.is_idle() && !dialing.is_spent(), "it is not about to end");
    dialing.leave(CloseCode::Normal, "idle");
    dialing.poll_transmit(&mut Vec::new());
    assert!(dialing.is_spent() && Side::ending(&dialing).is_none());
    assert_eq!(pong(&mut dialing, 1), Ok(()));
    assert!(Side::ending(&dialing).is_some());
}

#[test]
fn a_dialer_that_retires_knows_when_all_that_it_sent_is_taken() {
    let mut dialing = dialing(Limits::default());
    assert_eq!(send(&mut dialing, Wish::Ask, "large", &Bytes::from(vec![0; MIB])), None);
    let asked = send(&mut dialing, Wish::Ask, "a", &Bytes::new());
    assert_eq!(asked, None);
    dialing.writer.ping();
    dialing.retire(CloseCode::Normal, "renewed");
    assert!(!dialing.writer.is_open());
    let mut pings = Vec::new();
    while !dialing.writer.is_empty() {
        let mut bytes = Vec::new();
        dialing.poll_transmit(&mut bytes);
        pings.push(bytes.last_chunk::<8>().map(|nonce| u64::from_be_bytes(*nonce)));
    }
    assert_eq!(pings.pop(), Some(Some(1)), "behind the last chunk");
    assert_eq!(pong(&mut dialing, 0), Ok(()));
    assert!(!dialing.is_fenced());
    while dialing.poll_freed().is_some() {}
    assert_eq!(pong(&mut dialing, 1), Ok(()));
    assert!(dialing.is_fenced());
    assert_eq!(dialing.poll_freed(), Some(Freed::Gone));
    assert_eq!(dialing.ending(), None, "it has no answers yet");
    let left = dialing.close();
    assert_eq!((left.unsent_tells, left.unconfirmed_tells, left.pending.len()), (0, 0, 2));
}

#[test]
fn a_large_tell_counts_once_its_last_chunk_is_given_out() {
    let mut dialing = dialing(Limits::default());
    let large = Bytes::from(vec![0; MIB]);
    for path in ["a", "b", "c"] {
        assert_eq!(send(&mut dialing, Wish::Tell, path, &large), None);
    }
    dialing.writer.ping();
    dialing.poll_transmit(&mut Vec::new());
    assert_eq!(pong(&mut dialing, 1), Err(LinkError::Pong { nonce: 1, pinged: 0 }));
    let mut bytes = 0;
    while bytes < 2 * MIB {
        let mut out = Vec::new();
        dialing.poll_transmit(&mut out);
        bytes += out.len();
    }
    dialing.writer.say_goodbye(CloseCode::Timeout, "too slow", true);
    let left = dialing.close();
    assert_eq!(left.unsent_tells + left.unconfirmed_tells, 3);
    assert!(left.unsent_tells > 0, "the rest of them is not sent");
}

#[test]
#[cfg_attr(miri, ignore = "thousands of tells take minutes there")]
fn tells_are_proven_now_and_then() {
    let mut dialing = dialing(Limits::default());
    let (mut pings, mut bytes) = (0, Vec::new());
    for _ in 0..10_000 {
        assert_eq!(send(&mut dialing, Wish::Tell, "a", &Bytes::new()), None);
        dialing.poll_transmit(&mut bytes);
        // It is the last frame, and nothing else ends like it.
        let last = bytes.last_chunk::<13>().and_then(|frame| frame.first_chunk());
        pings += u64::from(last == Some(&[FrameKind::Ping.as_u8(), 0, 0, 0, 8]));
        bytes.clear();
        dialing.writer.out.handle_credit(0, 0, u64::MAX);
    }
    assert_eq!(pings, 2);
    assert_eq!(pong(&mut dialing, 8192), Ok(()));
    assert_eq!(dialing.close().unconfirmed_tells, 10_000 - 8192);
}

#[test]
fn a_request_that_was_not_given_out_to_its_end_is_told_from_the_others() {
    let (small, large) = (Bytes::from_static(b"small"), Bytes::from(vec![0; MIB]));
    let mut dialing = dialing(Limits::default());
    assert_eq!(send(&mut dialing, Wish::Ask, "sent", &small), None);
    assert_eq!(send(&mut dialing, Wish::Confirm, "large", &large), None);
    dialing.poll_transmit(&mut Vec::new());
    assert_eq!(send(&mut dialing, Wish::Confirm, "b", &small), None);
    assert_eq!(send(&mut dialing, Wish::Tell, "b", &small), None);
    assert_eq!(send(&mut dialing, Wish::Ask, "b", &small), None);
    ping(&mut dialing).expect("few are in flight");
    let sent: Vec<_> = dialing.close().pending.iter().map(|left| left.was_sent).collect();
    assert_eq!(sent, [true, false, false, false, false]);
}

#[test]
fn a_dialer_that_is_asked_to_send_no_more_says_when_all_is_sent() {
    let goodbye = |bytes: &[u8]| {
        let mut goaway = Vec::new();
        put_reason(&mut goaway, FrameKind::GoAway, CloseCode::Normal, "all is sent");
        bytes.ends_with(&goaway)
    };
    let mut dialing = dialing(Limits::default());
    assert_eq!(send(&mut dialing, Wish::Ask, "a", &Bytes::from(vec![0; MIB])), None);
    dialing.writer.drain();
    assert!(!dialing.writer.is_open());
    let mut said = Vec::new();
    while !dialing.writer.is_empty() {
        let mut bytes = Vec::new();
        dialing.poll_transmit(&mut bytes);
        said.push(goodbye(&bytes));
    }
    assert!(said.len() > 2 && said.pop() == Some(true) && !said.contains(&true), "{said:?}");
    assert_eq!(dialing.ending(), None, "it has no answer yet");
}

#[test]
fn a_dialer_that_leaves_waits_for_its_answers() {
    let mut dialing = dialing(Limits::default());
    let first = ping(&mut dialing).expect("none is in flight");
    dialing.leave(CloseCode::Normal, "done");
    assert_eq!(dialing.poll_freed(), Some(Freed::Gone));
    assert!(!dialing.writer.is_open() && dialing.ending().is_none());
    dialing.cancel(first);
    assert_eq!(dialing.ending(), Some((CloseCode::Normal, "done")));
}

#[test]
fn a_dialer_that_leaves_waits_until_its_tells_are_taken() {
    let mut dialing = dialing(Limits::default());
    assert_eq!(send(&mut dialing, Wish::Tell, "a", &Bytes::new()), None);
    dialing.poll_transmit(&mut Vec::new());
    dialing.leave(CloseCode::Normal, "done");
    assert!(!dialing.writer.is_empty(), "there is a ping");
    dialing.poll_transmit(&mut Vec::new());
    assert!(dialing.writer.is_empty() && dialing.ending().is_none());
    assert_eq!(pong(&mut dialing, 1), Ok(()));
    assert_eq!(dialing.ending(), Some((CloseCode::Normal, "done")));
    assert_eq!(dialing.close().unconfirmed_tells, 0);
}

proptest! {
    /// A tell that is sent the short way where that is open leaves the connection as one that is not, byte by byte.
    #[test]
    fn the_short_way_of_a_tell_is_as_good_as_the_long_one(
        tells in vec((0..200_u32, 0..3_usize, 0..40_000_usize), 1..300),
        window in 1..2_000_000_u32,
    ) {
        let limits = Limits { receiver_window: window, max_message_len: 36_000, ..Limits::default() };
        let (mut short, mut long) = (dialing(limits), dialing(limits));
        let mut numbers = BTreeMap::new();
        for (receiver, type_name, len) in tells {
            let (path, payload) = (format!("r{receiver}"), vec![7_u8; len]);
            let payload = payload.as_slice();
            let type_name = ["a", "b", "c"][type_name];
            let message = Outgoing {
                wish: Wish::Tell,
                path: &path,
                uid: None,
                known: numbers.get(&receiver).copied(),
                type_name,
                sender: None,
                remaining: None,
                metadata: None,
            };
            let told = message.known.is_some_and(|known| short.tell(known, type_name, &payload));
            if !told {
                let sent = short.send(&message, Payload::Encode(&payload), || ());
                if let Ok(sent) = sent {
                    numbers.insert(receiver, sent.receiver);
                }
            }
            let sent = long.send(&message, Payload::Encode(&payload), || ());
            prop_assert!(!told || sent.is_ok(), "{:?}", sent);
            if len % 7 == 0 {
                let (mut a, mut b) = (Vec::new(), Vec::new());
                short.poll_transmit(&mut a);
                long.poll_transmit(&mut b);
                prop_assert!(a == b, "other bytes");
            }
            prop_assert_eq!(short.writer().buffered(), long.writer().buffered());
            for known in numbers.values() {
                prop_assert_eq!(short.writer.out.credit(*known), long.writer.out.credit(*known));
            }
            prop_assert_eq!(short.take_used(), long.take_used());
        }
        let (short, long) = (short.close(), long.close());
        prop_assert_eq!(short.unsent_tells, long.unsent_tells);
        prop_assert_eq!(short.unconfirmed_tells, long.unconfirmed_tells);
    }
}

#[test]
fn the_short_way_is_open_to_what_most_messages_are_and_to_nothing_else() {
    let name = "t";
    let mut dialing = dialing(Limits { receiver_window: 1000, ..Limits::default() });
    let message = |known| Outgoing {
        wish: Wish::Tell,
        path: "a",
        uid: None,
        known,
        type_name: name,
        sender: None,
        remaining: None,
        metadata: None,
    };
    let payload = [0_u8; 10].as_slice();
    let sent =
        dialing.send(&message(None), Payload::Encode(&payload), || ()).expect("there is room");
    assert!(dialing.tell(sent.receiver, name, &payload));
    assert!(!dialing.tell(sent.receiver, "another", &payload), "its type has no number");
    let other = Alias { epoch: 1, ..sent.receiver };
    assert!(!dialing.tell(other, name, &payload), "its receiver is of another epoch");
    let nobody = Alias { id: 1, ..sent.receiver };
    assert!(!dialing.tell(nobody, name, &payload), "its receiver has no number");
    assert!(
        !dialing.tell(sent.receiver, name, &vec![0_u8; CHUNK_LEN].as_slice()),
        "it needs chunks"
    );
    assert!(dialing.tell(sent.receiver, name, &[0_u8; 1000].as_slice()));
    assert!(!dialing.tell(sent.receiver, name, &payload), "no credit is left");
    let mut dialing = self::dialing(Limits::default());
    let sent =
        dialing.send(&message(None), Payload::Encode(&payload), || ()).expect("there is room");
    dialing.leave(CloseCode::Normal, "over");
    assert!(!dialing.tell(sent.receiver, name, &payload), "nothing new is taken");
}
