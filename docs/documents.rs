//! The code in the documents of the repository, compiled and run as tests.

#[cfg(doctest)]
mod compiled {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../ARCHITECTURE.md")]
    struct Architecture;
    #[doc = include_str!("certificates.md")]
    struct Certificates;
    #[doc = include_str!("cluster.md")]
    struct Cluster;
    #[doc = include_str!("from-goakt.md")]
    struct FromGoakt;
    #[cfg(feature = "goakt")]
    #[doc = include_str!("goakt.md")]
    struct GoAkt;
    #[doc = include_str!("grains.md")]
    struct Grains;
    #[cfg(feature = "serde")]
    #[doc = include_str!("guide.md")]
    struct Guide;
    #[doc = include_str!("security.md")]
    struct Security;
    #[doc = include_str!("stores.md")]
    struct Stores;
    #[doc = include_str!("PROTOCOL.md")]
    struct Protocol;
}

#[cfg(test)]
mod tests {
    use rakt::remote::{Policy, Role, Verb};

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

    #[test]
    fn the_policy_that_is_shown_is_one() {
        let (_, shown) = include_str!("security.md").split_once("```toml\n").expect("an example");
        let (text, _) = shown.split_once("```").expect("an end of it");
        let path = std::env::temp_dir().join(format!("rakt-shown-{}.toml", std::process::id()));
        std::fs::write(&path, text).expect("a file");
        let read = Policy::from_file(&path);
        std::fs::remove_file(&path).expect("it is there");
        let shop = Role::new()
            .may([Verb::Tell, Verb::Ask], "orders/**")
            .messages("shop.*")
            .messages("billing.Invoice")
            .may([Verb::Lookup, Verb::Watch], "orders/**")
            .may([Verb::Lookup, Verb::Watch], "stock")
            .may([Verb::Ping, Verb::Kinds], "**")
            .may([Verb::Spawn], "cart-*")
            .kinds("cart")
            .may_spawn("worker")
            .may_manage_own()
            .own_senders_only();
        let same = Policy::new()
            .role("shop", shop)
            .role("ops", Role::new().may_manage("**"))
            .grant("spiffe://prod.example/rakt/shop-*", "shop")
            .grant("dns:ops.prod.example", "ops")
            .grant("dns:ops.prod.example", "shop")
            .grant("ip:10.0.0.*", "shop");
        assert_eq!(read.expect("a policy"), same);
        let verbs: Vec<_> = Verb::ALL.iter().map(|verb| format!("`{verb}`")).collect();
        let (last, rest) = verbs.split_last().expect("verbs");
        let all = format!("The verbs are {} and {last}.", rest.join(", "));
        assert!(include_str!("security.md").contains(&all), "{all}");
    }
}
