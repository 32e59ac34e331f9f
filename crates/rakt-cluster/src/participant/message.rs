//! What participants say to each other, and its bytes.
//!
//! ```text
//! envelope  format (1) · cluster 16 · from · to · at · kind 1 · what that kind says
//! ```
//! As in a view, integers are varints and texts have their length in front.

use std::fmt;
use std::time::Duration;

use rakt_wire::{DecodeError, put_bytes, put_string, put_varint};

use crate::bytes::{array, byte, bytes, finish, string, varint};
use crate::directory::{Entry, Grain, Word, WordError};
use crate::epoch::{Epoch, Stamp};
use crate::node::{Incarnation, Seat};
use crate::propose::Newcomer;

/// The number of this form.
const FORMAT: u8 = 1;
/// The longest text of an error, in bytes.
const MAX_WHY_LEN: usize = 4096;
/// The longest word, in bytes.
const MAX_WORD_LEN: usize = 16 << 20;

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The cluster.
    pub cluster: u128,
    /// Who says it.
    pub from: Seat,
    /// Who is meant. Another run of the node is not.
    pub to: Seat,
    /// The view that `from` knows.
    pub at: Stamp,
    /// What is said.
    pub message: Message,
}

/// What one participant says to another.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// Are you there? Asked in the name of `back`, if that is somebody.
    Probe {
        /// Who cannot reach you.
        back: Option<Seat>,
        /// What the clock shows of whoever asks.
        asked: Duration,
    },
    /// To one that is healthy: I cannot reach that one, can you?
    ProbeFor {
        /// Whom.
        to: Seat,
    },
    /// I am.
    Ack {
        /// In whose name that was asked.
        back: Option<Seat>,
        /// As it was in the probe.
        asked: Duration,
        /// What the clock shows of whoever answers.
        theirs: Duration,
        /// How much whoever answers has to do.
        load: u64,
    },
    /// That one is there.
    AckOf {
        /// Whom you could not reach.
        whose: Seat,
    },
    /// That one does not answer me, or does again.
    Accuse {
        /// Who.
        accused: Seat,
        /// Whether it does not answer.
        accuses: bool,
    },
    /// That one answers me through others at best.
    Bad {
        /// Who.
        link: Seat,
    },
    /// I have come; can you reach me?
    Greet,
    /// I can.
    Greeted,
    /// You may not know the newest view: ask the register.
    Changed,
    /// I am in no view: put me into the next one. Who says it has no admission yet.
    Join(Newcomer),
    /// I am Joining, and all that are Up have answered me: let me in.
    Ready,
    /// I am Up, and leave: have the next view say so.
    Leave,
    /// I am Leaving, and have ended all: leave me out of the next view.
    Over,
    /// Of one directory to another.
    Word(Word),
    /// To the owner of its slot: where does that grain live?
    Find {
        /// The number of the search.
        ticket: u64,
        /// The grain.
        grain: Grain,
        /// What else is wanted of it.
        wish: Wish,
    },
    /// The answer.
    Found {
        /// The number of the search.
        ticket: u64,
        /// The grain.
        grain: Grain,
        /// What is known.
        answer: Answer,
    },
    /// Host to owner, before it says that a life is over: it did not come to life.
    Failed {
        /// The grain.
        grain: Grain,
        /// What it was granted under.
        epoch: Epoch,
        /// Why not.
        why: String,
    },
}

/// A life that has not taken what was sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Refused {
    /// The run of the node where it is, or was.
    pub incarnation: Incarnation,
    /// Its number there.
    pub uid: u64,
    /// Whether its node has said that it is over; else it could not be reached.
    pub ended: bool,
}

/// What is wanted of a grain that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wish {
    /// Where it was found before, and is of no use.
    pub refused: Option<Refused>,
    /// Whether it is to be brought to life where it does not live.
    pub wakes: bool,
}

/// What an owner answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It lives there.
    Route(Entry),
    /// It did not come to life.
    Failed(String),
    /// It lives nowhere, and nobody wants it to.
    Nobody,
    /// No member may host it.
    NoHost,
    /// The owner has no lease.
    Fenced,
    /// The slot is another's.
    NotOwner,
}

/// Why bytes are no message of a participant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// They cannot be read.
    #[error("the bytes of a message of the cluster cannot be read")]
    Decode(#[from] DecodeError),
    /// They hold a word that cannot be read.
    #[error("a word of a directory cannot be read")]
    Word(#[from] WordError),
    /// There is a form or a kind that this version of rakt does not know.
    #[error("{what} {number} of a message of the cluster is not known here")]
    Unknown {
        /// The form or the kind.
        what: &'static str,
        /// Its number.
        number: u8,
    },
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Probe { back, .. } => write!(f, "Probe({back:?})"),
            Self::ProbeFor { to } => write!(f, "ProbeFor({to})"),
            Self::Ack { back, .. } => write!(f, "Ack({back:?})"),
            Self::AckOf { whose } => write!(f, "AckOf({whose})"),
            Self::Accuse { accused, accuses } => write!(f, "Accuse({accused}, {accuses})"),
            Self::Bad { link } => write!(f, "Bad({link})"),
            Self::Greet => f.write_str("Greet"),
            Self::Greeted => f.write_str("Greeted"),
            Self::Changed => f.write_str("Changed"),
            Self::Join(new) => write!(f, "Join({}:{})", new.host, new.port),
            Self::Ready => f.write_str("Ready"),
            Self::Leave => f.write_str("Leave"),
            Self::Over => f.write_str("Over"),
            Self::Word(word) => word.fmt(f),
            Self::Find { ticket, grain, wish } => {
                write!(f, "Find({ticket}, {grain:?}, {wish:?})")
            }
            Self::Found { ticket, grain, answer } => {
                write!(f, "Found({ticket}, {grain:?}, {answer:?})")
            }
            Self::Failed { grain, epoch, why } => write!(f, "Failed({grain:?}, {epoch}, {why:?})"),
        }
    }
}

impl Envelope {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        out.extend(self.cluster.to_be_bytes());
        self.from.encode(&mut out);
        self.to.encode(&mut out);
        self.at.encode(&mut out);
        self.message.encode(&mut out);
        out
    }

    /// Reads what a peer sent. Reserves no more than what is there can fill.
    ///
    /// # Errors
    /// Says what is wrong with the bytes, or what is not known here.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let from = &mut &*bytes;
        match byte(from, "the form")? {
            FORMAT => {}
            number => return Err(MessageError::Unknown { what: "form", number }),
        }
        let cluster = u128::from_be_bytes(array(from, "the cluster")?);
        let (sender, to, at) = (Seat::decode(from)?, Seat::decode(from)?, Stamp::decode(from)?);
        let message = Message::decode(from)?;
        finish(from)?;
        Ok(Self { cluster, from: sender, to, at, message })
    }
}

impl Message {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Probe { back, asked } => {
                out.push(1);
                put_seat(out, *back);
                put_time(out, *asked);
            }
            Self::ProbeFor { to } => {
                out.push(2);
                to.encode(out);
            }
            Self::Ack { back, asked, theirs, load } => {
                out.push(3);
                put_seat(out, *back);
                put_time(out, *asked);
                put_time(out, *theirs);
                put_varint(out, *load);
            }
            Self::AckOf { whose } => {
                out.push(4);
                whose.encode(out);
            }
            Self::Accuse { accused, accuses } => {
                out.push(5);
                accused.encode(out);
                out.push(u8::from(*accuses));
            }
            Self::Bad { link } => {
                out.push(14);
                link.encode(out);
            }
            Self::Greet => out.push(6),
            Self::Greeted => out.push(7),
            Self::Changed => out.push(8),
            Self::Join(new) => {
                out.push(15);
                new.encode(out);
            }
            Self::Ready => out.push(16),
            Self::Leave => out.push(17),
            Self::Over => out.push(18),
            Self::Word(word) => {
                out.push(10);
                put_bytes(out, &word.encode());
            }
            Self::Find { ticket, grain, wish: Wish { refused, wakes } } => {
                out.push(11);
                put_varint(out, *ticket);
                grain.encode(out);
                out.push(u8::from(*wakes));
                out.push(u8::from(refused.is_some()));
                if let Some(refused) = refused {
                    out.extend(refused.incarnation.0.to_be_bytes());
                    put_varint(out, refused.uid);
                    out.push(u8::from(refused.ended));
                }
            }
            Self::Found { ticket, grain, answer } => {
                out.push(12);
                put_varint(out, *ticket);
                grain.encode(out);
                answer.encode(out);
            }
            Self::Failed { grain, epoch, why } => {
                out.push(13);
                grain.encode(out);
                epoch.encode(out);
                put_why(out, why);
            }
        }
    }

    fn decode(from: &mut &[u8]) -> Result<Self, MessageError> {
        Ok(match byte(from, "the kind")? {
            1 => Self::Probe { back: seat(from)?, asked: time(from)? },
            2 => Self::ProbeFor { to: Seat::decode(from)? },
            3 => Self::Ack {
                back: seat(from)?,
                asked: time(from)?,
                theirs: time(from)?,
                load: varint(from, "a load")?,
            },
            4 => Self::AckOf { whose: Seat::decode(from)? },
            5 => Self::Accuse { accused: Seat::decode(from)?, accuses: flag(from)? },
            6 => Self::Greet,
            7 => Self::Greeted,
            8 => Self::Changed,
            10 => Self::Word(Word::decode(bytes(from, "a word", MAX_WORD_LEN)?)?),
            11 => Self::Find {
                ticket: varint(from, "the number of a search")?,
                grain: Grain::decode(from)?,
                wish: Wish { wakes: flag(from)?, refused: refused(from)? },
            },
            12 => Self::Found {
                ticket: varint(from, "the number of a search")?,
                grain: Grain::decode(from)?,
                answer: Answer::decode(from)?,
            },
            13 => Self::Failed {
                grain: Grain::decode(from)?,
                epoch: Epoch::decode(from)?,
                why: string(from, "why a grain failed", MAX_WHY_LEN)?.to_owned(),
            },
            14 => Self::Bad { link: Seat::decode(from)? },
            15 => Self::Join(Newcomer::decode(from)?),
            16 => Self::Ready,
            17 => Self::Leave,
            18 => Self::Over,
            number => return Err(MessageError::Unknown { what: "kind", number }),
        })
    }
}

impl Answer {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Route(entry) => {
                out.push(1);
                entry.encode(out);
            }
            Self::Failed(why) => {
                out.push(2);
                put_why(out, why);
            }
            Self::NoHost => out.push(3),
            Self::Fenced => out.push(4),
            Self::NotOwner => out.push(5),
            Self::Nobody => out.push(6),
        }
    }

    fn decode(from: &mut &[u8]) -> Result<Self, MessageError> {
        Ok(match byte(from, "an answer")? {
            1 => Self::Route(Entry::decode(from)?),
            2 => Self::Failed(string(from, "why a grain failed", MAX_WHY_LEN)?.to_owned()),
            3 => Self::NoHost,
            4 => Self::Fenced,
            5 => Self::NotOwner,
            6 => Self::Nobody,
            number => return Err(MessageError::Unknown { what: "answer", number }),
        })
    }
}

fn put_why(out: &mut Vec<u8>, why: &str) {
    let ends = why.char_indices().map(|(at, _)| at).chain([why.len()]);
    let end = ends.take_while(|at| *at <= MAX_WHY_LEN).last();
    put_string(out, why.get(..end.unwrap_or(0)).unwrap_or_default());
}

/// In nanoseconds: a clock shows no time for which that is not enough.
fn put_time(out: &mut Vec<u8>, time: Duration) {
    put_varint(out, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
}

fn time(from: &mut &[u8]) -> Result<Duration, DecodeError> {
    Ok(Duration::from_nanos(varint(from, "a time")?))
}

fn put_seat(out: &mut Vec<u8>, seat: Option<Seat>) {
    out.push(u8::from(seat.is_some()));
    if let Some(seat) = seat {
        seat.encode(out);
    }
}

fn flag(from: &mut &[u8]) -> Result<bool, DecodeError> {
    match byte(from, "a flag")? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::Invalid { what: "a flag" }),
    }
}

fn seat(from: &mut &[u8]) -> Result<Option<Seat>, DecodeError> {
    flag(from)?.then(|| Seat::decode(from)).transpose()
}

fn refused(from: &mut &[u8]) -> Result<Option<Refused>, DecodeError> {
    if !flag(from)? {
        return Ok(None);
    }
    Ok(Some(Refused {
        incarnation: Incarnation(u128::from_be_bytes(array(from, "an incarnation")?)),
        uid: varint(from, "the number of a life")?,
        ended: flag(from)?,
    }))
}
