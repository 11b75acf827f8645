//! Reports and certificates of AMD's: no panic, and none is accepted but real ones.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tacit_attest::{REPORT_BYTES, SnpReport, Trust};

static TRUST: LazyLock<Trust> = LazyLock::new(|| Trust::vendors().expect("built in"));
const REPORT: &[u8; REPORT_BYTES] = include_bytes!("../../tests/data/snp-milan.report");
const VCEK: &[u8] = include_bytes!("../../tests/data/snp-milan.vcek");

fuzz_target!(|input: (bool, &[u8])| {
    let (is_report, bytes) = input;
    let now = 1_782_864_000;
    if is_report {
        let Ok(report) = bytes.try_into() else { return };
        assert!(SnpReport::verify(report, VCEK, &TRUST, now).is_err() || report == REPORT);
    } else {
        assert!(SnpReport::verify(REPORT, bytes, &TRUST, now).is_err() || bytes == VCEK);
    }
});
