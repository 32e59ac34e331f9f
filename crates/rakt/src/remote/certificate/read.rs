//! What is read of a certificate: enough to issue others in its name, and to tell when it ends.
//!
//! Verifying a certificate is no business of this file.

use rcgen::string::{BmpString, Ia5String, PrintableString, TeletexString, UniversalString};
use rcgen::{DistinguishedName, DnType, DnValue};
use time::{Date, OffsetDateTime, Time};

const BOOLEAN: u8 = 0x01;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x0e];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
/// `keyCertSign`, in the first byte of the bits of the key usage.
const MAY_SIGN: u8 = 0x04;

/// The parts of a certificate that somebody here wants to know.
pub(in crate::remote) struct Certificate<'a> {
    issuer: &'a [u8],
    subject: &'a [u8],
    pub(in crate::remote) not_before: OffsetDateTime,
    pub(in crate::remote) not_after: OffsetDateTime,
    /// With its algorithm, as DER.
    pub(super) public_key: &'a [u8],
    pub(super) key_identifier: Option<&'a [u8]>,
    /// Whether it says that it is an authority's, and does not say that it may not sign.
    pub(super) may_issue: bool,
}

impl<'a> Certificate<'a> {
    /// Reads DER. `None` if it is no certificate.
    pub(in crate::remote) fn read(der: &'a [u8]) -> Option<Self> {
        let mut signed = Reader(Reader(der).content(SEQUENCE)?);
        let mut fields = Reader(signed.content(SEQUENCE)?);
        fields.content(VERSION)?;
        let (_serial, _algorithm) = (fields.next()?, fields.next()?);
        let issuer = fields.content(SEQUENCE)?;
        let mut validity = Reader(fields.content(SEQUENCE)?);
        let (not_before, not_after) = (validity.next()?, validity.next()?);
        let subject = fields.content(SEQUENCE)?;
        let public_key = fields.next()?.whole;
        let mut read = Self {
            issuer,
            subject,
            not_before: time(not_before)?,
            not_after: time(not_after)?,
            public_key,
            key_identifier: None,
            may_issue: false,
        };
        while let Some(field) = fields.next() {
            if field.tag == EXTENSIONS {
                read.extensions(Reader(Reader(field.content).content(SEQUENCE)?))?;
            }
        }
        Some(read)
    }

    fn extensions(&mut self, mut all: Reader<'a>) -> Option<()> {
        let (mut is_authority, mut signs) = (false, true);
        while let Some(one) = all.next() {
            let mut parts = Reader(one.content);
            let name = parts.content(OID)?;
            let value = parts.find(OCTET_STRING)?;
            match name {
                SUBJECT_KEY_IDENTIFIER => {
                    self.key_identifier = Some(Reader(value).content(OCTET_STRING)?);
                }
                BASIC_CONSTRAINTS => {
                    let first = Reader(Reader(value).content(SEQUENCE)?).next();
                    is_authority = first.is_some_and(|it| it.tag == BOOLEAN && it.content != [0]);
                }
                KEY_USAGE => {
                    let bits = Reader(value).content(BIT_STRING)?;
                    signs = bits.get(1).is_some_and(|first| first & MAY_SIGN != 0);
                }
                _ => {}
            }
        }
        self.may_issue = is_authority && signs;
        Some(())
    }

    /// Whether it names itself as its issuer.
    pub(super) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// The name of its subject, of the same types of text, so that it is written byte by byte as it is here. `None`
    /// if it has a form that cannot be written again: two names in one part, or two parts of one type.
    pub(super) fn subject(&self) -> Option<DistinguishedName> {
        let (mut name, mut parts) = (DistinguishedName::new(), Reader(self.subject));
        while !parts.0.is_empty() {
            let mut set = Reader(parts.content(SET)?);
            let mut pair = Reader(set.content(SEQUENCE)?);
            let kind = DnType::from_oid(&numbers(pair.content(OID)?)?);
            let value = text(pair.next()?)?;
            if !set.0.is_empty() || name.get(&kind).is_some() {
                return None;
            }
            name.push(kind, value);
        }
        Some(name)
    }
}

/// The numbers of an object identifier.
fn numbers(oid: &[u8]) -> Option<Vec<u64>> {
    let (mut numbers, mut number) = (Vec::new(), 0_u64);
    for byte in oid {
        number = number.checked_mul(128)?.checked_add(u64::from(byte & 0x7f))?;
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                numbers.push(number.min(80) / 40);
                number -= numbers[0] * 40;
            }
            numbers.push(number);
            number = 0;
        }
    }
    Some(numbers)
}

fn text(element: Element<'_>) -> Option<DnValue> {
    let ascii = || std::str::from_utf8(element.content).ok();
    Some(match element.tag {
        0x0c => DnValue::Utf8String(ascii()?.to_owned()),
        0x13 => DnValue::PrintableString(PrintableString::try_from(ascii()?).ok()?),
        0x14 => DnValue::TeletexString(TeletexString::try_from(ascii()?).ok()?),
        0x16 => DnValue::Ia5String(Ia5String::try_from(ascii()?).ok()?),
        0x1c => {
            DnValue::UniversalString(UniversalString::from_utf32be(element.content.to_vec()).ok()?)
        }
        0x1e => DnValue::BmpString(BmpString::from_utf16be(element.content.to_vec()).ok()?),
        _ => return None,
    })
}

/// `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` from then on.
fn time(element: Element<'_>) -> Option<OffsetDateTime> {
    let digits = std::str::from_utf8(element.content).ok()?.strip_suffix('Z')?;
    let (year, rest) = match element.tag {
        UTC_TIME => digits.split_at_checked(2)?,
        GENERALIZED_TIME => digits.split_at_checked(4)?,
        _ => return None,
    };
    if rest.len() != 10 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let two = |at: usize| rest[at..at + 2].parse::<u8>().ok();
    let year = match (element.tag, year.parse::<i32>().ok()?) {
        (UTC_TIME, year @ ..50) => 2000 + year,
        (UTC_TIME, year) => 1900 + year,
        (_, year) => year,
    };
    let date = Date::from_calendar_date(year, two(0)?.try_into().ok()?, two(2)?).ok()?;
    let time = Time::from_hms(two(4)?, two(6)?, two(8)?).ok()?;
    Some(OffsetDateTime::new_utc(date, time))
}

/// One value of DER.
#[derive(Clone, Copy)]
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
}

/// Takes values off the front of DER.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<Element<'a>> {
        let (tag, rest) = self.0.split_first()?;
        let (first, mut content) = rest.split_first()?;
        let mut len = usize::from(*first);
        if len >= 0x80 {
            let digits;
            // No certificate is longer than two bytes can say.
            (digits, content) =
                content.split_at_checked(len - 0x80).filter(|_| (0x81..=0x82).contains(&len))?;
            len = digits.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
        }
        let (content, rest) = content.split_at_checked(len)?;
        let whole = &self.0[..self.0.len() - rest.len()];
        self.0 = rest;
        Some(Element { tag: *tag, content, whole })
    }

    /// What is in the next value, if it is of this kind.
    fn content(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|element| element.tag == tag).map(|element| element.content)
    }

    /// What is in the first value of this kind.
    fn find(&mut self, tag: u8) -> Option<&'a [u8]> {
        loop {
            let element = self.next()?;
            if element.tag == tag {
                return Some(element.content);
            }
        }
    }
}
