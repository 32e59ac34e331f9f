//! The messages between the two sides of a stream, and how they cross the wire.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::LazyLock;

use bytes::Bytes;
use rakt_wire::{Reader, put_varint};

use super::{MAX_BYTES, MAX_ITEMS};
use crate::message::allowance::Allowance;
use crate::message::{Codec, CodecError, Functions, Message, WireType};
use crate::sync::GlobalMutex;

/// Wants items for as long as it is not answered: whoever sends it keeps the source alive by that.
pub(super) struct Hold;

#[diagnostic::do_not_recommend]
impl Message for Hold {
    type Reply = ();

    fn wire() -> Option<&'static WireType<Self>> {
        static WIRE: WireType<Hold> = WireType::of::<Plain, Plain>("rakt.stream.Hold");
        Some(&WIRE)
    }
}

/// Asks for the next items.
pub(super) struct Pull<T> {
    /// They are to cross the wire.
    pub(super) is_remote: bool,
    item: PhantomData<fn(T)>,
}

impl<T> Pull<T> {
    pub(super) fn new(is_remote: bool) -> Self {
        Self { is_remote, item: PhantomData }
    }
}

#[diagnostic::do_not_recommend]
impl<T: Message> Message for Pull<T> {
    type Reply = Batch<T>;

    fn wire() -> Option<&'static WireType<Self>> {
        T::wire().and_then(|item| wire_of::<T>(item.name()))
    }
}

/// One for each type of item, made when it is first needed.
fn wire_of<T: Message>(item: &str) -> Option<&'static WireType<Pull<T>>> {
    type Known = HashMap<TypeId, &'static (dyn Any + Send + Sync)>;
    static KNOWN: LazyLock<GlobalMutex<Known>> = LazyLock::new(GlobalMutex::default);
    const LONGEST: usize = 255 - PREFIX.len();
    const PREFIX: &str = "rakt.stream.Pull:";
    if item.len() > LONGEST {
        return None;
    }
    let mut known = KNOWN.lock();
    let wire = known.entry(TypeId::of::<T>()).or_insert_with(|| {
        let name: &'static str = Box::leak(format!("{PREFIX}{item}").into_boxed_str());
        Box::leak(Box::new(WireType::<Pull<T>>::of::<Plain, Plain>(name)))
    });
    wire.downcast_ref()
}

/// Some items, in their order.
pub(super) struct Batch<T> {
    pub(super) items: Vec<T>,
    /// Of items that are to cross the wire, in their place: each its length and its encoding.
    encoded: Vec<u8>,
    count: usize,
    is_remote: bool,
    /// There are no more.
    pub(super) is_last: bool,
}

impl<T: Message> Batch<T> {
    pub(super) fn new(is_remote: bool) -> Self {
        Self { items: Vec::new(), encoded: Vec::new(), count: 0, is_remote, is_last: false }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.count >= MAX_ITEMS || self.encoded.len() >= MAX_BYTES
    }

    /// Takes one more item.
    ///
    /// # Errors
    /// The item cannot be written.
    pub(super) fn add(&mut self, item: T) -> Result<(), CodecError> {
        if self.is_remote {
            write(&item, &mut self.encoded)?;
        } else {
            self.items.push(item);
        }
        self.count += 1;
        Ok(())
    }
}

fn functions<T: Message>() -> Result<&'static Functions<T>, CodecError> {
    let wire = T::wire().ok_or_else(|| CodecError::new("the items have no name on the wire"))?;
    Ok(&wire.message)
}

fn write<T: Message>(item: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let mut encoding = Vec::new();
    functions::<T>()?.encode(item, &mut encoding)?;
    put_varint(out, encoding.len() as u64);
    out.extend_from_slice(&encoding);
    Ok(())
}

/// The codec of what is between the two sides.
enum Plain {}

impl Codec<()> for Plain {
    fn encoded_len((): &()) -> Option<usize> {
        Some(0)
    }

    fn encode((): &(), _: &mut Vec<u8>) -> Result<(), CodecError> {
        Ok(())
    }

    fn decode(_: Bytes) -> Result<(), CodecError> {
        Ok(())
    }
}

impl Codec<Hold> for Plain {
    fn encoded_len(_: &Hold) -> Option<usize> {
        Some(0)
    }

    fn encode(_: &Hold, _: &mut Vec<u8>) -> Result<(), CodecError> {
        Ok(())
    }

    fn decode(_: Bytes) -> Result<Hold, CodecError> {
        Ok(Hold)
    }
}

impl<T: Message> Codec<Pull<T>> for Plain {
    fn encoded_len(_: &Pull<T>) -> Option<usize> {
        Some(0)
    }

    fn encode(_: &Pull<T>, _: &mut Vec<u8>) -> Result<(), CodecError> {
        Ok(())
    }

    fn decode(_: Bytes) -> Result<Pull<T>, CodecError> {
        Ok(Pull::new(true))
    }
}

/// A byte that says whether it is the last, and the items, each behind its length.
impl<T: Message> Codec<Batch<T>> for Plain {
    fn encoded_len(batch: &Batch<T>) -> Option<usize> {
        batch.items.is_empty().then_some(batch.encoded.len() + 1)
    }

    fn encode(batch: &Batch<T>, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.push(u8::from(batch.is_last));
        out.extend_from_slice(&batch.encoded);
        batch.items.iter().try_for_each(|item| write(item, out))
    }

    fn decode(bytes: Bytes) -> Result<Batch<T>, CodecError> {
        read(bytes, |functions, item| functions.decode_own(item))
    }

    fn decode_within(bytes: Bytes, allowance: &mut Allowance<'_>) -> Result<Batch<T>, CodecError> {
        allowance.take((MAX_ITEMS * size_of::<T>()) as u64)?;
        read(bytes, |functions, item| functions.decode_part(item, allowance))
    }
}

fn read<T: Message>(
    bytes: Bytes,
    mut decode: impl FnMut(&Functions<T>, Bytes) -> Result<T, CodecError>,
) -> Result<Batch<T>, CodecError> {
    let functions = functions::<T>()?;
    let mut reader = Reader::new(&bytes);
    let mut batch = Batch::new(false);
    batch.is_last = reader.u8("whether the batch is the last").map_err(CodecError::new)? != 0;
    while !reader.is_empty() {
        if batch.count == MAX_ITEMS {
            return Err(CodecError::new("a batch has too many items"));
        }
        let len = reader.varint("the length of an item").map_err(CodecError::new)?;
        let from = bytes.len() - reader.len();
        let Some(item) = usize::try_from(len).ok().filter(|&len| len <= reader.len()) else {
            return Err(CodecError::new("an item is longer than what is there"));
        };
        let item = from..from + item;
        reader = Reader::new(&bytes[item.end..]);
        batch.add(decode(functions, bytes.slice(item))?)?;
    }
    Ok(batch)
}

#[cfg(all(test, feature = "prost"))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, PartialEq, prost::Message)]
    struct Item {
        #[prost(bytes = "bytes", tag = "1")]
        bytes: Bytes,
    }

    #[diagnostic::do_not_recommend]
    impl Message for Item {
        type Reply = ();

        fn wire() -> Option<&'static WireType<Self>> {
            static WIRE: WireType<Item> =
                WireType::of::<crate::message::Prost, crate::message::Prost>("stream.tests.Item");
            Some(&WIRE)
        }
    }

    fn written(items: &[Item], is_last: bool) -> Bytes {
        let mut batch = Batch::new(true);
        for item in items {
            batch.add(item.clone()).expect("it is written");
        }
        batch.is_last = is_last;
        let mut out = Vec::new();
        <Plain as Codec<Batch<Item>>>::encode(&batch, &mut out).expect("it is written");
        out.into()
    }

    fn item(len: usize) -> Item {
        Item { bytes: vec![7; len].into() }
    }

    proptest! {
        #[test]
        fn a_batch_is_read_as_it_was_written(
            lens in proptest::collection::vec(0_usize..3000, 0..40), is_last: bool,
        ) {
            let items: Vec<_> = lens.into_iter().map(item).collect();
            let bytes = written(&items, is_last);
            for is_counted in [false, true] {
                let mut allowance = Allowance::new(1024 * 1024);
                let batch: Batch<Item> = match is_counted {
                    true => Plain::decode_within(bytes.clone(), &mut allowance),
                    false => Plain::decode(bytes.clone()),
                }.expect("it is read");
                prop_assert_eq!(&batch.items, &items);
                prop_assert_eq!(batch.is_last, is_last);
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = <Plain as Codec<Batch<Item>>>::decode(bytes.into());
        }
    }

    #[test]
    fn more_items_than_a_batch_may_have_are_refused() {
        let mut bytes = written(&vec![item(0); MAX_ITEMS], true).to_vec();
        let read =
            |bytes: &[u8]| <Plain as Codec<Batch<Item>>>::decode(Bytes::copy_from_slice(bytes));
        assert_eq!(read(&bytes).expect("as many as may be").items.len(), MAX_ITEMS);
        bytes.push(0);
        assert!(read(&bytes).is_err());
    }
}
