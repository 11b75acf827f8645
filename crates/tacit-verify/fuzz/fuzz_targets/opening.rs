//! The decoder of openings: what it accepts it writes back byte for byte, at every size.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tacit_verify::{commitment::Scheme, field::Ef, opening, reader::Reader};

fuzz_target!(|data: &[u8]| {
    let Some((size, bytes)) = data.split_first() else { return };
    let Ok(scheme) = Scheme::new(8 + usize::from(size % 13), 100) else { return };
    let mut reader = Reader::new(bytes);
    if let Ok(proof) = opening::decode(&mut reader, &scheme, Ef::default()) {
        let written = opening::encode(&proof);
        assert_eq!(bytes[..written.len()], written);
    }
});
