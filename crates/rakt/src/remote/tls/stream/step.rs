//! What rustls is asked to do next, on either side of a connection.

use std::io::IoSlice;
use std::mem::take;

use bytes::BytesMut;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, Error};
use tokio::io::ReadBuf;

use super::room::{RECORD_LEN, Room, SEALED_LEN};

/// Which side of a connection this is.
pub(super) enum Session {
    Dialed(UnbufferedClientConnection),
    Accepted(UnbufferedServerConnection),
}

/// What is wanted once the handshake is over.
#[derive(Clone, Copy)]
pub(super) enum Task<'a> {
    /// Records are opened.
    Open,
    /// As much of these pieces as one write takes becomes records.
    Seal(&'a [IoSlice<'a>]),
    /// The peer is told that nothing more comes.
    Close,
}

/// What has been done.
pub(super) enum Step {
    /// A record with data was opened.
    Opened,
    /// So many bytes of data were sealed.
    Sealed(usize),
    /// Something else; there may be more of it.
    Moved,
    /// Everything that was received is opened.
    Ready,
    /// The peer must send more before anything else.
    Starved,
    /// The peer sends nothing more.
    Ended,
}

/// What a step works with.
pub(super) struct Turn<'a, 'b> {
    pub(super) into: &'a mut ReadBuf<'b>,
    /// For what has no room there.
    pub(super) rest: &'a mut BytesMut,
    pub(super) unsent: &'a mut Room,
    pub(super) task: Task<'a>,
}

impl Session {
    /// Takes the next step, and says how much of what was received is done with.
    pub(super) fn step(
        &mut self,
        unread: &mut [u8],
        turn: &mut Turn<'_, '_>,
    ) -> (usize, Result<Step, Error>) {
        match self {
            Self::Dialed(session) => turn.take(session.process_tls_records(unread)),
            Self::Accepted(session) => turn.take(session.process_tls_records(unread)),
        }
    }

    pub(super) fn state(&self) -> &CommonState {
        match self {
            Self::Dialed(session) => session,
            Self::Accepted(session) => session,
        }
    }
}

impl Turn<'_, '_> {
    fn take<D>(&mut self, status: UnbufferedStatus<'_, '_, D>) -> (usize, Result<Step, Error>) {
        let UnbufferedStatus { mut discard, state } = status;
        let step = state.and_then(|state| match state {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    self.hand_over(record.payload);
                }
                Ok(Step::Opened)
            }
            ConnectionState::EncodeTlsData(mut data) => {
                let mut encoded = data.encode(self.unsent.vacant());
                if let Err(EncodeError::InsufficientSize(needed)) = encoded {
                    encoded = data.encode(self.unsent.grow(needed.required_size));
                }
                self.unsent.fill(encoded.map_err(|_| Error::EncryptError)?);
                Ok(Step::Moved)
            }
            ConnectionState::TransmitTlsData(data) => {
                data.done();
                Ok(Step::Moved)
            }
            ConnectionState::WriteTraffic(traffic) => {
                self.write(traffic).map_err(|_| Error::EncryptError)
            }
            ConnectionState::PeerClosed => Ok(Step::Ended),
            _ => Ok(Step::Starved),
        });
        (discard, step)
    }

    fn hand_over(&mut self, payload: &[u8]) {
        let fitting = payload.len().min(self.into.remaining());
        self.into.put_slice(&payload[..fitting]);
        self.rest.extend_from_slice(&payload[fitting..]);
    }

    fn write<D>(&mut self, mut traffic: WriteTraffic<'_, D>) -> Result<Step, EncryptError> {
        let (filled, sealed) = match self.task {
            Task::Open => return Ok(Step::Ready),
            Task::Close => (traffic.queue_close_notify(self.unsent.vacant())?, 0),
            Task::Seal(pieces) => seal(&mut traffic, pieces, self.unsent.vacant())?,
        };
        self.unsent.fill(filled);
        Ok(Step::Sealed(sealed))
    }
}

/// Seals long pieces where they lie, and short ones joined. Returns how much of `room` is filled, and how much of the
/// pieces is taken.
fn seal<D>(
    traffic: &mut WriteTraffic<'_, D>,
    pieces: &[IoSlice<'_>],
    room: &mut [u8],
) -> Result<(usize, usize), EncryptError> {
    let (room, record) = room.split_at_mut(room.len() - RECORD_LEN);
    let (mut filled, mut joined, mut taken) = (0, 0, 0);
    for (i, piece) in pieces.iter().enumerate() {
        let mut piece = &piece[..piece.len().min(SEALED_LEN - taken)];
        taken += piece.len();
        if piece.len() >= RECORD_LEN || (joined == 0 && i + 1 == pieces.len()) {
            if joined > 0 {
                filled += traffic.encrypt(&record[..take(&mut joined)], &mut room[filled..])?;
            }
            filled += traffic.encrypt(piece, &mut room[filled..])?;
            continue;
        }
        while !piece.is_empty() {
            let fitting = piece.len().min(RECORD_LEN - joined);
            record[joined..joined + fitting].copy_from_slice(&piece[..fitting]);
            (joined, piece) = (joined + fitting, &piece[fitting..]);
            if joined == RECORD_LEN {
                filled += traffic.encrypt(&record[..take(&mut joined)], &mut room[filled..])?;
            }
        }
    }
    if joined > 0 {
        filled += traffic.encrypt(&record[..joined], &mut room[filled..])?;
    }
    Ok((filled, taken))
}
