//! Compression of whole connections.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use rakt_wire::goakt::{
    MAX_STEP, Opening, Server, ServerConfig, ServerError, StreamDecoder, StreamEncoder, sniff,
};
use rakt_wire::{Compression, DecompressError};

use super::{hex, requests};

const COMPRESSED: [Compression; 3] = [Compression::Zstd, Compression::Gzip, Compression::Brotli];

/// Decodes all that is there, with little room at a time.
fn decode(
    decoder: &mut StreamDecoder,
    input: &mut BytesMut,
    room: usize,
) -> Result<Vec<u8>, DecompressError> {
    let mut out = BytesMut::new();
    while decoder.decode(input, &mut out, room)? {}
    Ok(out.to_vec())
}

fn lookup_frame(port: &str) -> String {
    format!(
        "000000480000001e0000000a696e7465726e616c70622e52656d6f74654c6f6f6b757052657175657374\
         000000000000000000000a093132372e302e302e3110{port}1a046563686f"
    )
}

const ERROR_FRAME: &str =
    "0000002800000010696e7465726e616c70622e4572726f720803120c696e76616c696420686f7374";

/// What Go wrote: two frames and the end of the stream, with the frame that both times came out.
fn vectors() -> Vec<(Compression, String, [String; 3])> {
    let owned = |texts: [&str; 3]| texts.map(str::to_owned);
    let (gzip, zstd, error) = (lookup_frame("cd21"), lookup_frame("ce21"), ERROR_FRAME);
    vec![
        (
            Compression::Gzip,
            gzip.clone(),
            [
                format!("1f8b08000000000000ff004800b7ff{gzip}000000ffff"),
                format!("004800b7ff{gzip}000000ffff"),
                "03001c5e6e2d90000000".to_owned(),
            ],
        ),
        (
            Compression::Zstd,
            zstd.clone(),
            [
                format!("28b52ffd0448400200{zstd}"),
                "440000000154000628b504".to_owned(),
                "01000097712758".to_owned(),
            ],
        ),
        (
            Compression::Brotli,
            lookup_frame("cf21"),
            owned([
                "8b23000064f0dcf245e7289068d0a4837582f061038e130c501e989613f1520100095a84bfd8aed6b3\
             b6ca6e3bdeae388ee53b53287009bcebc5966339962bfea644ba663c0c",
                "380200400220000b4c2c03",
                "03",
            ]),
        ),
        (
            Compression::Gzip,
            error.to_owned(),
            [
                format!("1f8b08000000000000ff002800d7ff{error}000000ffff"),
                format!("002800d7ff{error}000000ffff"),
                "030028dae21950000000".to_owned(),
            ],
        ),
        (
            Compression::Zstd,
            error.to_owned(),
            [
                format!("28b52ffd0448400100{error}"),
                "3c000000015400052257".to_owned(),
                "010000cacd57fd".to_owned(),
            ],
        ),
        // The first part is a metablock of stored bytes.
        (
            Compression::Brotli,
            error.to_owned(),
            [format!("8b1380{error}"), "3801004002208c094bd600".to_owned(), "03".to_owned()],
        ),
    ]
}

#[test]
fn what_go_compressed_is_read_frame_by_frame() {
    for (compression, frame, parts) in vectors() {
        for room in [1, 7, 4096] {
            let mut decoder = StreamDecoder::new(compression).unwrap();
            let mut input = BytesMut::new();
            for part in &parts[..2] {
                input.extend_from_slice(&hex(part));
                let out = decode(&mut decoder, &mut input, room).unwrap();
                assert_eq!(out, hex(&frame), "{compression}, all of a frame can be read at once");
            }
            input.extend_from_slice(&hex(&parts[2]));
            assert_eq!(decode(&mut decoder, &mut input, room), Ok(vec![]), "{compression}");
            assert!(input.is_empty(), "{compression}");
        }
    }
}

#[test]
fn a_stream_that_was_closed_unused_is_read() {
    for (compression, bytes) in [
        (Compression::Gzip, "1f8b08000000000000ff03000000000000000000"),
        (Compression::Zstd, "28b52ffd044801000099e9d851"),
        (Compression::Brotli, "3b"),
    ] {
        let mut input = BytesMut::from(&hex(bytes)[..]);
        let mut decoder = StreamDecoder::new(compression).unwrap();
        assert_eq!(decode(&mut decoder, &mut input, 100), Ok(vec![]), "{compression}");
        assert!(input.is_empty(), "{compression}");
    }
}

#[test]
fn a_server_recognises_every_compression_that_go_writes() {
    for (compression, frame, parts) in vectors().into_iter().take(3) {
        assert_eq!(sniff(&hex(&parts[0])), Some(Opening::GoAkt(compression)));
        let mut server = Server::new(ServerConfig::default());
        let bytes = hex(&parts.concat());
        let list = requests(&mut server, &bytes).unwrap();
        assert_eq!(list.len(), 2, "{compression}");
        assert_eq!(server.compression(), Some(compression));
        let plain = requests(&mut Server::new(ServerConfig::default()), &hex(&frame)).unwrap();
        assert_eq!(list[0].request, plain[0].request);

        let other = COMPRESSED.into_iter().find(|other| *other != compression).unwrap();
        let config = ServerConfig { compression: Some(other), ..ServerConfig::default() };
        let error = requests(&mut Server::new(config), &bytes).unwrap_err();
        let found = Opening::GoAkt(compression);
        assert_eq!(error, ServerError::Opening { found, wanted: Some(other) });
        assert!(error.to_string().contains("both must be set alike"), "{error}");
    }
}

#[test]
fn our_streams_start_and_flush_as_go_expects() {
    let mut out = Vec::new();
    let mut gzip = StreamEncoder::new(Compression::Gzip).unwrap();
    gzip.encode(b"frame one", &mut out).unwrap();
    assert_eq!(out[..10], hex("1f8b08000000000000ff"));
    assert!(out.ends_with(&hex("0000ffff")), "a sync flush");
    let len = out.len();
    gzip.encode(b"frame two", &mut out).unwrap();
    assert_ne!(out[len..len + 2], hex("1f8b"), "still the same member");
    assert!(out.ends_with(&hex("0000ffff")));

    let mut out = Vec::new();
    StreamEncoder::new(Compression::Zstd).unwrap().encode(&[7; 100], &mut out).unwrap();
    // No content size, a checksum, a window of 512 KiB.
    assert_eq!(out[..6], hex("28b52ffd0448"));
    assert_eq!(sniff(&out), Some(Opening::GoAkt(Compression::Zstd)));

    let mut out = Vec::new();
    StreamEncoder::new(Compression::Zstd).unwrap().encode(b"frame", &mut out).unwrap();
    // The same without a checksum, and a block that is not compressed.
    assert_eq!(out, hex("28b52ffd0048 280000 6672616d65"));
    assert_eq!(sniff(&out), Some(Opening::GoAkt(Compression::Zstd)));

    let mut out = Vec::new();
    StreamEncoder::new(Compression::Brotli).unwrap().encode(b"frame", &mut out).unwrap();
    assert_eq!(out[0] & 0x0f, 0x05, "a window of 512 KiB");
    assert_eq!(sniff(&out), Some(Opening::GoAkt(Compression::Brotli)));
}

#[test]
fn streams_end_in_an_orderly_way_or_not_at_all() {
    for compression in COMPRESSED {
        let mut encoder = StreamEncoder::new(compression).unwrap();
        let mut out = Vec::new();
        encoder.finish(&mut out).unwrap();
        assert!(out.is_empty(), "nothing was written, so nothing ends");
        encoder.encode(b"frame", &mut out).unwrap();
        let cut = out.clone();
        encoder.finish(&mut out).unwrap();
        for bytes in [cut, out] {
            let mut decoder = StreamDecoder::new(compression).unwrap();
            let out = decode(&mut decoder, &mut BytesMut::from(&bytes[..]), 100).unwrap();
            assert_eq!(out, b"frame");
        }
    }
}

#[test]
fn units_one_after_another_are_read_except_for_brotli() {
    for compression in COMPRESSED {
        let mut bytes = BytesMut::new();
        for text in ["one ", "two"] {
            let (mut encoder, mut out) = (StreamEncoder::new(compression).unwrap(), Vec::new());
            encoder.encode(text.as_bytes(), &mut out).unwrap();
            encoder.finish(&mut out).unwrap();
            bytes.extend_from_slice(&out);
        }
        let mut decoder = StreamDecoder::new(compression).unwrap();
        let result = decode(&mut decoder, &mut bytes, 100);
        match compression {
            Compression::Brotli => {
                assert!(matches!(result, Err(DecompressError::Trailing { .. })), "{result:?}");
            }
            _ => assert_eq!(result, Ok(b"one two".to_vec()), "{compression}"),
        }
    }
}

#[test]
fn a_bomb_comes_out_no_faster_than_it_is_asked_for() {
    for compression in COMPRESSED {
        let mut packed = Vec::new();
        let mut encoder = StreamEncoder::new(compression).unwrap();
        encoder.encode(&vec![0; 4 << 20], &mut packed).unwrap();
        assert!(packed.len() < 64 * 1024, "{compression}: {}", packed.len());
        let mut decoder = StreamDecoder::new(compression).unwrap();
        let (mut input, mut out) = (BytesMut::from(&packed[..]), BytesMut::new());
        while out.len() < 4 << 20 {
            let before = out.len();
            assert!(decoder.decode(&mut input, &mut out, usize::MAX).unwrap(), "{compression}");
            assert!(out.len() - before <= MAX_STEP);
            out.truncate(out.len());
        }
        assert!(out.iter().all(|byte| *byte == 0));
    }
}

#[test]
fn a_zstd_window_above_64_mib_is_refused() {
    // Frame header: no content size; window of 2^exponent.
    for (exponent, fits) in [(26_u8, true), (27, false)] {
        let mut bytes = hex("28b52ffd00");
        bytes.push((exponent - 10) << 3);
        // A last raw block of one byte.
        bytes.extend(hex("090000 61"));
        let mut decoder = StreamDecoder::new(Compression::Zstd).unwrap();
        let result = decode(&mut decoder, &mut BytesMut::from(&bytes[..]), 100);
        assert_eq!(result.is_ok(), fits, "{exponent}: {result:?}");
    }
}

#[test]
fn a_brotli_window_above_16_mib_is_refused() {
    // Empty streams: with a window of 2^16, and by the extension for large ones with one of 2^30.
    for (bytes, fits) in [("06", true), ("11de", false)] {
        let mut decoder = StreamDecoder::new(Compression::Brotli).unwrap();
        let result = decode(&mut decoder, &mut BytesMut::from(&hex(bytes)[..]), 100);
        assert_eq!(result.is_ok(), fits, "{bytes}: {result:?}");
    }
}

#[test]
fn a_gzip_header_without_end_and_a_wrong_checksum_are_refused() {
    let mut endless = BytesMut::from(&hex("1f8b0808000000000000")[..]);
    let mut decoder = StreamDecoder::new(Compression::Gzip).unwrap();
    assert_eq!(decode(&mut decoder, &mut endless, 100), Ok(vec![]));
    endless.resize(5000, b'x');
    assert!(decode(&mut decoder, &mut endless, 100).is_err());

    let mut bytes = BytesMut::from(&hex("1f8b08000000000000ff03000000000000000001")[..]);
    let mut decoder = StreamDecoder::new(Compression::Gzip).unwrap();
    assert!(decode(&mut decoder, &mut bytes, 100).is_err());
}

fn compression() -> impl Strategy<Value = Compression> {
    prop::sample::select(Compression::ALL.to_vec())
}

proptest! {
    // brotli makes a large context for each case.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn everything_written_can_be_read_after_each_flush(
        compression in compression(),
        frames in vec(vec(prop_oneof![Just(0_u8), any::<u8>()], 0..3000), 1..6),
        room in 1_usize..5000,
    ) {
        let mut encoder = StreamEncoder::new(compression).unwrap();
        let mut decoder = StreamDecoder::new(compression).unwrap();
        for frame in frames {
            let mut packed = Vec::new();
            encoder.encode(&frame, &mut packed).unwrap();
            let mut input = BytesMut::from(&packed[..]);
            prop_assert_eq!(decode(&mut decoder, &mut input, room).unwrap(), frame);
            prop_assert!(input.is_empty());
        }
    }

    #[test]
    fn bytes_may_arrive_in_any_pieces(
        compression in compression(),
        frames in vec(vec(any::<u8>(), 0..200), 1..5),
        cut in 1_usize..9,
    ) {
        let (mut encoder, mut packed) = (StreamEncoder::new(compression).unwrap(), Vec::new());
        for frame in &frames {
            encoder.encode(frame, &mut packed).unwrap();
        }
        let mut decoder = StreamDecoder::new(compression).unwrap();
        let (mut input, mut out) = (BytesMut::new(), Vec::new());
        for piece in packed.chunks(cut) {
            input.extend_from_slice(piece);
            out.extend(decode(&mut decoder, &mut input, 16).unwrap());
        }
        prop_assert_eq!(out, frames.concat());
    }

    #[test]
    fn arbitrary_bytes_are_data_or_an_error(
        compression in compression(),
        bytes in vec(any::<u8>(), 0..400),
        room in 1_usize..100,
    ) {
        let mut decoder = StreamDecoder::new(compression).unwrap();
        let (mut input, mut out) = (BytesMut::from(&bytes[..]), BytesMut::new());
        for _ in 0..1000 {
            let before = out.len();
            let result = decoder.decode(&mut input, &mut out, room);
            prop_assert!(out.len() - before <= room);
            if result != Ok(true) {
                break;
            }
        }
    }
}
