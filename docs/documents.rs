//! The code in the documents of the repository, compiled and run as tests.

#[cfg(doctest)]
mod compiled {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../ARCHITECTURE.md")]
    struct Architecture;
    #[doc = include_str!("certificates.md")]
    struct Certificates;
    #[doc = include_str!("from-goakt.md")]
    struct FromGoakt;
    #[cfg(feature = "goakt")]
    #[doc = include_str!("goakt.md")]
    struct GoAkt;
    #[cfg(feature = "serde")]
    #[doc = include_str!("guide.md")]
    struct Guide;
    #[doc = include_str!("security.md")]
    struct Security;
    #[doc = include_str!("PROTOCOL.md")]
    struct Protocol;
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_guide_shows_the_program_that_runs() {
        let guide = include_str!("guide.md");
        for file in [
            include_str!("workshop/src/lib.rs"),
            include_str!("workshop/src/bin/serve.rs"),
            include_str!("workshop/src/bin/ask.rs"),
            include_str!("workshop/tests/worker.rs"),
        ] {
            assert!(guide.contains(file), "the guide does not show this:\n{file}");
        }
    }
}
