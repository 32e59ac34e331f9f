//! What carries user messages: `RemoteMessage`, `google.protobuf.Any`, and lists of them.
//!
//! Reading a list checks all of it once and keeps it as it arrived; going through it makes nothing but
//! references.

use std::fmt;

use bytes::Bytes;

use super::fields::{Field, Fields, Malformed, Out, text};

/// What GoAkt writes before the full name of a type. A reader takes any prefix, and none.
pub(super) const TYPE_URL_PREFIX: &str = "type.googleapis.com/";

/// The full name of a type: what follows the last `/`.
pub(super) fn type_name(type_url: &str) -> &str {
    type_url.rsplit('/').next().unwrap_or_default()
}

/// A message that goes out, encoded already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Payload<'a> {
    /// The full name of its type; empty for "nothing", which is how an actor answers with nil.
    pub type_name: &'a str,
    /// The message.
    pub bytes: &'a [u8],
}

/// A message to an actor that goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// The address it comes from; [`NO_SENDER`](super::address::NO_SENDER) when it comes from no actor.
    pub sender: &'a str,
    /// The address it goes to.
    pub receiver: &'a str,
    /// What it says.
    pub payload: Payload<'a>,
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload")
            .field("type_name", &self.type_name)
            .field("len", &self.bytes.len())
            .finish()
    }
}

impl Payload<'_> {
    pub(super) fn put(&self, out: &mut Out<'_>) {
        if !self.type_name.is_empty() {
            out.key(1, self.type_name.len().saturating_add(TYPE_URL_PREFIX.len()));
            out.raw(TYPE_URL_PREFIX.as_bytes());
            out.raw(self.type_name.as_bytes());
        }
        out.bytes(2, self.bytes);
    }

    /// Payloads as field 1, one after another.
    pub(super) fn put_all(payloads: &[Self], out: &mut Out<'_>) {
        payloads.iter().for_each(|payload| out.nested(1, |out| payload.put(out)));
    }
}

impl Outgoing<'_> {
    fn put(&self, out: &mut Out<'_>) {
        out.bytes(1, self.sender.as_bytes());
        out.bytes(2, self.receiver.as_bytes());
        out.nested(3, |out| self.payload.put(out));
    }

    /// Messages as field 1, one after another.
    pub(super) fn put_all(messages: &[Self], out: &mut Out<'_>) {
        messages.iter().for_each(|message| out.nested(1, |out| message.put(out)));
    }
}

/// A message that has arrived.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Any<'a> {
    type_url: &'a str,
    /// The message, where it lies in its frame.
    pub value: Bytes,
}

impl<'a> Any<'a> {
    /// The full name of its type: what follows the last `/`. Empty when it names none.
    pub fn type_name(&self) -> &'a str {
        type_name(self.type_url)
    }

    /// The type as it was sent.
    pub fn type_url(&self) -> &'a str {
        self.type_url
    }
}

impl fmt::Debug for Any<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Any")
            .field("type_url", &self.type_url)
            .field("len", &self.value.len())
            .finish()
    }
}

/// The fields of an `Any`, still as part of what holds them. A field that occurs again replaces itself,
/// also when the whole message does.
#[derive(Clone, Copy, Default)]
struct RawAny<'a> {
    type_url: &'a str,
    value: &'a [u8],
}

/// Whether a payload is one of GoAkt v4, which has a frame of its own or is one of the system's: none of them
/// is an `Any` of v3.
fn is_of_v4(bytes: &[u8]) -> bool {
    let is_frame = |len: &[u8; 4]| u32::from_be_bytes(*len) as usize == bytes.len();
    bytes.first_chunk().is_some_and(is_frame)
        || V4_SYSTEM.iter().any(|magic| bytes.starts_with(magic))
}

/// What messages of the system start with in GoAkt v4.
const V4_SYSTEM: [&[u8]; 3] = [b"\xde\xad\xbe\xef", b"\xde\xad\xac\x70", b"\xff\xff\xff\xff"];

impl<'a> RawAny<'a> {
    fn merge(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {
        self.read(bytes).map_err(|error| if is_of_v4(bytes) { Malformed::Version } else { error })
    }

    fn read(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {
        let mut fields = Fields::new(bytes);
        while let Some(field) = fields.next()? {
            match field {
                (1, Field::Bytes(bytes)) => self.type_url = text(bytes)?,
                (2, Field::Bytes(bytes)) => self.value = bytes,
                _ => {}
            }
        }
        Ok(())
    }

    fn of(self, holder: &Bytes) -> Any<'a> {
        let value = if self.value.is_empty() { Bytes::new() } else { holder.slice_ref(self.value) };
        Any { type_url: self.type_url, value }
    }
}

/// A message to an actor that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteMessage<'a> {
    /// The address it comes from, as text.
    pub sender: &'a str,
    /// The address it goes to, as text.
    pub receiver: &'a str,
    /// What it says.
    pub message: Any<'a>,
}

/// A message to an actor before its payload is shared with the frame.
#[derive(Default)]
struct RawMessage<'a> {
    sender: &'a str,
    receiver: &'a str,
    message: RawAny<'a>,
}

impl<'a> RawMessage<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (mut raw, mut fields) = (Self::default(), Fields::new(bytes));
        while let Some(field) = fields.next()? {
            match field {
                (1, Field::Bytes(bytes)) => raw.sender = text(bytes)?,
                (2, Field::Bytes(bytes)) => raw.receiver = text(bytes)?,
                (3, Field::Bytes(bytes)) => raw.message.merge(bytes)?,
                _ => {}
            }
        }
        Ok(raw)
    }

    fn of(self, holder: &Bytes) -> RemoteMessage<'a> {
        let message = self.message.of(holder);
        RemoteMessage { sender: self.sender, receiver: self.receiver, message }
    }
}

/// The messages of one request, in order.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteMessages {
    body: Bytes,
    count: usize,
}

impl RemoteMessages {
    /// Takes the body of a tell or an ask; fields other than the messages are left to the caller.
    pub(super) fn decode(
        body: Bytes,
        mut other: impl FnMut(u32, Field<'_>) -> Result<(), Malformed>,
    ) -> Result<Self, Malformed> {
        let (mut fields, mut count) = (Fields::new(&body), 0_usize);
        while let Some((number, field)) = fields.next()? {
            match field {
                Field::Bytes(bytes) if number == 1 => {
                    RawMessage::read(bytes)?;
                    count = count.saturating_add(1);
                }
                field => other(number, field)?,
            }
        }
        Ok(Self { body, count })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none, which is not an error.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The bytes that the payloads are parts of.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The first message at or behind `at`, a place in the [body](Self::body), and the place behind it;
    /// `None` if there is none. For going through them with pauses, from 0.
    pub fn next_at(&self, at: usize) -> Option<(RemoteMessage<'_>, usize)> {
        let mut fields = Fields::new(self.body.get(at..)?);
        let bytes = next_element(&mut fields)?;
        // All of them were checked when the list was made.
        let message = RawMessage::read(bytes).ok()?.of(&self.body);
        Some((message, self.body.len().saturating_sub(fields.rest_len())))
    }

    /// All messages in order.
    pub fn iter(&self) -> impl Iterator<Item = RemoteMessage<'_>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let (message, behind) = self.next_at(at)?;
            at = behind;
            Some(message)
        })
    }
}

impl fmt::Debug for RemoteMessages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The replies to one ask, in the order of its messages.
#[derive(Clone, PartialEq, Eq)]
pub struct Replies {
    body: Bytes,
    count: usize,
}

impl Replies {
    /// Takes the body of a response.
    pub(super) fn decode(body: Bytes) -> Result<Self, Malformed> {
        let (mut fields, mut count) = (Fields::new(&body), 0_usize);
        while let Some(field) = fields.next()? {
            if let (1, Field::Bytes(bytes)) = field {
                RawAny::default().merge(bytes)?;
                count = count.saturating_add(1);
            }
        }
        Ok(Self { body, count })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All replies in order.
    pub fn iter(&self) -> impl Iterator<Item = Any<'_>> {
        elements(&self.body).map(|bytes| {
            let mut any = RawAny::default();
            // Checked when the list was made.
            drop(any.merge(bytes));
            any.of(&self.body)
        })
    }
}

impl fmt::Debug for Replies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The values of field 1 of a message that has been checked.
fn elements(body: &Bytes) -> impl Iterator<Item = &[u8]> {
    let mut fields = Fields::new(body);
    std::iter::from_fn(move || next_element(&mut fields))
}

/// The next value of field 1 of a message that has been checked.
fn next_element<'a>(fields: &mut Fields<'a>) -> Option<&'a [u8]> {
    loop {
        if let (1, Field::Bytes(bytes)) = fields.next().ok()?? {
            return Some(bytes);
        }
    }
}

/// One message that has arrived on its own, as a grain's do.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Packed {
    body: Bytes,
}

impl Packed {
    /// Takes the bytes of an `Any`.
    pub(super) fn decode(body: Bytes) -> Result<Self, Malformed> {
        RawAny::default().merge(&body)?;
        Ok(Self { body })
    }

    /// Adds another occurrence of the field, as protobuf wants it.
    pub(super) fn merge(self, more: Bytes) -> Result<Self, Malformed> {
        match self.body.is_empty() {
            true => Self::decode(more),
            false => Self::decode([self.body, more].concat().into()),
        }
    }

    /// The message.
    pub fn get(&self) -> Any<'_> {
        let mut any = RawAny::default();
        // Checked when it was made.
        drop(any.merge(&self.body));
        any.of(&self.body)
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}
