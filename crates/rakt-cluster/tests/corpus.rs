//! Runs the seed corpus of the fuzz targets on stable, so that what a fuzzer once found stays fixed.
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "the seeds are files, and a test tells which it reads"
)]

#[expect(unreachable_pub, reason = "for fuzz/, which includes the file too")]
#[path = "fuzz/mod.rs"]
mod fuzz;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rakt_cluster::directory::{Entries, Entry, Grain, Living, Word};
use rakt_cluster::participant::{Answer, Envelope, Message, Refused, Wish};
use rakt_cluster::view::{Draft, Member, State, View};
use rakt_cluster::{Epoch, Incarnation, NodeId, Seat, Slot, SlotRule, Stamp};

type Target = fn(&[u8]);
const TARGETS: [(&str, Target); 3] =
    [("envelope", fuzz::envelope), ("view", fuzz::view), ("word", fuzz::word)];

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

#[test]
fn every_seed_passes_and_so_does_every_part_of_it() {
    for (target, run) in TARGETS {
        let mut count = 0;
        for entry in fs::read_dir(corpus(target)).expect("every target has a corpus") {
            let path = entry.expect("the folder can be read").path();
            let data = fs::read(&path).expect("the seed can be read");
            // Shown only when the target panics.
            println!("{}", path.display());
            (0..=data.len()).for_each(|len| run(&data[..len]));
            count += 1;
        }
        assert!(count >= 3, "{target} has {count} seeds");
    }
}

/// Writes the seeds anew: `cargo test -p rakt-cluster --test corpus -- --ignored`.
#[test]
#[ignore = "writes to the source tree"]
fn write_seeds() {
    for (target, seeds) in [("envelope", envelopes()), ("view", views()), ("word", words())] {
        fs::create_dir_all(corpus(target)).expect("the folder can be made");
        for (name, bytes) in seeds {
            fs::write(corpus(target).join(name), bytes).expect("the seed can be written");
        }
    }
}

type Seeds = Vec<(String, Vec<u8>)>;

fn views() -> Seeds {
    let states = [State::Joining, State::Up, State::Leaving, State::Dead { since: 200 }];
    let member = |(id, state)| Member {
        id: NodeId(id),
        incarnation: Incarnation(id << 64),
        joined: 130,
        state,
        host: "n.example.org".into(),
        port: 3320,
        roles: BTreeSet::from(["orders".to_owned(), "web".to_owned()]),
        zone: "eu-1a".into(),
        weight: 100,
        level: 1,
    };
    let draft = |members| Draft {
        cluster: 7 << 100,
        origin: 1_800_000_000,
        generation: 1_800_000_001,
        version: 300,
        slots: SlotRule::One,
        lease: Duration::from_secs(8),
        level: 1,
        members,
    };
    let view = |members| View::new(draft(members)).expect("a view").encode();
    let all = view((1..).zip(states).map(member).collect());
    let mut lying = view(vec![]);
    lying.pop();
    lying.extend([0xff, 0x1f]);
    vec![("empty".into(), view(vec![])), ("every-state".into(), all), ("lying-count".into(), lying)]
}

fn words() -> Seeds {
    let at = Stamp { generation: 1_800_000_000, version: 300 };
    let epoch = Epoch { stamp: at, counter: 5 };
    let host = Seat { id: NodeId(1), incarnation: Incarnation(2 << 64), joined: 130 };
    let grain = || Grain::new("cart", "käse/42");
    let slots = || [0, 1, 700, 4095].map(|slot| Slot::new(slot).expect("a slot"));
    let living = |uid| Living { grain: grain(), epoch, uid };
    let entries = Entries::from([
        (grain(), Entry { host, epoch, uid: Some(300) }),
        (Grain::new("cart", "43"), Entry { host, epoch, uid: None }),
    ]);
    let given = [None, Some(Entries::new()), Some(entries), None];
    let lives = [vec![], vec![living(None)], vec![], vec![living(Some(9))]];
    let words = [
        Word::Activate { grain: grain(), epoch, host },
        Word::Question { grain: grain(), epoch, at },
        Word::Lives(living(Some(300))),
        Word::Ended { grain: grain(), epoch },
        Word::Pull { at, slots: slots().into() },
        Word::Given { at, slots: slots().into_iter().zip(given).collect() },
        Word::Ask { at, slots: slots().into() },
        Word::Report { at, slots: slots().into_iter().zip(lives).collect() },
        Word::Newer { at },
    ];
    let seed = |word: &Word| [&[8], &word.encode()[..]].concat();
    let mut seeds: Seeds =
        (1..).zip(&words).map(|(kind, word)| (format!("kind-{kind}"), seed(word))).collect();
    seeds.push(("lying-count".into(), [8, 8, 1, 1, 1, 0, 0xff, 0xff, 0x3f].into()));
    seeds
}

fn envelopes() -> Seeds {
    let at = Stamp { generation: 1_800_000_000, version: 300 };
    let epoch = Epoch { stamp: at, counter: 5 };
    let seat = |id| Seat { id: NodeId(id), incarnation: Incarnation(id << 64), joined: 130 };
    let (one, other) = (seat(1), seat(2));
    let grain = || Grain::new("cart", "käse/42");
    let refused = Refused { incarnation: one.incarnation, uid: 300, ended: true };
    let find =
        |refused, wakes| Message::Find { ticket: 9, grain: grain(), wish: Wish { refused, wakes } };
    let found = |answer| Message::Found { ticket: 9, grain: grain(), answer };
    let entry = Entry { host: one, epoch, uid: Some(300) };
    let messages = [
        Message::Probe { back: None, asked: Duration::ZERO },
        Message::Probe { back: Some(other), asked: Duration::from_nanos(u64::MAX) },
        Message::ProbeFor { to: other },
        Message::Ack {
            back: Some(other),
            asked: Duration::from_secs(1),
            theirs: Duration::from_millis(2),
            load: 7,
        },
        Message::AckOf { whose: other },
        Message::Accuse { accused: other, accuses: true },
        Message::Greet,
        Message::Greeted,
        Message::Changed,
        Message::Word(Word::Ended { grain: grain(), epoch }),
        find(None, true),
        find(Some(refused), false),
        found(Answer::Route(entry)),
        found(Answer::Failed("no store".into())),
        found(Answer::Nobody),
        found(Answer::NoHost),
        found(Answer::Fenced),
        found(Answer::NotOwner),
        Message::Failed { grain: grain(), epoch, why: "no store".into() },
        Message::Bad { link: other },
    ];
    let seed = |message| Envelope { cluster: 7 << 100, from: one, to: other, at, message }.encode();
    let name = |(number, message)| (format!("message-{number:02}"), seed(message));
    (1..).zip(messages).map(name).collect()
}
