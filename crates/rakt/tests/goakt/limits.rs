//! What a peer that speaks GoAkt, or seems to, cannot do to a node.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rakt::error::Chain;
use rakt::prelude::*;
use rakt::remote::{Compression, GoAkt, Transport};
use rakt::{Event, Mailbox, Metadata};
use rakt_wire::goakt::{Answer, Call, ErrorCode as E};
use tokio::time::Instant;

use crate::goakt::{self, Ignore, Node, Sent, address, echoes, error, frame, outgoing};
use crate::messages::Want;
use crate::support::{event, within};

const SECOND: Duration = Duration::from_secs(1);
const MIB: usize = 1024 * 1024;

/// Waits until a connection ends for this reason.
async fn link_down(events: &mut rakt::Events, why: &str) {
    event(events, |event| match event {
        Event::LinkDown { reason, .. } if Chain(&reason).to_string().contains(why) => Some(()),
        _ => None,
    })
    .await;
}

/// A frame without metadata, as v4 sends its tells: the payload is a frame in turn, or one of the system.
fn tell_of_v4(receiver: &str, payload: &[u8]) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| {
        let len = u8::try_from(bytes.len()).expect("short");
        let len = if len < 128 { vec![len] } else { vec![len, 1] };
        [&[number << 3 | 2][..], &len, bytes].concat()
    };
    let fields = [(1, &b"goakt://@:0/"[..]), (2, receiver.as_bytes()), (3, payload)];
    let message: Vec<u8> = fields.into_iter().flat_map(|(n, bytes)| field(n, bytes)).collect();
    frame("internalpb.RemoteTellRequest", &field(1, &message))
}

#[tokio::test]
async fn a_node_of_goakt_v4_is_told_so() {
    let mut node = Node::start().await;
    let poison_pill = b"\xde\xad\xbe\xef\xca\xfe\xba\xbe".to_vec();
    for payload in [frame("test.Say", &[10, 1, b'x']), poison_pill] {
        let mut peer = node.dial().await;
        peer.write(&tell_of_v4(&address(node.port(), "probe"), &payload)).await;
        let answer = peer.rest().await;
        let text = String::from_utf8_lossy(&answer);
        assert!(text.contains("form of GoAkt v4: GoAkt v3.14 is needed"), "{text}");
        link_down(&mut node.events, "form of GoAkt v4: GoAkt v3.14 is needed").await;
    }
    node.is_well().await;
}

#[tokio::test]
async fn what_is_no_request_ends_its_own_connection_alone() {
    let node = Node::start().await;
    let mut bystander = node.dial().await;
    let with_metadata_len = |len: u32| {
        let name = b"internalpb.RemoteLookupRequest";
        let mut frame = vec![];
        for number in [12 + name.len() as u32 + len, name.len() as u32, len] {
            frame.extend_from_slice(&number.to_be_bytes());
        }
        frame.extend_from_slice(name);
        frame.resize(frame.len() + len as usize, 0xff);
        frame
    };
    for bytes in [
        b"\0\0\0\x07\0\0\0\0".to_vec(),
        // 16 MiB and one byte.
        b"\x01\0\0\x01\0\0\0\0".to_vec(),
        // A name that is longer than its frame, and some that nobody has.
        b"\0\0\0\x0e\0\0\0\xfffoo.Ba".to_vec(),
        b"\0\0\0\x0e\0\0\0\x06foo.Ba".to_vec(),
        frame("internalpb.Nothing", &[]),
        with_metadata_len(5),
        frame("internalpb.RemoteLookupRequest", b"\xff\xff"),
        frame("internalpb.RemoteTellRequest", b"\x0a\xff"),
        // Known, but no requests: a Go node leaves these without an answer.
        frame("internalpb.RemoteTellResponse", &[]),
        frame("internalpb.Error", &[]),
        // Streams that are none.
        b"\x1f\x8b\x08\0\0\0\0\0\0\xff\xff\xff\xff\xff".to_vec(),
        b"\x28\xb5\x2f\xfd\x04\x48\xff\xff\xff\xff".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc".to_vec(),
        b"\xf7rakt\xff\xff\xff\xff".to_vec(),
        b"\xf7rakt\n\xff\xff\xff".to_vec(),
    ] {
        let mut peer = node.dial().await;
        peer.try_write(&bytes).await;
        peer.end().await;
        let told = peer.rest().await;
        // Whoever greets as a native peer, or in TLS, is told in its own words.
        match bytes[..6] {
            [0xf7, .., b'\n'] => assert!(told.starts_with(b"\xf7rakt"), "{told:02x?}"),
            [0x16, ..] => assert_eq!(told, rakt_wire::native::NO_TLS_HERE),
            _ => assert!(told.is_empty(), "{bytes:02x?}: {told:02x?}"),
        }
        assert_eq!(bystander.ask_echo("still here").await, "still here");
    }
    // What came before is answered.
    let mut peer = node.dial().await;
    let lookup = Call::Lookup(peer.target("probe"));
    peer.queue(&lookup, &Metadata::new(), None);
    peer.flush().await;
    peer.write(&frame("foo.Bar", &[])).await;
    assert_eq!(peer.answer().await, Answer::Address(address(node.port(), "probe")));
    peer.closed().await;
}

#[tokio::test]
async fn the_longest_frame_is_taken_and_one_byte_more_is_not() {
    let size = 64 * 1024;
    let node = Node::with(|config| config.goakt(GoAkt::new()).max_frame_size(size)).await;
    for (excess, is_taken) in [(0, true), (1, false)] {
        let mut peer = node.dial().await;
        let echo = peer.echo("probe", "");
        let around = goakt::tell_frame(&echo).len();
        let mut sent = Sent { type_name: "test.Say".to_owned(), ..echo };
        // The lengths of text, value and message take more bytes the longer they are.
        let mut text = "x".repeat(size as usize - around - 16);
        while goakt::tell_frame(&sent).len() < size as usize + excess {
            text.push('x');
            sent.bytes = prost::Message::encode_to_vec(&goakt::Say { text: text.clone() });
        }
        assert_eq!(goakt::tell_frame(&sent).len(), size as usize + excess);
        peer.try_write(&goakt::tell_frame(&sent)).await;
        match is_taken {
            true => {
                assert_eq!(peer.raw_answer().await, frame("internalpb.RemoteTellResponse", &[]))
            }
            false => peer.closed().await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_handed_on_only_as_far_as_they_may_be_pipelined() {
    let mut node = Node::with(|config| config.goakt(GoAkt::new().max_pipelined(2))).await;
    let mut peer = node.dial().await;
    let hold = peer.hold("probe");
    peer.send_ask(&[hold], 60 * SECOND).await;
    node.gate.entered().await;
    for n in 0..3 {
        let say = peer.say("other", &n.to_string());
        peer.send_tell(&[say]).await;
    }
    assert_eq!(node.seen().await.text, "0");
    assert_eq!(peer.answer_by_now().await, None);
    assert_eq!(node.seen_by_now(), None, "two are without a response");
    node.gate.open();
    assert_eq!(echoes(peer.answer().await), ["held"]);
    for _ in 0..3 {
        assert_eq!(peer.answer().await, Answer::Done);
    }
    assert_eq!((node.seen().await.text, node.seen().await.text), ("1".into(), "2".into()));
}

#[tokio::test(start_paused = true)]
async fn what_has_not_asked_for_anything_in_time_is_closed() {
    let node = Node::start().await;
    let request = goakt::tell_frame(&node.dial().await.say("probe", "hello"));
    for bytes in [
        &b""[..],
        // Any text may be the begin of a brotli stream.
        b"GET ",
        b"\x8b",
        b"\x1f\x8b\x08\0\0\0\0\0",
        b"\x28\xb5\x2f\xfd\x04\x48",
        &request[..4],
        &request[..request.len() - 1],
    ] {
        // What begins as a compression that is not there is refused at once.
        let may_begin = match bytes.first() {
            Some(b'G' | 0x8b) => cfg!(feature = "brotli"),
            Some(0x1f) => cfg!(feature = "gzip"),
            Some(0x28) => cfg!(feature = "zstd"),
            _ => true,
        };
        if !may_begin {
            continue;
        }
        let (before, mut peer) = (Instant::now(), node.dial().await);
        peer.write(bytes).await;
        peer.rest().await;
        assert_eq!(before.elapsed().as_secs(), 5, "{bytes:02x?}");
    }
    // A byte now and then is no request either.
    let (before, mut peer) = (Instant::now(), node.dial().await);
    for byte in &request {
        if !peer.try_write(&[*byte]).await {
            break;
        }
        tokio::time::sleep(SECOND).await;
    }
    // The node waits a moment for the peer to close as well.
    assert!(before.elapsed() < 8 * SECOND, "{:?}", before.elapsed());
    // Whoever has asked once may be silent for long.
    let mut peer = node.dial().await;
    assert_eq!(peer.ask_echo("1").await, "1");
    tokio::time::sleep(600 * SECOND).await;
    assert_eq!(peer.ask_echo("2").await, "2");
}

#[tokio::test]
async fn actors_that_a_peer_spawns_are_bounded() {
    let node = Node::with(|config| config.goakt(GoAkt::new()).max_spawned_per_peer(1)).await;
    let mut peer = node.dial().await;
    let spawn = peer.spawn_call("a", "main.Worker");
    assert_eq!(peer.call(&spawn).await, Answer::Done);
    let spawn = peer.spawn_call("b", "main.Worker");
    let (code, text) = error(peer.call(&spawn).await);
    assert_eq!(code, E::ResourceExhausted, "{text}");
    assert!(text.contains("actors that one peer has spawned"), "{text}");
    assert_eq!(peer.call(&Call::Stop(peer.target("a"))).await, Answer::Done);
    let spawn = peer.spawn_call("b", "main.Worker");
    assert_eq!(peer.call(&spawn).await, Answer::Done);
}

#[tokio::test]
async fn connections_beyond_the_allowed_ones_are_closed() {
    let node = Node::with(|config| config.goakt(GoAkt::new()).max_connections(2)).await;
    let mut events = node.system.events();
    let (mut first, mut second) = (node.dial().await, node.dial().await);
    assert_eq!(first.ask_echo("1").await, "1");
    assert_eq!(second.ask_echo("2").await, "2");
    let mut third = node.dial().await;
    let lookup = Call::Lookup(third.target("probe"));
    third.send(&lookup).await;
    third.closed().await;
    assert_eq!(first.ask_echo("still here").await, "still here");
    drop(second);
    link_down(&mut events, "the peer closed").await;
    // Its place is free once its task is done.
    within(async {
        loop {
            let mut peer = node.dial().await;
            peer.send(&lookup).await;
            if peer.next().await.is_some() {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn messages_beyond_the_memory_budget_are_refused() {
    let config = |config: remote::Config| config.goakt(GoAkt::new()).memory_budget(2 * MIB as u64);
    let node = Node::with(config).await;
    let mut holder = node.dial().await;
    let hold = holder.hold("probe");
    holder.send_ask(&[hold], 60 * SECOND).await;
    node.gate.entered().await;

    let mut peer = node.dial().await;
    let big = peer.say("probe", &"x".repeat(40_000));
    let mut taken = 0;
    let refused = loop {
        match peer.tell(std::slice::from_ref(&big)).await {
            Answer::Done => taken += 1,
            other => break error(other),
        }
        assert!(taken < 40, "a budget of a MiB");
    };
    assert_eq!(refused.0, E::ResourceExhausted);
    let text = "memory for messages (bytes): no room for 40260 more (limit 1048576)";
    assert!(refused.1.contains(text), "{}", refused.1);
    // A connection gets two thirds at most.
    assert!(taken * 40_000 < MIB * 2 / 3, "{taken}");
    assert_eq!(error(peer.ask(std::slice::from_ref(&big)).await).0, E::ResourceExhausted);
    node.gate.open();
    assert_eq!(echoes(holder.answer().await), ["held"]);
    // What is handled counts no more.
    while peer.tell(std::slice::from_ref(&big)).await != Answer::Done {}
}

/// Each message of a batch has headers of its own.
#[tokio::test]
async fn headers_count_against_the_memory_budget_for_each_message() -> Result {
    let config = |config: remote::Config| config.goakt(GoAkt::new()).memory_budget(2 * MIB as u64);
    let mut node = Node::with(config).await;
    let mut peer = node.dial().await;
    let mut headers = Metadata::new();
    headers.insert("x-large", "x".repeat(10_000))?;
    let batch: Vec<_> = (0..100).map(|n| peer.say("probe", &n.to_string())).collect();
    peer.queue(&Call::Tell(&outgoing(&batch)), &headers, None);
    peer.flush().await;
    assert_eq!(error(peer.answer().await).0, E::ResourceExhausted);
    peer.queue(&Call::Tell(&outgoing(&batch[..10])), &headers, None);
    peer.flush().await;
    while node.seen().await.text != "9" {}
    Ok(())
}

/// Each message of a batch may have a sender of its own.
#[tokio::test]
async fn senders_count_against_the_memory_budget() {
    let config = |config: remote::Config| config.goakt(GoAkt::new()).memory_budget(2 * MIB as u64);
    let node = Node::with(config).await;
    node.spawn_with("roomy", Mailbox::bounded(100_000)).await;
    let mut peer = node.dial().await;
    let mut holder = node.dial().await;
    let hold = holder.hold("roomy");
    holder.send_ask(&[hold], 60 * SECOND).await;
    node.gate.entered().await;
    let from = |sender: &dyn Fn(usize) -> String| -> Vec<_> {
        (0..700).map(|n| peer.say("roomy", "x").from(&sender(n))).collect()
    };
    let alike = from(&|_| "goakt://go@10.0.0.7:1/same".to_owned());
    let distinct = from(&|n| format!("goakt://go@10.0.0.7:1/sender-{n}"));
    // Twice as many messages as of the others, which are over the bound.
    for _ in 0..2 {
        assert_eq!(peer.tell(&alike).await, Answer::Done);
    }
    node.gate.open();
    assert_eq!(echoes(holder.answer().await), ["held"]);
    node.is_idle("roomy").await;

    let hold = holder.hold("roomy");
    holder.send_ask(&[hold], 60 * SECOND).await;
    node.gate.entered().await;
    assert_eq!(peer.tell(&distinct).await, Answer::Done);
    let (code, text) = error(peer.tell(&distinct).await);
    assert_eq!(code, E::ResourceExhausted, "{text}");
    node.gate.open();
    assert_eq!(echoes(holder.answer().await), ["held"]);
    node.is_idle("roomy").await;
    // They count no more once their messages are handled.
    assert_eq!(peer.tell(&distinct).await, Answer::Done);
}

/// What waits for room in a mailbox is held by the connection meanwhile.
#[tokio::test(start_paused = true)]
async fn the_rest_of_a_request_that_waits_counts_against_the_memory_budget() {
    let config = |config: remote::Config| config.goakt(GoAkt::new()).memory_budget(8 * MIB as u64);
    let node = Node::with(config).await;
    for (name, mailbox) in [("narrow", Mailbox::bounded(1)), ("roomy", Mailbox::bounded(1000))] {
        node.spawn_with(name, mailbox).await;
        let mut holder = node.dial().await;
        let hold = holder.hold(name);
        holder.send_tell(&[hold]).await;
        node.gate.entered().await;
    }
    let mut peer = node.dial().await;
    let batch = |len: usize| {
        let mut batch = vec![peer.say("roomy", &"x".repeat(len))];
        // The second one stays in line, and with it the rest of the request.
        batch.extend(["1", "2", "3"].map(|n| peer.say("narrow", n)));
        batch.push(peer.say("other", "last"));
        batch
    };
    let (large, small) = (batch(1400 * 1024), batch(100_000));
    let (code, text) = error(peer.tell(&large).await);
    assert_eq!(code, E::ResourceExhausted);
    assert!(text.contains("memory for messages"), "{text}");
    assert_eq!(peer.ask_echo("the connection goes on").await, "the connection goes on");
    peer.send_tell(&small).await;
    assert_eq!(peer.answer_by_now().await, None, "there is room to wait");
}

/// A peer that always has something to say leaves the others their turns: the same few bytes again and
/// again, which stand for much work.
#[tokio::test]
async fn a_busy_connection_lets_others_have_their_turn() {
    let node = Node::start().await;
    node.spawn_with("roomy", Mailbox::bounded(1_000_000)).await;
    for compression in Compression::ALL.into_iter().filter(|c| c.is_available()) {
        let turns = Arc::new(AtomicUsize::new(0));
        let counted = turns.clone();
        let other = tokio::spawn(async move {
            loop {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
        let mut peer = node.dial_with(compression).await;
        let want = peer.message("roomy", &Ignore {});
        let batch: Vec<_> = (0..20_000).map(|_| want.clone()).collect();
        peer.send_tell(&batch).await;
        let begin = turns.load(Ordering::Relaxed);
        assert_eq!(peer.answer().await, Answer::Done);
        let turns = turns.load(Ordering::Relaxed) - begin;
        other.abort();
        // 256 messages in each.
        assert!(turns > 20_000 / 256, "{compression}: {turns}");
    }
}

#[tokio::test]
async fn a_frame_that_does_not_end_counts_against_the_memory_budget() {
    let config = |config: remote::Config| config.goakt(GoAkt::new()).memory_budget(8 * MIB as u64);
    let node = Node::with(config).await;
    let mut events = node.system.events();
    let mut peer = node.dial().await;
    // Of 16 MiB, nearly 2 MiB stay.
    let mut begun = (16 * MIB as u32).to_be_bytes().to_vec();
    begun.extend_from_slice(b"\0\0\0\x1cinternalpb.RemoteTellRequest");
    begun.resize(2 * MIB - 100_000, 0);
    peer.write(&begun).await;
    node.is_well().await;
    peer.try_write(&vec![0; 2 * MIB]).await;
    link_down(&mut events, "all peers together may have 4194304 bytes").await;
    peer.closed().await;
    node.is_well().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_trickles_in_ends_its_connection() {
    let node = Node::start().await;
    let mut events = node.system.events();
    let mut peer = node.dial().await;
    // The first request has a limit of its own.
    let asked = [peer.echo("probe", "there?")];
    peer.send_ask(&asked, Duration::from_secs(5)).await;
    drop(peer.answer().await);
    let mut begun = (MIB as u32).to_be_bytes().to_vec();
    begun.extend_from_slice(b"\0\0\0\x1cinternalpb.RemoteTellRequest");
    begun.resize(10_000, 0);
    let trickle = async {
        for byte in begun.chunks(1) {
            peer.try_write(byte).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let start = Instant::now();
    tokio::select! {
        () = trickle => panic!("it is still taken"),
        () = link_down(&mut events, "bytes of a frame in 30s are too few") => {}
    }
    assert_eq!(start.elapsed().as_secs(), 30);
    node.is_well().await;
}

/// A few bytes make much: what they make counts.
#[cfg(feature = "zstd")]
#[tokio::test]
async fn a_compressed_frame_counts_by_its_length() {
    let config = |config: remote::Config| config.goakt(GoAkt::new()).memory_budget(8 * MIB as u64);
    let node = Node::with(config).await;
    let mut events = node.system.events();
    let mut peer = node.dial_with(Compression::Zstd).await;
    let mut begun = (16 * MIB as u32).to_be_bytes().to_vec();
    begun.extend_from_slice(b"\0\0\0\x1cinternalpb.RemoteTellRequest");
    begun.resize(12 * MIB, 0);
    let mut stream = Vec::new();
    let mut encoder =
        rakt_wire::goakt::StreamEncoder::new(Compression::Zstd).expect("it is compiled in");
    encoder.encode(&begun, &mut stream).expect("it can be compressed");
    assert!(stream.len() < 64 * 1024);
    peer.try_write(&stream).await;
    link_down(&mut events, "no room for").await;
    node.is_well().await;
}

/// What is read ahead would otherwise pile up, and a good peer be cut off.
#[cfg(feature = "zstd")]
#[tokio::test]
async fn a_compressed_stream_is_read_no_faster_than_it_is_decompressed() {
    let config = |config: remote::Config| config.goakt(GoAkt::new()).memory_budget(8 * MIB as u64);
    let node = Node::with(config).await;
    let mut peer = node.dial_with(Compression::Zstd).await;
    // An eighth of each message is noise.
    let mut noise = 1_u32;
    let mut blob = |len: usize| {
        let mut text = String::with_capacity(len);
        while text.len() < len {
            noise = noise.wrapping_mul(0x915f_77f5).wrapping_add(1);
            text.push_str(&format!("{noise:08x}{:56}", ""));
        }
        text
    };
    let count = 160;
    for _ in 0..count {
        let say = peer.say("absent", &blob(256 * 1024));
        peer.queue(&Call::Tell(&outgoing(&[say])), &Metadata::new(), None);
    }
    peer.flush().await;
    for _ in 0..count {
        assert_eq!(error(peer.answer().await).0, E::NotFound);
    }
}

/// The peer chooses how much a decoder has to remember.
#[cfg(feature = "zstd")]
#[tokio::test(start_paused = true)]
async fn the_memory_of_a_decoder_counts_against_the_memory_budget() {
    let config = |config: remote::Config| config.goakt(GoAkt::new()).memory_budget(32 * MIB as u64);
    let node = Node::with(config).await;
    let mut events = node.system.events();
    // The head of a frame with a window of 64 MiB, which is allowed, and one byte of content.
    let head = |window_log: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3];
    let raw_block_of_one_byte = [0x08, 0, 0, 0];
    for (window_log, is_taken) in [(19, true), (22, true), (26, false)] {
        let mut peer = node.dial().await;
        peer.write(&head(window_log)).await;
        peer.try_write(&raw_block_of_one_byte).await;
        peer.try_write(&raw_block_of_one_byte).await;
        if is_taken {
            node.is_well().await;
            assert!(peer.is_open().await, "{window_log}");
        } else {
            link_down(&mut events, "no room for").await;
        }
    }
}

/// Replies that wait for an earlier one.
#[tokio::test]
async fn replies_beyond_a_bound_are_replaced_by_an_error() {
    let config =
        |config: remote::Config| config.goakt(GoAkt::new()).memory_budget(384 * MIB as u64);
    let node = Node::with(config).await;
    let mut peer = node.dial().await;
    let hold = peer.hold("probe");
    peer.send_ask(&[hold], 60 * SECOND).await;
    node.gate.entered().await;
    for _ in 0..20 {
        let want = peer.message("other", &Want { len: 10 * MIB as u32 });
        peer.send_ask(&[want], 60 * SECOND).await;
    }
    // All of them have been handled once the last one has.
    node.is_idle("other").await;
    node.gate.open();
    assert_eq!(echoes(peer.answer().await), ["held"]);
    let mut refused = 0;
    for _ in 0..20 {
        if let Answer::Error(told) = peer.answer().await {
            assert_eq!(told.code, E::ResourceExhausted);
            assert!(told.message.contains("buffered replies"), "{told}");
            refused += 1;
        }
    }
    assert_eq!(refused, 20 - 12, "a peer alone has two thirds of half the budget, 128 MiB");
    // They count no more once they are gone.
    let want = peer.message("other", &Want { len: 10 * MIB as u32 });
    assert!(matches!(peer.ask(&[want]).await, Answer::Replies(_)));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_closed_after_a_while() {
    let node = Node::start().await;
    let start = Instant::now();
    let mut silent = node.dial().await;
    silent.closed_at_last().await;
    assert_eq!(start.elapsed(), 5 * SECOND, "the time to greet");
    let mut hesitant = node.dial().await;
    hesitant.write(b"\x28\xb5").await;
    hesitant.closed_at_last().await;
    assert_eq!(start.elapsed(), 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn an_ask_that_may_take_for_ever_may_take_a_year() {
    let node = Node::with(|config| config.goakt(GoAkt::new())).await;
    let (mut peer, start) = (node.dial().await, Instant::now());
    // So far ahead that no clock can tell it.
    let ignore = peer.message("probe", &Ignore {});
    peer.send_ask(&[ignore], Duration::from_secs(i64::MAX as u64)).await;
    assert_eq!(error(peer.next().await.expect("an answer")).0, E::DeadlineExceeded);
    assert_eq!(start.elapsed(), 365 * 24 * 3600 * SECOND);
    assert_eq!(peer.ask_echo("it is still there").await, "it is still there");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let limit = 100 * SECOND;
    let node = Node::with(|config| config.goakt(GoAkt::new().read_idle_timeout(limit))).await;
    let (mut peer, start) = (node.dial().await, Instant::now());
    assert_eq!(peer.ask_echo("not idle").await, "not idle");
    for _ in 0..3 {
        tokio::time::sleep(60 * SECOND).await;
        assert_eq!(peer.ask_echo("not idle").await, "not idle");
    }
    let ignore = peer.message("probe", &Ignore {});
    peer.send_ask(&[ignore], 150 * SECOND).await;
    assert_eq!(error(peer.next().await.expect("an answer")).0, E::DeadlineExceeded);
    assert_eq!(start.elapsed(), 330 * SECOND);
    peer.closed_at_last().await;
    assert_eq!(start.elapsed(), 430 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_idle_after_twenty_minutes() {
    let node = Node::start().await;
    let (mut peer, start) = (node.dial().await, Instant::now());
    assert_eq!(peer.ask_echo("x").await, "x");
    peer.closed_at_last().await;
    assert_eq!(start.elapsed(), 1200 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_no_responses_is_disconnected() {
    let node = Node::with(|config| config.goakt(GoAkt::new()).write_timeout(7 * SECOND)).await;
    let mut events = node.system.events();
    let mut peer = node.dial().await;
    let start = Instant::now();
    let want = peer.message("probe", &Want { len: MIB as u32 });
    peer.send_ask(&[want], 60 * SECOND).await;
    let down = events.find(|event| match event {
        Event::LinkDown { reason, .. } => Some(Chain(&reason).to_string()),
        _ => None,
    });
    let reason = down.await.expect("the system is there");
    assert!(reason.contains("took nothing for 7s"), "{reason}");
    assert_eq!(start.elapsed(), 7 * SECOND);
}

/// A peer that asks and does not listen: requests are not read beyond what its answers may pile up to.
#[tokio::test(start_paused = true)]
async fn answers_that_are_not_taken_hold_back_further_requests() {
    let mut node = Node::start().await;
    let mut peer = node.dial().await;
    let mut taken = false;
    for n in 0..200_000 {
        let say = peer.say("probe", &n.to_string());
        // The clock moves when the node has read as much as it will.
        let sent = tokio::time::timeout(Duration::from_millis(1), peer.send_tell(&[say])).await;
        if sent.is_err() {
            taken = true;
            break;
        }
    }
    assert!(taken, "the line is never full");
    let mut seen = 0;
    while node.seen_by_now().is_some() {
        seen += 1;
    }
    assert!(seen > 1000, "{seen}");
    node.is_well().await;
}

/// The peer chooses whom the answer goes to, and nobody need be there to take it.
#[tokio::test(start_paused = true)]
async fn answers_that_find_no_way_out_are_bounded() {
    let node = Node::start().await;
    let mut events = node.system.events();
    // Takes connections and says nothing.
    let mut deaf = node.memory.bind("127.0.0.1", 2).await.expect("the port is free");
    let (mut peer, mut lines) = (node.dial().await, Vec::new());
    let message = peer.echo("probe", &"x".repeat(10_000));
    for n in 0..3000 {
        let request = rakt_wire::goakt::proto::AsyncRequest {
            correlation_id: n.to_string(),
            reply_to: "goakt://deaf@127.0.0.1:2/asker".to_owned(),
            message: Some(rakt_wire::goakt::proto::Any::pack(
                &message.type_name,
                message.bytes.clone().into(),
            )),
        };
        let request = Sent {
            type_name: "internalpb.AsyncRequest".to_owned(),
            bytes: request.to_bytes(),
            ..message.clone()
        };
        assert_eq!(peer.tell(&[request]).await, Answer::Done);
    }
    let letter = loop {
        tokio::select! {
            taken = deaf.accept() => lines.extend(taken),
            letter = event(&mut events, |event| match event {
                Event::DeadLetter(letter) => Some(letter),
                _ => None,
            }) => break letter,
        }
    };
    assert_eq!(letter.message, "internalpb.AsyncResponse");
    let Refusal::ResourceExhausted { limit, .. } = letter.reason else { panic!("{letter:?}") };
    assert_eq!(limit, 1024);
}

/// Lookups of nobody, a message to nobody, and an ask of nothing: cheap, and answered at once.
#[tokio::test(start_paused = true)]
async fn a_peer_that_floods_a_node_is_slowed_down_and_then_closed() {
    let config = |config: remote::Config| config.goakt(GoAkt::new()).control_rate(100);
    for what in 0..3 {
        let node = Node::with(config).await;
        let mut events = node.system.events();
        let mut peer = node.dial().await;
        let told = [peer.say("nobody", "there?")];
        let told = outgoing(&told);
        let call = match what {
            0 => Call::Lookup(peer.target("nobody")),
            1 => Call::Tell(&told),
            _ => Call::Ask { messages: &[], timeout: Duration::from_secs(1) },
        };
        let start = Instant::now();
        let asking = async {
            loop {
                peer.call(&call).await;
            }
        };
        tokio::select! {
            biased;
            () = link_down(&mut events, "the control_rate") => {}
            () = asking => {}
        }
        assert!((30..60).contains(&start.elapsed().as_secs()), "{what}: {:?}", start.elapsed());
        node.is_well().await;
    }
}
