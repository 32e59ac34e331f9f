//! Requests that carry messages. Their messages go on their way one after another, and the next request
//! is not looked at before all of them are.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rakt_wire::goakt::{ErrorCode, GoError, Incoming, Request};
use rakt_wire::{Code, Failure, Metadata};

use super::conn::{Answer, GoConn};
use super::requests::{Common, Names, Run};
use super::window::InLine;
use crate::error::{Bound, Chain, Refusal};
use crate::propagate::Extensions;
use crate::remote::access::Access;
use crate::remote::goakt::limits::LONGEST;
use crate::timers::now;

/// A request that has been taken on.
pub(super) struct Handing {
    common: Common,
    /// Where the next message is.
    at: usize,
    way: Way,
    sending: Sending,
}

/// What goes to a mailbox next.
struct Sending {
    /// Messages that are ready to go, if there are any.
    run: Option<Run>,
    /// Where they wait for room in the window of their receiver.
    line: InLine,
    /// How long they do: the request has a time limit.
    until: Option<Instant>,
    /// The answer once they are in their mailbox, where no more follow.
    end: Option<Answer>,
}

enum Way {
    /// Messages that follow each other to the same actor go together; what goes to another mailbox
    /// waits until they are in theirs, so that nothing overtakes a message that fails.
    Tell {
        /// Some are on their way.
        is_open: bool,
    },
    /// Each message waits for the reply to the one before.
    Ask { left: usize, timeout: Duration },
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// A message was handed on, and there is another.
    Moved,
    /// The next one has to wait. Whatever changes that has the driver look again.
    Waits,
    /// All messages are on their way, or the request is answered.
    Over,
    /// A message went nowhere, and the request is answered.
    Refused,
}

impl GoConn {
    /// Takes a request on. `None`: it is on its way, or answered.
    pub(super) fn take_on(
        self: &Arc<Self>,
        incoming: Incoming,
        access: &Access,
    ) -> Option<Handing> {
        let Incoming { id, request, metadata, deadline } = incoming;
        let until = deadline.map(|deadline| {
            let remaining = deadline.remaining(SystemTime::now()).min(LONGEST);
            now() + remaining
        });
        if let Err(error) = self.admit_request(&request, &metadata) {
            self.answer_new(id, Answer::Error(error));
            return None;
        }
        let procedure = request.procedure();
        let (messages, way) = match request {
            Request::Tell(messages) => (messages, Way::Tell { is_open: false }),
            Request::Ask { messages, timeout } => {
                let left = messages.len();
                if left == 0 {
                    self.answer_new(id, Answer::Replies(Default::default()));
                    return None;
                }
                self.open_ask(id, left);
                (messages, Way::Ask { left, timeout: timeout.min(LONGEST) })
            }
            request => {
                self.operate(id, &request, (metadata, until), access);
                return None;
            }
        };
        let common = Common { id, procedure, messages, metadata };
        let sending = Sending { run: None, line: InLine::default(), until, end: None };
        Some(Handing { common, at: 0, way, sending })
    }

    /// Whether anything may come of a request.
    fn admit_request(&self, request: &Request, metadata: &Metadata) -> Result<(), GoError> {
        if self.system.is_shutting_down() {
            let failure = Refusal::ShuttingDown.to_wire();
            return Err(GoError::from_failure(request.procedure(), "", &failure));
        }
        self.terms.local.admit(request)?;
        let (false, Some(propagator)) = (metadata.is_empty(), self.system.propagator()) else {
            return Ok(());
        };
        // Each message is read for its own context when its turn comes. But what cannot be read is
        // refused before anything is delivered.
        let read = || propagator.extract(metadata, &mut Extensions::default());
        let text = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => Chain(&*error).to_string(),
            Err(_) => "the context propagator panicked".to_owned(),
        };
        Err(GoError::new(ErrorCode::InvalidArgument, text))
    }
}

impl Handing {
    /// Bytes of the request, which are here as long as it is.
    pub(super) fn len(&self) -> usize {
        self.common.messages.body().len()
    }

    /// When messages that wait for room have waited long enough, where the request says so.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.sending.until.filter(|_| self.sending.line.is_waiting())
    }

    /// Hands the next message on.
    pub(super) fn go_on(&mut self, conn: &Arc<GoConn>, names: &mut Names) -> Progress {
        let progress = match &self.way {
            Way::Tell { .. } => self.tell_next(conn, names),
            Way::Ask { .. } => self.ask_next(conn, names),
        };
        progress.unwrap_or_else(|error| {
            self.refuse(conn, error);
            Progress::Refused
        })
    }

    fn tell_next(&mut self, conn: &Arc<GoConn>, names: &mut Names) -> Result<Progress, GoError> {
        if self.sending.end.is_none() {
            match self.stage(conn, names) {
                Ok(Progress::Moved) if self.at < self.len() => return Ok(Progress::Moved),
                Ok(Progress::Moved) => self.sending.end = Some(Answer::Done),
                Ok(progress) => return Ok(progress),
                Err(error) => {
                    self.sending.end = Some(Answer::Error(error));
                    // It may have been the first one of a run.
                    self.sending.run.take_if(|run| run.is_empty());
                }
            }
        }
        self.send_last(conn, names)
    }

    /// Adds the next message of a tell to those that go together.
    fn stage(&mut self, conn: &Arc<GoConn>, names: &mut Names) -> Result<Progress, GoError> {
        let Self { common, at, way, sending } = self;
        let Some((message, behind)) = common.messages.next_at(*at) else {
            *at = common.messages.body().len();
            return Ok(Progress::Moved);
        };
        let found = conn.receiver(common.procedure, &message, names)?;
        let takes = |run: &Run| run.takes(&*found.0, &message);
        if !sending.run.as_ref().is_none_or(takes) && !sending.send(conn, common, way, names)? {
            return Ok(Progress::Waits);
        }
        if sending.run.is_none() && matches!(way, Way::Tell { is_open: true }) {
            match conn.unsettled(common.id) {
                Some(0) => {}
                Some(_) => return Ok(Progress::Waits),
                None => return Ok(Progress::Over),
            }
        }
        *at = behind;
        conn.stage(common, &message, found, &mut sending.run, names)?;
        Ok(Progress::Moved)
    }

    /// Sends the last messages of a tell on their way; the answer follows once they are in their mailbox.
    fn send_last(&mut self, conn: &Arc<GoConn>, names: &mut Names) -> Result<Progress, GoError> {
        let Self { common, way, sending, .. } = self;
        let is_refused = matches!(sending.end, Some(Answer::Error(_)));
        if !sending.send(conn, common, way, names)? {
            return Ok(Progress::Waits);
        }
        if let Some(answer) = sending.end.take() {
            match way {
                Way::Tell { is_open: false } => conn.answer_new(common.id, answer),
                _ => conn.end_tell(common.id, answer),
            }
        }
        Ok(if is_refused { Progress::Refused } else { Progress::Over })
    }

    fn ask_next(&mut self, conn: &Arc<GoConn>, names: &mut Names) -> Result<Progress, GoError> {
        let Self { common, at, way, sending } = self;
        let Way::Ask { left, timeout } = way else { return Ok(Progress::Over) };
        if *left < common.messages.len() {
            match conn.unsettled(common.id) {
                Some(waiting) if sending.run.is_none() && waiting > *left => {
                    return Ok(Progress::Waits);
                }
                Some(_) => {}
                None => return Ok(Progress::Over),
            }
        }
        if sending.run.is_none() {
            let Some((message, behind)) = common.messages.next_at(*at) else {
                return Ok(Progress::Over);
            };
            let start = now();
            let by = start + *timeout;
            let by = sending.until.map_or(by, |until| by.min(until));
            sending.run = conn.ask_one(common, &message, start, by, names)?;
            (*left, *at) = (*left - 1, behind);
        }
        let left = *left;
        Ok(match sending.send(conn, common, way, names)? {
            false => Progress::Waits,
            true if left > 0 => Progress::Moved,
            true => Progress::Over,
        })
    }

    /// Answers with an error, if it is not answered yet.
    fn refuse(&self, conn: &GoConn, error: GoError) {
        let answer = Answer::Error(error);
        match self.way {
            Way::Tell { is_open: false } => conn.answer_new(self.common.id, answer),
            _ => conn.answer(self.common.id, answer),
        }
    }

    /// There is no room to keep the rest of the request, and why.
    pub(super) fn give_up(self, conn: &GoConn, reason: &str) {
        let text = format!("{}: {reason}", Bound::MessageMemory);
        let failure = Failure::with_detail(Code::ResourceExhausted, text);
        self.refuse(conn, GoError::from_failure(self.common.procedure, "", &failure));
    }
}

impl Sending {
    /// Sends the messages on their way that are ready, if there are any; false while there is no room for them.
    fn send(
        &mut self,
        conn: &Arc<GoConn>,
        common: &Common,
        way: &mut Way,
        names: &mut Names,
    ) -> Result<bool, GoError> {
        let Some(run) = self.run.take() else { return Ok(true) };
        let Some(room) = run.enter(&mut self.line, conn, names) else {
            self.run = Some(run);
            let refusal = match self.until {
                _ if conn.is_closing() => Refusal::ShuttingDown,
                Some(until) if until <= now() => Refusal::DeadlineExceeded,
                _ => return Ok(false),
            };
            return Err(GoError::from_failure(common.procedure, "", &refusal.to_wire()));
        };
        let is_open = match way {
            Way::Tell { is_open } => std::mem::replace(is_open, true),
            Way::Ask { .. } => true,
        };
        conn.deliver(common, run, room, self.end.take(), is_open);
        Ok(true)
    }
}
