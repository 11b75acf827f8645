//! Reports: no panic, and measurements in ascending order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tacit_nvidia::Report;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(report) = Report::parse(bytes) {
        assert!(report.measurements().is_sorted_by(|(a, _), (b, _)| a < b));
        assert_eq!(&bytes[4..36], report.nonce());
    }
});
