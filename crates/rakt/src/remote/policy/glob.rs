//! Patterns for paths, names of types and identities.

use std::fmt;
use std::net::IpAddr;

use rakt_wire::{ANONYMOUS_PREFIX, MAX_NAME_LEN, MAX_PATH_LEN, RESERVED_PREFIXES, controls_at};

/// The longest pattern, in bytes. As long as the longest address.
const MAX_LEN: usize = 2048;

/// A pattern. `*` stands for any characters, none included, within a name; `**` in place of a name stands for one name
/// or several. Everything else stands for itself, byte for byte.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Glob {
    text: Box<str>,
    of: Of,
}

/// What a pattern is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Path,
    /// The name of a type or a kind.
    Name,
    /// What separates the parts of it.
    Identity(char),
}

impl Glob {
    /// For paths: names are separated by `/`.
    pub(crate) fn of_path(pattern: &str) -> Self {
        Self { text: pattern.into(), of: Of::Path }
    }

    /// For names of types: the whole is one name, dots included.
    pub(crate) fn of_type(pattern: &str) -> Self {
        Self { text: pattern.into(), of: Of::Name }
    }

    /// For names of kinds, which are compared trimmed and without regard to case.
    pub(crate) fn of_kind(pattern: &str) -> Self {
        Self { text: pattern.trim().to_lowercase().into(), of: Of::Name }
    }

    /// For names of identities: in those of hosts and in addresses a dot separates, so that a `*` is one label and
    /// no more, as in certificates; in URIs a slash does.
    pub(crate) fn of_identity(pattern: &str) -> Self {
        let is_dotted = ["dns:", "ip:", "address:"].iter().any(|start| pattern.starts_with(start));
        let of = Of::Identity(if is_dotted { '.' } else { '/' });
        // Names of hosts have no case.
        let text = match pattern.starts_with("dns:") {
            true => pattern.to_ascii_lowercase().into(),
            false => pattern.into(),
        };
        Self { text, of }
    }

    fn separator(&self) -> Option<char> {
        match self.of {
            Of::Path => Some('/'),
            Of::Name => None,
            Of::Identity(separator) => Some(separator),
        }
    }

    /// Of names of hosts and addresses what they begin with, which is no part of the first label, and the rest.
    fn parts<'a>(&self, text: &'a str) -> (&'a str, &'a str) {
        match (self.of, text.find(':')) {
            (Of::Identity('.'), Some(at)) => text.split_at(at + 1),
            _ => ("", text),
        }
    }

    /// Says what is wrong with it, if it can match nothing that it looks like.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        if self.text.is_empty() {
            return Some("a pattern that is not empty");
        }
        if controls_at(&self.text).is_some() {
            return Some("a pattern without control characters");
        }
        if self.text.len() > MAX_LEN {
            return Some("a pattern of at most 2048 bytes");
        }
        let is_mixed = |name: &str| name.contains("**") && name != "**";
        let (_, names) = self.parts(&self.text);
        if self.separator().is_some_and(|separator| names.split(separator).any(is_mixed)) {
            return Some("a pattern in which `**` takes the place of a whole name");
        }
        match self.of {
            Of::Path => fault_of_path(&self.text),
            Of::Name if least_len(&self.text) > MAX_NAME_LEN => {
                Some("a pattern for names, which have at most 255 bytes")
            }
            Of::Name => None,
            Of::Identity(_) => fault_of_identity(&self.text),
        }
    }

    /// The same of one with which only the URIs of certificates are compared.
    #[cfg(feature = "_tls")]
    pub(crate) fn fault_as_uri(&self) -> Option<&'static str> {
        let is_of_uris = self.of == Of::Identity('/') && self.text.contains("://");
        let may_match = is_of_uris || &*self.text == "**";
        self.fault().or((!may_match).then_some(
            "a URI with `://` as it stands in certificates, such as `spiffe://prod.example/rakt/*`, or `**` for all",
        ))
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        let Some(separator) = self.separator() else { return is_like(&self.text, text) };
        let (wanted, found) = (self.parts(&self.text), self.parts(text));
        if wanted.0 != found.0 {
            return false;
        }
        let (mut pattern, mut text) = (wanted.1.split(separator), found.1.split(separator));
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

/// The length of the shortest text that is like a pattern.
fn least_len(pattern: &str) -> usize {
    pattern.bytes().filter(|byte| *byte != b'*').count()
}

/// What is wrong with a pattern that no path can be like.
fn fault_of_path(pattern: &str) -> Option<&'static str> {
    if pattern.starts_with('/') || pattern.ends_with('/') {
        return Some("a pattern that neither begins nor ends with a slash");
    }
    if least_len(pattern) > MAX_PATH_LEN {
        return Some("a pattern for paths, which have at most 1024 bytes");
    }
    pattern.split('/').find_map(|name| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '*');
        match () {
            () if name.is_empty() => Some("a pattern without an empty name between two slashes"),
            () if !name.chars().all(is_part) || name.starts_with(['-', '_', '.']) => Some(
                "a pattern of names as actors have them: ASCII letters and digits, and behind the first of them - _ and .",
            ),
            () if least_len(name) > MAX_NAME_LEN => {
                Some("a pattern of names, which have at most 255 bytes")
            }
            () if is_for_reserved(name) => {
                Some("a pattern for actors of users: those of the system are for nobody")
            }
            () => None,
        }
    })
}

/// Whether a pattern is only like names of the system.
fn is_for_reserved(name: &str) -> bool {
    let (start, is_whole) = match name.split_once('*') {
        Some((start, _)) => (start, false),
        None => (name, true),
    };
    let may_be_anonymous =
        start.starts_with(ANONYMOUS_PREFIX) || (!is_whole && ANONYMOUS_PREFIX.starts_with(start));
    RESERVED_PREFIXES.iter().any(|prefix| start.starts_with(prefix)) && !may_be_anonymous
}

/// What is wrong with a pattern that no identity can be like.
fn fault_of_identity(pattern: &str) -> Option<&'static str> {
    let (kind, rest) = pattern.split_once(':').unwrap_or((pattern, ""));
    match kind {
        "**" | "anonymous" if kind == pattern => None,
        "dns" => fault_of_host(rest),
        "ip" | "address" if rest.is_empty() => Some("an address behind the colon"),
        "ip" if !is_like_an_ip(rest) => {
            Some("an IP address behind `ip:`, in its shortest form and in lower case")
        }
        "address" if rest.parse::<IpAddr>().is_ok() && !is_shown_so(rest) => {
            Some("an IP address in its shortest form and in lower case")
        }
        "ip" | "address" => None,
        "secret" if !is_like_digits(rest, 8) => {
            Some("eight hexadecimal digits behind `secret:`, in lower case")
        }
        "sha256" if !is_like_digits(rest, 64) => {
            Some("64 hexadecimal digits behind `sha256:`, in lower case")
        }
        "secret" | "sha256" => None,
        _ if pattern.ends_with('/') => Some("a pattern that does not end with a slash"),
        _ if !rest.starts_with("//") || !is_uri(kind, pattern) => Some(
            "a URI with `://` in ASCII, or what begins with `dns:`, `ip:`, `address:`, `secret:` or `sha256:`, or \
             `anonymous`, or `**` for everybody",
        ),
        _ => None,
    }
}

/// What the names of other identities than URIs begin with: no URI of a certificate does, in whatever case.
pub(crate) const KINDS: [&str; 5] = ["dns", "ip", "address", "secret", "sha256"];

fn is_uri(scheme: &str, pattern: &str) -> bool {
    let is_kind = KINDS.iter().any(|kind| scheme.eq_ignore_ascii_case(kind));
    !scheme.is_empty() && !is_kind && pattern.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What is wrong with a pattern that no name of a host in a certificate can be like.
fn fault_of_host(pattern: &str) -> Option<&'static str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*');
    let is_label = |label: &str| {
        let is_whole = !label.is_empty() && label.chars().all(is_part);
        is_whole && !label.starts_with('-') && !label.ends_with('-') && least_len(label) <= 63
    };
    if !pattern.split('.').all(is_label) || least_len(pattern) > 253 {
        return Some(
            "a host name behind `dns:`, in ASCII (`xn--` for others), without a dot at its end",
        );
    }
    let last = pattern.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some("a host name behind `dns:`; an IP address stands behind `ip:`")
}

/// Whether a pattern is like one that has so many hexadecimal digits.
fn is_like_digits(pattern: &str, len: usize) -> bool {
    let is_digit = |c: char| matches!(c, '0'..='9' | 'a'..='f' | '*');
    let least = least_len(pattern);
    pattern.chars().all(is_digit) && (least == len || (pattern.contains('*') && least < len))
}

/// Whether a pattern is like an IP address as those of peers are written.
fn is_like_an_ip(pattern: &str) -> bool {
    if !pattern.contains('*') {
        return is_shown_so(pattern);
    }
    // None of them has both colons and dots.
    let is_old = |c: char| matches!(c, '0'..='9' | '.' | '*');
    let is_new = |c: char| matches!(c, '0'..='9' | 'a'..='f' | ':' | '*');
    let labels = pattern.split('.').count();
    pattern.chars().all(is_new) || (pattern.chars().all(is_old) && labels <= 4)
}

/// Whether an IP address is written as those of peers are.
fn is_shown_so(address: &str) -> bool {
    address.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().to_string() == address)
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
        assert!(matches("dns:**.prod.example", "dns:a.b.prod.example"));
        assert!(!matches("dns:**", "ip:10.0.0.8") && matches("dns:**", "dns:a"));
        assert!(
            matches("address:**", "address:10.0.0.8") && matches("address:*", "address:memory")
        );
        assert!(matches("address:10.0.0.*", "address:10.0.0.8"));
        assert!(!matches("address:10.0.*", "address:10.0.0.8"));
        assert!(!matches("*", "spiffe://prod.example/a"));
    }

    #[test]
    fn what_can_match_nothing_is_at_fault() {
        let (name, long) = ("a".repeat(255), "a".repeat(256));
        let path = [name.as_str(); 4].join("/") + "/bb";
        let wrong = [
            "",
            "a**",
            "a/**b/c",
            "***",
            "/a",
            "a/",
            "/",
            "a\n",
            "a//b",
            "a//**",
            "a/b//*",
            ".",
            "..",
            "a/./b",
            "a/../b",
            "-a",
            "_*",
            "a b",
            "ä",
            "a%2fb",
            "a\\b",
            "a?",
            "a:b",
            "~a",
            "a~b",
            "{a,b}",
            "[ab]",
            "rakt.system",
            "rakt.s*",
            "a/GoAkt*",
            "GoAktX/**",
            &long,
            &path,
        ];
        for pattern in wrong {
            assert!(Glob::of_path(pattern).fault().is_some(), "{pattern:?}");
        }
        let right = [
            "**",
            "a/**/b",
            "*",
            "*.b",
            "*-a",
            "a-b_c.d",
            "7/A*",
            "rakt",
            "rakt.*",
            "rakt.a*",
            "GoAk*",
            "rakt.anonymous.7-00",
            "rakt.anonymous.*/**",
            "Go*",
            &name,
            &path[..path.len() - 2 - 1],
        ];
        for pattern in right {
            assert_eq!(Glob::of_path(pattern).fault(), None, "{pattern:?}");
        }
        assert!(Glob::of_path(&"*a".repeat(2048)).fault().is_some());
        for pattern in ["", "a\u{202e}", &long, &format!("*{long}")] {
            assert!(Glob::of_type(pattern).fault().is_some(), "{pattern:?}");
            assert!(Glob::of_kind(pattern).fault().is_some(), "{pattern:?}");
        }
        assert!(Glob::of_kind("  ").fault().is_some());
        for pattern in ["**", "a b", "a/b", "größe", &name] {
            assert_eq!(Glob::of_type(pattern).fault(), None, "{pattern:?}");
        }
    }

    #[test]
    fn who_can_be_nobody_is_at_fault() {
        for pattern in [
            "",
            "*",
            "shop-7",
            "ops.prod.example",
            "10.0.0.8",
            "DNS:a",
            "dns:",
            "dns:a..b",
            "dns:.a",
            "dns:a.",
            "dns:a b",
            "dns:münchen.example",
            "dns:a/b",
            "dns:a:1",
            "dns:a**",
            "dns:-a.b",
            "dns:a-.b",
            "dns:10.0.0.8",
            "dns:a.7",
            &format!("dns:{}", "a".repeat(64)),
            &format!("dns:{}", ["a"; 128].join(".")),
            "ip:",
            "ip:host*",
            "ip:10.0.0.*.8",
            "ip:2001:DB8:*",
            "ip:10.a*",
            "ip:host",
            "ip:10.0.0.08",
            "ip:10.0.0",
            "ip:10.0.0.8:3321",
            "ip:2001:DB8::1",
            "ip:2001:db8:0::1",
            "ip:::ffff:10.0.0.8",
            "address:",
            "address:2001:DB8::1",
            "secret:",
            "secret:1F2E3D4C",
            "secret:1f2e3d4",
            "secret:1f2e3d4c5",
            "secret:rk1-aaaa",
            "sha256:",
            "sha256:1f2e3d4c",
            &format!("sha256:{}", "A".repeat(64)),
            "unnamed",
            "DNS://a",
            "Secret://a",
            "spiffe://prod/a b",
            "spiffe:prod/a",
            "spiffe://prod/",
            "://a",
            "spiffe://prod/ä",
            "anonymous:",
            "Anonymous",
            "spiffe://a/b**",
        ] {
            assert!(Glob::of_identity(pattern).fault().is_some(), "{pattern:?}");
        }
        for pattern in [
            "**",
            "anonymous",
            "dns:a",
            "dns:*.Prod.example",
            "dns:**",
            "dns:_a.b-c",
            "ip:10.0.0.8",
            "ip:10.0.0.*",
            "ip:2001:db8::1",
            "ip:2001:*",
            "address:10.0.0.8",
            "address:memory:7",
            "address:**",
            "secret:1f2e3d4c",
            "secret:*",
            &format!("sha256:{}", "a7".repeat(32)),
            "sha256:1f2e*",
            &format!("dns:{}.7a", "a".repeat(63)),
            "dns:7.*",
            "ip:*",
            "ip:10.*.*.8",
            "ip:**",
            "spiffe://prod.example/rakt/shop-*",
            "rakt://dev/*",
            "spiffe://**",
            "*://a/b",
            "https://a.b/c?d=e",
        ] {
            assert_eq!(Glob::of_identity(pattern).fault(), None, "{pattern:?}");
        }
    }

    #[test]
    fn what_can_be_no_uri_of_a_certificate_is_at_fault() {
        let digest = format!("sha256:{}", "a7".repeat(32));
        for pattern in
            ["dns:a", "dns:**", "ip:10.0.0.8", "address:a", "secret:*", &digest, "anonymous"]
        {
            assert_eq!(Glob::of_identity(pattern).fault(), None, "{pattern:?}");
            let fault = Glob::of_identity(pattern).fault_as_uri();
            assert!(fault.is_some_and(|fault| fault.contains("a URI")), "{pattern:?}");
        }
        for pattern in ["address:a://b", "dns:a://b", "", "spiffe://prod/"] {
            assert!(Glob::of_identity(pattern).fault_as_uri().is_some(), "{pattern:?}");
        }
        for pattern in ["**", "spiffe://prod.example/**", "*://a/b", "rakt://tests/a"] {
            assert_eq!(Glob::of_identity(pattern).fault_as_uri(), None, "{pattern:?}");
        }
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
