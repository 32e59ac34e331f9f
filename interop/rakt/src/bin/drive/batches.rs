//! Several messages to one actor at once.

use std::time::Duration;

use interop::messages::{Delay, Note, StringValue, fail, note, text};
use rakt::Result;
use rakt::prelude::*;

use crate::report::{Check, checks};
use crate::target::{SHORT_TIMEOUT, Target, error_of, expect, expect_refusal, expect_unanswered};

pub(crate) const CHECKS: &[Check] = checks! {
    "tell_all" => |x| {
        let sender = x.unique("batch");
        let told = x.actor("counter").tell_all((1..=500).map(|n| note(&sender, n))).await;
        expect(told.iter().filter(|told| told.is_ok()).count(), 500)?;
        x.expect_count("counter", &sender, 500).await
    };
    "ask_all" => |x| {
        let asked = |n: usize| text(format!("ask {n}"));
        let replies = x.actor("echo").ask_all((0..100).map(asked)).await;
        expect(replies.len(), 100)?;
        for (n, reply) in replies.into_iter().enumerate() {
            expect(reply?, asked(n))?;
        }
        Ok(())
    };
    "empty batches" => |x| {
        expect(x.actor("echo").tell_all(Vec::<StringValue>::new()).await.len(), 0)?;
        expect(x.actor("echo").ask_all(Vec::<StringValue>::new()).await.len(), 0)
    };
    "tell_all of which the second cannot be read" => |x| tell_all_unreadable(x).await;
    "tell_all of which the second is too large" => |x| {
        let large = "x".repeat(17 << 20);
        let told = x.actor("silent").tell_all(["a", &large, "c"].map(text)).await;
        let [Ok(()), Err(error), Ok(())] = &told[..] else { return Err(format!("{told:?}").into()) };
        expect_refusal(error.refusal(), "", |refusal| matches!(refusal, Refusal::TooLarge { .. }))
    };
    "ask_all of which the second fails" => |x| {
        let asks = ["answered", "error", "answered too"].map(fail);
        let replies = x.actor("failing").ask_all(asks).timeout(SHORT_TIMEOUT).await;
        let [first, second, third] = <[_; 3]>::try_from(replies).map_err(|_| "not three")?;
        expect(first?, fail("answered"))?;
        expect_unanswered(second)?;
        expect(third?, fail("answered too"))
    };
    "timeout of a batch is that of each ask" => |x| {
        let delays = std::array::from_fn::<_, 5, _>(|_| Delay { millis: 50, ..Default::default() });
        let replies = x.actor("slow").ask_all(delays).timeout(Duration::from_secs(2)).await;
        expect(replies.iter().filter(|reply| reply.is_ok()).count(), 5)
    };
};

async fn tell_all_unreadable(x: &Target) -> Result {
    let (name, counter) = (x.unique("smudged"), x.actor("counter"));
    let told = counter.tell_all([note(&name, 1), note(Note::SMUDGED, 1), note(&name, 2)]).await;
    let [first, second, third] = <[_; 3]>::try_from(told).map_err(|_| "not three")?;
    first?;
    let error = error_of(second)?;
    let is_expected = |refusal: &Refusal| matches!(refusal, Refusal::Undecodable { .. });
    expect_refusal(error.refusal(), "invalid remote message", is_expected)?;
    third?;
    x.expect_count("counter", &name, 2).await
}
