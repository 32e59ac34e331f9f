//! Requests that carry messages. Their messages go on their way one after another, and the next request
//! is not looked at before all of them are.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rakt_wire::Metadata;
use rakt_wire::goakt::{ErrorCode, GoError, Incoming, Request};

use super::conn::{Answer, GoConn};
use super::requests::{Common, Names, Run};
use crate::error::{Chain, Refusal};
use crate::propagate::Extensions;
use crate::remote::budget::Part;
use crate::remote::goakt::limits::LONGEST;
use crate::timers::now;

/// A request that has been taken on.
pub(super) struct Handing {
    common: Common,
    /// Where the next message is.
    at: usize,
    way: Way,
}

enum Way {
    /// Messages that follow each other to the same actor go together; what goes to another mailbox
    /// waits until they are in theirs, so that nothing overtakes a message that fails.
    Tell {
        run: Option<Run>,
        /// Some are on their way.
        is_open: bool,
    },
    /// Each message waits for the reply to the one before.
    Ask { left: usize, timeout: Duration, until: Option<Instant> },
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
    pub(super) fn take_on(self: &Arc<Self>, incoming: Incoming) -> Option<Handing> {
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
            Request::Tell(messages) => (messages, Way::Tell { run: None, is_open: false }),
            Request::Ask { messages, timeout } => {
                let left = messages.len();
                if left == 0 {
                    self.answer_new(id, Answer::Replies(Default::default()));
                    return None;
                }
                self.open_ask(id, left);
                (messages, Way::Ask { left, timeout: timeout.min(LONGEST), until })
            }
            request => {
                self.operate(id, &request, until);
                return None;
            }
        };
        Some(Handing { common: Common { id, procedure, messages, metadata }, at: 0, way })
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

    /// Hands the next message on.
    pub(super) fn go_on(&mut self, conn: &Arc<GoConn>, names: &mut Names) -> Progress {
        match &self.way {
            Way::Tell { .. } => match self.stage(conn, names) {
                Ok(Progress::Moved) if self.at < self.len() => Progress::Moved,
                Ok(Progress::Moved) => self.end(conn, Answer::Done),
                Ok(progress) => progress,
                Err(error) => {
                    self.end(conn, Answer::Error(error));
                    Progress::Refused
                }
            },
            Way::Ask { .. } => self.ask_next(conn, names).unwrap_or_else(|error| {
                conn.answer(self.common.id, Answer::Error(error));
                Progress::Refused
            }),
        }
    }

    /// Adds the next message of a tell to those that go together.
    fn stage(&mut self, conn: &Arc<GoConn>, names: &mut Names) -> Result<Progress, GoError> {
        let Self { common, at, way: Way::Tell { run, is_open } } = self else {
            return Ok(Progress::Over);
        };
        let Some((message, behind)) = common.messages.next_at(*at) else {
            *at = common.messages.body().len();
            return Ok(Progress::Moved);
        };
        let cell = conn.receiver(common.procedure, &message)?;
        if let Some(before) = run.take_if(|run| !run.takes(&*cell, &message)) {
            conn.deliver(common, before, None, std::mem::replace(is_open, true));
        }
        if run.is_none() && *is_open {
            match conn.unsettled(common.id) {
                Some(0) => {}
                Some(_) => return Ok(Progress::Waits),
                None => return Ok(Progress::Over),
            }
        }
        *at = behind;
        conn.stage(common, &message, cell, run, names)?;
        Ok(Progress::Moved)
    }

    /// No message of a tell follows: this is the answer once those before are in their mailboxes.
    fn end(&mut self, conn: &Arc<GoConn>, answer: Answer) -> Progress {
        let id = self.common.id;
        match &mut self.way {
            Way::Tell { run, is_open } => {
                // The first message of a run may have failed.
                match (run.take().filter(|run| !run.is_empty()), *is_open) {
                    (Some(run), is_open) => conn.deliver(&self.common, run, Some(answer), is_open),
                    (None, true) => conn.end_tell(id, answer),
                    (None, false) => conn.answer_new(id, answer),
                }
            }
            Way::Ask { .. } => conn.answer(id, answer),
        }
        Progress::Over
    }

    fn ask_next(&mut self, conn: &Arc<GoConn>, names: &mut Names) -> Result<Progress, GoError> {
        let Self { common, at, way: Way::Ask { left, timeout, until } } = self else {
            return Ok(Progress::Over);
        };
        if *left < common.messages.len() {
            match conn.unsettled(common.id) {
                Some(waiting) if waiting > *left => return Ok(Progress::Waits),
                Some(_) => {}
                None => return Ok(Progress::Over),
            }
        }
        let Some((message, behind)) = common.messages.next_at(*at) else {
            return Ok(Progress::Over);
        };
        let start = now();
        let by = start + *timeout;
        let by = until.map_or(by, |until| by.min(until));
        conn.ask_one(common, &message, start, by, names)?;
        *left -= 1;
        *at = behind;
        Ok(if *left > 0 { Progress::Moved } else { Progress::Over })
    }

    /// There is no room to keep the rest of the request.
    pub(super) fn give_up(self, conn: &GoConn) {
        let failure = conn.account.exhausted(Part::Messages).to_wire();
        let error = GoError::from_failure(self.common.procedure, "", &failure);
        conn.answer(self.common.id, Answer::Error(error));
    }
}
