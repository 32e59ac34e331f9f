//! The listening side of a system.

use std::any::Any;
use std::mem::{Discriminant, discriminant};
use std::net::{IpAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rakt_wire::Address;
#[cfg(feature = "goakt")]
use rakt_wire::goakt::Opening;
#[cfg(feature = "goakt")]
use rakt_wire::native::NO_TLS_HERE;
use rakt_wire::native::{CloseCode, Handshake, HandshakeError, Hello, Lane, RefuseReason};
use tokio::sync::watch;
use tokio::time::timeout_at;

use super::account::Account;
use super::admission::{Admission, Greeting, Permit, Source};
use super::budget::Part;
use super::caller::Caller;
use super::config::Config;
use super::dialer::Dialer;
use super::handshake::{HandshakeFailure, hello, shake_hands};
use super::handshakes::{Gate, Handshakes, Handshaking, TooMany};
use super::io::{Farewell, say_goodbye};
use super::known::Known;
use super::lanes::{Lanes, Turn};
use super::latch::Latch;
use super::native::{Accepted, ArrivalsReader, Conn, drive, leave};
#[cfg(not(feature = "goakt"))]
use super::opened::Opening;
use super::opened::{Opened, is_by_peer};
use super::random::Random;
use super::resources::{Resources, log_peer};
use super::transport::{Listener, Stream, unbracketed};
use super::weak_map::WeakSet;
use crate::error::{BoxError, Chain};
use crate::message::allowance::Hold;
use crate::peer::Identity;
use crate::portable::PortableRef;
use crate::reference::ActorRef;
use crate::sync::Mutex;
use crate::system::core::{Members, Remoting};
use crate::system::{ActorSystem, Connecting, RemotingConfig, StartError, SystemBuilder};
use crate::timers::now;

/// The pause after the first failed accept; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause between two accepts that fail.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long the connections have to write their last bytes, and Go nodes to answer them, when this side
/// closes. 5 s.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// So many connections are taken before those that are there have their turn: a thousand that come at the same time
/// would all go before them.
const AT_ONCE: u32 = 8;

/// What peers are told when this side closes.
const SHUTTING_DOWN: &str = "the node is shutting down";

pub(crate) struct Node {
    caller: Arc<Caller>,
    /// Who of the peers may have a connection here.
    admission: Arc<Admission>,
    /// Who of them may take up TLS.
    handshakes: Arc<Handshakes>,
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
        #[allow(unused_mut, reason = "for encryption, which is a feature")]
        let (mut options, listening) = config.check()?;
        let listener = options.transport.bind(&listening.host, listening.port).await;
        let listener = listener.map_err(|source| StartError::Bind {
            address: format!("{}:{}", listening.host, listening.port),
            source,
        })?;
        let (host, port) = match listening.advertised {
            Some((host, port)) => (host, port.unwrap_or(listener.port())),
            None => (reachable(&listening.host), listener.port()),
        };
        #[cfg(feature = "_tls")]
        {
            let listens = match unbracketed(&listening.host).parse::<IpAddr>() {
                Ok(address) if address.is_unspecified() => "localhost",
                _ => &listening.host,
            };
            options.start_tls(system.name(), &[listens, &host])?;
            if let Some(layer) = &options.layer {
                layer.note_own(system.name(), &host);
            }
        }
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
            handshakes: Handshakes::new(
                listening.handshakes,
                listening.slots.limits_loopback,
                system.runtime().metrics().num_workers(),
            ),
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
        let mut taken = 0_u32;
        loop {
            taken += 1;
            if taken.is_multiple_of(AT_ONCE) {
                tokio::task::yield_now().await;
            }
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
        // What comes before the connection is there is apart from what lasts as long: it needs room for a while.
        let opening = Box::pin(self.open(stream, &from));
        let opened = match timeout_at(until.into(), opening).await {
            Ok(Ok(Some(opened))) => opened,
            Ok(Ok(None)) => return tracing::debug!(%from, "a peer left without a word"),
            Ok(Err(error)) => {
                let (resources, shown) = (self.resources(), Chain(&*error));
                match is_by_peer(&error) {
                    true => {
                        log_peer!(resources, &from, warn, "a peer refuses this node", %from, error = %shown)
                    }
                    false => {
                        log_peer!(resources, &from, warn, "refused a peer", %from, error = %shown)
                    }
                }
                return;
            }
            Err(_) => return self.was_late(&from),
        };
        let greeting = Greeting { peer: opened.known.peer.clone(), permit, until };
        match opened.opening {
            Opening::Native => {
                let greeted = Box::pin(self.welcome_native(system, opened, greeting)).await;
                if let Some(Welcomed { newcomer, stream, reader, early, held: _held }) = greeted {
                    drive(newcomer.conn.clone(), stream, reader, early).await;
                }
            }
            #[cfg(feature = "goakt")]
            Opening::GoAkt(compression) => {
                Box::pin(self.welcome_go(system, opened, greeting, compression)).await;
            }
            #[cfg(feature = "goakt")]
            opening => {
                let from = greeting.peer.from();
                log_peer!(self.resources(), from, warn, "refused a peer", %from, %opening);
                if opening == Opening::Tls {
                    let farewell = Farewell::new(NO_TLS_HERE.to_vec(), ());
                    say_goodbye(opened.stream, farewell).await;
                }
            }
        }
    }

    #[cfg(feature = "goakt")]
    async fn welcome_go(
        &self,
        system: ActorSystem,
        Opened { stream, known, early, refusal, .. }: Opened,
        greeting: Greeting,
        compression: rakt_wire::Compression,
    ) {
        let Some(goakt) = &self.goakt else { return };
        let from = greeting.peer.from();
        // There is no way to tell a Go node why.
        let why = match greeting.permit.crowded() {
            Some(limit) => Some(limit.to_string()),
            None => refusal.map(|refusal| refusal.to_string()),
        };
        if let Some(why) = why {
            log_peer!(self.resources(), from, warn, "closed a connection of a Go node", %from, %why);
        } else if !*self.draining.borrow() {
            let dialer = &self.caller.dialer;
            goakt.serve(dialer, system, (stream, known), (greeting, compression), early).await;
        }
    }

    async fn open(&self, stream: Box<dyn Stream>, from: &str) -> Result<Option<Opened>, BoxError> {
        #[cfg(feature = "goakt")]
        let may_be_go = self.goakt.is_some();
        #[cfg(not(feature = "goakt"))]
        let may_be_go = false;
        let gate = Entrance { node: self, from };
        Opened::of(stream, from, &self.resources().options, &gate, may_be_go).await
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
        Opened { mut stream, known, early, refusal, .. }: Opened,
        greeting: Greeting,
    ) -> Option<Welcomed> {
        let Greeting { peer: who, mut permit, until } = greeting;
        let from = who.from();
        let dialer = &self.caller.dialer;
        let mut handshake = Handshake::accept(dialer.hello.clone());
        if permit.crowded().is_some() {
            handshake.refuse(RefuseReason::TooManyConnections);
        } else if let Some(refusal) = refusal {
            handshake.refuse(refusal);
        } else if *self.draining.borrow() {
            handshake.refuse(RefuseReason::ShuttingDown);
        } else if !self.serves_native() {
            let text = "this node serves only peers that speak GoAkt".to_owned();
            handshake.refuse(RefuseReason::Denied(text));
        }
        let (mut newcomer, source) = (None, permit.counted());
        let greeted = |hello: &Hello| match *self.draining.borrow() {
            true => Err(RefuseReason::ShuttingDown),
            false => {
                known.check(hello)?;
                permit.greet(now()).map_err(|_| RefuseReason::TooManyConnections)
            }
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
            #[cfg(feature = "_tls")]
            known.guard(&conn);
            // Before the peer hears that it is taken: what it sends from then on has an outcome.
            self.inbound.lock().insert(&conn);
            newcomer = Some((Newcomer { conn, lane, node: self.clone() }, turn));
            Ok(())
        });
        let (session, early) = match timeout_at(until.into(), shaken).await {
            Ok(Ok(done)) => done,
            Ok(Err(error @ HandshakeFailure::Silent)) => {
                tracing::debug!(%from, "{error}");
                return None;
            }
            Ok(Err(error)) => {
                let topic = "refused a peer";
                if self.resources().may_log_of(topic, from, cause_of(&error)) {
                    tracing::warn!(%from, error = %Chain(&error), "{topic}");
                }
                if is_told(&error) {
                    say_goodbye(stream, Farewell::silent(true)).await;
                }
                return None;
            }
            Err(_) => {
                self.was_late(from);
                return None;
            }
        };
        let (newcomer, turn) = newcomer?;
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
        Some(Welcomed { newcomer, stream, reader, early, held: (permit, known) })
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

    fn policy(&self) -> String {
        self.caller.dialer.resources.policies.current().to_string()
    }

    fn hear_members(&self, are: Members) {
        self.resources().for_members.tell(are);
    }

    fn only_for_members(&self, path: &str) {
        self.resources().for_members.add(path);
    }

    fn known_as(&self) -> Option<Identity> {
        #[cfg(feature = "_tls")]
        return self.caller.dialer.resources.options.layer.as_ref().map(|layer| layer.known_as());
        #[cfg(not(feature = "_tls"))]
        None
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

/// Where connections come in.
struct Entrance<'a> {
    node: &'a Node,
    /// Where this one comes from.
    from: &'a str,
}

impl Gate for Entrance<'_> {
    fn begin(&self) -> Result<Handshaking, TooMany> {
        let (Node { handshakes, admission, .. }, now) = (self.node, now());
        let source = Source::of(self.from);
        handshakes.begin(source, admission.knows(source, now), now)
    }

    fn hold(&self) -> Box<dyn Hold> {
        let source = self.node.admission.limited(Source::of(self.from));
        Box::new(
            Account::of(self.node.caller.dialer.resources.clone(), source).count(Part::Frames, 0),
        )
    }
}

/// A connection that is there.
struct Welcomed {
    newcomer: Newcomer,
    stream: Box<dyn Stream>,
    reader: ArrivalsReader,
    early: BytesMut,
    /// Its place among all, and what it has proven: as long as it is there.
    held: (Permit, Known),
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
        HandshakeFailure::Protocol(error) => error.is_told(),
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
