//! Compression of payloads, one at a time.
//!
//! Every payload is a complete unit of its format: a zstd frame, a gzip member, a brotli stream. The
//! receiver knows the raw length beforehand and enforces it, so a bomb ends at that length, and output
//! is only made room for as it appears.
//!
//! | file | format | feature |
//! | --- | --- | --- |
//! | `zstd.rs` | RFC 8878, level 1 | `zstd` (default) |
//! | `gzip.rs` | RFC 1952, fast | `gzip` |
//! | `brotli.rs` | RFC 7932, quality 4 | `brotli` |
//! | `step.rs` | what the formats have in common | any |
//!
//! GoAkt's streams use the same decoders, without an end to drive them to.

#[cfg(feature = "brotli")]
mod brotli;
mod error;
#[cfg(feature = "gzip")]
pub(crate) mod gzip;
pub(crate) mod step;
#[cfg(feature = "zstd")]
mod zstd;

use std::fmt;
use std::str::FromStr;

use crate::base::codes::codes;

pub use self::error::{CompressError, DecompressError};
use self::step::{Decode, Pack, drive};

/// Largest window of a zstd frame that is accepted, as a power of two: 16 MiB.
const MAX_ZSTD_WINDOW_LOG: u32 = 24;

codes! {
    /// How payloads are compressed. Every variant exists in every build; see [`Compression::is_available`].
    pub enum Compression(u8: as_u8, from_u8) {
        0 None "none" "Not at all.";
        1 Gzip "gzip" "gzip: for peers that know nothing else.";
        2 Zstd "zstd" "zstd: fast both ways. The default where it is compiled in.";
        3 Brotli "brotli" "brotli: small, slower to compress.";
    }
}

impl Compression {
    /// Whether this build can do it.
    pub fn is_available(self) -> bool {
        match self {
            Self::None => true,
            Self::Gzip => cfg!(feature = "gzip"),
            Self::Zstd => cfg!(feature = "zstd"),
            Self::Brotli => cfg!(feature = "brotli"),
        }
    }
}

impl Default for Compression {
    fn default() -> Self {
        if Self::Zstd.is_available() { Self::Zstd } else { Self::None }
    }
}

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(text: &str) -> Result<Self, UnknownCompression> {
        Self::ALL
            .into_iter()
            .find(|compression| compression.as_str() == text)
            .ok_or_else(|| UnknownCompression(text.to_owned()))
    }
}

/// A text that names no [`Compression`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a compression: expected none, gzip, zstd or brotli")]
pub struct UnknownCompression(pub String);

/// A [`Compression`] that this build does not contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not compiled in: turn on the feature of that name")]
pub struct Unavailable(pub Compression);

/// Compresses and decompresses in one format, with contexts that are made once and then reused.
///
/// A context is made at its first use, so a link that never compresses pays for none.
pub struct Compressor {
    compression: Compression,
    /// None without compression.
    codec: Option<(Box<dyn Pack>, Box<dyn Decode>)>,
}

impl Compressor {
    /// A compressor for one format.
    ///
    /// # Errors
    /// [`Unavailable`] when this build does not contain it.
    pub fn new(compression: Compression) -> Result<Self, Unavailable> {
        let codec = encoder(compression)?.zip(decoder(compression, MAX_ZSTD_WINDOW_LOG)?);
        Ok(Self { compression, codec })
    }

    /// The format.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Appends the compressed `input` to `out`, if that saves a sixteenth or more.
    ///
    /// `Ok(false)` means that it does not pay; `out` is then as it was.
    ///
    /// # Errors
    /// [`CompressError`] when the library fails; `out` is then as it was.
    pub fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<bool, CompressError> {
        let start = out.len();
        // The output has to be smaller than this.
        let bound = input.len().saturating_sub(input.len() / 16);
        let Some((encoder, _)) = self.codec.as_mut().filter(|_| bound > 0) else {
            return Ok(false);
        };
        let result = encoder.compress(input, out, bound);
        let pays = matches!(result, Ok(true)) && out.len().saturating_sub(start) < bound;
        if !pays {
            out.truncate(start);
        }
        result.map(|_| pays)
    }

    /// Appends the `raw_len` bytes that `input` unpacks to.
    ///
    /// The caller has held `raw_len` against its limits. Whatever it claims, memory grows only with the
    /// output that really appears.
    ///
    /// # Errors
    /// Says how the payload differs from what it declares; `out` is then as it was.
    pub fn decompress(
        &mut self,
        input: &[u8],
        raw_len: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), DecompressError> {
        let (_, decoder) = self.codec.as_mut().ok_or(DecompressError::NotNegotiated)?;
        let start = out.len();
        decoder.reset();
        let result = drive(&mut **decoder, input, raw_len, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }
}

/// The encoder of a format; `None` for no compression.
fn encoder(compression: Compression) -> Result<Option<Box<dyn Pack>>, Unavailable> {
    Ok(match compression {
        Compression::None => None,
        #[cfg(feature = "gzip")]
        Compression::Gzip => Some(Box::<gzip::Encoder>::default()),
        #[cfg(feature = "zstd")]
        Compression::Zstd => Some(Box::<zstd::Encoder>::default()),
        #[cfg(feature = "brotli")]
        Compression::Brotli => Some(Box::new(brotli::Encoder)),
        #[cfg(not(all(feature = "gzip", feature = "zstd", feature = "brotli")))]
        other => return Err(Unavailable(other)),
    })
}

/// The decoder of a format, which takes no zstd frame with a window of more than 2 to the power of
/// `zstd_window_log` bytes; `None` for no compression.
#[cfg_attr(not(feature = "zstd"), expect(unused_variables, reason = "it is for zstd alone"))]
pub(crate) fn decoder(
    compression: Compression,
    zstd_window_log: u32,
) -> Result<Option<Box<dyn Decode>>, Unavailable> {
    Ok(match compression {
        Compression::None => None,
        #[cfg(feature = "gzip")]
        Compression::Gzip => Some(Box::<gzip::Decoder>::default()),
        #[cfg(feature = "zstd")]
        Compression::Zstd => Some(Box::new(zstd::Decoder::new(zstd_window_log))),
        #[cfg(feature = "brotli")]
        Compression::Brotli => Some(Box::<brotli::Decoder>::default()),
        #[cfg(not(all(feature = "gzip", feature = "zstd", feature = "brotli")))]
        other => return Err(Unavailable(other)),
    })
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Compressor").field(&self.compression).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::step::DECOMPRESS_STEP;
    use super::*;

    fn available() -> impl Iterator<Item = Compression> {
        Compression::ALL.into_iter().filter(|c| *c != Compression::None && c.is_available())
    }

    fn packed(compressor: &mut Compressor, input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(compressor.compress(input, &mut out).unwrap(), "{compressor:?}");
        out
    }

    #[test]
    fn names_and_numbers_read_back() {
        for compression in Compression::ALL {
            assert_eq!(compression.to_string().parse(), Ok(compression));
            assert_eq!(Compression::from_u8(compression.as_u8()), Some(compression));
            assert_eq!(Compressor::new(compression).is_ok(), compression.is_available());
        }
        assert_eq!("lz4".parse::<Compression>(), Err(UnknownCompression("lz4".into())));
        assert_eq!(Compression::from_u8(4), None);
    }

    #[test]
    fn what_does_not_shrink_is_left_alone() {
        let noise: Vec<u8> = (0..4096_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761).rotate_left(13) ^ n.wrapping_mul(n)) as u8)
            .collect();
        for compression in Compression::ALL.into_iter().filter(|c| c.is_available()) {
            let mut compressor = Compressor::new(compression).unwrap();
            for input in [&noise[..], b"", b"a", b"abcdefgh"] {
                let mut out = b"before".to_vec();
                assert_eq!(compressor.compress(input, &mut out), Ok(false), "{compression}");
                assert_eq!(out, b"before");
            }
        }
    }

    #[test]
    fn a_context_works_after_an_error() {
        for compression in available() {
            let mut compressor = Compressor::new(compression).unwrap();
            let small = packed(&mut compressor, &[7; 1000]);
            let mut out = Vec::new();
            for cut in [1, small.len() / 2, small.len() - 1] {
                assert!(compressor.decompress(&small[..cut], 1000, &mut out).is_err());
                assert!(out.is_empty());
            }
            compressor.decompress(&small, 1000, &mut out).unwrap();
            assert_eq!(out, [7; 1000]);
        }
    }

    #[test]
    fn a_bomb_ends_at_the_length_it_declares() {
        for compression in available() {
            let mut compressor = Compressor::new(compression).unwrap();
            let bomb = packed(&mut compressor, &vec![0; 8 << 20]);
            assert!(bomb.len() < 64 << 10, "{compression}: {}", bomb.len());
            let mut out = Vec::new();
            let error = compressor.decompress(&bomb, 1 << 10, &mut out).unwrap_err();
            assert_eq!(error, DecompressError::TooLong { raw_len: 1 << 10 }, "{compression}");
            assert!(out.capacity() <= 2 * DECOMPRESS_STEP, "{compression}: {}", out.capacity());
        }
    }

    #[test]
    fn a_claim_reserves_no_memory() {
        for compression in available() {
            let mut compressor = Compressor::new(compression).unwrap();
            let tiny = packed(&mut compressor, &[1; 100]);
            let mut out = Vec::new();
            let error = compressor.decompress(&tiny, 16 << 20, &mut out).unwrap_err();
            let expected = DecompressError::TooShort { len: 100, raw_len: 16 << 20 };
            assert_eq!(error, expected, "{compression}");
            assert!(out.capacity() <= 2 * DECOMPRESS_STEP, "{compression}: {}", out.capacity());
        }
    }

    #[test]
    fn bytes_after_the_end_are_refused() {
        for compression in available() {
            let mut compressor = Compressor::new(compression).unwrap();
            let mut bytes = packed(&mut compressor, &[1; 100]);
            bytes.extend(b"xyz");
            let error = compressor.decompress(&bytes, 100, &mut Vec::new()).unwrap_err();
            assert_eq!(error, DecompressError::Trailing { len: 3 }, "{compression}");
        }
    }

    #[test]
    fn a_link_without_compression_takes_no_compressed_payload() {
        let mut compressor = Compressor::new(Compression::None).unwrap();
        let error = compressor.decompress(b"abc", 3, &mut Vec::new()).unwrap_err();
        assert_eq!(error, DecompressError::NotNegotiated);
    }

    #[test]
    fn a_compressor_can_move_between_threads() {
        fn assert_send<T: Send>() {}
        assert_send::<Compressor>();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn payloads_read_back(words in vec("[a-e]{1,6}", 0..2_000), repeat in 1..40_usize) {
            let input = words.concat().repeat(repeat).into_bytes();
            for compression in available() {
                let mut compressor = Compressor::new(compression).unwrap();
                let mut bytes = Vec::new();
                if compressor.compress(&input, &mut bytes).unwrap() {
                    prop_assert!(bytes.len() < input.len() - input.len() / 16);
                    let mut out = b"before".to_vec();
                    compressor.decompress(&bytes, input.len(), &mut out).unwrap();
                    prop_assert_eq!(&out[..6], b"before");
                    prop_assert_eq!(&out[6..], &input[..]);
                }
            }
        }

        #[test]
        fn noise_is_an_error_or_exactly_what_it_declares(
            bytes in vec(any::<u8>(), 0..200), raw_len in 0..500_usize,
        ) {
            for compression in available() {
                let mut out = Vec::new();
                let result = Compressor::new(compression)
                    .unwrap()
                    .decompress(&bytes, raw_len, &mut out);
                prop_assert_eq!(out.len(), if result.is_ok() { raw_len } else { 0 });
            }
        }
    }
}
