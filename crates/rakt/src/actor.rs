//! What a user implements: [`Actor`], and [`Handler`] for each message.

use std::future::Future;

use crate::context::{ActorClass, Context};
use crate::error::Result;
use crate::events::Terminated;
use crate::message::{DuplicateName, Message};

/// State that handles messages one at a time.
///
/// The hooks below are all optional. An `Err` or a panic in [`started`](Actor::started) fails the
/// spawn (or counts as another failure where the actor was being restarted); in the other hooks it
/// meets the actor's [supervision](crate::supervision).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an actor",
    label = "this is not an actor",
    note = "make it one: `impl rakt::Actor for {Self} {{}}`"
)]
pub trait Actor: Sized + Send + 'static {
    /// Lists what may be sent to this actor from outside its Rust type: by peers, and through
    /// references that do not know the type. Default: nothing.
    fn accepts(accepts: &mut Accepts<Self>) {
        let _ = accepts;
    }

    /// Runs before the first message, at the start and after every restart;
    /// [`Context::restart_reason`] tells them apart.
    fn started(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = Result> + Send {
        let _ = ctx;
        async { Ok(()) }
    }

    /// Runs after the last message and after the children have stopped, at the end and before every
    /// restart; [`Context::stop_reason`] tells them apart. An error is logged, and stops nothing.
    fn stopped(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = Result> + Send {
        let _ = ctx;
        async { Ok(()) }
    }

    /// An actor that this one [watches](Context::watch) has ended. Comes exactly once for each, and
    /// ahead of messages that wait, so also of some that the other sent before it ended.
    fn terminated(
        &mut self,
        terminated: &Terminated,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = Result> + Send {
        let _ = (terminated, ctx);
        async { Ok(()) }
    }
}

/// How an actor handles one type of message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no handler for `{M}`",
    label = "no `impl Handler<{M}> for {Self}`",
    note = "write `impl rakt::Handler<{M}> for {Self}`, with an `async fn handle`"
)]
pub trait Handler<M: Message>: Actor {
    /// Handles one message; what it returns answers an `ask`, and is dropped for a `tell`.
    ///
    /// # Errors
    /// An `Err` tells the asker that the handler failed, and meets the actor's supervision. That restarts the
    /// actor unless told otherwise: its state is lost, and the fourth time within 60 s it ends. What is an
    /// answer, such as "not found", belongs into the reply. A panic is met alike; of it the asker does not
    /// hear the text.
    fn handle(
        &mut self,
        message: M,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = Result<M::Reply>> + Send;
}

/// The list of messages that an actor takes from peers and through untyped references.
pub struct Accepts<A: Actor> {
    pub(crate) class: ActorClass<A>,
    pub(crate) duplicate: Option<DuplicateName>,
}
