//! An actor that shows the test what reaches it, and what it is told.

use rakt::prelude::*;
use tokio::sync::mpsc;

use crate::messages::{Echo, Unlisted};
use crate::support::{Gate, within};

/// A number that [`Probe`] passes on to the test.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Number {
    #[prost(uint64, tag = "1")]
    pub(crate) n: u64,
}

/// Many bytes; the reply is how many, and as many again if `back` is set.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Blob {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) bytes: Vec<u8>,
    #[prost(bool, tag = "2")]
    pub(crate) back: bool,
}

/// How many bytes a [`Blob`] had.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Size {
    #[prost(uint64, tag = "1")]
    pub(crate) len: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) bytes: Vec<u8>,
}

/// Waits at the probe's gate.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Hold {}

/// Fails the handler.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Fail {
    #[prost(string, tag = "1")]
    pub(crate) why: String,
}

/// Answered with the address of the sender, or nothing.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WhoAsks {}

/// Has no codec.
pub(crate) struct LocalOnly;

rakt::messages! {
    Number as "tests.Number",
    Blob as "tests.Blob" => Size,
    Hold as "tests.Hold",
    Fail as "tests.Fail",
    WhoAsks as "tests.WhoAsks" => Echo,
    LocalOnly,
}

pub(crate) fn number(n: u64) -> Number {
    Number { n }
}

pub(crate) fn echo(text: &str) -> Echo {
    Echo { text: text.to_owned() }
}

/// Bytes that no compression makes smaller.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&next());
    }
    bytes.truncate(len);
    bytes
}

pub(crate) fn blob(len: usize) -> Blob {
    Blob { bytes: noise(len), back: false }
}

/// An actor that shows the test what reaches it, and can be held still.
#[derive(Clone)]
pub(crate) struct Probe {
    seen: mpsc::UnboundedSender<u64>,
    gate: Gate,
}

/// The test's side of a [`Probe`].
pub(crate) struct Seen {
    pub(crate) numbers: mpsc::UnboundedReceiver<u64>,
    pub(crate) gate: Gate,
}

impl Seen {
    /// The next number that a probe was told.
    pub(crate) async fn next(&mut self) -> u64 {
        within(self.numbers.recv()).await.expect("the probe lives")
    }

    /// The next `count` numbers.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<u64> {
        let mut numbers = Vec::with_capacity(count);
        while numbers.len() < count {
            numbers.push(self.next().await);
        }
        numbers
    }

    /// The numbers that have come and were not taken yet.
    pub(crate) fn so_far(&mut self) -> Vec<u64> {
        std::iter::from_fn(|| self.numbers.try_recv().ok()).collect()
    }
}

impl Probe {
    pub(crate) fn new() -> (Self, Seen) {
        let (seen, numbers) = mpsc::unbounded_channel();
        let gate = Gate::default();
        (Self { seen, gate: gate.clone() }, Seen { numbers, gate })
    }

    /// A probe called `name` on `system`.
    pub(crate) async fn spawn(system: &ActorSystem, name: &str) -> (ActorRef<Self>, Seen) {
        Self::with_mailbox(system, name, Mailbox::default()).await
    }

    pub(crate) async fn with_mailbox(
        system: &ActorSystem,
        name: &str,
        mailbox: Mailbox,
    ) -> (ActorRef<Self>, Seen) {
        let (probe, seen) = Self::new();
        let spawn = system.spawn(name, move || probe.clone()).mailbox(mailbox);
        (spawn.await.expect("a probe starts"), seen)
    }
}

impl Actor for Probe {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Number>().remote::<Echo>().remote::<Blob>().remote::<Hold>();
        accepts.remote::<Fail>().remote::<WhoAsks>();
    }
}

impl Handler<Number> for Probe {
    async fn handle(&mut self, Number { n }: Number, _: &mut Context<Self>) -> Result {
        // Fails only when the test is over.
        let _ = self.seen.send(n);
        Ok(())
    }
}

impl Handler<Echo> for Probe {
    async fn handle(&mut self, echo: Echo, _: &mut Context<Self>) -> Result<Echo> {
        Ok(echo)
    }
}

impl Handler<Blob> for Probe {
    async fn handle(&mut self, blob: Blob, _: &mut Context<Self>) -> Result<Size> {
        let len = blob.bytes.len() as u64;
        Ok(Size { len, bytes: if blob.back { blob.bytes } else { Vec::new() } })
    }
}

impl Handler<Hold> for Probe {
    async fn handle(&mut self, _: Hold, _: &mut Context<Self>) -> Result {
        self.gate.pass().await;
        Ok(())
    }
}

impl Handler<Fail> for Probe {
    async fn handle(&mut self, Fail { why }: Fail, _: &mut Context<Self>) -> Result {
        Err(why.into())
    }
}

impl Handler<WhoAsks> for Probe {
    async fn handle(&mut self, _: WhoAsks, ctx: &mut Context<Self>) -> Result<Echo> {
        Ok(Echo { text: ctx.sender().map(ToString::to_string).unwrap_or_default() })
    }
}

impl Handler<Unlisted> for Probe {
    async fn handle(&mut self, _: Unlisted, _: &mut Context<Self>) -> Result {
        Ok(())
    }
}

impl Handler<LocalOnly> for Probe {
    async fn handle(&mut self, _: LocalOnly, _: &mut Context<Self>) -> Result {
        Ok(())
    }
}
