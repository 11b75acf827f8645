//! Decimals: no panic, and the standard library's nearest float is never further than rounding allows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tacit_graph::RawValue;

fuzz_target!(|text: &str| {
    if let Ok(raw) = text.parse::<RawValue>() {
        let float: f64 = text.parse().expect("what is a decimal here is a float there");
        assert!((float - raw.to_f64()).abs() <= f64::exp2(-24.0) + float.abs() * f64::EPSILON);
    }
});
