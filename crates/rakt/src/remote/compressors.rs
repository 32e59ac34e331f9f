//! Compression contexts, kept for the next use.

use bytes::Bytes;
use rakt_wire::{Compression, Compressor, Encode};

use crate::error::{Cause, Refusal};
use crate::sync::Mutex;

/// Contexts that are kept; more are made when more are at work at one time.
const KEPT: usize = 8;

/// Payloads longer than this are judged by a sample of as many bytes before they are compressed.
const SAMPLE_LEN: usize = 8 * 1024;

/// An encoded payload.
pub(crate) struct Prepared {
    pub(crate) bytes: Bytes,
    /// Set when they are compressed: the length they have when they are not.
    pub(crate) raw_len: Option<u32>,
}

pub(crate) struct Compressors {
    idle: Mutex<Vec<Compressor>>,
    /// Payloads from this length in bytes up are compressed.
    compress_from: usize,
}

impl Compressors {
    pub(crate) fn new(compress_from: u32) -> Self {
        Self { idle: Mutex::default(), compress_from: compress_from as usize }
    }

    /// Whether a payload is known to be so short that it is encoded straight into an outbound buffer.
    pub(crate) fn is_small(&self, payload: &dyn Encode) -> bool {
        payload.encoded_len().is_some_and(|len| len < self.small_len())
    }

    /// Payloads below so many bytes are [small](Self::is_small).
    pub(crate) fn small_len(&self) -> usize {
        self.compress_from.min(rakt_wire::native::CHUNK_LEN)
    }

    /// Encodes a payload that is not [small](Self::is_small), outside of any lock, and compresses it if
    /// it pays.
    pub(crate) fn prepare(
        &self,
        payload: &dyn Encode,
        compression: Compression,
        max_message_len: u32,
    ) -> Result<Prepared, Refusal> {
        let mut plain = Vec::with_capacity(payload.encoded_len().unwrap_or(0).min(1 << 26));
        payload
            .encode(&mut plain)
            .map_err(|error| Refusal::Unencodable { source: error.into_cause() })?;
        let (size, limit) = (plain.len() as u64, u64::from(max_message_len));
        if size > limit {
            return Err(Refusal::TooLarge { size, limit });
        }
        if compression != Compression::None
            && plain.len() >= self.compress_from
            && let Some(bytes) = self.compress(compression, &plain)
        {
            return Ok(Prepared { bytes, raw_len: u32::try_from(size).ok() });
        }
        Ok(Prepared { bytes: plain.into(), raw_len: None })
    }

    /// The compressed form, if it is smaller.
    fn compress(&self, compression: Compression, plain: &[u8]) -> Option<Bytes> {
        let mut compressor = self.take(compression)?;
        let mut out = Vec::new();
        let sample = plain.get(..SAMPLE_LEN).filter(|_| plain.len() > 4 * SAMPLE_LEN);
        let pays =
            sample.is_none_or(|sample| matches!(compressor.compress(sample, &mut out), Ok(true)));
        out.clear();
        let pays = pays && matches!(compressor.compress(plain, &mut out), Ok(true));
        self.put_back(compressor);
        pays.then(|| out.into())
    }

    /// Undoes the compression; the result has exactly `raw_len` bytes.
    pub(crate) fn decompress(
        &self,
        compression: Compression,
        payload: &[u8],
        raw_len: u32,
    ) -> Result<Bytes, Refusal> {
        let undecodable = |source: Cause| Refusal::Undecodable { source };
        let mut compressor = self
            .take(compression)
            .ok_or_else(|| undecodable("compressed, but no compression is in use".into()))?;
        let mut out = Vec::new();
        let result = compressor.decompress(payload, raw_len as usize, &mut out);
        self.put_back(compressor);
        result.map_err(|error| undecodable(Cause::new(error)))?;
        Ok(out.into())
    }

    fn take(&self, compression: Compression) -> Option<Compressor> {
        if compression == Compression::None {
            return None;
        }
        let mut idle = self.idle.lock();
        match idle.iter().position(|compressor| compressor.compression() == compression) {
            Some(at) => Some(idle.swap_remove(at)),
            None => Compressor::new(compression).ok(),
        }
    }

    fn put_back(&self, compressor: Compressor) {
        let mut idle = self.idle.lock();
        if idle.len() < KEPT {
            idle.push(compressor);
        }
    }
}

#[cfg(all(test, feature = "zstd"))]
mod tests {
    use super::*;

    #[test]
    fn a_few_contexts_are_kept_of_many() {
        let compressors = Compressors::new(0);
        let many: Vec<_> = (0..KEPT + 1)
            .map(|_| compressors.take(Compression::Zstd).expect("it is compiled in"))
            .collect();
        many.into_iter().for_each(|compressor| compressors.put_back(compressor));
        assert_eq!(compressors.idle.lock().len(), KEPT);
    }

    #[test]
    fn a_payload_above_the_limit_of_messages_is_refused_before_it_is_compressed() {
        let prepare = |len: usize| {
            let payload: &[u8] = &vec![0; len];
            Compressors::new(0).prepare(&payload, Compression::Zstd, 10_000).map(drop)
        };
        assert_eq!(prepare(10_000), Ok(()));
        assert_eq!(prepare(10_001), Err(Refusal::TooLarge { size: 10_001, limit: 10_000 }));
    }
}
