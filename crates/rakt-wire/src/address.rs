//! Where an actor is: system, host, port and path.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;
use std::sync::Arc;

use crate::base::text::{Quoted, controls_at};

/// Longest actor name, system name or host, in bytes.
pub const MAX_NAME_LEN: usize = 255;
/// Longest path of an actor, in bytes, separators included.
pub const MAX_PATH_LEN: usize = 1024;
/// Longest address as text, in bytes. Bounds what a peer may send as one.
pub const MAX_ADDRESS_LEN: usize = 2048;
/// Names that start with one of these belong to the system; users and peers may not create them.
pub const RESERVED_PREFIXES: &[&str] = &["rakt.", "GoAkt"];

/// Names that begin with this are made up by a system, for actors that their users gave none. They are actors like
/// others, but for that nobody creates one by name.
pub const ANONYMOUS_PREFIX: &str = "rakt.anonymous.";

/// How the node at an address is spoken to.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// rakt's own protocol; addresses begin with `rakt://`.
    #[default]
    Native,
    /// The protocol of GoAkt v3; addresses begin with `goakt://`.
    GoAkt,
}

impl Dialect {
    const ALL: [Self; 2] = [Self::Native, Self::GoAkt];

    /// What an address begins with.
    const fn scheme(self) -> &'static str {
        match self {
            Self::Native => "rakt://",
            Self::GoAkt => "goakt://",
        }
    }
}

/// The place of one actor in a network of systems, and how it is spoken to there.
///
/// Its text form is `rakt://system@host:port/path`, or `goakt://` for an actor that is reached by GoAkt's
/// protocol; an IPv6 host stands in brackets.
///
/// ```
/// use rakt_wire::Address;
/// let address: Address = "rakt://shop@127.0.0.1:3321/orders/42".parse()?;
/// assert_eq!((address.name(), address.port()), ("42", 3321));
/// assert_eq!(address, Address::new("orders/42", "shop", "127.0.0.1", 3321)?);
/// # Ok::<(), rakt_wire::AddressError>(())
/// ```
///
/// Cheap to clone, and as large as a pointer: errors carry addresses.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(Arc<Parts>);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Parts {
    dialect: Dialect,
    system: String,
    host: String,
    port: u16,
    path: String,
}

impl Address {
    /// Builds an address from its parts.
    ///
    /// `path` is one name or several with `/` between them. Reserved names are accepted here, because
    /// the system's own actors have addresses too. A host may be written with or without brackets.
    ///
    /// # Errors
    /// Names the part that is empty, too long or holds a character it may not.
    pub fn new(
        path: impl Into<String>,
        system: impl Into<String>,
        host: impl Into<String>,
        port: u16,
    ) -> Result<Self, AddressError> {
        let (path, system, mut host) = (path.into(), system.into(), host.into());
        validate_path(&path)?;
        validate_system_name(&system)?;
        if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            host = inner.to_owned();
        }
        validate_host(&host)?;
        Ok(Self(Arc::new(Parts { dialect: Dialect::Native, system, host, port, path })))
    }

    /// The same place, spoken to in `dialect`. [`Address::new`] gives native ones.
    #[must_use]
    pub fn with_dialect(mut self, dialect: Dialect) -> Self {
        if self.0.dialect != dialect {
            Arc::make_mut(&mut self.0).dialect = dialect;
        }
        self
    }

    /// How the node is spoken to.
    pub fn dialect(&self) -> Dialect {
        self.0.dialect
    }

    /// The last segment of the path.
    pub fn name(&self) -> &str {
        self.0.path.rsplit('/').next().unwrap_or(&self.0.path)
    }

    /// The whole path, segments separated by `/`, without a leading one.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The name of the actor system.
    pub fn system(&self) -> &str {
        &self.0.system
    }

    /// The host name or IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// The TCP port; 0 for a system without remoting.
    pub fn port(&self) -> u16 {
        self.0.port
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { dialect, system, host, port, path } = &*self.0;
        let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{}{system}@{open}{host}{close}:{port}/{path}", dialect.scheme())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX_ADDRESS_LEN {
            return Err(AddressError::TooLong {
                what: "address",
                len: text.len(),
                limit: MAX_ADDRESS_LEN,
            });
        }
        let malformed = |expected| AddressError::Malformed { text: text.to_owned(), expected };
        let (dialect, rest) = Dialect::ALL
            .into_iter()
            .find_map(|dialect| Some((dialect, text.strip_prefix(dialect.scheme())?)))
            .ok_or_else(|| malformed("rakt:// or goakt://"))?;
        let (system, rest) =
            rest.split_once('@').ok_or_else(|| malformed("an @ after the system name"))?;
        let (authority, path) =
            rest.split_once('/').ok_or_else(|| malformed("a / before the path"))?;
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => rest
                .split_once("]:")
                .filter(|(host, _)| host.contains(':'))
                .ok_or_else(|| malformed("[ipv6]:port"))?,
            None => authority
                .rsplit_once(':')
                .filter(|(host, _)| !host.contains(':'))
                .ok_or_else(|| malformed("host:port, an IPv6 host in brackets"))?,
        };
        if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(malformed("a port of 0 to 65535"));
        }
        let port = port.parse().map_err(|_| malformed("a port of 0 to 65535"))?;
        Ok(Self::new(path, system, host, port)?.with_dialect(dialect))
    }
}

/// Why a name or an address is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// A part that must not be empty is.
    #[error("{what} is empty")]
    Empty {
        /// Which part.
        what: &'static str,
    },
    /// A part is longer than it may be.
    #[error("{what} is {len} bytes long, the limit is {limit}")]
    TooLong {
        /// Which part.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The longest allowed, in bytes.
        limit: usize,
    },
    /// A part holds a character that it may not hold, or not in that place.
    #[error("{what} {} may not hold {character:?} at byte {at}: {allowed}", Quoted(text))]
    Character {
        /// Which part.
        what: &'static str,
        /// The part itself.
        text: String,
        /// The character in question.
        character: char,
        /// Its offset in bytes.
        at: usize,
        /// What may stand there, for people.
        allowed: &'static str,
    },
    /// The name starts with a prefix that belongs to the system.
    #[error("the name {} is reserved: it is, or starts with, {prefix:?}", Quoted(name))]
    Reserved {
        /// The name.
        name: String,
        /// The prefix, one of [`RESERVED_PREFIXES`], or a name that nobody else may have.
        prefix: &'static str,
    },
    /// The text does not have the form of an address.
    #[error("{} is not an address: expected {expected}", Quoted(text))]
    Malformed {
        /// The text.
        text: String,
        /// What was missing.
        expected: &'static str,
    },
}

/// Checks a name that a user or a peer wants to give to an actor.
///
/// It must match `^[a-zA-Z0-9][a-zA-Z0-9-_.]*$`, be 1 to [`MAX_NAME_LEN`] bytes long and not be reserved.
///
/// # Errors
/// Says which rule the name breaks.
pub fn validate_name(name: &str) -> Result<(), AddressError> {
    validate_segment("actor name", name)?;
    match RESERVED_PREFIXES.iter().find(|prefix| name.starts_with(**prefix)) {
        Some(prefix) => Err(AddressError::Reserved { name: name.to_owned(), prefix }),
        None => Ok(()),
    }
}

/// Checks the name of something that may be called as its user likes, such as a kind or a message type: it may
/// hold no [control character](controls_at). `what` is what errors call it.
///
/// # Errors
/// Says which character it may not hold.
pub fn validate_text(what: &'static str, text: &str) -> Result<(), AddressError> {
    let at = controls_at(text).unwrap_or(text.len());
    let wrong = text.get(at..).and_then(|rest| rest.chars().next()).map(|c| (at, c));
    reject(
        what,
        text,
        wrong,
        "no control characters, nor what is shown as nothing or turns text around",
    )
}

/// Checks a path: one or more segments separated by `/`, [`MAX_PATH_LEN`] bytes at most.
///
/// Reserved names are accepted; see [`is_reserved`].
///
/// # Errors
/// Says which rule which segment breaks.
pub fn validate_path(path: &str) -> Result<(), AddressError> {
    if path.len() > MAX_PATH_LEN {
        return Err(AddressError::TooLong { what: "path", len: path.len(), limit: MAX_PATH_LEN });
    }
    path.split('/').try_for_each(|segment| validate_segment("actor name", segment))
}

/// Checks the name of an actor system, which follows the rules of an actor's but knows no reserved ones.
///
/// # Errors
/// Says which rule the name breaks.
pub fn validate_system_name(name: &str) -> Result<(), AddressError> {
    validate_segment("system name", name)
}

/// Whether a name, or any segment of a path, is one of the system's own actors: it starts with one of
/// [`RESERVED_PREFIXES`] and is not [made up](ANONYMOUS_PREFIX) for a user's.
pub fn is_reserved(name: &str) -> bool {
    let is_reserved = |segment: &str| {
        RESERVED_PREFIXES.iter().any(|prefix| segment.starts_with(prefix))
            && !segment.starts_with(ANONYMOUS_PREFIX)
    };
    name.split('/').any(is_reserved)
}

fn validate_segment(what: &'static str, text: &str) -> Result<(), AddressError> {
    check_len(what, text)?;
    let wrong = text
        .char_indices()
        .find(|&(at, c)| !(c.is_ascii_alphanumeric() || (at > 0 && matches!(c, '-' | '_' | '.'))));
    let allowed = "ASCII letters and digits, and behind the first of them - _ and .";
    reject(what, text, wrong, allowed)
}

/// Checks a host: a DNS name in ASCII, an IPv4 address or an IPv6 address (with an optional zone), without a
/// port.
///
/// # Errors
/// Says which rule it breaks.
pub fn validate_host(host: &str) -> Result<(), AddressError> {
    const WHAT: &str = "host";
    check_len(WHAT, host)?;
    let wrong = if host.contains(':') {
        let (ip, zone) = host.split_once('%').unwrap_or((host, "0"));
        if ip.parse::<Ipv6Addr>().is_err() {
            return Err(AddressError::Malformed {
                text: host.to_owned(),
                expected: "an IPv6 address",
            });
        }
        check_len("zone", zone)?;
        let offset = host.len().saturating_sub(zone.len());
        zone.char_indices()
            .find(|(_, c)| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
            .map(|(at, c)| (at.saturating_add(offset), c))
    } else {
        host.char_indices()
            .find(|(_, c)| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
    };
    let allowed =
        "a DNS name of ASCII letters, digits, - _ and ., or an IP address, without a port";
    reject(WHAT, host, wrong, allowed)
}

fn check_len(what: &'static str, text: &str) -> Result<(), AddressError> {
    match text.len() {
        0 => Err(AddressError::Empty { what }),
        len if len > MAX_NAME_LEN => Err(AddressError::TooLong { what, len, limit: MAX_NAME_LEN }),
        _ => Ok(()),
    }
}

fn reject(
    what: &'static str,
    text: &str,
    wrong: Option<(usize, char)>,
    allowed: &'static str,
) -> Result<(), AddressError> {
    match wrong {
        Some((at, character)) => {
            Err(AddressError::Character { what, text: text.to_owned(), character, at, allowed })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_from_its_text() {
        for text in [
            "rakt://shop@127.0.0.1:3321/worker-1",
            "rakt://shop@node-a.example.com:0/parent/child.x/leaf_2",
            "rakt://shop@[::1]:65535/a",
            "rakt://shop@[fe80::1%eth0]:1/a",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn the_scheme_tells_the_dialect() {
        let text = "goakt://shop@10.0.0.7:3321/a/b";
        let address: Address = text.parse().unwrap();
        assert_eq!(address.dialect(), Dialect::GoAkt);
        assert_eq!(address.to_string(), text);
        let native = address.clone().with_dialect(Dialect::Native);
        assert_eq!(native.to_string(), "rakt://shop@10.0.0.7:3321/a/b");
        assert_ne!(native, address);
    }

    #[test]
    fn brackets_around_a_host_are_taken_off() {
        assert_eq!(Address::new("a", "s", "[::1]", 1).unwrap().host(), "::1");
        assert!(Address::new("a", "s", "[host]x", 1).is_err());
    }

    #[test]
    fn what_is_not_an_address_is_refused() {
        for text in [
            "",
            "http://s@h:1/a",
            "rakt://s@h:1",
            "rakt://s@h:1/",
            "rakt://s@h:1//a",
            "rakt://s@h:1/a/",
            "rakt://@h:1/a",
            "rakt://s@:1/a",
            "rakt://s@h/a",
            "rakt://s@h:/a",
            "rakt://s@h:+1/a",
            "rakt://s@h:65536/a",
            "rakt://s@::1:1/a",
            "rakt://s@[h]:1/a",
            "rakt://s@[::1]/a",
            "rakt://s@[::1%]:1/a",
            "rakt://s@h h:1/a",
            "rakt://s@h:1/a b",
            "rakt://s@h:1/-a",
            "rakt://s@h:1/ä",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_is_refused_with_the_rule_it_breaks() {
        assert_eq!(validate_name("worker-1_x.y"), Ok(()));
        assert_eq!(validate_name(""), Err(AddressError::Empty { what: "actor name" }));
        assert!(matches!(
            validate_name("a/b"),
            Err(AddressError::Character { character: '/', at: 1, .. })
        ));
        assert!(matches!(validate_name("_a"), Err(AddressError::Character { at: 0, .. })));
        assert!(matches!(
            validate_name("rakt.root"),
            Err(AddressError::Reserved { prefix: "rakt.", .. })
        ));
        assert!(matches!(
            validate_name("GoAktUser"),
            Err(AddressError::Reserved { prefix: "GoAkt", .. })
        ));
        assert_eq!(validate_name("rakt"), Ok(()));
    }

    #[test]
    fn a_name_has_255_bytes_at_most() {
        assert_eq!(validate_name(&"a".repeat(MAX_NAME_LEN)), Ok(()));
        assert!(matches!(
            validate_name(&"a".repeat(MAX_NAME_LEN + 1)),
            Err(AddressError::TooLong { len: 256, limit: 255, .. })
        ));
    }

    #[test]
    fn a_path_has_1024_bytes_at_most() {
        let path = |len: usize| "a/".repeat(len / 2 - 1) + &"b".repeat(2 + len % 2);
        assert_eq!(validate_path(&path(MAX_PATH_LEN)), Ok(()));
        assert!(matches!(
            validate_path(&path(MAX_PATH_LEN + 1)),
            Err(AddressError::TooLong { len: 1025, limit: 1024, .. })
        ));
    }

    #[test]
    fn the_text_of_an_address_has_2048_bytes_at_most() {
        // Whatever it is: an error about a longer one would hold all of it.
        let malformed = |len: usize| "x".repeat(len).parse::<Address>().unwrap_err();
        assert!(matches!(malformed(MAX_ADDRESS_LEN), AddressError::Malformed { .. }));
        let error = AddressError::TooLong { what: "address", len: 2049, limit: 2048 };
        assert_eq!(malformed(MAX_ADDRESS_LEN + 1), error);
    }

    #[test]
    fn a_reserved_segment_makes_the_path_reserved() {
        assert!(is_reserved("rakt.system"));
        assert!(is_reserved("parent/GoAktX"));
        assert!(!is_reserved("parent/raktx"));
        let anonymous = format!("{ANONYMOUS_PREFIX}7-00");
        assert!(!is_reserved(&anonymous), "a user's actor");
        assert!(validate_name(&anonymous).is_err(), "and nobody's name to give");
        assert!(is_reserved(&format!("{anonymous}/rakt.system")));
        assert!(Address::new("rakt.system/a", "s", "h", 1).is_ok());
    }
}
