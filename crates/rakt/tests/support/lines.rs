//! What is logged on the thread of a test, where its actors and nodes run as well.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};

/// What a terminal obeys, what begins another line, and what turns text around or is not seen.
pub(crate) const TEXTS: [&str; 8] = [
    "a\nINFO all is well",
    "a\r\nINFO all is well",
    "a\u{1b}[2J\u{1b}]0;owned\u{7}",
    "a\u{9b}1mINFO",
    "a\u{202e}llew si lla OFNI",
    "a\u{2066}b\u{2069}",
    "a\u{2028}INFO\u{2029}",
    "a\u{0}\u{200b}\u{feff}",
];

pub(crate) fn is_harmless(text: &str) -> bool {
    rakt_wire::controls_at(text).is_none()
}

/// The lines of the log, from the start of the test on.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").push(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// All that is written on this thread until the guard goes.
    pub(crate) fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        keep_interest();
        let lines = Self::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (lines, tracing::subscriber::set_default(subscriber))
    }

    /// The lines there are.
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }

    /// The only line with this text.
    pub(crate) fn only(&self, text: &str) -> String {
        let lines = self.0.lock().expect("no panic");
        let mut found = lines.iter().filter(|line| line.contains(text));
        let (Some(line), None) = (found.next(), found.next()) else { panic!("{text}: {lines:#?}") };
        line.clone()
    }

    /// Takes the lines there are.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }

    /// Waits for a line with that in it, and takes all up to it.
    pub(crate) async fn with(&self, part: &str) -> String {
        let mut before = Vec::new();
        let found = async {
            loop {
                let lines = self.take();
                if let Some(line) = lines.iter().find(|line| line.contains(part)) {
                    return line.clone();
                }
                before.extend(lines);
                tokio::task::yield_now().await;
            }
        };
        match tokio::time::timeout(super::LIMIT, found).await {
            Ok(line) => line,
            Err(_) => panic!("no line with {part:?} in {before:#?}"),
        }
    }
}

/// Whoever captures the log of a thread calls this before: else tests on other threads decide what is in it.
///
/// `tracing` notes at a line's first use whether anybody wants it. While there is one subscriber alone it asks the thread
/// that comes by, and one that captures nothing says "nobody", for all threads. Of two it asks both.
pub(crate) fn keep_interest() {
    static SECOND: OnceLock<tracing::Dispatch> = OnceLock::new();
    SECOND.get_or_init(|| {
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO);
        tracing::Dispatch::new(subscriber.with_writer(io::sink).finish())
    });
}
