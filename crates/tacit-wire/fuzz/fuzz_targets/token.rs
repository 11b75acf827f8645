//! Tokens, purchases and keys of tokens as a remote party sends them. No panic, and what decodes is written again as it was.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tacit_wire::{
    blind::SecretKey,
    message::PrepaidRequest,
    token::{self, Token},
};

fuzz_target!(|bytes: &[u8]| {
    static KEY: OnceLock<Option<SecretKey>> = OnceLock::new();
    let Some(key) = KEY.get_or_init(|| SecretKey::random().ok()) else { return };
    if let Ok(token) = Token::from_bytes(bytes) {
        assert_eq!(token.to_bytes(), bytes);
        assert!(token.verify(key.public(), 1, Default::default()).is_err());
    }
    if let Ok(decoded) = token::decode_key(bytes) {
        assert_eq!(token::encode_key(&decoded), bytes);
    }
    for blinded in token::decode_requests(bytes, key.public()).into_iter().flatten() {
        let _ = key.sign(&blinded);
    }
    let _ = token::decode_responses(bytes, bytes.len() / 256);
    let _ = serde_json::from_slice::<PrepaidRequest>(bytes);
});
