//! References as data: how one leaves the process, and becomes a reference again where it arrives.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock, Weak};

use rakt_wire::{Address, AddressError};

use crate::call_options::CallOptions;
use crate::reference::{ActorRef, Life, Target};
use crate::sync::GlobalMutex;

/// An [`ActorRef`] as data: the address of an actor, and which life of it is meant where one is.
///
/// It is for messages, stores and logs. Made by [`ActorRef::portable`], and a reference again by
/// [`ActorSystem::resolve`](crate::ActorSystem::resolve), or by `resolve` of a client, on whichever node. Its text is that of the [`Address`], and behind a `#` the life: the number of the actor on its node,
/// and in hexadecimal digits which start of the node. Without that it means whoever has the address.
///
/// With the feature `serde` this, `Address`, and `ActorRef` itself can be part of messages; a message of prost has the
/// text, in a field of type `string`.
///
/// ```
/// use rakt::PortableRef;
///
/// let text = "rakt://shop@10.0.0.1:3321/orders/42#17.0123456789abcdef0123456789abcdef";
/// let order: PortableRef = text.parse()?;
/// assert_eq!(order.address().path(), "orders/42");
/// assert!(order.is_one_life());
/// assert_eq!(order.to_string(), text);
/// # Ok::<(), rakt::error::AddressError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortableRef {
    address: Address,
    life: Option<Life>,
}

impl PortableRef {
    /// The address of the actor.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether it means one life of the actor, and not whoever has the address.
    pub fn is_one_life(&self) -> bool {
        self.life.is_some()
    }

    /// Whether this is the same actor: a reference without a life means whoever is there.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let is_one_life = self.is_one_life() && other.is_one_life();
        self.address == other.address && (!is_one_life || self.life == other.life)
    }

    #[cfg(feature = "cluster")]
    pub(crate) fn of_life(address: Address, life: Life) -> Self {
        Self { address, life: Some(life) }
    }

    pub(crate) fn life(&self) -> Option<Life> {
        self.life
    }
}

/// Whoever has the address.
impl From<Address> for PortableRef {
    fn from(address: Address) -> Self {
        Self { address, life: None }
    }
}

impl fmt::Debug for PortableRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PortableRef({self})")
    }
}

impl fmt::Display for PortableRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        let Some(Life { uid, incarnation }) = self.life else { return Ok(()) };
        write!(f, "#{uid}.{:032x}", u128::from_be_bytes(incarnation))
    }
}

impl FromStr for PortableRef {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let Some((address, life)) = text.split_once('#') else {
            return text.parse::<Address>().map(Self::from);
        };
        let address = address.parse()?;
        let life = parse_life(life).ok_or_else(|| AddressError::Malformed {
            text: text.chars().take(MOST_SHOWN).collect(),
            expected: "behind the # a number, a dot and 32 hexadecimal digits",
        })?;
        Ok(Self { address, life: Some(life) })
    }
}

/// Of a text that is no reference, in characters.
const MOST_SHOWN: usize = 2048;

fn parse_life(text: &str) -> Option<Life> {
    let (uid, incarnation) = text.split_once('.')?;
    let is_plain = !uid.is_empty() && uid.bytes().all(|byte| byte.is_ascii_digit());
    let is_hex =
        incarnation.len() == 32 && incarnation.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_plain || !is_hex {
        return None;
    }
    let incarnation = u128::from_str_radix(incarnation, 16).ok()?.to_be_bytes();
    Some(Life { uid: uid.parse().ok()?, incarnation })
}

impl<A> ActorRef<A> {
    /// This reference as data, which means the same on every node. Nobody reaches an actor by it whose
    /// system has no [remoting](crate::SystemBuilder::remoting), but for that system itself.
    pub fn portable(&self) -> PortableRef {
        match self.target() {
            Target::Local(cell) => PortableRef { address: cell.address(), life: Some(cell.life()) },
            Target::Remote(remote) => {
                PortableRef { address: remote.address().clone(), life: remote.life() }
            }
            Target::Grain(grain) => PortableRef { address: grain.address(), life: None },
        }
    }
}

/// Makes references of data, for one system or client.
#[allow(dead_code, reason = "for messages of serde, which is a feature")]
pub(crate) trait Resolve: Send + Sync {
    fn resolve(self: Arc<Self>, portable: &PortableRef) -> ActorRef;

    /// Itself, for those who make other references than to actors: of a system it is what that is made of.
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// Everybody who reads messages, by number.
static READERS: LazyLock<GlobalMutex<HashMap<u64, Weak<dyn Resolve>>>> =
    LazyLock::new(GlobalMutex::default);

/// Has this make the references in what is read with these options.
pub(crate) fn resolve_by(options: &CallOptions, resolver: Weak<dyn Resolve>) {
    let mut readers = READERS.lock();
    readers.retain(|_, resolver| resolver.strong_count() > 0);
    readers.insert(options.reader, resolver);
}

/// Who makes the references in what is read by this number.
#[allow(dead_code, reason = "for messages of serde, which is a feature")]
pub(crate) fn resolver(reader: u64) -> Option<Arc<dyn Resolve>> {
    READERS.lock().get(&reader).and_then(Weak::upgrade)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address() -> Address {
        Address::new("orders/42", "shop", "::1", 3321).expect("it is valid")
    }

    proptest! {
        #[test]
        fn the_text_is_read_as_what_was_written(uid: u64, incarnation: [u8; 16]) {
            let portable =
                PortableRef { address: address(), life: Some(Life { uid, incarnation }) };
            prop_assert_eq!(portable.to_string().parse(), Ok(portable));
        }

        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = format!("rakt://shop@10.0.0.1:1/a#{text}").parse::<PortableRef>();
            let _ = text.parse::<PortableRef>();
        }
    }

    #[test]
    fn without_a_life_whoever_is_there_is_the_same() {
        let life = |uid| Some(Life { uid, incarnation: [7; 16] });
        let [any, first, second] =
            [None, life(1), life(2)].map(|life| PortableRef { address: address(), life });
        assert!(any.is_same(&first) && first.is_same(&any) && first.is_same(&first));
        assert!(!first.is_same(&second));
        let elsewhere = Address::new("orders/43", "shop", "::1", 3321).expect("it is valid");
        assert!(!any.is_same(&elsewhere.into()));
    }

    #[test]
    fn what_is_no_life_is_refused() {
        let hex = "0123456789abcdef0123456789abcdef";
        let none = ["", ".", "1", "1.", "1.0", &format!(".{hex}"), &format!("+1.{hex}")];
        let more =
            [&format!("1.{hex}0"), &format!("1.{hex}#"), &format!("18446744073709551616.{hex}")];
        for life in none.into_iter().chain(more.map(|text| &**text)) {
            let read = format!("{}#{life}", address()).parse::<PortableRef>();
            let error = read.expect_err(life);
            assert!(error.to_string().contains("32 hexadecimal digits"), "{error}");
        }
        assert_eq!(address().to_string().parse(), Ok(PortableRef::from(address())));
    }
}
