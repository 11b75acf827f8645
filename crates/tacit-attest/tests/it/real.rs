//! Real evidence, under the roots of Intel and AMD.

use crate::files::{AMD_NOW, Quote, Report, TURIN, configured, extended, milan, outdated, sgx, tdx};
use tacit_attest::{
    AmdError, IntelError, IntelImage, IntelQuote, Product, SnpReport, TcbStatus, Trust, Versions, quote_bytes,
};

fn intel(quote: &Quote) -> Result<IntelQuote, IntelError> {
    IntelQuote::verify(&quote.bytes, &quote.collateral, &Trust::vendors().unwrap(), quote.now)
}

fn amd(report: &Report) -> Result<SnpReport, AmdError> {
    SnpReport::verify(&report.bytes, report.vcek, &Trust::vendors().unwrap(), AMD_NOW)
}

#[test]
fn an_enclave_on_a_platform_that_is_to_be_configured() {
    let shown = intel(&sgx()).unwrap();
    assert_eq!(shown.status(), TcbStatus::ConfigurationAndSoftwareHardeningNeeded);
    assert_eq!(shown.advisories(), ["INTEL-SA-00289", "INTEL-SA-00615"]);
    let IntelImage::Sgx(image) = shown.image() else { panic!("an enclave") };
    assert_eq!(image.mr_enclave, sgx().bytes[48 + 64..][..32]);
    assert_eq!(image.reserved.2, [0; 96]);
}

#[test]
fn guests_on_platforms_that_are_up_to_date() {
    for (quote, body) in [(tdx(), 48), (extended(), 54)] {
        let shown = intel(&quote).unwrap();
        assert_eq!(shown.status(), TcbStatus::UpToDate);
        assert!(shown.advisories().is_empty());
        let IntelImage::Tdx(image) = shown.image() else { panic!("a guest") };
        assert_eq!(image.mr_td, quote.bytes[body + 136..][..48]);
        assert_eq!(image.rt_mr[3], quote.bytes[body + 472..][..48]);
        assert_eq!(shown.report_data()[..], quote.bytes[body + 520..][..64]);
        assert!(shown.valid_until() > quote.now);
    }
}

#[test]
fn firmware_that_intel_does_not_list() {
    assert_eq!(intel(&outdated()).unwrap_err(), IntelError::Unlisted);
}

#[test]
fn collateral_before_and_after_its_time() {
    for mut quote in [sgx(), tdx(), extended()] {
        let until = intel(&quote).unwrap().valid_until();
        quote.now = until - 1;
        assert!(intel(&quote).is_ok());
        quote.now = until + 1;
        assert_eq!(intel(&quote).unwrap_err(), IntelError::Expired);
        quote.now = 1_700_000_000;
        assert_eq!(intel(&quote).unwrap_err(), IntelError::NotYetValid);
    }
}

#[test]
fn collateral_of_another_platform() {
    let (mut quote, other) = (tdx(), sgx());
    quote.collateral.tcb_info = other.collateral.tcb_info;
    quote.collateral.tcb_info_signature = other.collateral.tcb_info_signature;
    assert_eq!(intel(&quote).unwrap_err(), IntelError::Platform);
    let (mut quote, other) = (tdx(), sgx());
    quote.collateral.qe_identity = other.collateral.qe_identity;
    quote.collateral.qe_identity_signature = other.collateral.qe_identity_signature;
    assert_eq!(intel(&quote).unwrap_err(), IntelError::Platform);
    let (mut quote, other) = (tdx(), sgx());
    quote.collateral.tcb_info = other.collateral.tcb_info;
    assert_eq!(intel(&quote).unwrap_err(), IntelError::CollateralSignature);
}

#[test]
fn what_fills_a_quote_up_is_no_part_of_it() {
    let mut quote = tdx();
    let length = quote.bytes.len();
    quote.bytes.extend([0; 70]);
    assert_eq!(intel(&quote).unwrap_err(), IntelError::Form);
    assert_eq!(quote_bytes(&quote.bytes).map(<[u8]>::len), Some(length));
    assert_eq!(quote_bytes(&quote.bytes[..length - 1]), None);
}

#[test]
fn guests_on_milan() {
    let shown = amd(&milan()).unwrap();
    assert_eq!(shown.product(), Product::Milan);
    assert_eq!(shown.versions(), Versions { fmc: 0, bootloader: 3, tee: 0, snp: 8, microcode: 0x73 });
    assert_eq!(shown.image().host_data, [0; 32]);
    assert_eq!((shown.vmpl(), shown.platform()), (0, 1));
    let shown = amd(&configured()).unwrap();
    assert_eq!(shown.versions(), Versions { fmc: 0, bootloader: 4, tee: 0, snp: 0x17, microcode: 0xd5 });
    assert_ne!(shown.image().host_data, [0; 32]);
    assert_eq!(shown.platform(), 0x25);
    assert!(shown.report_data().starts_with(b"attest-test-fixture-2026\0"));
}

#[test]
fn a_report_with_the_certificate_of_another_chip() {
    let (report, other) = (milan(), configured());
    let refused = |vcek| amd(&Report { bytes: report.bytes, vcek }).unwrap_err();
    assert_eq!(refused(other.vcek), AmdError::Versions);
    // It is read, and is signed by AMD, so that the report's chip is what does not fit.
    assert_eq!(refused(TURIN), AmdError::Versions);
}

#[test]
fn a_certificate_before_and_after_its_time() {
    let (report, trust) = (milan(), Trust::vendors().unwrap());
    let at = |now| SnpReport::verify(&report.bytes, report.vcek, &trust, now);
    let until = at(AMD_NOW).unwrap().valid_until();
    assert!(at(until).is_ok());
    assert_eq!(at(until + 1).unwrap_err(), AmdError::Expired);
    assert_eq!(at(1_600_000_000).unwrap_err(), AmdError::NotYetValid);
}
