//! The life of an actor: starting, handling messages, failing, restarting, stopping.
//!
//! ```text
//!            spawn
//!              │ started()                ┌───────── restart: stopped(), a new A, started()
//!              ▼                          ▼                 │
//!  ┌──── resting ──── a message ───▶ working ──── a fault ──┤
//!  │        ▲                          │  │                 ├─▶ suspended ── reinstate ──▶ resting
//!  │        └────── nothing left ──────┘  │                 └─▶ stopping
//!  └─────── a signal ─────────────────────┴── stop ──▶ stopping ──▶ ended
//! ```
//!
//! Its code runs under a span of `tracing`, level INFO, with its path and type, where a subscriber wants that.
//!
//! One task at a time runs an actor ([`run`]), and only while it has something to do and for a tick or
//! two after that, in case more comes: it dozes, inside of `working`.

use std::any::type_name;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tracing::Span;

use crate::actor::Actor;
use crate::cell::Next;
use crate::contained::{Contained, contain, span_of};
use crate::context::{ActorCell, Body, Context, GrainHook, Origin, Work};
use crate::dispatch::front;
use crate::error::{Cause, Chain, Refusal};
use crate::events::{Event, RestartReason, StopReason, Terminated};
use crate::mailbox::queue::Intake;
use crate::mailbox::work_batch::WorkBatch;
use crate::reference::{AnyCell, ended};
use crate::signal::{Signal, Signalled, refuse_signal};
use crate::stuck::Killed;
use crate::supervision::{Decision, Fault, Supervision};
use crate::sync::atomic::Ordering;
use crate::timers::{Due, now};

/// Whether the runner goes on.
type Flow = ControlFlow<StopReason>;

/// Says of what type a message is.
type MessageName = fn() -> &'static str;

/// An actor while somebody runs it.
pub(crate) struct Runner<A: Actor> {
    body: Box<Body<A>>,
    ctx: Context<A>,
    work: Work<A>,
    /// Set once what is queued is the last that is handled.
    finishing: Option<StopReason>,
    /// The actor's parent, for code that asks whose it is.
    parent: Option<Arc<dyn AnyCell>>,
    /// What its code logs under, where somebody wants that.
    span: Option<Box<Span>>,
}

/// What became of a runner without messages in hand.
enum Step<A: Actor> {
    Go(Runner<A>),
    /// The mailbox is closed and empty.
    Drained(Runner<A>),
    Resting,
}

/// Has a task wake an actor that rested, and run it until it rests again or ends.
pub(crate) fn run<A: Actor>(cell: Arc<ActorCell<A>>, body: Box<Body<A>>) {
    spawn(Runner::wake(cell, body));
}

/// Has a task run an actor. A grain of a cluster, or what has a name there, runs only while its node may host it.
fn spawn<A: Actor>(runner: Runner<A>) {
    let runtime = runner.ctx.cell.system.runtime().clone();
    match runner.body.origin.hosting() {
        None => drop(runtime.spawn(go_on(runner))),
        Some(hosting) => drop(runtime.spawn(hosting.run(go_on(runner)))),
    }
}

/// How long the `stopped` hook of an actor may take that is killed.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What stands for an error that cannot be shown.
const UNSHOWN: &str = "an error that panicked while it was shown";

/// Runs an actor until it rests or ends.
async fn go_on<A: Actor>(mut runner: Runner<A>) {
    loop {
        if runner.ctx.take_turn_end() {
            tokio::task::yield_now().await;
        }
        if runner.ctx.is_interrupted()
            && let ControlFlow::Break(reason) = Box::pin(runner.handle_interruption()).await
        {
            return Box::pin(runner.end(reason)).await;
        }
        let Some(dispatch) = front(&mut runner.work, &runner.ctx) else {
            match runner.take_or_rest() {
                Step::Go(same) => runner = same,
                Step::Drained(mut same) => {
                    let reason = same.finishing.take().unwrap_or(StopReason::Stopped);
                    return Box::pin(same.end(reason)).await;
                }
                Step::Resting => return,
            }
            continue;
        };
        runner.ctx.look_up();
        let actor = runner.ctx.cell.uid;
        let handled = (dispatch.0)(&mut runner.body.actor, &mut runner.ctx, &mut runner.work);
        let (parent, span) = (&mut runner.parent, runner.span.as_deref());
        let handled = Contained { actor, parent, span, code: handled }.await;
        let handled = runner.after_message(handled);
        let message = runner.ctx.message.take();
        if let Err(fault) = handled
            && let ControlFlow::Break(reason) = Box::pin(runner.fail(fault, message)).await
        {
            return Box::pin(runner.end(reason)).await;
        }
    }
}

impl<A: Actor> Runner<A> {
    /// The life of an actor that rested.
    fn wake(cell: Arc<ActorCell<A>>, mut body: Box<Body<A>>) -> Self {
        let parent = cell.parent.clone();
        // Another task may have asked for that.
        cell.looked.store(0, Ordering::Relaxed);
        let span = span_of(&cell.path, type_name::<A>());
        let ctx = Context::new(cell, body.extra.take());
        Self { body, ctx, work: WorkBatch::default(), finishing: None, parent, span }
    }

    /// Starts a new actor in the caller's task, and lays it to rest.
    pub(crate) async fn start(
        cell: Arc<ActorCell<A>>,
        origin: Box<dyn Origin<A>>,
    ) -> Result<(), Fault> {
        let actor = contain(|| origin.build())?;
        let body = Body { origin, actor, extra: None, has_stopped: false, pauses: 0 };
        let mut runner = Self::wake(cell, Box::new(body));
        // What is rare is boxed: the future of a start is to be small.
        if let Err(fault) = runner.hook_started().await {
            Box::pin(runner.stop_children(&StopReason::Stopped)).await;
            runner.drop_actor();
            return Err(fault);
        }
        runner.ctx.system().publish(|| Event::ActorStarted { path: runner.ctx.path().to_owned() });
        // Grains are looked after by their kind.
        if runner.body.origin.grain().is_none()
            && let Some(after) = runner.ctx.cell.setup.passivate_after()
        {
            let cell = &runner.ctx.cell;
            cell.keep_passivation(passivation(cell, after));
        }
        if runner.ctx.take_stop_request() {
            Box::pin(runner.end(StopReason::Stopped)).await;
            return Ok(());
        }
        match runner.take_or_rest() {
            Step::Resting => {}
            // Something came in meanwhile; it has its own task, not the spawner's.
            Step::Go(runner) | Step::Drained(runner) => spawn(runner),
        }
        Ok(())
    }

    fn take_or_rest(mut self) -> Step<A> {
        self.ctx.sweep_tasks();
        self.body.extra = self.ctx.take_extra();
        let cell = self.ctx.cell.clone();
        match cell.take_or_rest(self.body, &mut self.work) {
            Next::Resting => Step::Resting,
            Next::Messages(mut body) | Next::Signals(mut body) => {
                self.ctx.set_extra(body.extra.take());
                Step::Go(Self { body, ..self })
            }
            Next::Drained(mut body) => {
                self.ctx.set_extra(body.extra.take());
                Step::Drained(Self { body, ..self })
            }
        }
    }

    /// Does what was asked for between two messages, by the actor itself or from outside.
    async fn handle_interruption(&mut self) -> Flow {
        if self.ctx.take_stop_request() {
            return Flow::Break(StopReason::Stopped);
        }
        self.ctx.count_message();
        self.handle_signals().await?;
        // A hook may have asked in turn.
        if self.ctx.take_stop_request() {
            return Flow::Break(StopReason::Stopped);
        }
        self.ctx.unstash_into(&mut self.work);
        self.ctx.cell.keep_back(&mut self.work);
        Flow::Continue(())
    }

    async fn handle_signals(&mut self) -> Flow {
        let mut signals = self.ctx.cell.take_signals().into_iter();
        while let Some(signal) = signals.next() {
            let flow = match signal {
                Signal::Stop { finish: false, reason } => Flow::Break(reason),
                Signal::Stop { finish: true, reason } => self.finish(reason).await,
                Signal::Passivate => self.passivate(),
                Signal::Respawn(done) => {
                    self.ctx.note_restart(RestartReason::Respawned);
                    let result = self.restart().await;
                    let told = match &result {
                        Ok(()) => Ok(()),
                        Err(fault) => {
                            let source = contain(|| Cause::described(fault));
                            let source = source.unwrap_or_else(|_| UNSHOWN.into());
                            Err(Refusal::HandlerFailed { source })
                        }
                    };
                    let _ = done.send(told);
                    self.after_restart(result).await
                }
                Signal::RestartDue { pause }
                    if pause == self.body.pauses && self.ctx.cell.intake() == Intake::Paused =>
                {
                    let result = self.restart().await;
                    self.after_restart(result).await
                }
                // That pause was cut short by a respawn.
                Signal::RestartDue { .. } => Flow::Continue(()),
                Signal::Reinstate(done) => {
                    self.reinstate();
                    let _ = done.send(Ok(()));
                    Flow::Continue(())
                }
                Signal::Apply { decision, cause } => self.apply(decision, cause).await,
                Signal::ApplyToOthers { failed, decision, cause } => {
                    for child in self.ctx.children().filter(|child| child.uid() != failed) {
                        child.signal(Signal::Apply { decision, cause: cause.clone() });
                    }
                    Flow::Continue(())
                }
                Signal::ChildFailed { path, cause } => {
                    self.fail(Fault::Child { path, cause }, None).await
                }
                Signal::ChildGone { uid } => {
                    self.ctx.forget_child(uid);
                    Flow::Continue(())
                }
                Signal::Terminated(terminated) => self.hear_of(terminated).await,
                Signal::TaskFailed { life, fault }
                    if life.strong_count() > 0 && self.ctx.cell.intake() != Intake::Suspended =>
                {
                    self.fail(fault, None).await
                }
                // What is suspended already has failed; whoever reinstates it decides.
                Signal::TaskFailed { .. } => Flow::Continue(()),
            };
            if flow.is_break() {
                signals.for_each(refuse_signal);
                return flow;
            }
        }
        Flow::Continue(())
    }

    /// Takes in nothing more, and ends once what is queued is handled.
    async fn finish(&mut self, reason: StopReason) -> Flow {
        let intake = self.ctx.cell.intake();
        let reason = self.finishing.get_or_insert(reason).clone();
        match intake {
            // What failed and has not been mended cannot work off the queue.
            Intake::Suspended => return Flow::Break(reason),
            Intake::Paused => {
                let result = self.restart().await;
                self.after_restart(result).await?;
            }
            Intake::Open | Intake::Closed => {}
        }
        // Whatever they would still bring, nobody would take.
        self.ctx.end_tasks();
        self.ctx.cell.set_intake(Intake::Closed);
        Flow::Continue(())
    }

    fn passivate(&mut self) -> Flow {
        let is_needed = self.ctx.has_tasks() || self.ctx.children().next().is_some();
        let is_free = self.ctx.cell.intake() == Intake::Open && !is_needed;
        match is_free && self.work.is_empty() && self.ctx.cell.is_quiet() {
            true => Flow::Break(StopReason::Passivated),
            false => Flow::Continue(()),
        }
    }

    fn reinstate(&mut self) {
        if self.ctx.cell.intake() == Intake::Suspended {
            self.ctx.cell.set_intake(Intake::Open);
            self.ctx
                .system()
                .publish(|| Event::ActorReinstated { path: self.ctx.path().to_owned() });
        }
    }

    async fn hear_of(&mut self, terminated: Terminated) -> Flow {
        if !self.ctx.end_watch(terminated.watch) {
            return Flow::Continue(());
        }
        let cell = self.ctx.cell.clone();
        let code = Box::pin(self.body.actor.terminated(&terminated, &mut self.ctx));
        let (parent, span) = (&mut self.parent, self.span.as_deref());
        let heard = Contained { actor: cell.uid, parent, span, code };
        let heard = until_killed(&cell, pin!(heard)).await.unwrap_or(Ok(()));
        match self.after_message(heard) {
            Err(fault) => self.fail(fault, None).await,
            Ok(()) if self.ctx.take_stop_request() => Flow::Break(StopReason::Stopped),
            Ok(()) => Flow::Continue(()),
        }
    }

    /// Lets supervision decide about a fault, and carries the decision out. `message` names the type of the message
    /// at which a handler failed.
    async fn fail(&mut self, fault: Fault, message: Option<MessageName>) -> Flow {
        if self.ctx.take_stop_request() {
            return Flow::Break(StopReason::Failed(self.cause_of(fault)));
        }
        let (decision, cause) = self.decide(fault, message);
        self.apply(decision, cause).await
    }

    /// What follows a restart: nothing, or what supervision makes of its fault.
    async fn after_restart(&mut self, result: Result<(), Fault>) -> Flow {
        let Err(fault) = result else { return Flow::Continue(()) };
        let (decision, cause) = self.decide(fault, None);
        match decision {
            // There is nothing to resume: the old actor has been stopped, the new has not started.
            Decision::Resume => Flow::Break(StopReason::Failed(cause)),
            // Not here and now: a factory that always fails must leave room for a stop.
            Decision::Restart { delay } if self.finishing.is_none() => {
                self.ctx.note_restart(RestartReason::Failed(cause));
                self.pause(delay);
                tokio::task::yield_now().await;
                Flow::Continue(())
            }
            Decision::Restart { .. } => Flow::Break(StopReason::Failed(cause)),
            other => self.apply(other, cause).await,
        }
    }

    fn decide(&mut self, fault: Fault, message: Option<MessageName>) -> (Decision, Cause) {
        let cell = self.ctx.cell.clone();
        let default = Supervision::default();
        let policy = cell.setup.supervision().unwrap_or(&default);
        let decider = self.ctx.decider();
        let decision = decider.decide(policy, &fault, now());
        let restarts_left = decider.restarts_left(policy);
        let cause = self.cause_of(fault);
        if self.may_log("an actor failed") {
            let (actor, message_type) = (&cell.path, message.map(|name| name()));
            let fault = Chain(&cause);
            tracing::warn!(%actor, message_type, %fault, ?decision, restarts_left, "an actor failed");
        }
        if policy.concerns_siblings() {
            cell.system.apply_to_siblings(&*cell, cell.parent.as_ref(), decision, &cause);
        }
        (decision, cause)
    }

    async fn apply(&mut self, decision: Decision, cause: Cause) -> Flow {
        let cell = self.ctx.cell.clone();
        match decision {
            Decision::Resume => Flow::Continue(()),
            Decision::Stop => Flow::Break(StopReason::Failed(cause)),
            // Nobody would reinstate an actor that has been told to stop.
            Decision::Suspend if self.finishing.is_some() => Flow::Break(StopReason::Failed(cause)),
            Decision::Suspend => {
                cell.set_intake(Intake::Suspended);
                cell.keep_back(&mut self.work);
                cell.system.publish(|| Event::ActorSuspended {
                    path: cell.path.to_string(),
                    reason: cause,
                });
                Flow::Continue(())
            }
            Decision::Escalate => {
                if let Some(parent) = &cell.parent {
                    let (path, cause) = (cell.path.to_string(), cause.clone());
                    parent.signal(Signal::ChildFailed { path, cause });
                }
                Flow::Break(StopReason::Failed(cause))
            }
            Decision::Restart { delay } if delay > Duration::ZERO && self.finishing.is_none() => {
                self.ctx.note_restart(RestartReason::Failed(cause));
                self.pause(delay);
                Flow::Continue(())
            }
            Decision::Restart { .. } => {
                self.ctx.note_restart(RestartReason::Failed(cause));
                let result = self.restart().await;
                Box::pin(self.after_restart(result)).await
            }
        }
    }

    /// Holds messages back until the restart that is due after `delay`.
    fn pause(&mut self, delay: Duration) {
        self.body.pauses = self.body.pauses.wrapping_add(1);
        let pause = self.body.pauses;
        self.ctx.end_tasks();
        let cell = &self.ctx.cell;
        cell.set_intake(Intake::Paused);
        cell.keep_back(&mut self.work);
        match delay {
            Duration::ZERO => cell.signal(Signal::RestartDue { pause }),
            delay => cell.keep_pause(signal_after(cell, delay, Signal::RestartDue { pause })),
        }
    }

    /// Replaces the actor by a new one. What is queued or stashed stays.
    async fn restart(&mut self) -> Result<(), Fault> {
        self.stop_children(&StopReason::Stopped).await;
        self.hook_stopped().await;
        self.ctx.forget_the_past(&mut self.work);
        let new = contain(|| self.body.origin.build())?;
        contain_drop(std::mem::replace(&mut self.body.actor, new), &self.ctx);
        self.body.has_stopped = false;
        self.hook_started().await?;
        let cell = &self.ctx.cell;
        if self.finishing.is_none() {
            cell.set_intake(Intake::Open);
        }
        cell.system.publish(|| Event::ActorRestarted { path: cell.path.to_string() });
        Ok(())
    }

    /// Stops the actor for good.
    async fn end(mut self, reason: StopReason) {
        let cell = self.ctx.cell.clone();
        cell.close(&mut self.work);
        self.ctx.note_end(reason.clone());
        self.stop_children(&reason).await;
        self.hook_stopped().await;
        self.ctx.forget_the_past(&mut self.work);
        let mut left = std::mem::take(&mut self.work);
        if self.body.origin.grain().is_none() {
            cell.discard_all(&mut left, &Refusal::Stopped);
        }
        let origin = self.drop_actor();
        cell.system.forget(&*cell);
        cell.system.publish(|| Event::ActorStopped {
            path: cell.path.to_string(),
            reason: reason.clone(),
        });
        cell.end(&reason);
        if let Some(parent) = &cell.parent {
            parent.signal(Signal::ChildGone { uid: cell.uid });
        }
        if let Some(grain) = origin.grain() {
            grain.end(&cell, left);
        }
    }

    fn drop_actor(self) -> Box<dyn Origin<A>> {
        let Self { body, ctx, .. } = self;
        let Body { origin, actor, .. } = *body;
        contain_drop(actor, &ctx);
        origin
    }

    async fn stop_children(&mut self, reason: &StopReason) {
        let children = self.ctx.take_children();
        for child in children.values() {
            child.signal(Signal::Stop { finish: true, reason: reason.clone() });
        }
        let cell = self.ctx.cell.clone();
        for child in children.values() {
            let mut end = pin!(ended(&**child));
            if until_killed(&cell, end.as_mut()).await.is_none() {
                // With the actor its whole family is killed.
                children.values().for_each(|child| child.kill());
                end.await;
            }
        }
    }

    async fn hook_started(&mut self) -> Result<(), Fault> {
        let cell = self.ctx.cell.clone();
        let started = {
            let code = pin!(self.body.actor.started(&mut self.ctx));
            let (parent, span) = (&mut self.parent, self.span.as_deref());
            let started = Contained { actor: cell.uid, parent, span, code };
            let killed = || Err(Fault::Error(Box::new(Killed)));
            until_killed(&cell, pin!(started)).await.unwrap_or_else(killed)
        };
        self.after_message(started)?;
        match self.body.origin.grain() {
            Some(_) => Box::pin(self.hook_of_grain(GrainHook::Activate)).await,
            None => Ok(()),
        }
    }

    /// Runs what a grain does besides.
    async fn hook_of_grain(&mut self, hook: GrainHook) -> Result<(), Fault> {
        let cell = self.ctx.cell.clone();
        let Body { origin, actor, .. } = &mut *self.body;
        let Some(grain) = origin.grain() else { return Ok(()) };
        let ended = {
            let code = grain.run(hook, actor, &mut self.ctx);
            let (parent, span) = (&mut self.parent, self.span.as_deref());
            let ended = Contained { actor: cell.uid, parent, span, code };
            let killed = || Err(Fault::Error(Box::new(Killed)));
            until_killed(&cell, pin!(ended)).await.unwrap_or_else(killed)
        };
        self.after_message(ended)
    }

    /// Runs the hook once for each actor, also where several tries to replace it fail.
    async fn hook_stopped(&mut self) {
        if std::mem::replace(&mut self.body.has_stopped, true) {
            return;
        }
        let cell = self.ctx.cell.clone();
        if self.body.origin.grain().is_some() && self.ctx.is_to_be_saved() {
            let passivated = Box::pin(self.hook_of_grain(GrainHook::Passivate)).await;
            self.log_failed_hook("the passivate hook failed", passivated);
        }
        let stopped = {
            let code = Box::pin(self.body.actor.stopped(&mut self.ctx));
            let (parent, span) = (&mut self.parent, self.span.as_deref());
            let mut stopped = pin!(Contained { actor: cell.uid, parent, span, code });
            match until_killed(&cell, stopped.as_mut()).await {
                Some(stopped) => stopped,
                None => tokio::time::timeout(LAST_WORDS, stopped)
                    .await
                    .unwrap_or(Err(Fault::TimedOut(LAST_WORDS))),
            }
        };
        let stopped = self.after_message(stopped);
        self.log_failed_hook("the stopped hook failed", stopped);
    }

    fn log_failed_hook(&self, what: &'static str, ended: Result<(), Fault>) {
        let Err(fault) = ended else { return };
        let fault = self.cause_of(fault);
        if self.may_log(what) {
            tracing::warn!(actor = %self.ctx.path(), fault = %Chain(&fault), "{what}");
        }
    }

    /// Lets go of what is known of a message, which is in part the user's: if that panics while it is
    /// dropped, it is a fault like others. Returns how the handler or hook ended.
    fn after_message(&mut self, ended: Result<(), Fault>) -> Result<(), Fault> {
        ended.and(contain(|| self.ctx.after_message()))
    }

    /// Whether a line about this actor may be logged.
    fn may_log(&self, topic: &'static str) -> bool {
        let cell = &self.ctx.cell;
        cell.system.outlet().actor_log.allows(topic, &*cell.path)
    }

    /// A fault and what caused it, as texts. Its error is the user's, and may panic as it is shown or
    /// dropped.
    fn cause_of(&self, fault: Fault) -> Cause {
        let described = contain(|| Cause::described(&fault));
        if contain(|| drop(fault)).is_err() && self.may_log("an error panicked") {
            tracing::error!(actor = %self.ctx.path(), "an error panicked while it was dropped");
        }
        described.unwrap_or_else(|_| UNSHOWN.into())
    }
}

/// Drops an actor, which is its own code once more.
fn contain_drop<A: Actor>(actor: A, ctx: &Context<A>) {
    let log = &ctx.cell.system.outlet().actor_log;
    if contain(|| drop(actor)).is_err() && log.allows("the actor panicked", ctx.path()) {
        tracing::error!(actor = %ctx.path(), "the actor panicked while it was dropped");
    }
}

/// Sends a signal to the actor after `delay`.
fn signal_after<A: Actor>(cell: &Arc<ActorCell<A>>, delay: Duration, signal: Signal) -> Due {
    let weak = Arc::downgrade(cell);
    Due::start(cell.system.runtime(), async move {
        tokio::time::sleep(delay).await;
        if let Some(cell) = weak.upgrade() {
            cell.signal(signal);
        }
    })
}

/// Stops the actor once it has rested for `after`.
fn passivation<A: Actor>(cell: &Arc<ActorCell<A>>, after: Duration) -> Due {
    let weak = Arc::downgrade(cell);
    Due::start(cell.system.runtime(), async move {
        let mut left = after;
        loop {
            tokio::time::sleep(left).await;
            let Some(cell) = weak.upgrade() else { return };
            let rested = cell.rested_for(now()).unwrap_or(Duration::ZERO);
            left = after.saturating_sub(rested);
            if left.is_zero() {
                cell.signal(Signal::Passivate);
                left = after;
            }
        }
    })
}

/// Waits in the name of an actor; `None` if that is killed before.
async fn until_killed<A: Actor, T>(
    cell: &ActorCell<A>,
    mut waiting: Pin<&mut (impl Future<Output = T> + ?Sized)>,
) -> Option<T> {
    std::future::poll_fn(|cx| match waiting.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if cell.hold(cx.waker()) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}
