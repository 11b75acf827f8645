//! Snapshots: no panic, one encoding for each, and the same frames however the bytes come.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tacit_node::snapshot::{Decoder, Frame, FrameError, encode};

fn decode<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Frame>, FrameError> {
    let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
    for part in parts {
        decoder.push(part);
        while let Some(frame) = decoder.next_frame()? {
            frames.push(frame);
        }
    }
    decoder.finish().map(|()| frames)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let whole = decode(std::iter::once(bytes));
    assert_eq!(decode(bytes.chunks(usize::from(size).max(1))), whole);
    if let Ok(frames) = whole {
        assert_eq!(encode(&frames), bytes);
    }
});
