//! The actor that hears what other members say.

use std::collections::HashMap;
use std::sync::Arc;

use rakt_cluster::Seat;
use rakt_cluster::participant::{Envelope, Message};

use super::message::Said;
use crate::actor::{Accepts, Actor, Handler};
use crate::cell::{Cell, Setup};
use crate::context::Context;
use crate::error::{BoxError, Chain, Declined, Refusal, Result};
use crate::events::Event;
use crate::mailbox::Mailbox;
use crate::peer::{KnownPeer, Peer};
use crate::runner::Runner;
use crate::spawn::class_of;
use crate::system::core::{ActorSystem, MEMBER};

/// So many messages wait for the participant; more are refused, and said again.
const WAITING: u32 = 100_000;

/// So many members are remembered with the peers that have spoken for them, and then all are looked at again.
const REMEMBERED: usize = 4096;

/// Takes what other members say.
pub(super) type Hear = Arc<dyn Fn(Envelope) + Send + Sync>;
/// On which host a member is, if there is one.
pub(super) type HostOf = Arc<dyn Fn(Seat) -> Option<String> + Send + Sync>;

/// Hears what other members say: who is none does not get through to it.
struct Ear {
    hear: Hear,
    host_of: HostOf,
    /// Who has last spoken for a member, and may.
    heard: HashMap<Seat, KnownPeer>,
}

impl Ear {
    /// Whether a peer may speak for a member: one whose certificate has to name its host cannot speak for those on others.
    ///
    /// # Errors
    /// On which host that member is.
    fn check(&mut self, peer: Option<&Peer>, envelope: &Envelope) -> Result<(), String> {
        let (Some(peer), member) = (peer, envelope.from) else { return Ok(()) };
        // Who is in no view yet says where it is.
        if let Message::Join(new) = &envelope.message {
            return if peer.may_be_at(&new.host) { Ok(()) } else { Err(new.host.clone()) };
        }
        if self.heard.get(&member).is_some_and(|known| known.is(peer)) {
            return Ok(());
        }
        // Of one that is not known yet the next view tells, and nothing is done for it before that.
        let Some(host) = (self.host_of)(member) else { return Ok(()) };
        if !peer.may_be_at(&host) {
            return Err(host);
        }
        if self.heard.len() >= REMEMBERED {
            self.heard.clear();
        }
        self.heard.insert(member, peer.downgrade());
        Ok(())
    }
}

impl Actor for Ear {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Said>();
    }
}

impl Handler<Said> for Ear {
    async fn handle(&mut self, Said(bytes): Said, ctx: &mut Context<Self>) -> Result {
        match Envelope::decode(&bytes) {
            Ok(envelope) => {
                if let Err(host) = self.check(ctx.peer(), &envelope) {
                    return Err(not_its_own(ctx, &host));
                }
                (self.hear)(envelope);
            }
            Err(error) => {
                let outlet = ctx.system().outlet();
                if outlet.actor_log.allows("a member cannot be understood", MEMBER) {
                    let peer = ctx.peer();
                    tracing::warn!(?peer, error = %Chain(&error), "a member cannot be understood");
                }
                return Err(Declined::new(error).into());
            }
        }
        Ok(())
    }
}

/// Alarms of a peer that has spoken for a member on another host.
fn not_its_own(ctx: &Context<Ear>, host: &str) -> BoxError {
    let who = ctx.peer().map_or_else(String::new, |peer| peer.identity().to_string());
    let what = format!(
        "{who} has spoken for the member on {host:?}, and its certificate is for another host: it is not heard"
    );
    if ctx.system().outlet().actor_log.allows("a peer speaks for a member", &who) {
        tracing::error!(node = %ctx.system().name(), "the cluster: {what}");
        ctx.system().publish(|| Event::ClusterAlarm { what: what.clone() });
    }
    Declined::new(what).into()
}

/// Has members be heard.
pub(super) async fn begin(
    system: &ActorSystem,
    hear: Hear,
    host_of: HostOf,
) -> Result<(), Refusal> {
    let internal = |text: String| Refusal::Internal { source: text.into() };
    let class = class_of::<Ear>(system).map_err(|error| internal(error.to_string()))?;
    let mut setup = Setup::default();
    setup.mailbox = Mailbox::bounded(WAITING);
    let uid = system.next_uid();
    let cell = Cell::new(system.clone(), MEMBER.into(), uid, class, setup, None);
    if !system.0.registry.add(cell.clone()) {
        return Err(Refusal::NameTaken);
    }
    crate::metrics::actor_started();
    let ear = move || Ear { hear: hear.clone(), host_of: host_of.clone(), heard: HashMap::new() };
    let started = Runner::start(cell, Box::new(ear)).await;
    started.map_err(|fault| internal(fault.to_string()))
}

#[cfg(all(test, feature = "_tls"))]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use rakt_cluster::propose::Newcomer;
    use rakt_cluster::{Incarnation, NodeId, View};

    use super::*;
    use crate::cluster::{Config, MemoryRegister, Register};
    use crate::remote::certificate::{Authority, Request};
    use crate::remote::{self, Tls};

    async fn within<F: Future>(future: F) -> F::Output {
        tokio::time::timeout(Duration::from_secs(60), future).await.expect("it ends in time")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_member_is_heard_from_its_own_host_alone() -> Result {
        let (authority, register) = (Authority::generate("prod")?, MemoryRegister::new());
        let tls = |host: &str| -> Result<Tls> {
            let request = Request::new("node").uri("rakt://prod/cluster").host(host);
            let issued = authority.issue(&request)?;
            let (chain, key) = (issued.certificate_pem(), issued.key_pem());
            Ok(Tls::from_pem(chain, key, authority.certificate_pem()))
        };
        let start = async |host: &str| -> Result<ActorSystem> {
            let remoting = remote::Config::new("127.0.0.1", 0).advertised_host(host);
            let builder = ActorSystem::builder("cluster").remoting(remoting.tls(tls(host)?));
            Ok(within(builder.cluster(Config::on(register.clone())).start()).await?)
        };
        // They are let in, so they hear each other.
        let (first, second) = (start("127.0.0.1").await?, start("localhost").await?);
        assert_eq!(second.members().ok_or("it is in one")?.up().count(), 2);
        let mut events = second.events();

        let view = View::decode(&within(register.read()).await?.1)?;
        let seat = |host: &str| {
            let mut members = view.members().iter();
            members.find(|member| member.host == host).map(|member| member.seat())
        };
        let from = seat("127.0.0.1").ok_or("it is a member")?;
        let to = seat("localhost").ok_or("it is a member")?;
        let (cluster, at) = (view.cluster(), view.stamp());
        let text = "has spoken for the member on \"127.0.0.1\"";
        let comes = |id| Newcomer {
            id: NodeId(id),
            incarnation: Incarnation(id),
            host: "127.0.0.1".to_owned(),
            port: 9,
            roles: BTreeSet::new(),
            zone: String::new(),
            weight: 0,
            level: view.level(),
        };
        for (id, host, is_heard) in [(1, "127.0.0.9", false), (2, "127.0.0.1", true)] {
            let client =
                remote::Client::new("cluster", remote::ClientConfig::new().tls(tls(host)?))?;
            let member = client.actor(&second.address(MEMBER)?);
            let new = comes(id);
            let outside = Seat { id: new.id, incarnation: new.incarnation, joined: 0 };
            let accuse = Message::Accuse { accused: to, accuses: false };
            for (from, message) in [(from, accuse), (outside, Message::Join(new))] {
                let envelope = Envelope { cluster, from, to, at, message };
                let told = within(member.ask(Said(envelope.encode().into())).into_future()).await;
                assert_eq!(told.is_ok(), is_heard, "{host}: {told:?}");
                if let Err(error) = told {
                    let error = Chain(&error).to_string();
                    assert!(error.contains(text), "{error}");
                }
            }
            client.close().await;
        }
        let alarm = events.find(|event| match event {
            Event::ClusterAlarm { what } => Some(what),
            _ => None,
        });
        assert!(within(alarm).await.ok_or("it lives")?.contains(text));
        // Who is heard is put into a view if it asks for that.
        let listed = loop {
            let view = View::decode(&within(register.read()).await?.1)?;
            if view.node(NodeId(2)).is_some() {
                break view;
            }
            let is_change = |event| matches!(event, Event::ClusterChanged { .. }).then_some(());
            within(events.find(is_change)).await.ok_or("it lives")?;
        };
        assert!(listed.node(NodeId(1)).is_none(), "{listed:?}");
        for node in [second, first] {
            within(node.shutdown()).await;
        }
        Ok(())
    }
}
