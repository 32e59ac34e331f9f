//! Patterns for paths, names of types and identities.

use std::fmt;

/// A pattern. `*` stands for any characters, none included, within a name; `**` in place of a name stands for one name
/// or several. Everything else stands for itself, byte for byte.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Glob {
    text: Box<str>,
    separator: Option<char>,
}

impl Glob {
    /// For paths: names are separated by `/`.
    pub(crate) fn of_path(pattern: &str) -> Self {
        Self { text: pattern.into(), separator: Some('/') }
    }

    /// For names of types: the whole is one name, dots included.
    pub(crate) fn of_type(pattern: &str) -> Self {
        Self { text: pattern.into(), separator: None }
    }

    /// For names of kinds, which are compared trimmed and without regard to case.
    pub(crate) fn of_kind(pattern: &str) -> Self {
        Self { text: pattern.trim().to_lowercase().into(), separator: None }
    }

    /// For names of identities: in those of hosts and in addresses a dot separates, so that a `*` is one label and
    /// no more, as in certificates; in URIs a slash does.
    pub(crate) fn of_identity(pattern: &str) -> Self {
        let is_dotted = ["dns:", "ip:", "address:"].iter().any(|start| pattern.starts_with(start));
        let separator = Some(if is_dotted { '.' } else { '/' });
        // Names of hosts have no case.
        let text = match pattern.starts_with("dns:") {
            true => pattern.to_ascii_lowercase().into(),
            false => pattern.into(),
        };
        Self { text, separator }
    }

    /// Says what is wrong with it, if it can match nothing that it looks like.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        if self.text.is_empty() {
            return Some("a pattern that is not empty");
        }
        if rakt_wire::controls_at(&self.text).is_some() {
            return Some("a pattern without control characters");
        }
        let is_mixed = |name: &str| name.contains("**") && name != "**";
        match self.separator {
            Some(separator) if self.text.split(separator).any(is_mixed) => {
                Some("a pattern in which `**` takes the place of a whole name")
            }
            Some('/') if self.text.starts_with('/') || self.text.ends_with('/') => {
                Some("a pattern that neither begins nor ends with a slash")
            }
            _ => None,
        }
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        let Some(separator) = self.separator else { return is_like(&self.text, text) };
        let (mut pattern, mut text) = (self.text.split(separator), text.split(separator));
        // Where to go on when the last `**` takes one name more: behind it, and behind what it has taken.
        let mut again = None;
        loop {
            let (mut rest, mut left) = (pattern.clone(), text.clone());
            let fits = match (rest.next(), left.next()) {
                (None, None) => return true,
                (Some(_), None) => return false,
                (Some("**"), Some(_)) => {
                    again = Some((rest.clone(), left.clone()));
                    true
                }
                (Some(wanted), Some(name)) => is_like(wanted, name),
                (None, Some(_)) => false,
            };
            if fits {
                (pattern, text) = (rest, left);
                continue;
            }
            let Some((behind, taken)) = &mut again else { return false };
            if taken.next().is_none() {
                return false;
            }
            (pattern, text) = (behind.clone(), taken.clone());
        }
    }
}

/// Whether a name is like a pattern without separators.
fn is_like(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut read) = (0, 0);
    // Behind the last `*`, and what it has taken so far.
    let mut again = None;
    while read < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                again = Some((at, read));
            }
            Some(byte) if *byte == name[read] => (at, read) = (at + 1, read + 1),
            _ => {
                let Some((behind, taken)) = &mut again else { return false };
                *taken += 1;
                (at, read) = (*behind, *taken);
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// As it was written.
impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", rakt_wire::Shown(&self.text))
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_stays_within_a_name_and_two_take_whole_names() {
        let path = |pattern: &str, path: &str| Glob::of_path(pattern).matches(path);
        for (pattern, yes, no) in [
            ("orders", &["orders"][..], &["order", "orders/7", "Orders", ""][..]),
            ("orders/*", &["orders/7", "orders/"], &["orders", "orders/7/8", "others/7"]),
            ("orders/**", &["orders/7", "orders/7/8"], &["orders", "others/7"]),
            ("**", &["a", "a/b", "a/b/c"], &[]),
            ("**/log", &["a/log", "a/b/log"], &["log", "a/log/b", "a/logs"]),
            ("a/**/z", &["a/b/z", "a/z/z", "a/b/c/z"], &["a/z", "a/b/z/y"]),
            ("**/a/**/b", &["x/a/y/b", "a/a/b/b", "x/a/b/b/b"], &["a/y/b", "x/a/b"]),
            ("shop-*", &["shop-", "shop-7"], &["shop", "shop-7/x"]),
            ("a*b*c", &["abc", "aXbYc", "abbc", "abcbc"], &["ab", "acb", "a/b/c"]),
        ] {
            assert!(yes.iter().all(|text| path(pattern, text)), "{pattern}");
            assert!(!no.iter().any(|text| path(pattern, text)), "{pattern}");
        }
        assert!(Glob::of_type("shop.*").matches("shop.v1.Order"));
        assert!(!Glob::of_type("shop.*").matches("shopping.Order"));
        assert!(Glob::of_kind(" Work*").matches("worker"));
    }

    #[test]
    fn a_star_in_an_identity_is_one_label() {
        let matches = |pattern: &str, name: &str| Glob::of_identity(pattern).matches(name);
        assert!(matches("spiffe://prod.example/rakt/shop-*", "spiffe://prod.example/rakt/shop-7"));
        assert!(!matches("spiffe://prod.example/rakt/*", "spiffe://prod.example/rakt/shop/7"));
        assert!(matches("spiffe://prod.example/**", "spiffe://prod.example/rakt/shop/7"));
        assert!(matches("dns:*.Prod.example", "dns:ops.prod.example"));
        assert!(!matches("dns:*.prod.example", "dns:a.b.prod.example"));
        assert!(!matches("dns:*.prod.example", "dns:prod.example"));
        assert!(matches("address:10.0.0.*", "address:10.0.0.8"));
        assert!(!matches("address:10.0.*", "address:10.0.0.8"));
        assert!(!matches("*", "spiffe://prod.example/a"));
    }

    #[test]
    fn what_can_match_nothing_is_at_fault() {
        for pattern in ["", "a**", "a/**b/c", "/a", "a/", "a\n"] {
            assert!(Glob::of_path(pattern).fault().is_some(), "{pattern:?}");
        }
        for pattern in ["**", "a/**/b", "*"] {
            assert_eq!(Glob::of_path(pattern).fault(), None);
        }
        assert!(Glob::of_type("").fault().is_some());
    }

    /// The same by trying everything.
    fn naive(pattern: &[&str], text: &[&str]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (["**", rest @ ..], [_, left @ ..]) => naive(rest, left) || naive(pattern, left),
            ([wanted, rest @ ..], [name, left @ ..]) => {
                naive_name(wanted.as_bytes(), name.as_bytes()) && naive(rest, left)
            }
            _ => false,
        }
    }

    fn naive_name(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=name.len()).any(|at| naive_name(rest, &name[at..])),
            ([wanted, rest @ ..], [byte, left @ ..]) => wanted == byte && naive_name(rest, left),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_trying_everything_finds(
            pattern in prop::collection::vec("\\*\\*|[ab*]{0,4}", 1..5),
            text in prop::collection::vec("[ab]{0,4}", 1..6),
        ) {
            let pattern: Vec<_> = pattern.iter().map(String::as_str).collect();
            let text: Vec<_> = text.iter().map(String::as_str).collect();
            // Two stars in a longer name are refused before they are looked at.
            prop_assume!(Glob::of_path(&pattern.join("/")).fault().is_none());
            let found = Glob::of_path(&pattern.join("/")).matches(&text.join("/"));
            prop_assert_eq!(found, naive(&pattern, &text));
        }

        #[test]
        fn the_name_of_a_type_is_one_name(pattern in "[ab*]{1,6}", text in "[ab/.]{0,8}") {
            let found = Glob::of_type(&pattern).matches(&text);
            prop_assert_eq!(found, naive_name(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
