//! Whether a connection to a Go node may still be used.

use std::task::Waker;

use crate::error::Cause;
#[cfg(feature = "_tls")]
use crate::remote::tls::Guarded;
use crate::sync::Mutex;

/// Whether a connection to a Go node may still be used. It is looked at before each use, and whoever has the connection
/// is woken when it changes: such a node cannot be told why a connection ends.
#[derive(Default)]
pub(super) struct Standing(Mutex<State>);

#[derive(Default)]
struct State {
    verdict: Verdict,
    /// Who has the connection, unless it was woken.
    holder: Option<Waker>,
}

#[derive(Clone, Default)]
#[cfg_attr(not(feature = "_tls"), allow(dead_code, reason = "without certificates all are good"))]
pub(super) enum Verdict {
    #[default]
    Good,
    /// Another connection is to take its place.
    Retired(Cause),
    /// The node is not to be trusted any more.
    Forbidden(Cause),
}

impl Standing {
    /// How it stands; `holder` is woken when that changes.
    pub(super) fn watch(&self, holder: &Waker) -> Verdict {
        let mut state = self.0.lock();
        match &mut state.holder {
            Some(known) => known.clone_from(holder),
            unset => *unset = Some(holder.clone()),
        }
        state.verdict.clone()
    }

    /// Why it is not used for anything new, if so.
    pub(super) fn over(&self) -> Option<Cause> {
        match &self.0.lock().verdict {
            Verdict::Good => None,
            Verdict::Retired(why) | Verdict::Forbidden(why) => Some(why.clone()),
        }
    }

    /// Whether the holder was woken since it last looked.
    pub(super) fn is_woken(&self) -> bool {
        self.0.lock().holder.is_none()
    }

    #[cfg(feature = "_tls")]
    fn change(&self, change: impl FnOnce(&mut Verdict)) {
        let mut state = self.0.lock();
        change(&mut state.verdict);
        let holder = state.holder.take();
        drop(state);
        holder.into_iter().for_each(Waker::wake);
    }
}

#[cfg(feature = "_tls")]
impl Guarded for Standing {
    fn forbid(&self, why: &str) {
        self.change(|verdict| {
            if !matches!(verdict, Verdict::Forbidden(_)) {
                *verdict = Verdict::Forbidden(why.into());
            }
        });
    }

    fn retire(&self, why: &str) {
        self.change(|verdict| {
            if matches!(verdict, Verdict::Good) {
                *verdict = Verdict::Retired(why.into());
            }
        });
    }
}
