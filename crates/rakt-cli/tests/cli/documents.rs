//! The commands in documents do what they say.

use std::fs;
use std::path::Path;

use crate::support::Place;

/// Runs all lines of a document that begin with `rakt`, one after the other in one directory.
fn run(place: &Place, text: &str) -> usize {
    let mut count = 0;
    for line in text.lines().filter_map(|line| line.strip_prefix("rakt ")) {
        let line = line.split(" #").next().unwrap_or_default();
        let (words, file) = line.split_once(" > ").unwrap_or((line, ""));
        let done = place.rakt(words);
        // The hosts in documents do not exist.
        let code = i32::from(words.starts_with("cert check"));
        assert_eq!(done.code, code, "rakt {line}: {done:?}");
        if !file.is_empty() {
            place.write(file.trim(), &done.out);
        }
        count += 1;
    }
    count
}

#[test]
fn the_readme_shows_commands_that_work() {
    assert_eq!(run(&Place::new("readme"), include_str!("../../README.md")), 6);
}

#[test]
fn the_document_on_certificates_shows_commands_that_work() {
    // It is a part of the repository, not of the package.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/certificates.md");
    if let Ok(text) = fs::read_to_string(path) {
        assert_eq!(run(&Place::new("document"), &text), 7);
    }
}
