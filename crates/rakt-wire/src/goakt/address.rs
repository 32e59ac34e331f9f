//! Addresses as GoAkt writes and reads them, and the names in them.
//!
//! `goakt://SYSTEM@HOST:PORT/[PARENT/]NAME`. Nothing is escaped, an IPv6 host cannot be written, and of an
//! actor's ancestors only its parent is named (GoAkt v3.14.0, `address/address.go`). The parts are not
//! checked when an address is read; it only means something where somebody has exactly that name.
//!
//! Go nodes keep what stands for the parent as it is. So it holds all ancestors of an actor of rakt, with `~`
//! between them: `a/b/c/d` is `a~b~c/d`. No name may hold that character, so it never means another actor.

use std::borrow::Cow;
use std::fmt;
use std::num::IntErrorKind;

use crate::address::{Address, is_reserved, validate_system_name};

/// The sender of what is sent from outside of any system. Never empty: a Go node refuses an empty sender.
pub const NO_SENDER: &str = "goakt://@:0/";
/// The name of the actor that stands for "no sender" within a system.
pub(crate) const NO_SENDER_NAME: &str = "GoAktNoSender";
/// The names of a Go system's own actors start with this.
pub(crate) const RESERVED_PREFIX: &str = "GoAkt";

const SCHEME: &str = "goakt";

/// Stands between the ancestors of an actor, where Go nodes read the name of one parent.
const BETWEEN_ANCESTORS: char = '~';

/// The parts of an address, as they stand in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GoAddress<'a> {
    /// The name of the system.
    pub system: &'a str,
    /// The host.
    pub host: &'a str,
    /// The port; Go allows any number here.
    pub port: i32,
    /// The name, with the parent's name and a `/` before it when there is one. See
    /// [`actor_path`](Self::actor_path) for all ancestors.
    pub path: &'a str,
}

impl<'a> GoAddress<'a> {
    /// Reads an address.
    ///
    /// # Errors
    /// [`ParseError`], whose text is that of a Go node.
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        if text.is_empty() {
            return Err(ParseError::Required);
        }
        let (scheme, rest) = split_once_only(text, "://")?;
        if scheme != SCHEME {
            return Err(ParseError::Protocol);
        }
        let (system, rest) = split_once_only(rest, "@")?;
        let (authority, path) = rest.split_once('/').ok_or(ParseError::Format)?;
        let (host, port) = split_once_only(authority, ":")?;
        if path
            .split_once('/')
            .is_some_and(|(parent, name)| parent.is_empty() || name.contains('/'))
        {
            return Err(ParseError::Format);
        }
        Ok(Self { system, host, port: parse_port(port)?, path })
    }

    /// The last part of the path.
    pub fn name(&self) -> &'a str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// What stands before the name, which for Go nodes is the parent's; `None` for an actor at the top.
    pub fn parent(&self) -> Option<&'a str> {
        self.path.rsplit_once('/').map(|(parent, _)| parent)
    }

    /// The path of the actor: the names of all its ancestors and its own, with `/` between them.
    pub fn actor_path(&self) -> Cow<'a, str> {
        match self.parent() {
            Some(parent) if parent.contains(BETWEEN_ANCESTORS) => {
                self.path.replace(BETWEEN_ANCESTORS, "/").into()
            }
            _ => self.path.into(),
        }
    }

    /// Whether it stands for "no actor", in either of the two spellings.
    pub fn is_no_sender(&self) -> bool {
        let nobody = GoAddress { system: "", host: "", port: 0, path: "" };
        *self == nobody || self.name() == NO_SENDER_NAME
    }
}

impl fmt::Display for GoAddress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "goakt://{}@{}:{}/", self.system, self.host, self.port)?;
        if let Some(parent) = self.parent() {
            for (at, ancestor) in parent.split('/').enumerate() {
                let before = if at > 0 { "~" } else { "" };
                write!(f, "{before}{ancestor}")?;
            }
            f.write_str("/")?;
        }
        f.write_str(self.name())
    }
}

impl<'a> From<&'a Address> for GoAddress<'a> {
    fn from(address: &'a Address) -> Self {
        Self {
            system: address.system(),
            host: address.host(),
            port: address.port().into(),
            path: address.path(),
        }
    }
}

/// Why a text is not an address. The texts are those of a Go node, and travel to the peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It is empty.
    #[error("address is required")]
    Required,
    /// It does not start with `goakt`.
    #[error("address protocol is not supported")]
    Protocol,
    /// A separator is missing or there once too often.
    #[error("address format is invalid")]
    Format,
    /// The port is not a number.
    #[error("strconv.ParseInt: parsing {0:?}: invalid syntax")]
    PortSyntax(String),
    /// The port is more than 32 bits.
    #[error("strconv.ParseInt: parsing {0:?}: value out of range")]
    PortRange(String),
}

fn split_once_only<'a>(text: &'a str, separator: &str) -> Result<(&'a str, &'a str), ParseError> {
    text.split_once(separator)
        .filter(|(_, rest)| !rest.contains(separator))
        .ok_or(ParseError::Format)
}

fn parse_port(text: &str) -> Result<i32, ParseError> {
    // A hostile text is not sent back at its full length.
    let shown = || crate::base::text::cut_text(text, 64).to_owned();
    text.parse().map_err(|error: std::num::ParseIntError| match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => ParseError::PortRange(shown()),
        _ => ParseError::PortSyntax(shown()),
    })
}

/// Whether a host can stand in an address. An IPv6 address cannot, so a node that has no other cannot be
/// answered by Go nodes.
pub fn is_host(host: &str) -> bool {
    !host.is_empty() && !host.contains([':', '@', '/'])
}

/// The form in which kinds are compared and sent: without blanks around it and in lower case. Go kinds
/// are `package.type`.
pub(crate) fn canonical_kind(kind: &str) -> String {
    kind.trim().to_lowercase()
}

/// Which grain: its kind in lower case, and its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrainIdentity {
    /// Its kind, in the form of `canonical_kind`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl GrainIdentity {
    /// Reads `KIND/NAME`. Nodes of a Go cluster send `KIND/KIND/NAME` when they activate a grain
    /// elsewhere; that is understood, though v3.14.0 itself refuses it.
    ///
    /// # Errors
    /// [`GrainIdentityError`], whose text is that of a Go node.
    pub fn parse(value: &str) -> Result<Self, GrainIdentityError> {
        let (kind, name) = value.split_once('/').ok_or(GrainIdentityError::Form)?;
        let again = name.strip_prefix(kind).and_then(|rest| rest.strip_prefix('/'));
        let (kind, name) = (canonical_kind(kind), again.unwrap_or(name));
        if kind.is_empty() || name.is_empty() {
            return Err(GrainIdentityError::Form);
        }
        // The rule of names, but reserved ones are told apart by their own failure.
        validate_system_name(name).map_err(|_| GrainIdentityError::Name)?;
        Ok(Self { kind, name: name.to_owned() })
    }

    /// Whether the kind or the name belongs to the system.
    pub fn is_reserved(&self) -> bool {
        let prefix = RESERVED_PREFIX.to_lowercase();
        self.kind.starts_with(&prefix) || is_reserved(&self.name)
    }
}

impl fmt::Display for GrainIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// Why a text is not the identity of a grain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrainIdentityError {
    /// It is not `KIND/NAME`. The spelling is GoAkt's.
    #[error("invalid graind identity")]
    Form,
    /// The name is too long or holds a character it may not hold.
    #[error(
        "must contain only word characters (i.e. [a-zA-Z0-9] plus non-leading '-' or '_')\ninvalid graind identity"
    )]
    Name,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_and_ports_are_made_plain() {
        for text in [
            "goakt://sys@127.0.0.1:4001/echo",
            "goakt://sys@127.0.0.1:4001/parent/child",
            "goakt://s@h:-1/",
            NO_SENDER,
        ] {
            assert_eq!(GoAddress::parse(text).unwrap().to_string(), text);
        }
        for text in ["goakt://s@h:+4001/a", "goakt://s@h:04001/a"] {
            assert_eq!(GoAddress::parse(text).unwrap().to_string(), "goakt://s@h:4001/a");
        }
        let address = GoAddress::parse("goakt://sys@127.0.0.1:4001/parent/child").unwrap();
        assert_eq!((address.parent(), address.name()), (Some("parent"), "child"));
    }

    #[test]
    fn what_is_not_an_address_is_refused_with_the_text_of_a_go_node() {
        for (text, error) in [
            ("", "address is required"),
            ("echo", "address format is invalid"),
            ("goakt://s@h:1/a://b", "address format is invalid"),
            ("rakt://s@h:1/a", "address protocol is not supported"),
            ("goakt://h:1/a", "address format is invalid"),
            ("goakt://s@t@h:1/a", "address format is invalid"),
            ("goakt://s@h:1", "address format is invalid"),
            ("goakt://s@h:1//a", "address format is invalid"),
            ("goakt://s@h/a", "address format is invalid"),
            ("goakt://s@::1:1/a", "address format is invalid"),
            ("goakt://s@[::1]:1/a", "address format is invalid"),
            ("goakt://s@h:1/a/b/c", "address format is invalid"),
            ("goakt://s@h:x/a", "strconv.ParseInt: parsing \"x\": invalid syntax"),
            ("goakt://s@h:/a", "strconv.ParseInt: parsing \"\": invalid syntax"),
            (
                "goakt://s@h:2147483648/a",
                "strconv.ParseInt: parsing \"2147483648\": value out of range",
            ),
        ] {
            assert_eq!(GoAddress::parse(text).unwrap_err().to_string(), error, "{text}");
        }
    }

    #[test]
    fn both_spellings_of_no_sender_are_understood() {
        let is_no_sender = |text| GoAddress::parse(text).unwrap().is_no_sender();
        assert!(is_no_sender(NO_SENDER));
        assert!(is_no_sender("goakt://sys@127.0.0.1:4001/GoAktNoSender"));
        assert!(!is_no_sender("goakt://sys@127.0.0.1:4001/echo"));
    }

    #[test]
    fn all_ancestors_of_an_actor_stand_where_its_parent_does() {
        let text = |path: &str| {
            let address = Address::new(path, "sys", "10.0.0.1", 4001).unwrap();
            let text = GoAddress::from(&address).to_string();
            assert_eq!(GoAddress::parse(&text).unwrap().actor_path(), path);
            text
        };
        assert_eq!(text("a"), "goakt://sys@10.0.0.1:4001/a");
        assert_eq!(text("a/b"), "goakt://sys@10.0.0.1:4001/a/b");
        assert_eq!(text("a/b/c"), "goakt://sys@10.0.0.1:4001/a~b/c");
        assert_eq!(text("a/b/c/d"), "goakt://sys@10.0.0.1:4001/a~b~c/d");
        // It is no name of rakt's, and no part of one.
        let address = GoAddress::parse("goakt://sys@10.0.0.1:4001/a~b").unwrap();
        assert_eq!(address.actor_path(), "a~b");
    }

    #[test]
    fn an_ipv6_host_cannot_be_written() {
        assert!(is_host("10.0.0.1") && is_host("node-a.example.com"));
        for host in ["", "::1", "[::1]", "a@b", "a/b"] {
            assert!(!is_host(host), "{host}");
            assert!(GoAddress::parse(&format!("goakt://s@{host}:1/a")).is_err() || host.is_empty());
        }
    }

    #[test]
    fn a_grain_is_a_kind_and_a_name() {
        let parse = |value| GrainIdentity::parse(value).map(|identity| identity.to_string());
        assert_eq!(parse("main.Cart/42"), Ok("main.cart/42".into()));
        assert_eq!(parse("main.cart/main.cart/42"), Ok("main.cart/42".into()));
        for value in ["", "cart", "cart/", "/42", "\n/42", "cart/cart/"] {
            assert_eq!(parse(value), Err(GrainIdentityError::Form), "{value}");
        }
        for value in ["cart/a/b", "cart/-a", "cart/ä"] {
            assert_eq!(parse(value), Err(GrainIdentityError::Name), "{value}");
        }
        assert!(GrainIdentity::parse("GoAktX/a").unwrap().is_reserved());
        assert!(GrainIdentity::parse("cart/GoAktX").unwrap().is_reserved());
        assert_eq!(canonical_kind(" main.Worker\n"), "main.worker");
    }
}
