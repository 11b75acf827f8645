//! Any call of any module ends, ends alike twice, and never takes more gas than it has.

#![no_main]

mod chain;

use alloy_primitives::{Bytes, U256};
use chain::{FRESH, RICH};
use libfuzzer_sys::fuzz_target;
use tacit_ledger::{BlockContext, CallRequest, Overrides, call};
use tacit_modules::MODULES;

fuzz_target!(|message: (u8, u8, u32, Vec<u8>)| {
    let (module, value, gas, input) = message;
    let request = CallRequest {
        from: RICH,
        to: Some(MODULES[usize::from(module) % MODULES.len()].address),
        value: U256::from(value),
        gas: Some(u64::from(gas)),
        input: Bytes::from(input),
        ..CallRequest::default()
    };
    let context = BlockContext::of(&FRESH.first.block.header);
    let run = || call(&FRESH.chain, &context, &FRESH.state, &request, &Overrides::new());
    if let (Ok(first), Ok(second)) = (run(), run()) {
        assert_eq!(first, second);
        assert!(first.gas_used <= u64::from(gas));
    }
});
