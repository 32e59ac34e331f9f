//! What a caller hears of a peer that speaks no protocol of ours.

use rakt::Refusal;
use rakt::error::Chain;
use rakt::prelude::*;
use rakt_wire::native::{HEADER_LEN, HandshakeError, RefuseReason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Pings a peer that answers every connection with `answer`, and returns why that failed.
async fn refusal_of_a_peer_that_says(answer: Vec<u8>) -> Result<Refusal> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let peer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        stream.write_all(&answer).await?;
        // Reads on until the other side has had enough, so that nothing is reset.
        while stream.read_u8().await.is_ok() {}
        std::io::Result::Ok(())
    });
    let client = remote::Client::new("client", remote::ClientConfig::new())?;
    let error = client.node("127.0.0.1", port).ping().await.expect_err("no peer of ours");
    peer.await??;
    Ok(error.refusal().cloned().ok_or("it is refused")?)
}

#[tokio::test]
async fn a_peer_of_another_version_is_told_apart_with_both_ranges() -> Result {
    let reason = RefuseReason::IncompatibleVersion { ours: (9, 12), theirs: (1, 1) };
    let mut body = Vec::new();
    reason.encode(&mut body);
    let mut answer = b"\xf7rakt\n\x09\x0c".to_vec();
    answer.push(0x02);
    answer.extend_from_slice(&u32::try_from(body.len())?.to_be_bytes());
    assert_eq!(answer.len(), 8 + HEADER_LEN);
    answer.extend_from_slice(&body);
    let refusal = refusal_of_a_peer_that_says(answer).await?;
    let Refusal::Incompatible { source, .. } = &refusal else { panic!("{refusal:?}") };
    let text = Chain(source).to_string();
    assert!(text.contains("9..=12") && text.contains("1..=1"), "{text}");
    assert!(text.contains("1..=1 here, 9..=12 there"), "{text}");
    assert!(!refusal.is_transient(), "trying again does not help");
    Ok(())
}

#[tokio::test]
async fn a_peer_of_another_protocol_is_told_apart_by_name() -> Result {
    let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec();
    let refusal = refusal_of_a_peer_that_says(answer).await?;
    let Refusal::Incompatible { source, .. } = &refusal else { panic!("{refusal:?}") };
    assert!(source.to_string().contains("HTTP"), "{source}");
    assert!(matches!(source.get_ref().downcast_ref(), Some(HandshakeError::NotRakt { .. })));
    Ok(())
}

#[cfg(not(feature = "goakt"))]
#[tokio::test]
async fn an_address_of_a_go_node_is_refused_where_none_is_spoken_to() -> Result {
    let client = remote::Client::new("client", remote::ClientConfig::new())?;
    let actor = client.actor(&"goakt://shop@127.0.0.1:3321/orders".parse()?);
    let error = actor.stop().await.expect_err("not spoken here");
    assert!(matches!(error.refusal(), Some(Refusal::Unsupported { .. })), "{error}");
    Ok(())
}
