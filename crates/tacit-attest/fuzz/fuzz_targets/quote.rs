//! Quotes, with real collateral: no panic, none is accepted that says other than the one that it is for, and what has a form keeps it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tacit_attest::{Collateral, IntelQuote, Trust, quote_bytes};

const QUOTE: &[u8] = include_bytes!("../../tests/data/tdx.quote");
static TRUST: LazyLock<Trust> = LazyLock::new(|| Trust::vendors().expect("built in"));
static COLLATERAL: LazyLock<Collateral> = LazyLock::new(|| {
    let json = include_str!("../../tests/data/tdx.collateral.json");
    let json: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let text = |name: &str| json[name].as_str().expect("text").to_owned();
    let bits = |name: &str| {
        let digits = text(name);
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal");
        (0..digits.len()).step_by(2).map(byte).collect()
    };
    Collateral {
        root_ca_crl: bits("root_ca_crl"),
        pck_crl: bits("pck_crl"),
        tcb_info_issuer_chain: text("tcb_info_issuer_chain"),
        tcb_info: text("tcb_info"),
        tcb_info_signature: bits("tcb_info_signature"),
        qe_identity_issuer_chain: text("qe_identity_issuer_chain"),
        qe_identity: text("qe_identity"),
        qe_identity_signature: bits("qe_identity_signature"),
    }
});

fuzz_target!(|bytes: &[u8]| {
    if let Some(quote) = quote_bytes(bytes) {
        assert_eq!(quote_bytes(quote), Some(quote));
    }
    if IntelQuote::verify(bytes, &COLLATERAL, &TRUST, 1_750_420_800).is_ok() {
        // Header and report; the chain behind them may end in a line's end and a zero, or not.
        assert_eq!(bytes[..632], QUOTE[..632]);
    }
});
