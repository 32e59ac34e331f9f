//! The listening side of a system.

use std::any::Any;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem::{Discriminant, discriminant};
use std::net::{IpAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::BytesMut;
use rakt_wire::Address;
#[cfg(feature = "goakt")]
use rakt_wire::goakt::Opening;
use rakt_wire::native::{CloseCode, Handshake, HandshakeError, Lane, RefuseReason};
use tokio::sync::watch;
use tokio::time::timeout_at;

use super::account::Account;
use super::admission::{Admission, Greeting, Permit, Source};
use super::caller::Caller;
use super::config::Config;
use super::dialer::Dialer;
use super::handshake::{HandshakeFailure, hello, shake_hands};
use super::io::{Farewell, say_goodbye};
use super::latch::Latch;
use super::native::{Accepted, ArrivalsReader, Conn, drive, leave};
use super::random::Random;
use super::resources::{Resources, log_peer};
use super::transport::{Listener, Stream, unbracketed};
use super::weak_map::{WeakSet, shrink};
use crate::error::Chain;
use crate::peer::Peer;
use crate::portable::PortableRef;
use crate::reference::ActorRef;
use crate::sync::Mutex;
use crate::system::core::Remoting;
use crate::system::{ActorSystem, Connecting, RemotingConfig, StartError, SystemBuilder};
use crate::timers::now;

/// The pause after the first failed accept; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause between two accepts that fail.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long the connections have to write their last bytes, and Go nodes to answer them, when this side
/// closes. 5 s.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What peers are told when this side closes.
const SHUTTING_DOWN: &str = "the node is shutting down";

pub(crate) struct Node {
    caller: Arc<Caller>,
    /// Who of the peers may have a connection here.
    admission: Arc<Admission>,
    listener: Mutex<Option<Box<dyn Listener>>>,
    /// Connections from peers.
    inbound: Mutex<WeakSet<Conn<Accepted>>>,
    lanes: Mutex<Lanes>,
    /// Connections from Go nodes; `None` where those are not served.
    #[cfg(feature = "goakt")]
    goakt: Option<Arc<super::goakt::Serving>>,
    /// True once nothing new is taken.
    draining: watch::Sender<bool>,
    /// Open once nobody listens any more.
    deaf: Latch,
}

impl Node {
    /// Checks the options and binds the address. Nothing is accepted before [`Node::listen`].
    pub(crate) async fn start(
        system: &ActorSystem,
        config: Config,
    ) -> Result<Arc<Self>, StartError> {
        let (options, listening) = config.check()?;
        let listener = options.transport.bind(&listening.host, listening.port).await;
        let listener = listener.map_err(|source| StartError::Bind {
            address: format!("{}:{}", listening.host, listening.port),
            source,
        })?;
        let (host, port) = match listening.advertised {
            Some((host, port)) => (host, port.unwrap_or(listener.port())),
            None => (reachable(&listening.host), listener.port()),
        };
        tracing::info!(system = system.name(), %host, port, "listening");
        if listening.allow_plaintext {
            tracing::warn!(host = %listening.host, "peers are talked to without encryption");
        }
        let random = Random::new(options.seed);
        let mut hello = hello(system.name(), &options, &random);
        hello.advertised = Some((host, port));
        hello.limits.receiver_window = listening.receiver_window;
        let resources = Resources::new(options, system.outlet().clone());
        let dialer = Dialer::new(resources, hello, random);
        Ok(Arc::new(Self {
            #[cfg(feature = "goakt")]
            goakt: match &dialer.resources.options.goakt {
                Some(goakt) => {
                    let (host, port) = (&listening.host, listener.port());
                    Some(super::goakt::Serving::new(goakt, &dialer.hello, host, port).await)
                }
                None => None,
            },
            caller: Caller::new(dialer, system.call_options().clone()),
            admission: Admission::new(listening.slots),
            listener: Mutex::new(Some(listener)),
            inbound: Mutex::default(),
            lanes: Mutex::default(),
            draining: watch::Sender::new(false),
            deaf: Latch::default(),
        }))
    }

    pub(crate) fn advertised(&self) -> (String, u16) {
        self.caller.dialer.hello.advertised.clone().unwrap_or_default()
    }

    pub(crate) fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// Starts to take connections. The system stays for as long as that, with or without handles.
    pub(crate) fn listen(self: &Arc<Self>, system: ActorSystem) {
        if let Some(listener) = self.listener.lock().take() {
            let node = self.clone();
            system.runtime().clone().spawn(async move {
                node.clone().accept(system, listener).await;
                node.deaf.open();
            });
        }
    }

    async fn accept(self: Arc<Self>, system: ActorSystem, mut listener: Box<dyn Listener>) {
        let mut draining = self.draining.subscribe();
        let mut pause = FIRST_PAUSE;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = draining.wait_for(|draining| *draining) => return,
            };
            match accepted {
                Ok((stream, from)) => {
                    pause = FIRST_PAUSE;
                    match self.admission.admit(Source::of(&from), now()) {
                        Ok(permit) => {
                            let newcomer = (stream, from, permit);
                            let welcome = self.clone().welcome(system.clone(), newcomer);
                            system.runtime().spawn(welcome);
                        }
                        Err(limit) => {
                            log_peer!(
                                self.resources(),
                                &from,
                                warn,
                                "closed a connection: far too many are open",
                                %from,
                                %limit
                            );
                        }
                    }
                }
                // Out of file descriptors, most likely: some will be free again. Without the pause
                // this loop would spin; without the loop the node would be deaf for ever.
                Err(error) => {
                    let topic = "cannot accept connections for now";
                    if self.resources().may_log(topic, "") {
                        tracing::warn!(%error, ?pause, "{topic}");
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn welcome(
        self: Arc<Self>,
        system: ActorSystem,
        (stream, from, permit): (Box<dyn Stream>, String, Permit),
    ) {
        let until = now() + self.resources().options.dial_timeout;
        let (stream, early, opening) = match timeout_at(until.into(), self.open(stream)).await {
            Ok(Ok(Some(opened))) => opened,
            Ok(Ok(None)) => return tracing::debug!(%from, "a peer left without a word"),
            Ok(Err(error)) => {
                log_peer!(self.resources(), &from, warn, "refused a peer", %from, %error);
                return;
            }
            Err(_) => return self.was_late(&from),
        };
        match opening {
            Opening::Native => {
                let greeting = Greeting { peer: Peer::unproven(&from), permit, until };
                self.welcome_native(system, stream, greeting, early).await;
            }
            #[cfg(feature = "goakt")]
            Opening::GoAkt(compression) => {
                let Some(goakt) = &self.goakt else { return };
                // There is no way to tell a Go node why.
                if let Some(limit) = permit.crowded() {
                    let topic = "closed a connection: too many are open";
                    if self.resources().may_log(topic, &from) {
                        tracing::warn!(%from, %limit, "{topic}");
                    }
                } else if !*self.draining.borrow() {
                    let greeting = Greeting { peer: Peer::unproven(&from), permit, until };
                    let dialer = &self.caller.dialer;
                    goakt.serve(dialer, system, stream, (greeting, compression), early).await;
                }
            }
            #[cfg(feature = "goakt")]
            opening => {
                log_peer!(self.resources(), &from, warn, "refused a peer", %from, %opening);
            }
        }
    }

    /// Finds out which dialect a peer speaks, and returns what was read for that; `None` if it leaves
    /// before.
    async fn open(
        &self,
        stream: Box<dyn Stream>,
    ) -> std::io::Result<Option<(Box<dyn Stream>, BytesMut, Opening)>> {
        // What lies between the transport and the dialect, such as encryption, goes on here.
        #[cfg(feature = "goakt")]
        if self.goakt.is_some() {
            let (mut stream, mut early) = (stream, BytesMut::new());
            let opening = super::goakt::open(&mut *stream, &mut early).await?;
            return Ok(opening.map(|opening| (stream, early, opening)));
        }
        Ok(Some((stream, BytesMut::new(), Opening::Native)))
    }

    fn resources(&self) -> &Resources {
        &self.caller.dialer.resources
    }

    /// A peer has not greeted in time.
    fn was_late(&self, from: &str) {
        let limit = self.resources().options.dial_timeout;
        log_peer!(self.resources(), from, warn, "a peer did not greet in time", %from, ?limit);
    }

    /// Whether native peers are served.
    fn serves_native(&self) -> bool {
        #[cfg(feature = "goakt")]
        if let Some(goakt) = &self.goakt {
            return goakt.serves_native();
        }
        true
    }

    async fn welcome_native(
        self: &Arc<Self>,
        system: ActorSystem,
        mut stream: Box<dyn Stream>,
        greeting: Greeting,
        early: BytesMut,
    ) {
        let Greeting { peer: who, mut permit, until } = greeting;
        let from = who.from();
        let dialer = &self.caller.dialer;
        let mut handshake = Handshake::accept(dialer.hello.clone());
        if permit.crowded().is_some() {
            handshake.refuse(RefuseReason::TooManyConnections);
        } else if *self.draining.borrow() {
            handshake.refuse(RefuseReason::ShuttingDown);
        } else if !self.serves_native() {
            let text = "this node serves only peers that speak GoAkt".to_owned();
            handshake.refuse(RefuseReason::Denied(text));
        }
        let (mut newcomer, source) = (None, permit.counted());
        let greeted = || match *self.draining.borrow() {
            true => Err(RefuseReason::ShuttingDown),
            false => permit.greet(now()).map_err(|_| RefuseReason::TooManyConnections),
        };
        let shaken = shake_hands(&mut *stream, handshake, early, greeted, |session| {
            let account = Account::of(dialer.resources.clone(), source);
            let half = Accepted::new(session, account.clone());
            let conn = Conn::new(account, half, session, who.clone());
            let turn = match session.peer.lane {
                Some(lane) => self.lanes.lock().enter(lane, &conn)?,
                None => Turn::First,
            };
            let lane = session.peer.lane;
            // Before the peer hears that it is taken: what it sends from then on has an outcome.
            self.inbound.lock().insert(&conn);
            newcomer = Some((Newcomer { conn, lane, node: self.clone() }, turn));
            Ok(())
        });
        let (session, early) = match timeout_at(until.into(), shaken).await {
            Ok(Ok(done)) => done,
            Ok(Err(error @ HandshakeFailure::Silent)) => {
                return tracing::debug!(%from, "{error}");
            }
            Ok(Err(error)) => {
                let topic = "refused a peer";
                if self.resources().may_log_of(topic, from, cause_of(&error)) {
                    tracing::warn!(%from, error = %Chain(&error), "{topic}");
                }
                if is_told(&error) {
                    say_goodbye(stream, Farewell::silent(true)).await;
                }
                return;
            }
            Err(_) => return self.was_late(from),
        };
        let Some((newcomer, turn)) = newcomer else { return };
        let conn = newcomer.conn.clone();
        if *self.draining.borrow() {
            dismiss(&conn);
        }
        conn.resources.link_up(&conn.link(), conn.compression);
        match turn {
            Turn::First => {}
            Turn::After(earlier) => {
                earlier.supersede();
                earlier.gone.opened().await;
            }
            Turn::TooLate => conn.close("a newer connection of the peer was here first"),
        }
        let reader = ArrivalsReader::new(system, conn.clone(), &session);
        drive(conn, stream, reader, early).await;
    }

    fn inbound(&self) -> Vec<Arc<Conn<Accepted>>> {
        self.inbound.lock().values()
    }

    /// Ends the connections from peers, also those that were about to come in when it began.
    async fn leave_inbound(&self) {
        loop {
            let mut conns = self.inbound();
            conns.retain(|conn| !conn.gone.is_open());
            if conns.is_empty() {
                return;
            }
            leave(&conns, CloseCode::ShuttingDown, SHUTTING_DOWN).await;
        }
    }
}

impl Remoting for Node {
    fn actor(&self, address: &Address) -> ActorRef {
        self.caller.actor(address)
    }

    fn reference(&self, portable: &PortableRef) -> ActorRef {
        self.caller.resolve(portable)
    }

    fn incarnation(&self) -> [u8; 16] {
        self.caller.dialer.hello.incarnation
    }

    fn drain(&self) {
        self.draining.send_replace(true);
        if self.listener.lock().take().is_some() {
            self.deaf.open();
        }
        self.inbound().iter().for_each(|conn| dismiss(conn));
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let goakt = async {
                #[cfg(feature = "goakt")]
                if let Some(goakt) = &self.goakt {
                    goakt.close(super::native::LEAVE_TIMEOUT).await;
                }
            };
            let all_over = async {
                // Whoever is told that this is over may listen on the port in turn.
                let deaf = self.deaf.opened();
                tokio::join!(self.caller.close(SHUTTING_DOWN), self.leave_inbound(), goakt, deaf)
            };
            drop(tokio::time::timeout(CLOSE_TIMEOUT, all_over).await);
        })
    }

    fn help(&self, stands_for: Option<Duration>) {
        let Dialer { resources, runtime, .. } = &*self.caller.dialer;
        // As if the peers had the same options.
        let silence = resources.options.read_idle_timeout;
        resources.pumps.help(runtime, stands_for, silence);
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl SystemBuilder {
    /// Connects the system to others. Default: no remoting.
    pub fn remoting(mut self, config: Config) -> Self {
        self.remoting = Some(Box::new(config));
        self
    }
}

impl RemotingConfig for Config {
    fn start(self: Box<Self>, system: ActorSystem) -> Connecting {
        Box::pin(async move {
            let node = Node::start(&system, *self).await?;
            system.connect(node.advertised(), node.clone());
            node.listen(system);
            Ok(())
        })
    }
}

/// Asks a peer to send nothing new.
fn dismiss(conn: &Conn<Accepted>) {
    conn.write(|writer| writer.goaway(CloseCode::ShuttingDown, SHUTTING_DOWN));
}

/// The newest connection of each lane.
#[derive(Default)]
struct Lanes(HashMap<[u8; 16], (u64, Weak<Conn<Accepted>>)>);

impl Lanes {
    /// Puts a connection into its lane.
    ///
    /// # Errors
    /// Another identity is in it: a connection that it opened would be ended by this one.
    fn enter(&mut self, lane: Lane, conn: &Arc<Conn<Accepted>>) -> Result<Turn, RefuseReason> {
        let mut taken = match self.0.entry(lane.id) {
            Entry::Vacant(free) => {
                free.insert((lane.turn, Arc::downgrade(conn)));
                return Ok(Turn::First);
            }
            Entry::Occupied(taken) => taken,
        };
        let earlier = taken.get().1.upgrade();
        if let Some(earlier) = &earlier {
            let (of, who) = (earlier.peer.who.identity(), conn.peer.who.identity());
            if !who.may_continue(of) {
                let text = format!("the lane in this hello is of another identity than {who}");
                return Err(RefuseReason::Denied(text));
            }
        }
        if taken.get().0 > lane.turn {
            return Ok(Turn::TooLate);
        }
        taken.insert((lane.turn, Arc::downgrade(conn)));
        Ok(earlier.map_or(Turn::First, Turn::After))
    }

    /// A connection has ended: its lane is empty, unless a newer one is there.
    fn leave(&mut self, lane: &[u8; 16], conn: &Arc<Conn<Accepted>>) {
        let is_last = |(_, last): &(u64, Weak<_>)| std::ptr::eq(last.as_ptr(), Arc::as_ptr(conn));
        if self.0.get(lane).is_some_and(is_last) {
            self.0.remove(lane);
            shrink(&mut self.0);
        }
    }
}

/// When a connection has its turn.
enum Turn {
    First,
    /// Once this one has ended.
    After(Arc<Conn<Accepted>>),
    /// Never: its dialer has given up on it and has a newer one.
    TooLate,
}

/// A connection that the next one of its lane may wait for: gone when this is dropped.
struct Newcomer {
    conn: Arc<Conn<Accepted>>,
    lane: Option<Lane>,
    node: Arc<Node>,
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        self.conn.gone.open();
        self.node.inbound.lock().remove(&self.conn);
        if let Some(lane) = &self.lane {
            self.node.lanes.lock().leave(&lane.id, &self.conn);
        }
    }
}

/// What a connection begins with: without the other dialect there is only one way.
#[cfg(not(feature = "goakt"))]
enum Opening {
    Native,
}

/// What tells causes of a failed handshake apart.
fn cause_of(error: &HandshakeFailure) -> Option<Discriminant<HandshakeError>> {
    match error {
        HandshakeFailure::Silent | HandshakeFailure::Io(_) => None,
        HandshakeFailure::Protocol(error) => Some(discriminant(error)),
    }
}

/// Whether the peer was sent the reason for which its handshake failed.
fn is_told(error: &HandshakeFailure) -> bool {
    match error {
        HandshakeFailure::Silent | HandshakeFailure::Io(_) => false,
        HandshakeFailure::Protocol(error) => !matches!(error, HandshakeError::NotRakt { .. }),
    }
}

/// The host by which others reach a node that listens on `host`.
fn reachable(host: &str) -> String {
    let bare = unbracketed(host);
    let unspecified = match bare.parse::<IpAddr>() {
        Ok(address) => address.is_unspecified(),
        Err(_) => false,
    };
    if !unspecified {
        return bare.to_owned();
    }
    // "Connecting" a UDP socket sends nothing; it only asks the routing table which address this
    // machine would use. The addresses asked about are reserved for documentation.
    let (local, remote) = match bare.contains(':') {
        true => ("[::]:0", "[2001:db8::1]:9"),
        false => ("0.0.0.0:0", "192.0.2.1:9"),
    };
    let asked = UdpSocket::bind(local).and_then(|socket| {
        socket.connect(remote)?;
        socket.local_addr()
    });
    match asked {
        Ok(address) if !address.ip().is_unspecified() => address.ip().to_string(),
        _ => {
            tracing::warn!(host, "no route to other machines: peers are told to use loopback");
            if bare.contains(':') { "::1".to_owned() } else { "127.0.0.1".to_owned() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Identity;
    use crate::remote::native::tests::{accepted, accepted_from};
    use crate::remote::resources::tests::resources;

    #[tokio::test]
    async fn connections_that_have_ended_are_forgotten() {
        let (resources, mut lanes) = (resources(), Lanes::default());
        for n in 0..100 {
            let conn = accepted(&resources);
            assert!(lanes.enter(Lane { id: [n; 16], turn: 1 }, &conn).is_ok());
            assert_eq!(lanes.0.len(), 1);
            lanes.leave(&[n; 16], &conn);
            assert_eq!(lanes.0.len(), 0);
        }
        // What came after it in its lane stays.
        let (earlier, later) = (accepted(&resources), accepted(&resources));
        assert!(lanes.enter(Lane { id: [1; 16], turn: 1 }, &earlier).is_ok());
        let turn = lanes.enter(Lane { id: [1; 16], turn: 2 }, &later);
        assert!(matches!(turn, Ok(Turn::After(before)) if Arc::ptr_eq(&before, &earlier)));
        lanes.leave(&[1; 16], &earlier);
        assert_eq!(lanes.0.len(), 1);
        lanes.leave(&[1; 16], &later);
        assert_eq!(lanes.0.len(), 0);
    }

    #[tokio::test]
    async fn a_lane_is_entered_by_the_identity_that_opened_it_alone() {
        let (resources, mut lanes) = (resources(), Lanes::default());
        let of = |name: &str| {
            let identity = Identity::proven([name.to_owned()]);
            accepted_from(&resources, Peer::new(identity, "10.0.0.8:1"))
        };
        let (own, thief, again) = (of("dns:own"), of("dns:thief"), of("dns:own"));
        assert!(matches!(lanes.enter(Lane { id: [1; 16], turn: 1 }, &own), Ok(Turn::First)));
        // Whatever its turn: it hears nothing of the other.
        for turn in [0, 1, 2, u64::MAX] {
            let Err(reason) = lanes.enter(Lane { id: [1; 16], turn }, &thief) else {
                panic!("it is another")
            };
            assert!(reason.to_string().ends_with("another identity than dns:thief"), "{reason}");
        }
        let turn = lanes.enter(Lane { id: [1; 16], turn: 2 }, &again);
        assert!(matches!(turn, Ok(Turn::After(before)) if Arc::ptr_eq(&before, &own)));
    }
}
