//! Names of actors made of other names: URNs, mail addresses, keys of a database.
//!
//! A name of an actor is 1 to 255 bytes of ASCII letters, digits, `-`, `_` and `.`, begins with a letter or a digit, and
//! not with `rakt.` or `GoAkt`. [`escape`] makes one of any text, [`unescape`] the text again. Two texts never have one
//! name, and a name that is made of one letter or digit after the other is itself.
//!
//! ```
//! use rakt::name;
//!
//! let name = name::escape("urn:isbn:0-486-27557-4");
//! assert_eq!(name, "urn_3aisbn_3a0-486-27557-4");
//! assert_eq!(name::unescape(&name).as_deref(), Some("urn:isbn:0-486-27557-4"));
//! ```

use rakt_wire::RESERVED_PREFIXES;

/// What stands before a text that cannot begin a name.
const BEGIN: &str = "x__";

/// The name for a text. Each byte that a name may not hold, and `_`, becomes `_` and two hexadecimal digits; what
/// cannot begin a name stands behind `x__`.
///
/// It may be three times as long as the text: one of more than 255 bytes is refused where an actor is spawned.
pub fn escape(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    let begins = text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
    if !begins || RESERVED_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
        name.push_str(BEGIN);
    }
    for byte in text.bytes() {
        if is_plain(byte) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("_{byte:02x}"));
        }
    }
    name
}

/// The text that [`escape`] made this name of; `None` if it is not one of those.
pub fn unescape(name: &str) -> Option<String> {
    let mut text = Vec::with_capacity(name.len());
    let mut rest = name.strip_prefix(BEGIN).unwrap_or(name).as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first == b'_' {
            let (digits, after) = rest.split_at_checked(2)?;
            text.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            text.push(first);
        }
    }
    let text = String::from_utf8(text).ok()?;
    // There is one way to write each.
    (escape(&text) == name).then_some(text)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rakt_wire::{MAX_NAME_LEN, validate_name};

    use super::*;

    proptest! {
        #[test]
        fn every_text_has_a_name_that_leads_back_to_it(text in ".{0,85}|(rakt.|GoAkt|x__|x_)[a-z_.]{0,9}") {
            let name = escape(&text);
            if name.len() <= MAX_NAME_LEN {
                prop_assert_eq!(validate_name(&name), Ok(()));
            }
            prop_assert_eq!(unescape(&name), Some(text));
        }

        #[test]
        fn no_two_names_mean_one_text(name in "[a-z0-9_.-]{0,20}|x__[a-z_.]{0,9}") {
            if let Some(text) = unescape(&name) {
                prop_assert_eq!(escape(&text), name);
            }
        }
    }

    #[test]
    fn what_is_a_name_stays_readable() {
        for (text, name) in [
            ("worker-1", "worker-1"),
            ("a.b", "a.b"),
            ("john.doe@example.com", "john.doe_40example.com"),
            ("a_b", "a_5fb"),
            ("a/b", "a_2fb"),
            ("", "x__"),
            (".a", "x__.a"),
            ("rakt.a", "x__rakt.a"),
            ("x__a", "x_5f_5fa"),
        ] {
            assert_eq!(escape(text), name);
            assert_eq!(unescape(name).as_deref(), Some(text));
        }
        for name in ["a_", "a_4", "a_zz", "a_41", "a_2F", "x__a", "a b", "a_ff"] {
            assert_eq!(unescape(name), None, "{name}");
        }
    }
}
