//! Causes: errors that can be shared, compared, and written down with all that caused them.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use super::text::{Cut, MAX_SHOWN_LEN, Shown};

/// Most links of a chain of causes that are told, to the log, to an asker and over the wire.
pub const MAX_CAUSES: usize = 16;

/// An error, as the cause of another. It keeps its own causes.
///
/// Its text is that of the error, [shown](Shown) in one line; [`get_ref`](Self::get_ref) gives the error
/// itself, for a downcast. Two are equal if their chains read alike: errors in general cannot be compared.
#[derive(Clone)]
pub struct Cause(
    /// Thin, since it is a part of every error.
    Arc<Box<dyn Error + Send + Sync>>,
);

impl Cause {
    /// Shares an error. A text will do.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::new(error.into()))
    }

    /// The texts of an error and of its causes, [`MAX_CAUSES`] at most, without the error itself.
    pub fn described(error: &(dyn Error + 'static)) -> Self {
        let texts: Vec<_> = links(error).map(raw).collect();
        Self::of_texts(texts.into_iter())
    }

    /// The error itself.
    pub fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        &**self.0
    }

    /// Reads what `Lines` has written: each cause begins a line, one that begins with a tab goes on.
    pub fn from_lines(text: &str) -> Self {
        let mut texts: Vec<String> = Vec::new();
        for line in text.split('\n') {
            let more = line.strip_prefix('\t').or((texts.len() == MAX_CAUSES).then_some(line));
            match (more, texts.last_mut()) {
                (Some(more), Some(last)) => last.extend(["\n", more]),
                _ => texts.push(line.to_owned()),
            }
        }
        Self::of_texts(texts.into_iter())
    }

    fn of_texts(texts: impl DoubleEndedIterator<Item = String>) -> Self {
        let chain = texts.rev().fold(None, |source, text| Some(Box::new(Text { text, source })));
        chain.map_or_else(|| Self::new(""), |first| Self::new(*first))
    }
}

impl From<&str> for Cause {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Cause {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl PartialEq for Cause {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || links(self).map(raw).eq(links(other).map(raw))
    }
}

impl Eq for Cause {}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown(&self.0).fmt(f)
    }
}

/// The whole chain, as text.
impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cause({:?})", Chain(self).to_string())
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// An error of which only the text is known.
#[derive(Debug)]
struct Text {
    text: String,
    source: Option<Box<Text>>,
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown(&self.text).fmt(f)
    }
}

impl Error for Text {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// An error and its causes, first to last. A chain may have no end.
fn links<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |link| (*link).source()).take(MAX_CAUSES)
}

/// The text of one error as it is, where it is known, and not as it is shown.
fn raw(link: &(dyn Error + 'static)) -> String {
    if let Some(Text { text, .. }) = link.downcast_ref() {
        return text.clone();
    }
    match link.downcast_ref::<Cause>() {
        Some(cause) => raw(cause.get_ref()),
        None => link.to_string(),
    }
}

/// Shows an error and its causes in one line, `: ` between them; for logs. All of it is [shown](Shown) as text
/// of others is: escaped, and cut to [`MAX_SHOWN_LEN`], each link to its
/// part of that.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = links(self.0).map(|link| Shown(link).to_string()).collect();
        let between = texts.len().saturating_sub(1).saturating_mul(2);
        let len = texts.iter().fold(between, |sum, text| sum.saturating_add(text.len()));
        // The last cause tells most, so what is too long is cut in every link.
        let each = MAX_SHOWN_LEN.saturating_sub(between).checked_div(texts.len());
        let each = each.filter(|_| len > MAX_SHOWN_LEN).unwrap_or(MAX_SHOWN_LEN);
        for (at, text) in texts.iter().enumerate() {
            let between = if at == 0 { "" } else { ": " };
            write!(f, "{between}{}", Cut(text, each))?;
        }
        Ok(())
    }
}

/// Shows an error and its causes each on a line of its own, for [`Cause::from_lines`]. The further lines
/// of a text that has several begin with a tab.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines<'a>(pub(crate) &'a (dyn Error + 'static));

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, link) in links(self.0).enumerate() {
            let between = if at == 0 { "" } else { "\n" };
            write!(f, "{between}{}", raw(link).replace('\n', "\n\t"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(texts: &[&str]) -> Cause {
        Cause::of_texts(texts.iter().map(ToString::to_string))
    }

    #[test]
    fn a_chain_is_shown_whole() {
        let cause = chain(&["no order", "no stock", "closed"]);
        assert_eq!(Chain(&cause).to_string(), "no order: no stock: closed");
        assert_eq!((cause.to_string(), cause.source().is_some()), ("no order".into(), true));
        assert_eq!(Cause::described(&cause), cause);
        assert_ne!(chain(&["no order", "no stock"]), cause);
        let parsed = Cause::new("x".parse::<u8>().expect_err("no number"));
        assert!(parsed.get_ref().is::<std::num::ParseIntError>());
        assert_eq!(format!("{parsed:?}"), r#"Cause("invalid digit found in string")"#);
    }

    #[test]
    fn lines_are_read_as_they_were_written() {
        for texts in [&["a"][..], &[""], &["a", "b", "c"], &["a\nb", "c"], &["a\n\tb\n", "", "c"]] {
            let cause = chain(texts);
            assert_eq!(Cause::from_lines(&Lines(&cause).to_string()), cause, "{texts:?}");
        }
        // A text that was cut may begin in the middle of anything.
        assert_eq!(Cause::from_lines("\ta"), chain(&["\ta"]));
    }

    #[test]
    fn a_cause_is_kept_as_it_is_and_shown_in_one_line() {
        let cause = chain(&["no\norder", "\x1b[2Jno stock"]);
        assert_eq!(cause.to_string(), r"no\norder");
        assert_eq!(Chain(&cause).to_string(), r"no\norder: \u{1b}[2Jno stock");
        let own = Cause::new(cause.clone());
        assert_eq!((Chain(&own).to_string(), &own), (Chain(&cause).to_string(), &cause));
        for kept in [Cause::described(&cause), Cause::from_lines(&Lines(&own).to_string())] {
            assert_eq!(links(&kept).map(raw).collect::<Vec<_>>(), ["no\norder", "\x1b[2Jno stock"]);
        }
        assert_eq!(Cause::from("a\nb").to_string(), r"a\nb");
        assert_ne!(Cause::from("a\nb"), Cause::from(r"a\nb"), "they do not read alike");
        let long = Cause::from("x".repeat(5000));
        assert_eq!(Chain(&long).to_string().len(), MAX_SHOWN_LEN);
        let long = chain(&["x"; 3].map(|x| x.repeat(800)).each_ref().map(String::as_str));
        let shown = Chain(&long).to_string();
        assert!(shown.len() <= MAX_SHOWN_LEN && shown.matches("x…").count() == 3, "{shown}");
        let deep = chain(&["x".repeat(2000).as_str(), "why"]);
        assert!(Chain(&deep).to_string().ends_with("x…: why"), "the last cause is there");
    }

    #[test]
    fn a_chain_has_an_end() {
        let long = chain(&["again"; MAX_CAUSES + 5]);
        assert_eq!(Lines(&long).to_string().lines().count(), MAX_CAUSES);
        let read = Cause::from_lines(&["again"; MAX_CAUSES + 5].join("\n"));
        assert_eq!(links(&read).count(), MAX_CAUSES);
        let last = links(&read).last().map(raw);
        assert_eq!(last, Some(["again"; 6].join("\n")), "nothing is left out");

        #[derive(Debug)]
        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("again")
            }
        }
        impl Error for Endless {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(self)
            }
        }
        assert_eq!(links(&Cause::described(&Endless)).count(), MAX_CAUSES);
    }
}
