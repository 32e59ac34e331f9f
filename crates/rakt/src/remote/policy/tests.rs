//! Tests of policies as texts, and of what is too much for one.

use std::path::PathBuf;

use super::*;
use crate::error::Chain;
use crate::peer::Identity;

/// A file that is gone with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: impl AsRef<[u8]>) -> Self {
        let path = std::env::temp_dir().join(format!("rakt-{}-{name}.toml", std::process::id()));
        std::fs::write(&path, text).expect("a file");
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

const ALL: &str = r#"
basis = "exposed"

[roles.shop]
may_spawn = "worker"
rules = [
    { may = ["tell", "ask"], path = ["orders/**", "bills"], messages = ["shop.*", "bill.*"] },
    { may = "spawn", path = "new-*", kinds = ["clerk"] },
    { may = ["ping", "kinds"] },
]
may_manage_own = true
own_senders_only = true

[roles."all of it"]
rules = [{ may = "*", path = "**" }]
may_manage = ["a/*", "b"]
may_manage_own = false

[roles.nothing]

[grants]
"spiffe://prod.example/rakt/shop-*" = "shop"
"dns:Ops.prod.example" = ["all of it", "shop"]
anonymous = "nothing"
"#;

#[test]
fn a_file_says_what_can_be_said_in_code() {
    let file = File::new("says", ALL);
    let shop = Role::new()
        .may_spawn("worker")
        .may([Verb::Tell, Verb::Ask], "orders/**")
        .messages("shop.*")
        .messages("bill.*")
        .may([Verb::Tell, Verb::Ask], "bills")
        .messages("shop.*")
        .messages("bill.*")
        .may([Verb::Spawn], "new-*")
        .kinds("clerk")
        .may([Verb::Ping, Verb::Kinds], "**")
        .may_manage_own()
        .own_senders_only();
    let all = Role::new().may(Verb::ALL.iter().copied(), "**").may_manage("a/*").may_manage("b");
    let same = Policy::exposed()
        .role("shop", shop)
        .role("all of it", all)
        .role("nothing", Role::new())
        .grant("spiffe://prod.example/rakt/shop-*", "shop")
        .grant("dns:ops.prod.example", "all of it")
        .grant("dns:ops.prod.example", "shop")
        .grant("anonymous", "nothing");
    let read = Policy::from_file(&file.0).expect("a policy");
    assert_eq!(read, same);
    assert_eq!(read.to_string(), same.to_string());
    for (basis, policy) in [("nobody", Policy::new()), ("open", Policy::open())] {
        let file = File::new(basis, format!("basis = '{basis}'"));
        assert_eq!(Policy::from_file(&file.0).expect("a policy"), policy);
    }
}

/// Texts, the line and the key that are at fault, and what is said of it and of what is allowed.
const FAULTS: &[(&str, usize, &str, &str, &str)] = &[
    ("", 1, "basis", "it is missing", "\"nobody\", \"exposed\" or \"open\""),
    ("\n\n# nothing\n", 1, "basis", "it is missing", "\"exposed\""),
    ("\u{feff}", 1, "basis", "it is missing", "\"exposed\""),
    ("basis = 'closed'", 1, "basis", "it is \"closed\"", "\"nobody\""),
    ("basis = 7", 1, "basis", "it is an integer", "\"nobody\""),
    ("basis = ", 1, "", "no TOML", "a text in TOML"),
    ("basis = 'open'\nbasis = 'open'", 2, "", "duplicate key", "a text in TOML"),
    ("basis = 'open'\n[roles.a]\n[roles.a]", 3, "", "duplicate key", "a text in TOML"),
    ("basis = 'open'\n\n[rules]", 3, "rules", "no such key", "basis, roles and grants"),
    ("basis = 'open'\nroles = 7", 2, "roles", "it is an integer", "a table"),
    ("basis = 'open'\nroles.a = []", 2, "roles.a", "it is an empty array", "a table"),
    ("[roles.a]\nmayspawn = 'a'", 2, "roles.a.mayspawn", "no such key", "may_manage_own"),
    ("[roles.a]\nmay_manage_own = 1", 2, "roles.a.may_manage_own", "an integer", "true or false"),
    ("[roles.a]\nmay_manage = []", 2, "roles.a.may_manage", "an empty array", "a pattern"),
    (
        "[roles.a]\nmay_manage = 'a//b'",
        2,
        "roles.a.may_manage",
        "\"a//b\"",
        "without an empty name",
    ),
    (
        "[roles.a]\nmay_manage = [\n'a',\n'rakt.system']",
        4,
        "roles.a.may_manage[1]",
        "it is \"rakt.system\"",
        "those of the system are for nobody",
    ),
    ("[roles.a]\nmay_spawn = ' '", 2, "roles.a.may_spawn", "it is \" \"", "not empty"),
    ("[roles.a]\nrules = 'a'", 2, "roles.a.rules", "it is a string", "an array of rules"),
    ("[roles.a]\nrules = []", 2, "roles.a.rules", "it is an empty array", "an array of rules"),
    ("[roles.a]\nrules = [\n7]", 3, "roles.a.rules[0]", "it is an integer", "a table"),
    ("[roles.a]\nrules = [{}]", 2, "roles.a.rules[0].may", "it is missing", "\"tell\", \"ask\""),
    (
        "[roles.'a b']\nrules = [{ may = 'tel', path = '**' }]",
        2,
        "roles.\"a b\".rules[0].may",
        "it is \"tel\"",
        "\"reinstate\" or \"*\"",
    ),
    (
        "[[roles.a.rules]]\nmay = ['tell', 'Ask']\npath = 'a'",
        2,
        "roles.a.rules[0].may[1]",
        "it is \"Ask\"",
        "\"tell\", \"ask\"",
    ),
    ("[[roles.a.rules]]\nmay = []", 2, "roles.a.rules[0].may", "an empty array", "\"tell\""),
    ("[[roles.a.rules]]\nmay = [[]]", 2, "roles.a.rules[0].may[0]", "an empty array", "\"tell\""),
    ("[[roles.a.rules]]\nmay = ['ping', 'tell']", 1, "roles.a.rules[0].path", "missing", "pattern"),
    (
        "[[roles.a.rules]]\nmay = 'tell'\npath = 'a**'",
        3,
        "roles.a.rules[0].path",
        "it is \"a**\"",
        "a whole name",
    ),
    (
        "[[roles.a.rules]]\nmay = 'tell'\npath = 'a'\nmessages = []",
        4,
        "roles.a.rules[0].messages",
        "it is an empty array",
        "a pattern",
    ),
    (
        "[[roles.a.rules]]\nmay = 'lookup'\npath = 'a'\nmessages = 'a'",
        4,
        "roles.a.rules[0].messages",
        "it narrows nothing",
        "it in a rule with tell or ask",
    ),
    (
        "[[roles.a.rules]]\nmay = 'tell'\npath = 'a'\nkinds = 'a'",
        4,
        "roles.a.rules[0].kinds",
        "it narrows nothing",
        "it in a rule with spawn",
    ),
    (
        "[[roles.a.rules]]\nmay = 'tell'\npath = 'a'\nmessage = 'a'",
        4,
        "roles.a.rules[0].message",
        "no such key",
        "may, path, messages and kinds",
    ),
    (
        "basis = 'open'\n[grants]\n'dns:a' = 'b'",
        3,
        "grants.\"dns:a\"",
        "it is \"b\"",
        "a role of the file, which has none: `[roles.NAME]` begins one",
    ),
    (
        "basis = 'open'\n[roles.a]\n[roles.c]\n[grants]\n'dns:a' = ['a', 'b']",
        5,
        "grants.\"dns:a\"[1]",
        "it is \"b\"",
        "a role of the file: a, c",
    ),
    (
        "basis = 'open'\n[roles.a]\n[grants]\n\n'shop-7' = 'a'",
        5,
        "grants.shop-7",
        "\"shop-7\" is nobody",
        "`dns:`",
    ),
    (
        "basis = 'open'\n[grants]\n'dns:a' = 'a'\n[roles.a]",
        3,
        "grants.\"dns:a\"",
        "in front of a role",
        "behind all roles",
    ),
    (
        "basis = 'open'\n[[roles.a.rules]]\nmay = 'ping'\n[grants]\n'dns:a' = 'a'\n[[roles.a.rules]]\nmay = 'kinds'",
        5,
        "grants.\"dns:a\"",
        "in front of a role",
        "behind all roles",
    ),
];

#[test]
fn what_is_wrong_in_a_file_is_said_with_its_place_and_with_what_is_allowed() {
    for (text, line, key, wrong, allowed) in FAULTS {
        // What is wrong in a role is looked for behind the basis.
        let (text, line) = match text.starts_with('[') {
            true => (format!("basis = 'nobody'\n{text}"), line + 1),
            false => ((*text).to_owned(), *line),
        };
        let file = File::new("wrong", &text);
        let error = Policy::from_file(&file.0).expect_err(&text).to_string();
        let (start, said) = error.split_once("; allowed: ").unwrap_or((&error, ""));
        let place = format!("{}:{line}: ", file.0.display());
        assert!(start.starts_with(&place), "{text}: {error}");
        let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
        assert!(start[place.len()..].starts_with(&key), "{text}: {error}");
        assert!(start.contains(wrong) && said.contains(allowed), "{text}: {error}");
    }
}

#[test]
fn what_is_no_text_is_said_with_its_place() {
    let file = File::new("bytes", b"basis = 'open'\n# \xff\n");
    let error = Policy::from_file(&file.0).expect_err("no UTF-8").to_string();
    let place = format!("{}:2: byte 17 is not UTF-8", file.0.display());
    assert_eq!(error, format!("{place}; allowed: a text in UTF-8"));
    let error = Policy::from_file(file.0.with_extension("gone")).expect_err("it is not there");
    assert!(Chain(&error).to_string().contains("cannot be read: "), "{}", Chain(&error));
    let file = File::new("large", vec![b'#'; 1024 * 1024 + 1]);
    let error = Policy::from_file(&file.0).expect_err("too large");
    assert!(Chain(&error).to_string().ends_with("the limit is 1 MiB"), "{}", Chain(&error));
    let file = File::new("lines", "basis = 'open'\n'a\\u001b[2J\u{202e}' = 7\n");
    let error = Policy::from_file(&file.0).expect_err("a key of that name").to_string();
    assert_eq!(rakt_wire::controls_at(&error), None, "{error:?}");
}

/// As when a file is read while it is written.
#[test]
fn the_beginning_of_a_file_never_allows_more_than_the_whole() {
    let whole = parse::parse(ALL).expect("a policy");
    let identities = ["spiffe://prod.example/rakt/shop-7", "dns:ops.prod.example", "dns:other"];
    let rights = |policy: &Policy, of: &str| {
        Policies::new(policy.clone()).rights(&Identity::proven([of.to_owned()]))
    };
    let mut taken = 0;
    for end in 0..ALL.len() {
        let Ok(part) = parse::parse(&ALL[..end]) else { continue };
        taken += 1;
        for identity in identities {
            let (part, all) = (rights(&part, identity), rights(&whole, identity));
            for verb in Verb::ALL {
                for path in ["orders/7", "bills", "new-a", "other/one"] {
                    for what in ["shop.A", "bill.B", "other.C", "clerk", "worker"] {
                        let allowed = part.allow(*verb, path, what);
                        assert!(!allowed || all.allow(*verb, path, what), "{end}: {verb} {path}");
                    }
                }
            }
            assert!(!part.allow_own("orders/7") || all.allow_own("orders/7"), "{end}");
        }
    }
    assert!(taken > 10, "{taken} parts are policies");
}

#[test]
fn there_are_only_so_many_patterns_and_grants() {
    let policy = |patterns: usize, grants: usize| {
        let rules = |role: Role, nth| role.may([Verb::Tell], &format!("a{nth}"));
        let role = (0..patterns / 2).fold(Role::new(), rules);
        let halves = Policy::new().role("a", role.clone()).role("b", role);
        (0..grants).fold(halves, |policy, nth| policy.grant(&format!("dns:a{nth}"), "a"))
    };
    assert_eq!(policy(10_000, 10_000).check().map_err(|error| error.value), Ok(()));
    let error = policy(10_002, 0).check().expect_err("too many").to_string();
    assert_eq!(
        error,
        "policy is one with 10002, but must be one whose roles have at most 10000 patterns together"
    );
    let error = policy(0, 10_001).check().expect_err("too many").to_string();
    assert!(error.contains("at most 10000 grants"), "{error}");
    let rules: String = (0..20_000).map(|nth| format!("{{may='tell',path='a{nth}'}},\n")).collect();
    let file = File::new("many", format!("basis='nobody'\nroles.a.rules=[\n{rules}]"));
    let error = Policy::from_file(&file.0).expect_err("too many").to_string();
    assert!(error.contains("one with 20000; allowed: one whose roles have at most"), "{error}");
}

/// What tries everything would take longer than the universe is old.
#[test]
fn no_pattern_takes_long() {
    let path = ["a"; 512].join("/");
    let pattern = ["**/a"; 200].join("/") + "/b";
    assert_eq!(Glob::of_path(&pattern).fault(), None);
    assert!(!Glob::of_path(&pattern).matches(&path));
    let pattern = "*a".repeat(100) + "b";
    assert_eq!(Glob::of_path(&pattern).fault(), None);
    assert!(!Glob::of_path(&pattern).matches(&"a".repeat(255)));
    let nested =
        format!("basis='open'\nroles.a.rules={}{}", "[".repeat(50_000), "]".repeat(50_000));
    assert!(parse::parse(&nested).is_err());
}

#[test]
fn nothing_is_added_to_what_a_file_says() {
    let file = File::new("added", ALL);
    let read = || Policy::from_file(&file.0).expect("a policy");
    assert!(read().check().is_ok());
    for changed in [read().role("more", Role::new()), read().grant("dns:a", "shop")] {
        let error = changed.check().expect_err("it would be lost").to_string();
        assert!(error.contains("are added there"), "{error}");
    }
}
