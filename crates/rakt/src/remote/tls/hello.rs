//! The beginning of a handshake, before anything is worked out: whether its first message is there as a whole.

/// The first byte of each record of a handshake.
pub(super) const HANDSHAKE: u8 = 0x16;
/// Most bytes of a ClientHello, with the headers of its records. Usual ones have less than 2 KiB. 16 KiB.
pub(super) const MAX_HELLO: usize = 16 * 1024;

/// The first byte of a ClientHello.
const CLIENT_HELLO: u8 = 1;
const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;

/// How much of a ClientHello was looked at. It may be spread over records in any way.
#[derive(Default)]
pub(super) struct Hello {
    /// Where the next record begins.
    next: usize,
    /// The first bytes of the message: its type, and how long the rest is.
    header: [u8; MESSAGE_HEADER],
    /// Bytes of the message in whole records.
    len: usize,
}

impl Hello {
    /// Whether `bytes`, which begin with those of the calls before, are all of a message, or cannot be a ClientHello:
    /// that costs nothing to answer.
    pub(super) fn is_whole(&mut self, bytes: &[u8]) -> bool {
        while let Some((&[kind, _, _, high, low], rest)) =
            bytes.get(self.next..).and_then(<[u8]>::split_first_chunk::<RECORD_HEADER>)
        {
            let len = usize::from(u16::from_be_bytes([high, low]));
            if kind != HANDSHAKE || len == 0 {
                return true;
            }
            let Some(body) = rest.get(..len) else { return false };
            for (to, from) in self.header.iter_mut().skip(self.len).zip(body) {
                *to = *from;
            }
            (self.next, self.len) = (self.next + RECORD_HEADER + len, self.len + len);
            let [kind, high, middle, low] = self.header;
            let wanted = u32::from_be_bytes([0, high, middle, low]) as usize;
            if kind != CLIENT_HELLO
                || (self.len >= MESSAGE_HEADER && self.len - MESSAGE_HEADER >= wanted)
            {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(message: &[u8], len: usize) -> Vec<u8> {
        let record = |body: &[u8]| {
            let header = [HANDSHAKE, 3, 1, (body.len() >> 8) as u8, body.len() as u8];
            [&header[..], body].concat()
        };
        message.chunks(len).flat_map(record).collect()
    }

    /// How many of the bytes have to be there.
    fn needed(bytes: &[u8], step: usize) -> Option<usize> {
        let mut hello = Hello::default();
        (0..=bytes.len()).step_by(step).find(|len| hello.is_whole(&bytes[..*len]))
    }

    #[test]
    fn a_hello_is_whole_with_its_last_byte_however_it_is_cut() {
        let message = [&[CLIENT_HELLO, 0, 1, 0x2c][..], &[7; 300]].concat();
        for len in [1, 2, 3, 4, 5, 100, 303, 304] {
            let bytes = records(&message, len);
            assert_eq!(needed(&bytes, 1), Some(bytes.len()), "records of {len}");
            let more = [&bytes[..], &[HANDSHAKE; 10]].concat();
            assert_eq!(needed(&more, 1), Some(bytes.len()), "records of {len}");
            assert_eq!(needed(&bytes[..bytes.len() - 1], 1), None);
        }
        assert_eq!(
            needed(&records(&[CLIENT_HELLO, 0, 0, 0], 2), 1),
            Some(14),
            "with nothing in it"
        );
    }

    #[test]
    fn what_is_no_hello_does_not_wait_for_more() {
        assert_eq!(needed(&[0x17, 3, 3, 0, 200], 1), Some(5));
        assert_eq!(needed(&[HANDSHAKE, 3, 3, 0, 0], 1), Some(5), "an empty record");
        assert_eq!(needed(&records(&[2, 0, 1, 0], 4), 1), Some(9), "a ServerHello");
        assert_eq!(needed(&records(&[CLIENT_HELLO, 0xff, 0xff, 0xff], 1), 1), None, "a long one");
    }
}
