//! The handshakes of a node, or of a client.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use rakt_wire::Dialect;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::AsyncReadExt;

use super::claims::{self, ClaimError, server_name};
use super::credential::{Credential, Guarded, Link};
use super::hello::{HANDSHAKE, Hello, MAX_HELLO};
use super::material::{ALPN, Material};
use super::names::{Names, is_for};
use super::source::{Holders, Supply};
use super::stream::{TlsStream, accept, connect};
use super::verify::Verify;
use super::{Tls, reason};
use crate::error::Refusal;
use crate::error::tls::TlsError;
use crate::peer::Identity;
use crate::remote::handshakes::{Entering, TooMany};
use crate::remote::transport::{Stream, unbracketed};
use crate::sync::Mutex;

/// How long a peer may take to send the first message of its handshake. 2 s.
pub(crate) const FIRST_MESSAGE: Duration = Duration::from_secs(2);

/// So many bytes are there for the first ones, as long as a peer is silent.
const FIRST_READ: usize = 64;
/// And so many once it is not.
const NEXT_READ: usize = 2 * 1024;

pub(crate) struct TlsLayer {
    supply: Supply,
    verify: Verify,
    server_names: BTreeMap<Box<str>, Box<str>>,
    allow_anonymous: bool,
    reload_every: Duration,
    replace_every: Duration,
    holders: Holders,
    material: Mutex<Arc<Material>>,
    /// Held while something is read: what was read first does not take the place of what came after.
    loading: Mutex<()>,
    /// The certificates of the peers that are connected, by a hash of their chain.
    credentials: Mutex<HashMap<u64, Weak<Credential>>>,
    hasher: RandomState,
    /// The system of this node, and the host by which it is reached, once they are known.
    own: OnceLock<(Box<str>, Box<str>)>,
}

/// A connection after its handshake.
pub(crate) struct Secured {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) proof: Proof,
    /// Both sides have agreed to speak rakt's own protocol.
    pub(crate) is_native: bool,
}

/// Who is at the other end, and what proves it.
pub(crate) struct Proof {
    pub(crate) identity: Identity,
    credential: Option<Arc<Credential>>,
    dialed: Option<ServerName<'static>>,
    /// What was shown and trusted here.
    material: Arc<Material>,
}

/// Why there is no encrypted connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the peer sent nothing within {0:?}")]
    Silent(Duration),
    #[error("the first message of the peer's handshake was not there within {0:?}")]
    Late(Duration),
    #[error("the first message of the peer's handshake is longer than {0} bytes")]
    TooLong(usize),
    #[error("there is no room for the peer's handshake: {0}")]
    NoRoom(Refusal),
    /// By this node.
    #[error("no TLS connection: {0}")]
    Refused(String),
    /// Of this node, by the peer: with an alert.
    #[error("no TLS connection: {0}")]
    RefusedByPeer(String),
    #[error("no TLS connection: {0}")]
    Closed(&'static str),
    #[error(transparent)]
    TooMany(TooMany),
    #[error("the TLS handshake broke off")]
    Io(#[source] io::Error),
}

/// What a peer that has connected here begins with.
pub(crate) enum Taken {
    Secured(Secured),
    /// Something else than TLS: with what was read of it.
    Plain(Box<dyn Stream>, BytesMut),
}

impl TlsLayer {
    /// Reads and checks what the system of that name shows, which peers reach by those hosts, and whom it trusts.
    pub(crate) fn start(tls: Tls, system: &str, hosts: Vec<String>) -> Result<Arc<Self>, TlsError> {
        let Tls {
            source,
            server_names,
            allow_anonymous,
            allow_readable_key,
            crl,
            reload_every,
            replace_every,
            ..
        } = tls;
        for name in server_names.iter().flat_map(|(host, name)| [host, name]) {
            server_name(name).ok_or_else(|| TlsError::Name { name: name.to_string() })?;
        }
        let holders = Holders::of(&source)?;
        let verify = tls.verify.unwrap_or_else(|| match holders.is_empty() {
            true => Verify::host(),
            false => Verify::chain(),
        });
        let supply = Supply::new(source, crl, allow_readable_key, (system, hosts));
        let (places, pems) = supply.read(SystemTime::now())?;
        let material = Material::new(&places, pems, (&verify, allow_anonymous))?;
        Ok(Arc::new(Self {
            supply,
            verify,
            server_names,
            allow_anonymous,
            reload_every,
            replace_every,
            holders,
            material: Mutex::new(Arc::new(material)),
            loading: Mutex::default(),
            credentials: Mutex::default(),
            hasher: RandomState::new(),
            own: OnceLock::new(),
        }))
    }

    pub(super) fn reload_every(&self) -> Duration {
        self.reload_every
    }

    pub(super) fn replace_every(&self) -> Duration {
        self.replace_every
    }

    /// Takes what has changed since it was loaded, if anything has, and says what that is.
    pub(super) fn load(&self, now: SystemTime) -> Result<Option<String>, TlsError> {
        let _loading = self.loading.lock();
        let (places, pems) = self.supply.read(now)?;
        let (before, verified) = (self.material(), (&self.verify, self.allow_anonymous));
        if pems == before.pems {
            return Ok(None);
        }
        let material = match Material::new(&places, pems.clone(), verified) {
            Ok(material) => Arc::new(material),
            Err(error) => {
                if let Ok(Some(trusting)) = before.trusting(&places, &pems, verified) {
                    *self.material.lock() = Arc::new(trusting);
                    self.review(now, true);
                }
                return Err(error);
            }
        };
        let changed = material.pems.changed(&before.pems);
        *self.material.lock() = material;
        Ok(Some(changed))
    }

    /// The certificates over which peers are connected.
    pub(super) fn credentials(&self) -> Vec<Arc<Credential>> {
        self.credentials.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// This node is that system, and is reached by that host.
    pub(crate) fn note_own(&self, system: &str, host: &str) {
        let _ = self.own.set((system.into(), host.into()));
        self.check_own();
    }

    /// Tells if peers with the same options as this node will refuse it for what its certificate says.
    pub(super) fn check_own(&self) {
        let Some((system, host)) = self.own.get() else { return };
        if let Err(wrong) = self.check_names(&self.material().own, system, Some(host)) {
            let why = wrong.seen_by_its_owner(&self.supply.certificate());
            tracing::warn!("peers will refuse this node: {why}");
        }
    }

    pub(crate) fn material(&self) -> Arc<Material> {
        self.material.lock().clone()
    }

    /// What this node is known by to its peers: all secrets that it holds, or the first name of its certificate.
    pub(crate) fn known_as(&self) -> Identity {
        self.holders.all().unwrap_or_else(|| {
            let material = self.material();
            let identity = material.names().identity(&material.own);
            Identity::proven(identity.names().take(1).map(str::to_owned))
        })
    }

    /// The name that is looked for in the certificate of a peer that is reached as `host`.
    fn name_of(&self, host: &str) -> Option<ServerName<'static>> {
        let host = unbracketed(host);
        server_name(self.server_names.get(host).map_or(host, |name| name))
    }

    /// The handshake with a peer that was dialed, whose certificate may have a name in common with others.
    pub(crate) async fn connect(
        &self,
        (host, in_common): (&str, Option<&str>),
        dialect: Dialect,
        stream: Box<dyn Stream>,
    ) -> Result<Secured, Fault> {
        let (is_native, material) = (dialect == Dialect::Native, self.material());
        let own_name = self.server_names.get(unbracketed(host)).map(|name| &**name);
        let found = server_name(own_name.or(in_common).unwrap_or(host));
        let name = found.ok_or_else(|| Fault::Refused(format!("{host:?} is no name of a host")))?;
        let config = match is_native {
            true => &material.client,
            #[cfg(feature = "goakt")]
            false => &material.goakt_client,
            #[cfg(not(feature = "goakt"))]
            false => &material.client,
        };
        let connected = connect(config.clone(), name.clone(), stream).await;
        let stream = connected.map_err(|error| self.fault(error, CLOSED_BY_ACCEPTOR))?;
        let agreed = stream.alpn_protocol() == Some(ALPN);
        if is_native && !agreed {
            return Err(Fault::Refused(NO_NODE.to_owned()));
        }
        let proof = self.proof(&stream, material, Some(name));
        Ok(Secured { stream: Box::new(stream), proof, is_native })
    }

    /// The handshake with a peer that has connected here; `None` if it leaves without a word. It needs a place once its
    /// first message is there: what is silent or slow takes none.
    pub(crate) async fn accept(
        &self,
        mut stream: Box<dyn Stream>,
        mut entering: Entering<'_>,
    ) -> Result<Option<Taken>, Fault> {
        let mut early = BytesMut::with_capacity(FIRST_READ);
        let read = read_first(&mut *stream, &mut early, &mut entering);
        let read = tokio::time::timeout(FIRST_MESSAGE, read).await;
        match read {
            Err(_) if early.is_empty() => return Err(Fault::Silent(FIRST_MESSAGE)),
            Err(_) => return Err(Fault::Late(FIRST_MESSAGE)),
            Ok(Err(fault)) => return Err(fault),
            Ok(Ok(())) => {}
        }
        match early.first() {
            None => return Ok(None),
            Some(&HANDSHAKE) => {}
            Some(_) => return Ok(Some(Taken::Plain(stream, early))),
        }
        entering.begin().map_err(Fault::TooMany)?;
        entering.keep_session().map_err(Fault::NoRoom)?;
        let material = self.material();
        let accepted = accept(material.server.clone(), stream, early, Some(entering)).await;
        let stream = accepted.map_err(|error| self.fault(error, CLOSED_BY_DIALER))?;
        let is_native = stream.alpn_protocol() == Some(ALPN);
        let proof = self.proof(&stream, material, None);
        Ok(Some(Taken::Secured(Secured { stream: Box::new(stream), proof, is_native })))
    }

    /// What is wrong, in words.
    pub(super) fn reason(&self, error: &rustls::Error) -> String {
        if self.holders.is_empty() { reason::of(error) } else { reason::of_holder(error) }
    }

    /// What is told of a handshake that has failed.
    fn fault(&self, error: io::Error, closed: &'static str) -> Fault {
        self.fault_of(&error).unwrap_or_else(|| broken(error, closed))
    }

    /// What is told of a stream that has failed, where TLS says why.
    pub(crate) fn fault_of(&self, error: &io::Error) -> Option<Fault> {
        let error = reason::inside(error)?;
        let text = self.reason(error);
        Some(match error {
            rustls::Error::AlertReceived(_) => Fault::RefusedByPeer(text),
            _ => Fault::Refused(text),
        })
    }

    fn proof(
        &self,
        stream: &TlsStream,
        material: Arc<Material>,
        dialed: Option<ServerName<'static>>,
    ) -> Proof {
        match stream.peer_certificates() {
            Some(chain) if !chain.is_empty() => {
                let credential = self.credential(chain);
                let identity = credential.identity.clone();
                Proof { identity, credential: Some(credential), dialed, material }
            }
            _ => Proof { identity: Identity::anonymous(), credential: None, dialed, material },
        }
    }

    /// The same for all connections of a peer.
    fn credential(&self, chain: &[CertificateDer<'static>]) -> Arc<Credential> {
        let hash = self.hasher.hash_one(chain);
        let known = self.credentials.lock().get(&hash).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| *known.chain == *chain) {
            known.note_shown();
            return known;
        }
        let identity = match self.holders.is_empty() {
            true => Names::of(&chain[0]).identity(&chain[0]),
            // Who has a secret has proven no more than that, whatever it writes into its certificate.
            false => self.holders.identity(chain).unwrap_or_else(Identity::anonymous),
        };
        let mut credentials = self.credentials.lock();
        if credentials.len() == credentials.capacity() {
            credentials.retain(|_, credential| credential.strong_count() > 0);
        }
        let credential = Credential::new(chain, identity);
        credentials.insert(hash, Arc::downgrade(&credential));
        credential
    }

    /// Has a connection be told when the certificate of its peer is not good any more, which may have come to pass since its
    /// handshake.
    pub(crate) fn guard(&self, proof: &Proof, guarded: Weak<dyn Guarded>) {
        let Some(credential) = &proof.credential else { return };
        let (dialed, since, own) =
            (proof.dialed.clone(), SystemTime::now(), proof.material.own.clone());
        // Before it looks: else a change between the two would be nobody's.
        credential.guard(Link { dialed, own, since, guarded });
        if !Arc::ptr_eq(&proof.material, &self.material()) {
            self.review_one(credential, since, true);
        }
    }

    /// Whether the host that a peer advertises, and the name of its system, are those of its certificate.
    ///
    /// # Errors
    /// What the certificate says, and what the peer.
    pub(crate) fn check_hello(
        &self,
        proof: &Proof,
        system: &str,
        advertised: Option<&str>,
    ) -> Result<(), ClaimError> {
        let Some(credential) = &proof.credential else { return Ok(()) };
        self.check_names(&credential.chain[0], system, advertised)
    }

    /// Whether a peer that has shown this may say that it is reached by that host.
    pub(crate) fn is_of_host(&self, credential: &Credential, host: &str) -> bool {
        let is_named = |name| is_for(&credential.chain[0], &name);
        !self.verify.is_by_host() || self.name_of(host).is_some_and(is_named)
    }

    fn check_names(
        &self,
        leaf: &CertificateDer<'_>,
        system: &str,
        advertised: Option<&str>,
    ) -> Result<(), ClaimError> {
        claims::check(leaf, (system, advertised), &self.verify, |host| self.name_of(host))
    }
}

impl Proof {
    /// What connections keep: with the last of them it is forgotten.
    pub(crate) fn credential(&self) -> Option<Arc<Credential>> {
        self.credential.clone()
    }
}

/// Reads until the first message is there, or it is known that there is none; what follows it may be there too.
async fn read_first(
    stream: &mut dyn Stream,
    early: &mut BytesMut,
    entering: &mut Entering<'_>,
) -> Result<(), Fault> {
    let mut hello = Hello::default();
    loop {
        match stream.read_buf(early).await {
            // As health checks do that reset the connection.
            Err(_) if early.is_empty() => return Ok(()),
            Err(error) => return Err(broken(error, CLOSED_BY_DIALER)),
            Ok(0) => return Ok(()),
            Ok(_) if early[0] != HANDSHAKE || hello.is_whole(early) => return Ok(()),
            Ok(_) if early.len() >= MAX_HELLO => return Err(Fault::TooLong(MAX_HELLO)),
            Ok(_) => {}
        }
        if early.len() == early.capacity() {
            early.reserve(early.len().clamp(NEXT_READ, MAX_HELLO));
            entering.keep(early.capacity()).map_err(Fault::NoRoom)?;
        }
    }
}

/// How a stream tells that the peer has closed it.
const ENDS: [io::ErrorKind; 4] = [
    io::ErrorKind::UnexpectedEof,
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::ConnectionAborted,
    io::ErrorKind::BrokenPipe,
];
const CLOSED_BY_ACCEPTOR: &str = "the peer closed the connection instead of an answer: does it take TLS? If it does, \
     its log says why, as when too many handshakes are under way";
const CLOSED_BY_DIALER: &str = "the peer closed the connection before the handshake was over: its log says why, if \
     it did not like this node's certificate";
const NO_NODE: &str = "the peer has not agreed to speak \"rakt/1\": it is no node of rakt";

/// What is told of a handshake that has come to nothing without a word of TLS.
fn broken(error: io::Error, closed: &'static str) -> Fault {
    // As soon as not all was read that was sent, the end of a connection is a reset one.
    if ENDS.contains(&error.kind()) { Fault::Closed(closed) } else { Fault::Io(error) }
}
