//! Which messages can be sent to whom.

use crate::message::Message;

/// Says that messages of type `M` can be sent to a reference: to one of a type that handles `M`, and
/// to one of unknown type.
///
/// Implemented by rakt alone.
#[diagnostic::on_unimplemented(
    message = "an `ActorRef<{Self}>` does not take `{M}`: `{Self}` has no handler for it",
    label = "`{Self}` does not handle `{M}`",
    note = "write `impl rakt::Handler<{M}> for {Self}`, with an `async fn handle`"
)]
pub trait Receives<M: Message>: sealed::Sealed<M> {}

#[diagnostic::do_not_recommend]
impl<M: Message, T: sealed::Sealed<M>> Receives<M> for T {}

pub(crate) mod sealed {
    use std::any::TypeId;
    use std::task::Waker;

    use crate::mailbox::letter::Letter;
    use crate::message::Message;
    use crate::reference::{AnyActor, AnyCell, Push};

    /// How a letter gets into the mailbox of an actor in this process.
    #[expect(unnameable_types, reason = "sealed: nobody outside can call or implement it")]
    pub trait Sealed<M: Message> {
        #[expect(private_interfaces, reason = "sealed: nobody outside can call or implement it")]
        fn push(
            cell: &dyn AnyCell,
            letter: &mut Option<Letter<M>>,
            waiter: Option<(&mut Option<u64>, &Waker)>,
        ) -> Push;
    }

    impl<M: Message> Sealed<M> for AnyActor {
        #[expect(private_interfaces, reason = "sealed: nobody outside can call or implement it")]
        fn push(
            cell: &dyn AnyCell,
            letter: &mut Option<Letter<M>>,
            waiter: Option<(&mut Option<u64>, &Waker)>,
        ) -> Push {
            cell.push_listed(letter, TypeId::of::<M>(), waiter)
        }
    }
}
