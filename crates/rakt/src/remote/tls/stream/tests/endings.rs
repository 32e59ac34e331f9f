//! How connections and handshakes end, and what either side is told.

use std::io::ErrorKind;

use bytes::BytesMut;
use proptest::prelude::*;
use rustls::{AlertDescription, CertificateError, Error};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::support::{
    By, OURS, PAIRS, THEIRS, accept, connect, connected, inner, oracle_connect, our_accept,
};

const ROOM: usize = 256 * 1024;

#[tokio::test(start_paused = true)]
async fn a_dialer_without_a_certificate_is_told_with_its_first_read() {
    for (dialed, accepted) in PAIRS {
        let (near, far) = duplex(ROOM);
        let (near, far) = tokio::join!(
            async {
                let mut near = connect(dialed, OURS.anonymous_client(), near).await?;
                near.write_all(b"hello").await?;
                near.read_u8().await
            },
            accept(accepted, OURS.server(), far),
        );
        let (near, far) = (near.expect_err("refused"), far.err().expect("refused"));
        assert_eq!(inner(&far), Some(&Error::NoCertificatesPresented), "{accepted:?}");
        let alert = Error::AlertReceived(AlertDescription::CertificateRequired);
        assert_eq!(inner(&near), Some(&alert), "{dialed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dialer_that_is_not_trusted_is_told_with_its_first_read() {
    for (dialed, accepted) in PAIRS {
        let (near, far) = duplex(ROOM);
        // It trusts the node, which does not trust it.
        let (mut client, stranger) = (OURS.client(), THEIRS.client());
        client.client_auth_cert_resolver = stranger.client_auth_cert_resolver;
        let (near, far) = tokio::join!(
            async { connect(dialed, client, near).await?.read_u8().await },
            accept(accepted, OURS.server(), far),
        );
        let (near, far) = (near.expect_err("refused"), far.err().expect("refused"));
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(inner(&far), Some(&unknown), "{accepted:?}");
        let alert = Error::AlertReceived(AlertDescription::UnknownCA);
        assert_eq!(inner(&near), Some(&alert), "{dialed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_not_trusted_is_told() {
    for (dialed, accepted) in PAIRS {
        let (near, far) = duplex(ROOM);
        let (near, far) = tokio::join!(
            connect(dialed, OURS.client(), near),
            accept(accepted, THEIRS.server(), far),
        );
        let (near, far) = (near.err().expect("refused"), far.err().expect("refused"));
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(inner(&near), Some(&unknown), "{dialed:?}");
        let alert = Error::AlertReceived(AlertDescription::UnknownCA);
        assert_eq!(inner(&far), Some(&alert), "{accepted:?}");
    }
}

#[tokio::test]
async fn the_end_of_one_direction_is_not_that_of_the_other() {
    for (dialed, accepted) in PAIRS {
        let (near, far) = duplex(ROOM);
        let (mut near, mut far) = connected(dialed, accepted, near, far).await.expect("connected");
        near.write_all(b"question").await.expect("written");
        near.shutdown().await.expect("shut down");
        assert!(dialed == By::Oracle || near.write_all(b"more").await.is_err());
        let mut read = Vec::new();
        far.read_to_end(&mut read).await.expect("read");
        assert_eq!(read, b"question");
        far.write_all(b"answer").await.expect("written");
        far.shutdown().await.expect("shut down");
        read.clear();
        near.read_to_end(&mut read).await.expect("read");
        // Nothing is left to say or to hear for a stream of ours that was shut down.
        let heard: &[u8] = if dialed == By::Oracle { b"answer" } else { b"" };
        assert_eq!(read, heard);
        assert_eq!(near.read(&mut [0; 10]).await.expect("read"), 0);
    }
}

/// A handshake with ours, and then the bare link of the dialer, and what it had written of one record since.
async fn cut_off() -> (tokio::io::DuplexStream, super::super::TlsStream, Vec<u8>) {
    let (near, far) = duplex(ROOM);
    let accepted = our_accept(OURS.server().into(), Box::new(far), BytesMut::new());
    let (near, far) = tokio::join!(oracle_connect(OURS.client(), near), accepted);
    let (link, mut session) = near.expect("connected").into_inner();
    std::io::Write::write_all(&mut session.writer(), &[7; 1000]).expect("sealed");
    let mut record = Vec::new();
    session.write_tls(&mut record).expect("a record");
    (link, far.expect("accepted"), record)
}

#[tokio::test]
async fn an_end_without_a_goodbye_is_an_end() {
    let (mut link, mut far, record) = cut_off().await;
    link.write_all(&record).await.expect("written");
    drop(link);
    let mut read = Vec::new();
    far.read_to_end(&mut read).await.expect("read");
    assert_eq!(read, [7; 1000]);
}

#[tokio::test]
async fn an_end_within_a_record_is_an_error() {
    for len in [1, 4, 5, 6, 500, 1021] {
        let (mut link, mut far, record) = cut_off().await;
        link.write_all(&record[..len]).await.expect("written");
        drop(link);
        let error = far.read_u8().await.expect_err("an error");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{len}");
    }
}

#[tokio::test]
async fn a_record_that_was_changed_ends_the_connection_and_the_peer_is_told() {
    let (mut link, mut far, mut record) = cut_off().await;
    record[100] ^= 1;
    link.write_all(&record).await.expect("written");
    let error = far.read_u8().await.expect_err("an error");
    assert_eq!(inner(&error), Some(&Error::DecryptError));
    // An alert in a record of its own: its level, its meaning, the true type and the tag.
    let mut alert = [0; 5 + 2 + 1 + 16];
    link.read_exact(&mut alert).await.expect("an alert");
    for _ in 0..3 {
        let again = far.read_u8().await.expect_err("still an error");
        assert_eq!(inner(&again), Some(&Error::DecryptError));
        let again = far.write_all(b"more").await.expect_err("still an error");
        assert_eq!(inner(&again), Some(&Error::DecryptError));
    }
    far.shutdown().await.expect("shut down");
    assert_eq!(link.read(&mut alert).await.expect("read"), 0);
}

#[tokio::test]
async fn a_goodbye_instead_of_a_hello_ends_the_handshake() {
    let (mut near, far) = duplex(ROOM);
    near.write_all(&[21, 3, 3, 0, 2, 1, 0]).await.expect("written");
    near.shutdown().await.expect("shut down");
    let refused = our_accept(OURS.server().into(), Box::new(far), BytesMut::new()).await;
    assert_eq!(refused.err().expect("refused").kind(), ErrorKind::UnexpectedEof);
}

/// What a dialer says first.
async fn hello() -> Vec<u8> {
    let (near, mut far) = duplex(ROOM);
    let dialing = tokio::spawn(oracle_connect(OURS.client(), near));
    let mut hello = vec![0; 5];
    far.read_exact(&mut hello).await.expect("a header");
    hello.resize(5 + usize::from(u16::from_be_bytes([hello[3], hello[4]])), 0);
    far.read_exact(&mut hello[5..]).await.expect("a hello");
    dialing.abort();
    hello
}

#[tokio::test]
async fn a_hello_that_breaks_off_ends_the_handshake() {
    let hello = hello().await;
    for len in (0..hello.len()).step_by(97) {
        let (mut near, far) = duplex(ROOM);
        near.write_all(&hello[..len]).await.expect("written");
        near.shutdown().await.expect("shut down");
        let refused = our_accept(OURS.server().into(), Box::new(far), BytesMut::new()).await;
        assert_eq!(refused.err().expect("refused").kind(), ErrorKind::UnexpectedEof, "{len}");
    }
}

#[tokio::test]
async fn what_was_read_before_is_part_of_the_handshake() {
    let (near, mut far) = duplex(ROOM);
    let dialing = tokio::spawn(oracle_connect(OURS.client(), near));
    let mut early = BytesMut::zeroed(100);
    far.read_exact(&mut early).await.expect("the beginning");
    our_accept(OURS.server().into(), Box::new(far), early).await.expect("accepted");
    dialing.await.expect("a task").expect("connected");
}

/// A hello in records of one byte each, and then nothing.
#[tokio::test]
async fn a_hello_may_come_in_records_of_one_byte() {
    let hello = hello().await;
    let (mut near, far) = duplex(ROOM);
    let records = hello[5..].iter().flat_map(|byte| [22, 3, 1, 0, 1, *byte]).collect::<Vec<_>>();
    near.write_all(&records).await.expect("written");
    let accepting = tokio::spawn(our_accept(OURS.server().into(), Box::new(far), BytesMut::new()));
    let mut answer = [0; 6];
    near.read_exact(&mut answer).await.expect("an answer");
    assert_eq!((answer[0], answer[5]), (22, 2), "a hello of the server");
    drop(near);
    let refused = accepting.await.expect("a task");
    assert_eq!(refused.err().expect("refused").kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_handshake_is_bounded() {
    let (mut near, far) = duplex(1024 * 1024);
    // A hello of 16 MiB, of which the first 200 KiB come.
    let record = [&[22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..], &[0; 0x4000 - 4]].concat();
    near.write_all(&record).await.expect("written");
    for _ in 0..12 {
        near.write_all(&[22, 3, 1, 0x40, 0]).await.expect("written");
        near.write_all(&[0; 0x4000]).await.expect("written");
    }
    near.shutdown().await.expect("shut down");
    let refused = our_accept(OURS.server().into(), Box::new(far), BytesMut::new()).await;
    assert!(inner(&refused.err().expect("refused")).is_some());
}

proptest! {
    #[test]
    fn garbage_is_refused(bytes in proptest::collection::vec(any::<u8>(), 5..300)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        runtime.block_on(async {
            let (mut near, far) = duplex(ROOM);
            near.write_all(&bytes).await.expect("written");
            near.shutdown().await.expect("shut down");
            let refused = our_accept(OURS.server().into(), Box::new(far), BytesMut::new()).await;
            let refused = refused.err().expect("refused");
            assert!(inner(&refused).is_some() || refused.kind() == ErrorKind::UnexpectedEof);
            let mut told = Vec::new();
            near.read_to_end(&mut told).await.expect("told");
            assert!(told.first().is_none_or(|first| *first == 21), "{told:?}");
        });
    }

    /// Before and after the handshake: what arrives is what was sent, or nothing more does.
    #[test]
    fn a_byte_that_changes_on_the_way_is_never_read(at in 0_usize..8_000, flip in 1_u8..) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build()?.block_on(async {
            let ((near, near_link), (far_link, far)) = (duplex(ROOM), duplex(ROOM));
            let dialing = async {
                let mut near = oracle_connect(OURS.client(), near).await?;
                near.write_all(&[7; 4_000]).await?;
                near.shutdown().await?;
                near.read_u8().await
            };
            let accepting = async {
                let mut far =
                    our_accept(OURS.server().into(), Box::new(far), BytesMut::new()).await?;
                let mut read = Vec::new();
                far.read_to_end(&mut read).await?;
                std::io::Result::Ok(read)
            };
            let carrying = async {
                let (mut from_near, mut to_near) = tokio::io::split(near_link);
                let (mut from_far, mut to_far) = tokio::io::split(far_link);
                let there = async {
                    let (mut bytes, mut carried) = (vec![0; ROOM], 0);
                    loop {
                        let len = from_near.read(&mut bytes).await?;
                        if (carried..carried + len).contains(&at) {
                            bytes[at - carried] ^= flip;
                        }
                        carried += len;
                        match len {
                            0 => return to_far.shutdown().await,
                            _ => to_far.write_all(&bytes[..len]).await?,
                        }
                    }
                };
                let back = tokio::io::copy(&mut from_far, &mut to_near);
                tokio::join!(there, back)
            };
            // A length that has changed may have both wait for each other.
            let limit = std::time::Duration::from_secs(10);
            let (_, read, _) = tokio::join!(
                tokio::time::timeout(limit, dialing),
                tokio::time::timeout(limit, accepting),
                tokio::time::timeout(limit, carrying),
            );
            if let Ok(Ok(read)) = read {
                assert!(read == [7; 4_000], "{} bytes", read.len());
            }
        });
    }
}
