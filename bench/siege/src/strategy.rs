//! The ways to say something until it hurts.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::Result;
use crate::over::Over;
use crate::peer::{Ears, Line, Peer};
use crate::phrase::{Opening, Phrase, Size};

/// Bytes that are written at once where many small parts are said.
const PIECE: usize = 64 * 1024;
/// Between two attempts of a peer that was shown the door.
const BREATH: Duration = Duration::from_millis(2);
/// Between two bytes of a peer that takes its time.
const TRICKLE: Duration = Duration::from_millis(1);

/// A way to say something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// Small parts, as fast as the node takes them.
    Repeat,
    /// One part on each connection, without its end.
    Unfinished,
    /// A burst of parts, and then silence.
    Idle,
    /// A few parts, and the connection is cut; again and again.
    Disconnect,
    /// A few parts on each of very many connections.
    Many,
    /// The largest parts with the most distinct names, as fast as the node takes them.
    Largest,
    /// Parts of both sizes, and no answer is ever read.
    Deaf,
    /// One part after another, byte by byte.
    Trickle,
}

impl Strategy {
    pub(crate) const ALL: [Self; 8] = [
        Self::Repeat,
        Self::Unfinished,
        Self::Idle,
        Self::Disconnect,
        Self::Many,
        Self::Largest,
        Self::Deaf,
        Self::Trickle,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Repeat => "repeat",
            Self::Unfinished => "unfinished",
            Self::Idle => "idle",
            Self::Disconnect => "disconnect",
            Self::Many => "many",
            Self::Largest => "largest",
            Self::Deaf => "deaf",
            Self::Trickle => "trickle",
        }
    }

    /// Connections that are open at a time.
    pub(crate) fn connections(self, phrase: &Phrase) -> usize {
        match self {
            Self::Unfinished if phrase.opening == Opening::Nothing => 1_200,
            Self::Repeat => 2,
            Self::Unfinished => 96,
            Self::Idle => 16,
            Self::Disconnect => 8,
            Self::Many => 256,
            Self::Largest => 4,
            Self::Deaf => 12,
            Self::Trickle => 48,
        }
    }

    /// Says `phrase` in this way over `connections` connections until `until`, and then leaves.
    pub(crate) async fn run(
        self,
        (port, over): (u16, &'static Over),
        phrase: Arc<Phrase>,
        connections: usize,
        until: Instant,
    ) {
        let mut peers = JoinSet::new();
        for n in 0..connections {
            // Strangers come from elsewhere than the honest client.
            let source = Ipv4Addr::new(127, 0, 1, (n % 4 + 1) as u8);
            let line = Line { port, over, source };
            let phrase = phrase.clone();
            peers.spawn(async move {
                let _ = timeout_at(until, self.besiege(line, &phrase)).await;
            });
        }
        peers.join_all().await;
    }

    /// One connection, or one after another. Ends with the time of whoever calls it.
    pub(crate) async fn besiege(self, line: Line, phrase: &Phrase) {
        loop {
            let held = match self {
                Self::Repeat => repeat(line, phrase).await,
                Self::Unfinished => unfinished(line, phrase).await,
                Self::Idle => idle(line, phrase).await,
                Self::Disconnect => disconnect(line, phrase).await,
                Self::Many => many(line, phrase).await,
                Self::Largest => largest(line, phrase).await,
                Self::Deaf => deaf(line, phrase).await,
                Self::Trickle => trickle(line, phrase).await,
            };
            if let Ok(peer) = held {
                // It is held for as long as there is time.
                sleep(Duration::from_secs(100_000)).await;
                drop(peer);
            }
            sleep(BREATH).await;
        }
    }
}

/// What a strategy comes to: a connection to hold on to.
type Held = Result<Peer>;

/// Says small parts in one piece, `count` at most.
async fn say_small(peer: &mut Peer, phrase: &Phrase, count: usize) -> Result {
    let mut piece = Vec::new();
    for _ in 0..count {
        if piece.len() >= PIECE {
            break;
        }
        piece.extend(phrase.say(peer.next(), Size::Small));
    }
    peer.say(&piece).await
}

async fn say_one(peer: &mut Peer, phrase: &Phrase, size: Size) -> Result {
    let at = peer.next();
    peer.say(&phrase.say(at, size)).await
}

async fn repeat(line: Line, phrase: &Phrase) -> Held {
    let mut peer = Peer::open(line, phrase, Ears::Open).await?;
    loop {
        say_small(&mut peer, phrase, usize::MAX).await?;
    }
}

async fn unfinished(line: Line, phrase: &Phrase) -> Held {
    let mut peer = Peer::open(line, phrase, Ears::Open).await?;
    let at = peer.next();
    peer.say(&phrase.begin(at)).await?;
    Ok(peer)
}

async fn idle(line: Line, phrase: &Phrase) -> Held {
    let mut peer = Peer::open(line, phrase, Ears::Open).await?;
    for _ in 0..16 {
        say_small(&mut peer, phrase, 1_000).await?;
    }
    say_one(&mut peer, phrase, Size::Medium).await?;
    Ok(peer)
}

async fn disconnect(line: Line, phrase: &Phrase) -> Held {
    loop {
        let mut peer = Peer::open(line, phrase, Ears::Open).await?;
        // What fails here is no loss: the connection ends anyway.
        let _ = say_small(&mut peer, phrase, 100).await;
        let at = peer.next();
        let _ = peer.say(&phrase.begin(at)).await;
    }
}

async fn many(line: Line, phrase: &Phrase) -> Held {
    let mut peer = Peer::open(line, phrase, Ears::Open).await?;
    say_small(&mut peer, phrase, 100).await?;
    say_one(&mut peer, phrase, Size::Medium).await?;
    Ok(peer)
}

async fn largest(line: Line, phrase: &Phrase) -> Held {
    let mut peer = Peer::open(line, phrase, Ears::Open).await?;
    loop {
        say_one(&mut peer, phrase, Size::Large).await?;
    }
}

async fn deaf(line: Line, phrase: &Phrase) -> Held {
    let mut peer = Peer::open(line, phrase, Ears::Shut).await?;
    loop {
        for _ in 0..16 {
            say_small(&mut peer, phrase, 1_000).await?;
        }
        say_one(&mut peer, phrase, Size::Medium).await?;
    }
}

async fn trickle(line: Line, phrase: &Phrase) -> Held {
    let mut peer = Peer::open(line, phrase, Ears::Open).await?;
    loop {
        // Some phrases say nothing, and others must have their turn.
        tokio::task::yield_now().await;
        let at = peer.next();
        for byte in phrase.say(at, Size::Medium) {
            peer.say(&[byte]).await?;
            sleep(TRICKLE).await;
        }
    }
}
