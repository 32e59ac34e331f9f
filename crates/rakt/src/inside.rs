//! Whose code runs on this thread: what waits for an actor in the code of that same actor waits for ever.

use std::cell::RefCell;
use std::sync::Arc;

use crate::reference::AnyCell;
use crate::watchdog;

thread_local! {
    /// The parent of the actor whose code runs, if it has one.
    static PARENT: RefCell<Option<Arc<dyn AnyCell>>> = const { RefCell::new(None) };
}

/// Runs code of the actor of this number, which is not to panic. `parent` is as before afterwards.
#[inline]
pub(crate) fn handling<T>(
    actor: u64,
    parent: &mut Option<Arc<dyn AnyCell>>,
    code: impl FnOnce() -> T,
) -> T {
    if parent.is_none() {
        return watchdog::handling(actor, code);
    }
    let swap = |parent: &mut Option<_>| {
        let _ = PARENT.try_with(|here| std::mem::swap(&mut *here.borrow_mut(), parent));
    };
    swap(parent);
    let done = watchdog::handling(actor, code);
    swap(parent);
    done
}

/// Whether this is called by the code of the actor itself.
pub(crate) fn is_inside(cell: &dyn AnyCell) -> bool {
    watchdog::handled_here() == cell.uid()
}

/// Whether this is called by the code of some actor.
pub(crate) fn is_inside_any() -> bool {
    watchdog::handled_here() != 0
}

/// Whether this is called by the code of the actor, or of one below it.
pub(crate) fn is_inside_family(cell: &dyn AnyCell) -> bool {
    if is_inside(cell) {
        return true;
    }
    let mut above = PARENT.try_with(|here| here.borrow().clone()).ok().flatten();
    while let Some(ancestor) = above {
        if ancestor.uid() == cell.uid() {
            return true;
        }
        above = ancestor.parent();
    }
    false
}
