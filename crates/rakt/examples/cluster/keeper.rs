//! What all nodes share: who is a member, and what the grains have saved. Here another process keeps both in memory, as
//! actors that the nodes ask. A service has etcd for the one and PostgreSQL for the other, and none of this file.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use rakt::cluster::{MemoryRegister, Register, RegisterError, SwapError, Version};
use rakt::grain::{
    ClaimError, DueReminder, Epoch, GrainId, GrainStore, MemoryStore, Reminder, SaveError,
    StoreError, Stored, Writer,
};
use rakt::prelude::*;
use rakt::remote::{Client, ClientConfig};

/// The newest view, and its version.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "keeper.Read", reply = Newest)]
struct Read {}

#[derive(Clone, PartialEq, prost::Message)]
struct Newest {
    #[prost(uint64, tag = "1")]
    version: u64,
    #[prost(bytes = "bytes", tag = "2")]
    view: Bytes,
}

/// Replaces the view; the answer is its version, or 0 where another one was there.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "keeper.Swap", reply = u64)]
struct Swap {
    #[prost(uint64, tag = "1")]
    over: u64,
    #[prost(bytes = "bytes", tag = "2")]
    view: Bytes,
}

/// Claims a grain; the answer is what is stored of it, or that another has it.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "keeper.Claim", reply = Claimed)]
struct Claim {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    key: String,
    #[prost(uint64, repeated, tag = "3")]
    epoch: Vec<u64>,
    #[prost(bytes = "vec", tag = "4")]
    incarnation: Vec<u8>,
    #[prost(uint64, tag = "5")]
    uid: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Claimed {
    /// The epoch that has it, if it was refused.
    #[prost(uint64, repeated, tag = "1")]
    by: Vec<u64>,
    #[prost(uint64, tag = "2")]
    version: u64,
    #[prost(bytes = "bytes", optional, tag = "3")]
    state: Option<Bytes>,
}

/// Replaces what is stored of a grain; the answer is its version, or 0 where another has the grain.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "keeper.Save", reply = u64)]
struct Save {
    #[prost(message, required, tag = "1")]
    claim: Claim,
    #[prost(uint64, tag = "2")]
    over: u64,
    #[prost(bytes = "bytes", optional, tag = "3")]
    state: Option<Bytes>,
}

impl Claim {
    fn new(grain: &GrainId, epoch: Epoch, writer: Writer) -> Self {
        Self {
            kind: grain.kind().to_owned(),
            key: grain.key().to_owned(),
            epoch: vec![epoch.generation, epoch.view, epoch.counter],
            incarnation: writer.incarnation.to_vec(),
            uid: writer.uid,
        }
    }

    fn parts(&self) -> Result<(GrainId, Epoch, Writer)> {
        let incarnation = self.incarnation.as_slice().try_into()?;
        let writer = Writer { incarnation, uid: self.uid };
        Ok((GrainId::new(&self.kind, &self.key)?, epoch(&self.epoch), writer))
    }
}

fn epoch(parts: &[u64]) -> Epoch {
    let part = |at: usize| parts.get(at).copied().unwrap_or_default();
    Epoch { generation: part(0), view: part(1), counter: part(2) }
}

/// Keeps who is a member.
#[derive(Clone, Default)]
struct RegisterKeeper {
    register: MemoryRegister,
    counts: Counts,
}

/// Keeps what the grains have saved.
#[derive(Clone, Default)]
struct StoreKeeper {
    store: Arc<MemoryStore>,
    counts: Counts,
}

/// How often the register was written, and a save of a grain refused since another had claimed it.
#[derive(Clone, Default)]
pub(crate) struct Counts {
    pub(crate) swaps: Arc<AtomicU64>,
    pub(crate) fenced: Arc<AtomicU64>,
}

impl Actor for RegisterKeeper {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Read>().remote::<Swap>();
    }
}

impl Actor for StoreKeeper {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Claim>().remote::<Save>();
    }
}

impl Handler<Read> for RegisterKeeper {
    async fn handle(&mut self, _: Read, _: &mut Context<Self>) -> Result<Newest> {
        let (Version(version), view) = self.register.read().await?;
        Ok(Newest { version, view })
    }
}

impl Handler<Swap> for RegisterKeeper {
    async fn handle(&mut self, swap: Swap, _: &mut Context<Self>) -> Result<u64> {
        let swapped = self.register.swap(Version(swap.over), swap.view).await;
        self.counts.swaps.fetch_add(u64::from(swapped.is_ok()), Ordering::Relaxed);
        Ok(swapped.map_or(0, |Version(version)| version))
    }
}

impl Handler<Claim> for StoreKeeper {
    async fn handle(&mut self, claim: Claim, _: &mut Context<Self>) -> Result<Claimed> {
        let (grain, epoch, writer) = claim.parts()?;
        match self.store.claim(&grain, epoch, writer).await {
            Ok(None) => Ok(Claimed::default()),
            Ok(Some(Stored { version, state })) => Ok(Claimed { by: Vec::new(), version, state }),
            Err(ClaimError::Superseded { by }) => {
                let by = vec![by.generation, by.view, by.counter];
                Ok(Claimed { by, ..Claimed::default() })
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Handler<Save> for StoreKeeper {
    async fn handle(&mut self, save: Save, _: &mut Context<Self>) -> Result<u64> {
        let (grain, epoch, writer) = save.claim.parts()?;
        let saved = self.store.save(&grain, (epoch, writer), save.over, save.state).await;
        self.counts.fenced.fetch_add(u64::from(saved.is_err()), Ordering::Relaxed);
        Ok(saved.unwrap_or(0))
    }
}

/// Has this process keep what the nodes share. Returns its system and port, and what it counts.
pub(crate) async fn keep() -> Result<(ActorSystem, Counts)> {
    let counts = Counts::default();
    let register = RegisterKeeper { counts: counts.clone(), ..RegisterKeeper::default() };
    let store = StoreKeeper { counts: counts.clone(), ..StoreKeeper::default() };
    let remoting = remote::Config::new("127.0.0.1", 0);
    let system = ActorSystem::builder("keeper").remoting(remoting).start().await?;
    system.spawn("register", move || register.clone()).await?;
    system.spawn("store", move || store.clone()).await?;
    Ok((system, counts))
}

/// What the nodes share, as they see it: a register, and a store.
#[derive(Clone)]
pub(crate) struct Shared {
    register: ActorRef<RegisterKeeper>,
    store: ActorRef<StoreKeeper>,
}

impl Shared {
    /// What the process keeps that listens on this port.
    pub(crate) async fn at(port: u16) -> Result<Self> {
        let client = Client::new("node", ClientConfig::default())?;
        let keeper = client.node("127.0.0.1", port);
        let register = keeper.lookup("register").await?.ok_or("no register is kept there")?;
        let store = keeper.lookup("store").await?.ok_or("no store is kept there")?;
        Ok(Self { register, store })
    }
}

impl Register for Shared {
    async fn read(&self) -> Result<(Version, Bytes), RegisterError> {
        let newest = self.register.ask(Read {}).await.map_err(RegisterError::new)?;
        Ok((Version(newest.version), newest.view))
    }

    async fn swap(&self, Version(over): Version, view: Bytes) -> Result<Version, SwapError> {
        match self.register.ask(Swap { over, view }).await {
            Ok(0) => Err(SwapError::Conflict),
            Ok(version) => Ok(Version(version)),
            Err(error) => Err(SwapError::Unknown(RegisterError::new(error))),
        }
    }
}

impl GrainStore for Shared {
    async fn claim(
        &self,
        grain: &GrainId,
        as_of: Epoch,
        writer: Writer,
    ) -> Result<Option<Stored>, ClaimError> {
        let claimed =
            self.store.ask(Claim::new(grain, as_of, writer)).await.map_err(StoreError::new)?;
        if !claimed.by.is_empty() {
            return Err(ClaimError::Superseded { by: epoch(&claimed.by) });
        }
        let Claimed { version, state, .. } = claimed;
        Ok((version > 0).then_some(Stored { version, state }))
    }

    async fn save(
        &self,
        grain: &GrainId,
        (epoch, writer): (Epoch, Writer),
        over: u64,
        state: Option<Bytes>,
    ) -> Result<u64, SaveError> {
        let claim = Claim::new(grain, epoch, writer);
        match self.store.ask(Save { claim, over, state }).await {
            Ok(0) => Err(SaveError::Fenced),
            Ok(version) => Ok(version),
            Err(error) => Err(SaveError::Unknown { source: rakt::error::Cause::new(error) }),
        }
    }

    // The grains here have no reminders.
    async fn remind(&self, _: &GrainId, _: &str, _: Reminder) -> Result<(), StoreError> {
        Err(StoreError::new("no reminders are kept"))
    }

    async fn forget(&self, _: &GrainId, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    async fn due(&self, _: &str, _: SystemTime, _: usize) -> Result<Vec<DueReminder>, StoreError> {
        Ok(Vec::new())
    }

    async fn settle(&self, _: &DueReminder, _: Option<Reminder>) -> Result<(), StoreError> {
        Ok(())
    }
}
