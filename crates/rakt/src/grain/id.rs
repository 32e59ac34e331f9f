//! Which grain is meant, and the path of the actor that it is while it lives.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rakt_wire::{AddressError, MAX_NAME_LEN, validate_name};

/// What the paths of all grains begin with; no other actor has it as its name.
pub(crate) const GRAINS: &str = "grains";

/// Begins the segment of a key that is no name by itself, or could be taken for such a segment.
const ESCAPED: &str = "x.";

/// A grain: its kind, and its key among those of the kind.
///
/// A key is any text that takes up at most 255 bytes where it is written into the path of the actor: as many as it has,
/// where it is a [name](crate::ActorSystem::spawn) by itself; else two more, and each byte that is no letter, digit, `-` or
/// `_` takes up three.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrainId {
    kind: Arc<str>,
    key: Arc<str>,
}

impl GrainId {
    /// The grain `key` of `kind`.
    ///
    /// # Errors
    /// If the kind is no [name](crate::ActorSystem::spawn), or the key is empty or too long.
    pub fn new(kind: &str, key: &str) -> Result<Self, AddressError> {
        validate_name(kind)?;
        Self::of_kind(kind.into(), key.into())
    }

    /// The same, for a kind whose name is valid.
    pub(crate) fn of_kind(kind: Arc<str>, key: Arc<str>) -> Result<Self, AddressError> {
        let what = "the key of a grain, as a path has it,";
        let len = segment(&key).len();
        match len {
            _ if key.is_empty() => Err(AddressError::Empty { what }),
            len if len > MAX_NAME_LEN => {
                Err(AddressError::TooLong { what, len, limit: MAX_NAME_LEN })
            }
            _ => Ok(Self { kind, key }),
        }
    }

    /// The name of the kind.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The key, to be shared.
    pub(crate) fn shared_key(&self) -> Arc<str> {
        self.key.clone()
    }

    /// Kind and key, with a `/` between them, to be [parsed](FromStr) again. A key may hold any character.
    pub fn to_text(&self) -> String {
        format!("{}/{}", self.kind, self.key)
    }

    /// The grain whose actor has this path, if that is one of a grain.
    #[allow(dead_code, reason = "for the remote half, which is a feature")]
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        let (kind, segment) = path.strip_prefix(GRAINS)?.strip_prefix('/')?.split_once('/')?;
        Self::new(kind, &key_of(segment)?).ok()
    }

    /// The path of the actor that it is while it lives.
    pub fn path(&self) -> String {
        format!("{GRAINS}/{}/{}", self.kind, segment(&self.key))
    }
}

impl fmt::Debug for GrainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GrainId({self})")
    }
}

/// What [`GrainId::to_text`] writes.
impl FromStr for GrainId {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (kind, key) = text.split_once('/').unwrap_or((text, ""));
        Self::new(kind, key)
    }
}

/// Kind and key, with a `/` between them, for people: what of a key cannot be shown is written as Rust does it.
impl fmt::Display for GrainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.key.escape_debug())
    }
}

/// The key that has this segment, if one has it.
fn key_of(of: &str) -> Option<String> {
    let Some(escaped) = of.strip_prefix(ESCAPED) else { return Some(of.to_owned()) };
    let (mut key, mut rest) = (Vec::new(), escaped.as_bytes());
    while let [first, after @ ..] = rest {
        rest = after;
        key.push(match first {
            b'.' => {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            byte => *byte,
        });
    }
    let key = String::from_utf8(key).ok()?;
    // A key has one segment, and others stand for none.
    (segment(&key) == of).then_some(key)
}

/// A key as a segment of a path. No two keys have the same one.
fn segment(key: &str) -> Cow<'_, str> {
    if validate_name(key).is_ok() && !key.starts_with(ESCAPED) {
        return Cow::Borrowed(key);
    }
    let mut segment = ESCAPED.to_owned();
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => segment.push(byte.into()),
            _ => segment.push_str(&format!(".{byte:02x}")),
        }
    }
    Cow::Owned(segment)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rakt_wire::validate_path;

    use super::*;

    #[test]
    fn a_plain_key_is_its_own_segment() {
        let path = |key: &str| GrainId::new("cart", key).map(|id| id.path());
        assert_eq!(path("42"), Ok("grains/cart/42".into()));
        assert_eq!(path("a.b"), Ok("grains/cart/a.b".into()));
        assert_eq!(path("a/b"), Ok("grains/cart/x.a.2fb".into()));
        assert_eq!(path("x.a"), Ok("grains/cart/x.x.2ea".into()));
        assert_eq!(path("rakt.a"), Ok("grains/cart/x.rakt.2ea".into()));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(GrainId::new("", "1").is_err() && GrainId::new("a/b", "1").is_err());
        let error = GrainId::new("cart", "").expect_err("it is empty");
        assert!(error.to_string().contains("key"), "{error}");
        assert!(GrainId::new("cart", &"a".repeat(255)).is_ok());
        let error = GrainId::new("cart", &"a".repeat(256)).expect_err("it is too long");
        assert!(error.to_string().contains("255"), "{error}");
    }

    proptest! {
        #[test]
        fn every_key_has_a_valid_path_of_its_own(a in "(?s).{1,20}", b in "(?s)[x.a2]{1,6}|.{1,20}") {
            let [a, b] = [a, b].map(|key| GrainId::new("cart", &key).expect("it is short"));
            prop_assert_eq!(validate_path(&a.path()), Ok(()));
            prop_assert_eq!(a.to_text().parse(), Ok(a.clone()));
            prop_assert_eq!(a == b, a.path() == b.path());
        }
    }
}
