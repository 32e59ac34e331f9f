//! Text of others: cutting it to a length, and showing it so that it cannot pass for something else.

use std::fmt::{self, Write};

/// Longest text of a peer, or of an error of users, that is shown, in bytes. What is cut ends in `…`, which
/// counts too.
pub const MAX_SHOWN_LEN: usize = 1024;
/// Stands for what was cut.
const MORE: &str = "…";

/// The front of `text`, at most `limit` bytes of it, cut between two characters.
pub(crate) fn cut_text(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default()
}

/// Shows something that may hold text of others: in one line, [`MAX_SHOWN_LEN`] bytes of it at most, and
/// every character escaped that [no name may hold](controls_at).
///
/// A terminal would obey some of these characters, others begin a new line in a log, change the order of
/// what stands there, or cannot be seen. A backslash stays as it is, so what is shown twice is as if it were
/// shown once.
#[derive(Clone, Copy, Debug)]
pub struct Shown<T>(pub T);

impl<T: fmt::Display> fmt::Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_alternate = f.alternate();
        let left = Some(MAX_SHOWN_LEN.saturating_sub(MORE.len()));
        let mut out = Escaping { out: f, left };
        match is_alternate {
            true => write!(out, "{:#}", self.0),
            false => write!(out, "{}", self.0),
        }
    }
}

/// Shows a text in so many bytes at most: what is cut ends in `…`.
pub(crate) struct Cut<'a>(pub(crate) &'a str, pub(crate) usize);

impl fmt::Display for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text, limit) = *self;
        match text.len() <= limit {
            true => f.write_str(text),
            false => write!(f, "{}{MORE}", cut_text(text, limit.saturating_sub(MORE.len()))),
        }
    }
}

/// Shows a text in quotes, cut like [`Shown`], and escaped as in Rust.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown(format_args!("{:?}", cut_text(self.0, MAX_SHOWN_LEN))).fmt(f)
    }
}

struct Escaping<'a, 'b> {
    out: &'a mut fmt::Formatter<'b>,
    /// Bytes that there is room for besides [`MORE`]; `None` once something was cut.
    left: Option<usize>,
}

impl Escaping<'_, '_> {
    /// Writes what fits, and notes if that is not all.
    fn put(&mut self, text: &str) -> fmt::Result {
        let Some(left) = self.left else { return Ok(()) };
        let fitting = cut_text(text, left);
        self.out.write_str(fitting)?;
        if fitting.len() < text.len() {
            self.left = None;
            return self.out.write_str(MORE);
        }
        self.left = Some(left.saturating_sub(text.len()));
        Ok(())
    }
}

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        while let Some(at) = controls_at(text) {
            let (front, rest) = text.split_at(at);
            self.put(front)?;
            let Some(control) = rest.chars().next() else { break };
            self.put(&control.escape_default().to_string())?;
            text = rest.get(control.len_utf8()..).unwrap_or_default();
            if self.left.is_none() {
                return Ok(());
            }
        }
        self.put(text)
    }
}

/// Where the first character is that no name may hold, and that is escaped where text is shown.
///
/// These are the control characters (C0, C1 and U+007F), the separators of lines and paragraphs (U+2028,
/// U+2029), what sets the direction of text (U+061C, U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069),
/// and what takes up no room: U+200B to U+200D, U+2060 to U+206F, U+FEFF, U+FFF9 to U+FFFB, and the tags
/// U+E0000 to U+E007F.
pub const fn controls_at(text: &str) -> Option<usize> {
    let (mut rest, mut at) = (text.as_bytes(), 0_usize);
    // UTF-8 synchronises itself: none of these sequences can begin within a character.
    while let [first, tail @ ..] = rest {
        let found = match (*first, tail) {
            (0x20..=0x7e, _) => false,
            (0..=0x1f | 0x7f, _)
            | (0xc2, [0x80..=0x9f, ..])
            | (0xd8, [0x9c, ..])
            | (0xe2, [0x80, 0x8b..=0x8f | 0xa8..=0xae, ..] | [0x81, 0xa0..=0xaf, ..])
            | (0xef, [0xbb, 0xbf, ..] | [0xbf, 0xb9..=0xbb, ..])
            | (0xf3, [0xa0, 0x80 | 0x81, ..]) => true,
            _ => false,
        };
        if found {
            return Some(at);
        }
        at = at.saturating_add(1);
        rest = tail;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut_text("aé", 2), "a");
        assert_eq!(cut_text("aé", 3), "aé");
        assert_eq!(cut_text("", 3), "");
    }

    #[test]
    fn every_character_that_is_none_to_show_is_found() {
        let controls = |c: char| {
            c.is_control()
                || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                    | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
                    | '\u{e0000}'..='\u{e007f}')
        };
        let mut buffer = [0; 4];
        for c in '\0'..=char::MAX {
            let found = controls_at(c.encode_utf8(&mut buffer)).is_some();
            assert_eq!(found, controls(c), "{c:?}");
        }
        assert_eq!(controls_at("né\u{202e}"), Some(3));
    }

    #[test]
    fn text_is_shown_in_one_line() {
        let shown = |text: &str| Shown(text).to_string();
        assert_eq!(shown("no \"stock\" in C:\\a"), "no \"stock\" in C:\\a");
        assert_eq!(shown("a\nb\t\x1b[2J\u{9b}"), r"a\nb\t\u{1b}[2J\u{9b}");
        assert_eq!(shown("\u{202e}gpj.exe"), r"\u{202e}gpj.exe");
        assert_eq!(format!("{}", Quoted("a\n\"b\"")), r#""a\n\"b\"""#);
    }

    #[test]
    fn long_text_is_cut() {
        let fits = "é".repeat(510);
        assert_eq!(Shown(&fits).to_string(), fits);
        assert_eq!(Shown(format_args!("{fits}éé")).to_string(), format!("{fits}…"));
        assert_eq!(Shown(format_args!("{fits}{fits}\n{fits}")).to_string(), format!("{fits}…"));
        assert_eq!(Quoted(&"x".repeat(5000)).to_string().len(), MAX_SHOWN_LEN);
        assert_eq!(
            (Cut("abcd", 4).to_string(), Cut("abcde", 4).to_string()),
            ("abcd".into(), "a…".into())
        );
    }

    proptest! {
        #[test]
        fn whatever_is_shown_is_harmless_and_shown_twice_the_same(text in any::<String>()) {
            let shown = Shown(&text).to_string();
            prop_assert_eq!(controls_at(&shown), None);
            prop_assert!(shown.len() <= MAX_SHOWN_LEN);
            prop_assert_eq!(Shown(&shown).to_string(), shown);
        }
    }
}
