//! Who is at the other end of a connection.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};

use rakt_wire::Shown;

/// Who a peer has proven to be: the names in the certificate that it has shown and that was verified.
///
/// Names are written as a policy grants roles to them: a URI as it is, `dns:shop-7.example` and `ip:10.0.0.8`. A
/// peer that has proven nothing is `anonymous` over TLS and `address:10.0.0.8` without it, the address that its
/// connection comes from; a process that holds a shared secret is `secret:` and eight hexadecimal digits that
/// stand for it.
///
/// Two are equal if all their names are: one of a certificate and of its successor with the same names.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identity(Arc<Names>);

#[derive(PartialEq, Eq, Hash)]
struct Names {
    names: Box<[Box<str>]>,
    is_proven: bool,
}

impl Identity {
    /// One that was verified. It has a name at least.
    #[allow(dead_code, reason = "for encryption, which is a feature")]
    pub(crate) fn proven(names: impl IntoIterator<Item = String>) -> Self {
        Self::new(names.into_iter().map(String::into_boxed_str).collect(), true)
    }

    /// A peer that has shown no certificate over TLS.
    #[allow(dead_code, reason = "for encryption, which is a feature")]
    pub(crate) fn anonymous() -> Self {
        Self::new([Box::from("anonymous")].into(), false)
    }

    /// A peer without TLS, whose connection comes from there, as a transport says it: an IP address with or without
    /// a port, or any other text.
    #[allow(dead_code, reason = "for the remote half, which is a feature")]
    pub(crate) fn of_address(from: &str) -> Self {
        let ip = from.parse::<SocketAddr>().map(|address| address.ip());
        let ip = ip.or_else(|_| from.parse::<IpAddr>());
        let name = match ip {
            Ok(ip) => format!("address:{}", ip.to_canonical()),
            Err(_) => format!("address:{from}"),
        };
        Self::new([name.into()].into(), false)
    }

    /// Whether who has shown this may go on with what the other one began. Who has proven nothing may go on with
    /// what others began who have not: an address proves nothing, and may change.
    #[allow(dead_code, reason = "for the remote half, which is a feature")]
    pub(crate) fn may_continue(&self, other: &Self) -> bool {
        self == other || !(self.is_proven() || other.is_proven())
    }

    fn new(names: Box<[Box<str>]>, is_proven: bool) -> Self {
        Self(Arc::new(Names { names, is_proven }))
    }

    /// All names, the one by which it is shown first: a URI before names of hosts, and those before addresses.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.names.iter().map(|name| &**name)
    }

    /// Whether the peer has proven that it is this one. What has not been proven is where it comes from.
    pub fn is_proven(&self) -> bool {
        self.0.is_proven
    }
}

/// The first name.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.names().next().unwrap_or("anonymous");
        write!(f, "{}", Shown(first))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// The peer over whose connection a message came: see [`Context::peer`](crate::Context::peer).
#[derive(Clone)]
pub struct Peer(Arc<About>);

struct About {
    identity: Identity,
    from: Box<str>,
    proof: Option<Arc<dyn Proof>>,
}

/// What proves an identity. It is there for as long as a connection of the peer is.
#[allow(dead_code, reason = "for encryption, which is a feature")]
pub(crate) trait Proof: Send + Sync {
    /// Whether whoever has this may say that it is reached by that host.
    fn is_of_host(&self, host: &str) -> bool;
}

impl Peer {
    #[allow(dead_code, reason = "for the remote half, which is a feature")]
    pub(crate) fn new(identity: Identity, from: &str) -> Self {
        Self(Arc::new(About { identity, from: from.into(), proof: None }))
    }

    /// One that has proven who it is, by that.
    #[allow(dead_code, reason = "for encryption, which is a feature")]
    pub(crate) fn with_proof(identity: Identity, from: &str, proof: Arc<dyn Proof>) -> Self {
        Self(Arc::new(About { identity, from: from.into(), proof: Some(proof) }))
    }

    /// One that has proven nothing, as without encryption.
    #[allow(dead_code, reason = "for the remote half, which is a feature")]
    pub(crate) fn unproven(from: &str) -> Self {
        Self::new(Identity::of_address(from), from)
    }

    /// Who it has proven to be. It is that of the connection, and the only thing about a message that a peer cannot
    /// make up: the sender of a message is an address for answers, and says nothing about where it came from.
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// What knows it again, and keeps nothing of it.
    #[allow(dead_code, reason = "for clusters, which are a feature")]
    pub(crate) fn downgrade(&self) -> KnownPeer {
        KnownPeer(Arc::downgrade(&self.0))
    }

    /// Whether both are of one connection.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether both are one, as far as that can be told: by what they have proven, else by where they come from.
    #[allow(dead_code, reason = "for the remote half, which is a feature")]
    pub(crate) fn is_alike(&self, other: &Self) -> bool {
        let (own, others) = (self.identity(), other.identity());
        let at = |peer: &Self| Identity::of_address(peer.from());
        own == others && (own.is_proven() || at(self) == at(other))
    }

    /// Whether a host is the one that this is on: the connection comes from there, or it is among the names that it has
    /// proven.
    #[allow(dead_code, reason = "for the dialect of GoAkt, which is a feature")]
    pub(crate) fn has_host(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let address = Identity::of_address(&host);
        let is_named = |name: &str| match name.split_once(':') {
            Some(("dns", named)) => named == host,
            Some(("ip", named)) => Identity::of_address(named) == address,
            _ => false,
        };
        let has_proven = self.identity().is_proven() && self.identity().names().any(is_named);
        has_proven || Identity::of_address(self.from()) == address
    }

    /// Whether it may say that it is reached by that host, as far as it has to prove that: as it says in its hello.
    #[allow(dead_code, reason = "for clusters, which are a feature")]
    pub(crate) fn may_be_at(&self, host: &str) -> bool {
        self.0.proof.as_ref().is_none_or(|proof| proof.is_of_host(host))
    }

    /// Where the connection comes from, as the transport says: an IP address and a port over TCP.
    pub fn from(&self) -> &str {
        &self.0.from
    }
}

/// A peer that was there.
#[allow(dead_code, reason = "for clusters, which are a feature")]
pub(crate) struct KnownPeer(Weak<About>);

impl KnownPeer {
    /// Whether that is of the same connection.
    #[allow(dead_code, reason = "for clusters, which are a feature")]
    pub(crate) fn is(&self, peer: &Peer) -> bool {
        std::ptr::eq(self.0.as_ptr(), Arc::as_ptr(&peer.0))
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let About { identity, from, proof } = &*self.0;
        f.debug_struct("Peer")
            .field("identity", identity)
            .field("from", from)
            .field("is_proven", &proof.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_its_names_and_shows_no_control_characters() {
        let names = || ["spiffe://prod/a\n".to_owned(), "dns:a".to_owned()];
        let (one, other) = (Identity::proven(names()), Identity::proven(names()));
        assert_eq!(one, other);
        assert!(one.is_proven() && !Identity::anonymous().is_proven());
        assert_ne!(Identity::proven(["dns:a".to_owned()]), one);
        // The same text, which one of them has not proven.
        assert_ne!(Identity::proven(["anonymous".to_owned()]), Identity::anonymous());
        assert!(!one.to_string().contains('\n') && !format!("{one:?}").contains('\n'));
    }

    #[test]
    fn an_address_is_known_without_its_port() {
        for (from, name) in [
            ("10.0.0.8:3321", "address:10.0.0.8"),
            ("10.0.0.8", "address:10.0.0.8"),
            ("[::ffff:10.0.0.8]:3321", "address:10.0.0.8"),
            ("[2001:db8::1]:3321", "address:2001:db8::1"),
            ("memory:7", "address:memory:7"),
        ] {
            assert_eq!(Identity::of_address(from).to_string(), name);
        }
    }

    #[test]
    fn nobody_goes_on_with_what_another_has_begun() {
        let (one, other) = ("dns:one", "dns:other");
        let proven = |name: &str| Identity::proven([name.to_owned()]);
        assert!(proven(one).may_continue(&proven(one)));
        assert!(!proven(one).may_continue(&proven(other)));
        assert!(!proven(one).may_continue(&Identity::anonymous()));
        assert!(!Identity::anonymous().may_continue(&proven(one)));
        // A machine whose address has changed, which is still the same one.
        let at = Identity::of_address;
        assert!(at("10.0.0.8:1").may_continue(&at("10.0.0.9:1")));
    }
}
