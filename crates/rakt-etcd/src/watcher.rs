//! What etcd tells by itself: that there is something newer.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use http::uri::PathAndQuery;
use rakt::cluster::Version;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, interval, sleep, timeout};
use tonic::Status;
use tonic::metadata::AsciiMetadataValue;
use tonic_prost::ProstCodec;

use crate::error::EtcdError;
use crate::line::Line;
use crate::messages::{Create, Progress, Range, WATCH, Watch, Watched};

/// How long it is until a watch that has ended is begun again: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What was there last, as far as it was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// The revision at which that was so.
    revision: u64,
    version: Version,
}

impl News {
    /// Whether it is news for who has seen that version. What is older is not: the swap of this node is answered before
    /// the watch tells it.
    pub(crate) fn is_for(&self, seen: Version) -> bool {
        self.version != seen && self.revision > seen.0
    }
}

/// Tells news as long as somebody may want to hear.
pub(crate) async fn watch(line: Arc<Line>, news: watch::Sender<News>) {
    let mut pause = PAUSES.0;
    loop {
        let start = Instant::now();
        let Err(error) = follow(&line, &news).await;
        tracing::debug!(error = %rakt::error::Chain(&error), "the watch of the view begins again");
        // One that has lasted is begun again at once.
        if start.elapsed() > PAUSES.1 {
            pause = PAUSES.0;
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Tells what is there, and then what comes, until the stream ends or is silent. Streams do not tell that they are dead: etcd
/// is asked for a sign of life.
async fn follow(line: &Line, news: &watch::Sender<News>) -> Result<Infallible, EtcdError> {
    let options = &line.options;
    let key = options.key();
    let call = Range { key: key.clone(), keys_only: true };
    let found = line.ask(call, true).await?;
    let revision = found.header.map_or(0, |header| header.revision);
    let version = found.found.first().map_or(0, |found| found.mod_revision);
    tell(news, revision, version);

    let open = line.open(Instant::now() + options.timeout).await?;
    let create = Create { key, start_revision: revision + 1 };
    let asking = Asking::new(create, options.timeout);
    let mut request = open.request(asking);
    // A member that loses its leader ends the stream.
    request.metadata_mut().insert("hasleader", AsciiMetadataValue::from_static("true"));
    let lost = |status| {
        line.close(&open);
        EtcdError::of(&open.endpoint, status)
    };
    let late = |limit| {
        line.close(&open);
        EtcdError::Late { endpoint: open.endpoint.clone(), limit }
    };
    let mut grpc = open.grpc();
    let opening = async {
        grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
        let codec = ProstCodec::<Watch, Watched>::default();
        grpc.streaming(request, PathAndQuery::from_static(WATCH), codec).await
    };
    let limit = options.timeout * 2;
    let answer = timeout(limit, opening).await.map_err(|_| late(limit))?.map_err(lost)?;
    let mut stream = answer.into_inner();
    loop {
        let told = timeout(limit, stream.message()).await.map_err(|_| late(limit))?;
        let Some(told) = told.map_err(lost)? else {
            return Err(lost(Status::unavailable("the watch has ended")));
        };
        if told.canceled || told.compact_revision > 0 {
            let reason = format!("the watch was cancelled: {}", told.cancel_reason);
            return Err(lost(Status::unavailable(reason)));
        }
        for event in told.events {
            let revision = event.kv.map_or(0, |kv| kv.mod_revision);
            tell(news, revision, if event.kind == 0 { revision } else { 0 });
        }
    }
}

fn tell(news: &watch::Sender<News>, revision: i64, version: i64) {
    let [revision, version] = [revision, version].map(|number| number.max(0) as u64);
    let told = News { revision, version: Version(version) };
    news.send_if_modified(|news| {
        let is_newer = told.revision >= news.revision && *news != told;
        if is_newer {
            *news = told;
        }
        is_newer
    });
}

/// What the client says in a watch: what it wants, and then now and then whether it is heard.
struct Asking {
    first: VecDeque<Watch>,
    then: Interval,
}

impl Asking {
    fn new(create: Create, every: Duration) -> Self {
        let first = Watch { create: Some(create), progress: None };
        Self { first: [first].into(), then: interval(every) }
    }
}

impl Stream for Asking {
    type Item = Watch;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Watch>> {
        if let Some(first) = self.first.pop_front() {
            return Poll::Ready(Some(first));
        }
        let progress = Watch { create: None, progress: Some(Progress {}) };
        self.then.poll_tick(cx).map(|_| Some(progress))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_newer_is_no_news() {
        let (news, _) = watch::channel(News::default());
        tell(&news, 10, 5);
        assert!(news.borrow().is_for(Version(4)) && news.borrow().is_for(Version(0)));
        // The version itself, one that this node has made since, and what was told before.
        assert!(!news.borrow().is_for(Version(5)) && !news.borrow().is_for(Version(11)));
        tell(&news, 9, 9);
        assert_eq!(*news.borrow(), News { revision: 10, version: Version(5) });
        tell(&news, 11, 11);
        assert!(!news.borrow().is_for(Version(11)) && news.borrow().is_for(Version(5)));
        // It was deleted.
        tell(&news, 12, 0);
        assert!(news.borrow().is_for(Version(11)) && !news.borrow().is_for(Version(0)));
    }
}
