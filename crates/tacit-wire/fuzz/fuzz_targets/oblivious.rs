//! Encapsulated requests as a worker gets them, and the messages inside. No panic; a message that is read is written and read again as the same.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tacit_wire::{
    SealingKey,
    binary_http::{BinaryRequest, BinaryResponse},
    oblivious,
};

fuzz_target!(|bytes: &[u8]| {
    static KEY: OnceLock<SealingKey> = OnceLock::new();
    let key = KEY.get_or_init(SealingKey::random);
    let _ = key.decapsulate(bytes);
    if let Ok(request) = BinaryRequest::decode(bytes) {
        assert!(BinaryRequest::decode(&request.encode()).is_ok_and(|again| again == request));
    }
    if let Ok(response) = BinaryResponse::decode(bytes) {
        assert!(BinaryResponse::decode(&response.encode()).is_ok_and(|again| again == response));
    }
    if let Ok((message, awaited)) = oblivious::encapsulate(key.public(), bytes) {
        assert!(key.decapsulate(&message).is_ok_and(|(opened, _)| opened.as_slice() == bytes));
        assert!(awaited.open(bytes).is_err());
    }
});
