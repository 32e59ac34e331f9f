//! Which messages can be sent to whom.

/// Says that a message can be sent to an `ActorRef<A>`: to one of a type that handles it, and to one of
/// unknown type.
///
/// Implemented by rakt alone.
// It is a trait of the message, not of the actor: of an actor with one handler the compiler would conclude that
// every message is of that handler's type, and complain about types. `Message` is not part of it, since the
// compiler tells the greater of two faults alone.
#[diagnostic::on_unimplemented(
    message = "an `ActorRef<{A}>` does not take `{Self}`: `{A}` has no handler for it",
    label = "`{A}` does not handle `{Self}`",
    note = "write `impl rakt::Handler<{Self}> for {A}`, with an `async fn handle`"
)]
pub trait MessageFor<A>: sealed::Sealed<A> {}

#[diagnostic::do_not_recommend]
impl<A, M: sealed::Sealed<A>> MessageFor<A> for M {}

pub(crate) mod sealed {
    use std::any::TypeId;
    use std::task::Waker;

    use crate::mailbox::letter::Letter;
    use crate::message::Message;
    use crate::reference::{AnyActor, AnyCell, Push, Takes, Target};

    /// How a letter gets into the mailbox of an actor in this process.
    #[expect(unnameable_types, reason = "sealed: nobody outside can call or implement it")]
    pub trait Sealed<A>: Sized {
        #[expect(private_interfaces, reason = "sealed: nobody outside can call or implement it")]
        fn push(
            cell: &dyn AnyCell,
            letter: &mut Option<Letter<Self>>,
            waiter: Option<(&mut Option<u64>, &Waker)>,
        ) -> Push
        where
            Self: Message;

        /// The same actor, so that whoever does not know its type can send it this message.
        #[expect(private_interfaces, reason = "sealed: nobody outside can call or implement it")]
        fn receiving(target: &Target) -> Target
        where
            Self: Message,
        {
            target.clone()
        }
    }

    /// The actor's list says whether it takes the message.
    macro_rules! listed {
        ($($reference:ty),*) => {$(
            impl<M> Sealed<$reference> for M {
                #[expect(private_interfaces, reason = "sealed: nobody outside can call or implement it")]
                fn push(
                    cell: &dyn AnyCell,
                    letter: &mut Option<Letter<M>>,
                    waiter: Option<(&mut Option<u64>, &Waker)>,
                ) -> Push
                where
                    M: Message,
                {
                    cell.push_listed(letter, TypeId::of::<M>(), waiter)
                }
            }
        )*};
    }

    listed!(AnyActor, Takes<M>);
}
