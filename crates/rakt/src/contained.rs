//! Code of the user as the runner runs it: a panic is a fault, and it is known whose code it is.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use tracing::Span;
use tracing::level_filters::LevelFilter;

use crate::error::BoxError;
use crate::inside::handling;
use crate::reference::AnyCell;
use crate::stuck::TimedOut;
use crate::supervision::Fault;

/// Runs code of the user that is over at once. A panic is a fault.
pub(crate) fn contain<T>(code: impl FnOnce() -> T) -> Result<T, Fault> {
    std::panic::catch_unwind(AssertUnwindSafe(code)).map_err(Fault::of_panic)
}

fn fault_of(error: BoxError) -> Fault {
    match error.downcast_ref() {
        Some(TimedOut(limit)) => Fault::TimedOut(*limit),
        None => Fault::Error(error),
    }
}

/// The span that the code of an actor runs under, unless no subscriber wants any of its level.
#[inline]
pub(crate) fn span_of(path: &str, actor_type: &'static str) -> Option<Box<Span>> {
    if LevelFilter::current() < LevelFilter::INFO { None } else { new_span(path, actor_type) }
}

#[cold]
fn new_span(path: &str, actor_type: &'static str) -> Option<Box<Span>> {
    // Whoever woke the actor is not what its messages are about.
    let span = tracing::info_span!(parent: None, "actor", path = %path, r#type = actor_type);
    (!span.is_disabled()).then(|| Box::new(span))
}

/// A hook or handler whose panic is a fault like its error, and who is known while it runs.
pub(crate) struct Contained<'a, F> {
    pub(crate) actor: u64,
    pub(crate) parent: &'a mut Option<Arc<dyn AnyCell>>,
    pub(crate) span: Option<&'a Span>,
    pub(crate) code: F,
}

impl<F: Future<Output = Result<(), BoxError>> + Unpin> Future for Contained<'_, F> {
    type Output = Result<(), Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let Self { actor, parent, span, code } = &mut *self;
        let _entered = span.map(Span::enter);
        match handling(*actor, parent, || contain(|| Pin::new(code).poll(cx))) {
            Ok(poll) => poll.map_err(fault_of),
            Err(fault) => Poll::Ready(Err(fault)),
        }
    }
}
