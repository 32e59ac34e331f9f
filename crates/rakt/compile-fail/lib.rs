//! What the compiler says of the mistakes that newcomers make: each text must tell the mend.
//!
//! The texts in `cases/*.stderr` are those of one compiler, since another words them differently. To refresh them:
//! `TRYBUILD=overwrite cargo test -p compile-fail`, with that compiler; then read what changed.

#[cfg(test)]
mod tests {
    use std::process::Command;

    /// The compiler that the texts were made with.
    const MADE_WITH: &str = "rustc 1.95.";

    #[test]
    fn mistakes_are_answered_with_what_to_write() {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let output = Command::new(rustc).arg("--version").output().expect("the compiler runs");
        let version = String::from_utf8_lossy(&output.stdout);
        if !version.starts_with(MADE_WITH) || version.contains("nightly") {
            println!("SKIPPED: the texts are those of {MADE_WITH}x, this is {}", version.trim());
            return;
        }
        trybuild::TestCases::new().compile_fail("cases/*.rs");
    }
}
