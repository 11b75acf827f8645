//! One attack per test, on reports that are otherwise accepted.

use crate::forge;
use crate::world::Amd;
use tacit_attest::{AmdError, Product, Trust};

fn refused(change: impl FnOnce(&mut Amd)) -> AmdError {
    let mut amd = Amd::new();
    assert!(amd.check().is_ok());
    change(&mut amd);
    amd.check().unwrap_err()
}

#[test]
fn a_guest_that_may_be_debugged() {
    assert_eq!(refused(|amd| amd.set(0x0a, &[0x0b])), AmdError::Debug);
}

#[test]
fn a_guest_that_may_be_moved() {
    assert_eq!(refused(|amd| amd.set(0x0a, &[0x07])), AmdError::Migration);
}

#[test]
fn a_report_that_was_changed() {
    assert_eq!(refused(|amd| amd.report[0x50] ^= 1), AmdError::Signature);
}

#[test]
fn reports_of_other_forms() {
    for version in [0, 1, 6] {
        assert_eq!(refused(|amd| amd.set(0, &[version])), AmdError::Version { got: version.into() });
    }
    assert_eq!(refused(|amd| amd.set(0x34, &[2])), AmdError::Algorithm { got: 2 });
    // A key that a provider has for many chips, no key, and bits that mean nothing.
    for flags in [1 << 2, 7 << 2, 1 << 1, 1 << 5] {
        assert_eq!(refused(|amd| amd.set(0x48, &[flags])), AmdError::SigningKey);
    }
    for at in [0x4c, 0x18b, 0x1eb, 0x1ef, 0x208, 0x2d0, 0x318] {
        assert_eq!(refused(|amd| amd.report[at] = 1), AmdError::Reserved { at });
    }
    assert_eq!(refused(|amd| amd.report[1183] = 0x80), AmdError::Reserved { at: 0x318 });
}

#[test]
fn another_chip() {
    assert_eq!(refused(|amd| amd.set(0x1a0, &[0xff])), AmdError::Chip);
    // One that hides which it is.
    assert_eq!(refused(|amd| amd.set(0x1a0, &[0; 64])), AmdError::Chip);
    let chip = Amd::new().report[0x1a0..0x1e0].to_vec();
    let hidden = refused(|amd| {
        amd.certify(|body| forge::replace(body, &chip, &[0; 64]));
        amd.set(0x1a0, &[0; 64]);
    });
    assert_eq!(hidden, AmdError::Chip);
}

#[test]
fn firmware_that_the_certificate_is_not_for() {
    // Boot loader, operating system, firmware, microcode; and what must be zero.
    for at in [0, 1, 6, 7, 3] {
        let old = Amd::new().report[0x180 + at];
        assert_eq!(refused(|amd| amd.set(0x180 + at, &[old + 1])), AmdError::Versions, "{at}");
    }
}

#[test]
fn a_certificate_that_amd_did_not_sign() {
    assert_eq!(refused(|amd| *amd.vcek.last_mut().unwrap() ^= 1), AmdError::CertificateSignature);
    let amd = Amd::new();
    let real = Trust::vendors().unwrap();
    let found =
        tacit_attest::SnpReport::verify(&amd.report, &amd.vcek, &real, crate::files::AMD_NOW).unwrap_err();
    assert_eq!(found, AmdError::CertificateSignature);
}

#[test]
fn a_certificate_of_no_issuer() {
    assert_eq!(
        refused(|amd| amd.certify(|body| forge::replace(body, b"SEV-Milan", b"SEV-Siena"))),
        AmdError::Issuer
    );
    // And one of an issuer whose key is another's.
    let found = refused(|amd| amd.certify(|body| forge::replace(body, b"SEV-Milan", b"SEV-Turin")));
    assert_eq!(found, AmdError::CertificateSignature);
}

#[test]
fn certificates_of_other_forms() {
    let hwid = [0x2b, 0x06, 0x01, 0x04, 0x01, 0x9c, 0x78, 0x01, 0x04];
    let unknown = [0x2b, 0x06, 0x01, 0x04, 0x01, 0x9c, 0x78, 0x01, 0x05];
    assert_eq!(
        refused(|amd| amd.certify(|body| forge::replace(body, &hwid, &unknown))),
        AmdError::Certificate
    );
    let (bootloader, unknown) = ([0x9c, 0x78, 0x01, 0x03, 0x01], [0x9c, 0x78, 0x01, 0x03, 0x0f]);
    assert_eq!(
        refused(|amd| amd.certify(|body| forge::replace(body, &bootloader, &unknown))),
        AmdError::Certificate
    );
    // Another curve; an algorithm that is another than the one under the signature.
    let (p384, other) = ([0x2b, 0x81, 0x04, 0x00, 0x22], [0x2b, 0x81, 0x04, 0x00, 0x23]);
    assert_eq!(refused(|amd| amd.certify(|body| forge::replace(body, &p384, &other))), AmdError::Certificate);
    let salt = [0xa2, 0x03, 0x02, 0x01, 0x30];
    let other = [0xa2, 0x03, 0x02, 0x01, 0x31];
    assert_eq!(refused(|amd| amd.certify(|body| forge::replace(body, &salt, &other))), AmdError::Certificate);
    assert_eq!(refused(|amd| forge::replace(&mut amd.vcek, &salt, &other)), AmdError::Certificate);
    let both = refused(|amd| {
        amd.certify(|body| forge::replace(body, &salt, &other));
        forge::replace(&mut amd.vcek, &salt, &other);
    });
    assert_eq!(both, AmdError::Certificate);
    assert_eq!(refused(|amd| amd.vcek.push(0)), AmdError::Certificate);
    assert_eq!(refused(|amd| amd.vcek.clear()), AmdError::Certificate);
}

#[test]
fn a_key_of_amds_that_is_none() {
    let amd = Amd::new();
    let refused = Trust::vendors().unwrap().with_amd(Product::Milan, &amd.vcek).unwrap_err();
    assert_eq!(refused, tacit_attest::TrustError::Root);
}
