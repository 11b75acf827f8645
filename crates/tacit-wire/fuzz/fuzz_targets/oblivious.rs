//! Encapsulated requests as a worker gets them, lists of keys, and the messages inside. No panic; a message that is read is written and read again as the same.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tacit_wire::{
    SealingKey,
    binary_http::{BinaryRequest, BinaryResponse},
    oblivious,
    prepaid::{PrepaidAnswer, PrepaidStream},
};

fuzz_target!(|bytes: &[u8]| {
    static KEY: OnceLock<SealingKey> = OnceLock::new();
    let key = KEY.get_or_init(SealingKey::random);
    let _ = key.decapsulate(bytes);
    assert_eq!(oblivious::find_session_key(bytes, Default::default()), None);
    let _ = PrepaidStream::read(bytes);
    if let Ok(answer) = PrepaidAnswer::read(bytes) {
        let again = PrepaidAnswer::write(&answer.head, &answer.answer).unwrap();
        assert!(PrepaidAnswer::read(&again).is_ok_and(|again| again == answer));
    }
    if let Ok(request) = BinaryRequest::decode(bytes) {
        assert!(BinaryRequest::decode(&request.encode()).is_ok_and(|again| again == request));
    }
    if let Ok(response) = BinaryResponse::decode(bytes) {
        assert!(BinaryResponse::decode(&response.encode()).is_ok_and(|again| again == response));
    }
    if let Ok((message, awaited)) = oblivious::encapsulate(&key.public().into(), bytes) {
        assert!(key.decapsulate(&message).is_ok_and(|(opened, _)| opened.as_slice() == bytes));
        assert!(awaited.open(bytes).is_err());
    }
});
