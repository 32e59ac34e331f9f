//! What becomes of calls to a node of GoAkt v4?

use rakt::error::Chain;
use rakt::remote::{Client, ClientConfig, Compression, GoAkt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::messages::Echo;
use crate::nodes::dead_letter;
use crate::support::within;

/// Serves a connection as v4 does: it acknowledges a tell whatever is in it, and closes the connection when it does not
/// know the name of a frame.
async fn serve_v4(mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        let mut head = [0; 8];
        stream.read_exact(&mut head).await?;
        let len = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("four bytes"));
        let mut rest = vec![0; len(0) as usize - 8];
        stream.read_exact(&mut rest).await?;
        // With a section for metadata the name is further behind.
        let is_tell = rest.windows(28).take(5).any(|name| name == b"internalpb.RemoteTellRequest");
        if !is_tell {
            return Ok(());
        }
        let done = b"\0\0\0\x25\0\0\0\x1dinternalpb.RemoteTellResponse";
        stream.write_all(done).await?;
    }
}

#[tokio::test]
async fn what_a_node_of_v4_is_told_is_not_taken_for_delivered() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
    let port = listener.local_addr().expect("it listens").port();
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_v4(stream));
        }
    });
    let options = GoAkt::new().compression(Compression::None);
    let client = Client::new("caller", ClientConfig::new().goakt(options)).expect("valid");
    let mut events = client.events();
    let address = format!("goakt://go4@127.0.0.1:{port}/echo").parse().expect("an address");
    let echo = || Echo { text: "lost".to_owned() };
    let is_named = |text: String| assert!(text.contains("GoAkt v3.14 (v4 hangs up)"), "{text}");
    let told = within(client.tell(&address, echo()).confirmed()).await;
    is_named(Chain(&told.expect_err("it is not understood")).to_string());
    let asked = within(client.ask(&address, echo())).await;
    is_named(Chain(&asked.expect_err("it is not understood")).to_string());
    within(client.tell(&address, echo())).await.expect("it is on its way");
    is_named(Chain(&dead_letter(&mut events).await.reason).to_string());
    serving.abort();
}
