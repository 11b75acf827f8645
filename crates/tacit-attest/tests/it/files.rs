//! The files in `tests/data`; `ORIGIN.md` there says where they come from.

use tacit_attest::{Collateral, REPORT_BYTES};

/// A quote with collateral, and a time at which both hold.
pub(crate) struct Quote {
    pub(crate) bytes: Vec<u8>,
    pub(crate) collateral: Collateral,
    pub(crate) now: u64,
}

fn quote(bytes: &[u8], collateral: &str, now: u64) -> Quote {
    let json: serde_json::Value = serde_json::from_str(collateral).unwrap();
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    let bits = |name: &str| {
        let digits = text(name);
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    };
    let collateral = Collateral {
        root_ca_crl: bits("root_ca_crl"),
        pck_crl: bits("pck_crl"),
        tcb_info_issuer_chain: text("tcb_info_issuer_chain"),
        tcb_info: text("tcb_info"),
        tcb_info_signature: bits("tcb_info_signature"),
        qe_identity_issuer_chain: text("qe_identity_issuer_chain"),
        qe_identity: text("qe_identity"),
        qe_identity_signature: bits("qe_identity_signature"),
    };
    Quote { bytes: bytes.to_vec(), collateral, now }
}

macro_rules! quote {
    ($name:literal, $now:expr) => {
        quote(
            include_bytes!(concat!("../data/", $name, ".quote")),
            include_str!(concat!("../data/", $name, ".collateral.json")),
            $now,
        )
    };
}

/// 2025-06-20.
pub(crate) fn sgx() -> Quote {
    quote!("sgx", 1_750_420_800)
}

/// 2025-06-20.
pub(crate) fn tdx() -> Quote {
    quote!("tdx", 1_750_420_800)
}

/// 2026-03-01: of firmware that Intel does not list any more.
pub(crate) fn outdated() -> Quote {
    quote!("tdx-outdated", 1_772_323_200)
}

/// 2026-10-20: a report with the fields of TDX 1.5.
pub(crate) fn extended() -> Quote {
    quote!("tdx-15ex", 1_792_454_400)
}

/// A report with its chip's certificate.
pub(crate) struct Report {
    pub(crate) bytes: [u8; REPORT_BYTES],
    pub(crate) vcek: &'static [u8],
}

pub(crate) fn milan() -> Report {
    Report {
        bytes: *include_bytes!("../data/snp-milan.report"),
        vcek: include_bytes!("../data/snp-milan.vcek"),
    }
}

/// Of a guest that a host configured.
pub(crate) fn configured() -> Report {
    Report {
        bytes: *include_bytes!("../data/snp-milan-dstack.report"),
        vcek: include_bytes!("../data/snp-milan-dstack.vcek"),
    }
}

/// A chip of another generation, whose report there is none of.
pub(crate) const TURIN: &[u8] = include_bytes!("../data/snp-turin.vcek");

/// 2026-07-01.
pub(crate) const AMD_NOW: u64 = 1_782_864_000;
