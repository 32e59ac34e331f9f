//! Which protocol a new connection speaks, by its first bytes.
//!
//! GoAkt says nothing before its first frame, and neither the protocol nor its compression is negotiated.
//! But the streams that its nodes write start differently, and differently from rakt's own protocol.

use std::fmt;

use crate::base::magic::MAGIC;
use crate::compress::Compression;

const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const GZIP: [u8; 2] = [0x1f, 0x8b];
const TLS: [u8; 2] = [0x16, 0x03];
/// What a client of HTTP/2 begins with, and what a server of HTTP says to bytes that it does not understand.
const HTTP: [&[u8]; 2] = [b"PRI * HTTP/2.0", b"HTTP/"];

/// What a connection starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opening {
    /// rakt's own protocol.
    Native,
    /// GoAkt with this compression. brotli has no sign of its own: everything unknown may be that.
    GoAkt(Compression),
    /// TLS.
    Tls,
    /// HTTP, in which GoAkt up to v3.13 speaks.
    Http,
}

/// Tells what a connection starts with; `None` while more bytes are needed.
pub fn sniff(bytes: &[u8]) -> Option<Opening> {
    let signs: [(&[u8], Opening); 6] = [
        (&MAGIC, Opening::Native),
        (&ZSTD, Opening::GoAkt(Compression::Zstd)),
        (&GZIP, Opening::GoAkt(Compression::Gzip)),
        (&TLS, Opening::Tls),
        (HTTP[0], Opening::Http),
        (HTTP[1], Opening::Http),
    ];
    let first = *bytes.first()?;
    // The length of a frame, which is far below 32 MiB.
    if first <= 1 {
        return Some(Opening::GoAkt(Compression::None));
    }
    for (sign, opening) in signs {
        if bytes.starts_with(sign) {
            return Some(opening);
        }
        if sign.starts_with(bytes) {
            return None;
        }
    }
    Some(Opening::GoAkt(Compression::Brotli))
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => f.write_str("rakt's own protocol"),
            Self::GoAkt(Compression::None) => f.write_str("GoAkt without compression"),
            Self::GoAkt(Compression::Brotli) => {
                f.write_str("GoAkt with brotli, or nothing that is known here")
            }
            Self::GoAkt(compression) => write!(f, "GoAkt with {compression}"),
            Self::Tls => f.write_str("TLS"),
            Self::Http => {
                f.write_str("HTTP, as GoAkt up to v3.13 does (GoAkt v3.14 is needed on both sides)")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_protocols_apart() {
        for (bytes, opening) in [
            (&b"\0\0\0\x48"[..], Opening::GoAkt(Compression::None)),
            (b"\x01", Opening::GoAkt(Compression::None)),
            (b"\x1f\x8b", Opening::GoAkt(Compression::Gzip)),
            (b"\x28\xb5\x2f\xfd\x04\x48", Opening::GoAkt(Compression::Zstd)),
            (b"\x8b", Opening::GoAkt(Compression::Brotli)),
            (b"\x28\xb5\x2f\xfe", Opening::GoAkt(Compression::Brotli)),
            (b"\xf7raks", Opening::GoAkt(Compression::Brotli)),
            (b"\x16\x03\x01", Opening::Tls),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Opening::Http),
            (b"HTTP/1.1 400 Bad Request", Opening::Http),
            (b"PRO", Opening::GoAkt(Compression::Brotli)),
            (&MAGIC, Opening::Native),
        ] {
            assert_eq!(sniff(bytes), Some(opening), "{bytes:02x?}");
        }
        for bytes in [&b""[..], b"\x1f", b"\x16", b"\x28\xb5\x2f", b"\xf7rakt", b"PRI * HTTP"] {
            assert_eq!(sniff(bytes), None, "{bytes:02x?}");
        }
    }
}
