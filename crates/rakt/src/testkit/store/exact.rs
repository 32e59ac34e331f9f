//! Rules for what has to come back as it was given.

use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::trial::{Trial, epoch, show_state, writer};
use crate::grain::{DueReminder, GrainStore, Reminder, Stored};
use crate::testkit::rules::{Outcome, broken, ensure};

/// Texts that are told apart, some of which a database would rather not: it folds case, cuts off spaces, composes
/// accents, ends at a NUL, or takes a text for a pattern, a number or a part of its language.
fn texts() -> Vec<String> {
    let few = [
        "a",
        "A",
        "aa",
        "ab",
        "b",
        "a/b",
        "a/",
        "/a",
        "/",
        "//",
        "a\0",
        "a\0b",
        "\0",
        "\0\0",
        " ",
        "a ",
        " a",
        "a\n",
        "a\r\n",
        "\t",
        "0",
        "00",
        "1",
        "01",
        "1.0",
        "-1",
        "null",
        "NULL",
        "%",
        "_",
        "a%",
        "a_",
        "*",
        "?",
        "'",
        "''",
        "\"",
        "\\",
        "\\0",
        "'; --",
        "$1",
        "{}",
        "é",
        "e\u{301}",
        "É",
        "ß",
        "ss",
        "İ",
        "i",
        "ı",
        "ﬀ",
        "ff",
        "日本",
        "日",
        "🦀",
        "\u{200b}",
        "\u{feff}",
        "\u{10ffff}",
        "ａ",
        ":",
        "a:b",
        "|",
        "a|b",
        "..",
        ".",
        "~",
    ];
    let mut texts: Vec<_> = few.map(str::to_owned).into();
    // As long as a key can be: of plain letters, and of others.
    texts.extend(["x".repeat(255), "x".repeat(254), format!("{}y", "x".repeat(254))]);
    texts.extend(["\0".repeat(84), "é".repeat(42), "\u{10ffff}".repeat(21)]);
    texts
}

pub(super) async fn keys_and_kinds_are_told_apart<S: GrainStore>(t: &Trial<'_, S>) -> Outcome {
    let mut grains: Vec<_> = texts().iter().map(|key| t.grain(key)).collect();
    // Kinds and keys that are the same text, were they put together, and kinds that differ in case.
    for between in ["", ".", "-", "_"] {
        grains.push(t.grain_of("", &format!("k{between}k")));
        grains.push(t.grain_of(&format!("{between}k"), "k"));
    }
    grains.push(t.grain_of("K", "k"));
    let claim = (epoch(1), writer(1));
    let state = |n: usize| Bytes::from(n.to_string());
    for (n, grain) in grains.iter().enumerate() {
        let found = t.claimed(grain, claim.0, claim.1).await?;
        ensure(found.is_none(), || format!("{grain:?} was not stored yet; another one was"))?;
        if t.save(grain, claim, 0, Some(state(n))).await.is_err() {
            return broken(format!("{grain:?} was to be saved"));
        }
    }
    let next = (epoch(2), writer(2));
    for (n, grain) in grains.iter().enumerate() {
        let found = t.claimed(grain, next.0, next.1).await?.and_then(|stored| stored.state);
        ensure(found == Some(state(n)), || format!("the state of {grain:?} was to be {n}"))?;
    }
    Ok(())
}

pub(super) async fn states_of_all_sizes_come_back<S: GrainStore>(t: &Trial<'_, S>) -> Outcome {
    const LARGE: usize = 4 << 20;
    let (grain, claim) = (t.grain("sizes"), (epoch(1), writer(1)));
    t.claimed(&grain, claim.0, claim.1).await?;
    let all_bytes: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..LARGE).map(|n| ((n * n) >> 7) as u8).collect();
    let sizes = [vec![], vec![0], vec![255], all_bytes, vec![b'x'; 8_191], large, vec![]];
    let mut over = 0;
    for state in sizes.map(Bytes::from) {
        over = match t.save(&grain, claim, over, Some(state.clone())).await {
            Ok(version) => version,
            Err(_) => return broken(format!("a state of {} bytes was to be saved", state.len())),
        };
        let found = t.claimed(&grain, claim.0, claim.1).await?;
        let expected = Some(Stored { version: over, state: Some(state.clone()) });
        ensure(found == expected, || format!("the state was to be {}", show_state(Some(&state))))?;
    }
    Ok(())
}

pub(super) async fn names_of_reminders_are_told_apart<S: GrainStore>(t: &Trial<'_, S>) -> Outcome {
    let reminder = Reminder { due: SystemTime::UNIX_EPOCH + Duration::from_secs(1), every: None };
    let mut noted = Vec::new();
    for name in texts() {
        for key in ["a", "aa"] {
            noted.push(DueReminder { grain: t.grain(key), name: name.clone(), reminder });
        }
    }
    for DueReminder { grain, name, reminder } in &noted {
        t.remind(grain, name, *reminder).await?;
    }
    let kind = t.kind("");
    t.are_due(&kind, reminder.due, &noted).await?;
    // Taking one back leaves the others.
    while let Some(last) = noted.pop() {
        t.forget(&last.grain, &last.name).await?;
        if noted.len() % 16 == 0 {
            t.are_due(&kind, reminder.due, &noted).await?;
        }
    }
    Ok(())
}
