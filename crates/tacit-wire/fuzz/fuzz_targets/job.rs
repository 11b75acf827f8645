//! Jobs as a worker reads them: JSON, signature, sealed payload. No panic.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tacit_wire::{SealingKey, message::JobRequest};

fuzz_target!(|bytes: &[u8]| {
    static KEY: OnceLock<SealingKey> = OnceLock::new();
    if let Ok(request) = serde_json::from_slice::<JobRequest>(bytes) {
        let _ = request.header.signer(&request.payload, &request.signature);
        let _ = request.payload.open(&request.header, KEY.get_or_init(SealingKey::random));
    }
});
