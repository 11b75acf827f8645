//! One attack per test, on quotes that are otherwise accepted.

use crate::files;
use crate::forge;
use crate::world::{Intel, certify, key, pem_of, resign};
use tacit_attest::{IntelError, TcbStatus};

fn refused(change: impl FnOnce(&mut Intel)) -> IntelError {
    let mut intel = Intel::new(&files::tdx());
    assert!(intel.check().is_ok());
    change(&mut intel);
    intel.check().unwrap_err()
}

/// Attributes of a guest are eight bytes.
const ATTRIBUTES: usize = 120;

#[test]
fn quotes_of_all_kinds_are_accepted_under_another_root() {
    for quote in [files::sgx(), files::tdx(), files::extended()] {
        assert!(Intel::new(&quote).check().is_ok());
    }
    assert_eq!(Intel::new(&files::outdated()).check().unwrap_err(), IntelError::Unlisted);
}

#[test]
fn a_guest_that_may_be_debugged() {
    assert_eq!(refused(|intel| intel.set(ATTRIBUTES, &[1])), IntelError::Debug);
    // Watched for its performance.
    assert_eq!(refused(|intel| intel.set(ATTRIBUTES, &[0x10])), IntelError::Debug);
}

#[test]
fn an_enclave_that_may_be_debugged() {
    let mut intel = Intel::new(&files::sgx());
    let attributes = intel.quote[48 + 48];
    intel.set(48, &[attributes | 2]);
    assert_eq!(intel.check().unwrap_err(), IntelError::Debug);
}

#[test]
fn a_guest_that_may_be_moved() {
    let attributes = Intel::new(&files::tdx()).quote[48 + ATTRIBUTES + 3];
    assert_eq!(refused(|intel| intel.set(ATTRIBUTES + 3, &[attributes | 0x20])), IntelError::Migration);
}

#[test]
fn a_guest_with_attributes_that_are_not_known() {
    assert_eq!(refused(|intel| intel.set(ATTRIBUTES + 4, &[1])), IntelError::Attributes);
    // Nothing keeps its memory from being taken away under it.
    assert_eq!(refused(|intel| intel.set(ATTRIBUTES + 3, &[0])), IntelError::Attributes);
}

#[test]
fn a_guest_that_others_serve() {
    let mut intel = Intel::new(&files::extended());
    intel.set(584 + 16, &[1]);
    assert_eq!(intel.check().unwrap_err(), IntelError::ServiceGuest);
}

#[test]
fn a_quote_that_was_changed() {
    assert_eq!(refused(|intel| intel.quote[48 + 520] ^= 1), IntelError::Signature);
}

#[test]
fn a_quote_signed_by_a_key_that_the_quoting_enclave_did_not_name() {
    let found = refused(|intel| {
        // Key and signature of another quote, which holds by itself.
        let other = Intel::new(&files::extended()).quote;
        let (end, other_end) = (48 + 584 + 4, 54 + 885 + 4);
        intel.quote[end..end + 128].copy_from_slice(&other[other_end..other_end + 128]);
        let attester: p256::ecdsa::Signature =
            p256::ecdsa::signature::Signer::sign(&key(9), &intel.quote[..48 + 584]);
        intel.quote[end..end + 64].copy_from_slice(&attester.to_bytes());
        let public = key(9).verifying_key().to_sec1_point(false);
        intel.quote[end + 64..end + 128].copy_from_slice(&public.as_bytes()[1..]);
    });
    assert_eq!(found, IntelError::Signature);
}

#[test]
fn another_quoting_enclave() {
    let report = 48 + 584 + 4 + 128 + 6;
    // Its signer, then its product.
    for at in [128, 256] {
        let found = refused(|intel| {
            intel.quote[report + at] ^= 1;
            intel.sign_quote();
        });
        assert_eq!(found, IntelError::QuotingEnclave, "{at}");
    }
    // Its code alone says nothing: Intel names signer and version.
    let mut intel = Intel::new(&files::tdx());
    intel.quote[report + 64] ^= 1;
    intel.sign_quote();
    assert!(intel.check().is_ok());
}

#[test]
fn a_platform_that_intel_revoked() {
    // The serial number of the platform is put in the place of one that is on the list.
    let found = refused(|intel| {
        let serial = serial(&intel.chain[0]);
        intel.collateral.pck_crl = resign(&intel.collateral.pck_crl, &key(2), |body| {
            let at = body.windows(3).position(|window| window == [0x02, serial_tag(&serial), serial[0]]);
            let at = at.or_else(|| entry(body, serial.len())).expect("an entry as long");
            body[at + 2..at + 2 + serial.len()].copy_from_slice(&serial);
        });
    });
    assert_eq!(found, IntelError::Revoked);
}

#[test]
fn an_authority_that_intel_revoked() {
    let found = refused(|intel| {
        let serial = serial(&intel.chain[1]);
        intel.collateral.root_ca_crl = revoke(&intel.collateral.root_ca_crl, &serial);
    });
    assert_eq!(found, IntelError::Revoked);
}

/// The serial number in a certificate.
fn serial(der: &[u8]) -> Vec<u8> {
    let (_, body, _) = forge::split(forge::split(der).1);
    // A version comes first.
    let (_, _, rest) = forge::split(body);
    forge::split(rest).1.to_vec()
}

fn serial_tag(serial: &[u8]) -> u8 {
    u8::try_from(serial.len()).unwrap()
}

/// Where an entry of a list is whose serial number has this length.
fn entry(body: &[u8], length: usize) -> Option<usize> {
    let length = u8::try_from(length).unwrap();
    let fits = |window: &[u8]| window[0] == 0x30 && window[2] == 0x02 && window[3] == length;
    body.windows(4).position(fits).map(|at| at + 2)
}

/// Adds an entry to a list that has none.
fn revoke(crl: &[u8], serial: &[u8]) -> Vec<u8> {
    resign(crl, &key(1), |body| {
        let date = forge::element(0x17, b"200101000000Z");
        let entry = forge::element(0x30, &[forge::element(0x02, serial), date].concat());
        let list = forge::element(0x30, &entry);
        // Behind version, algorithm, issuer and two times.
        let mut rest: &[u8] = body;
        for _ in 0..5 {
            rest = forge::split(rest).2;
        }
        let at = body.len() - rest.len();
        body.splice(at..at, list);
    })
}

#[test]
fn firmware_that_intel_calls_revoked() {
    let found = refused(|intel| {
        intel.collateral.tcb_info = intel.collateral.tcb_info.replace("\"UpToDate\"", "\"Revoked\"");
        intel.sign_collateral();
    });
    assert_eq!(found, IntelError::Revoked);
}

#[test]
fn firmware_that_intel_calls_out_of_date() {
    for (word, status) in [
        ("OutOfDate", TcbStatus::OutOfDate),
        ("SWHardeningNeeded", TcbStatus::SoftwareHardeningNeeded),
        ("ConfigurationNeeded", TcbStatus::ConfigurationNeeded),
        ("OutOfDateConfigurationNeeded", TcbStatus::OutOfDateConfigurationNeeded),
    ] {
        let mut intel = Intel::new(&files::tdx());
        let (head, levels) =
            intel.collateral.tcb_info.split_once("\"tcbLevels\":[{\"tcb\":{\"sgxtcbcomponents\"").unwrap();
        let levels = levels.replace("\"UpToDate\"", &format!("\"{word}\""));
        intel.collateral.tcb_info = format!("{head}\"tcbLevels\":[{{\"tcb\":{{\"sgxtcbcomponents\"{levels}");
        intel.sign_collateral();
        assert_eq!(intel.check().unwrap().status(), status, "{word}");
    }
}

#[test]
fn collateral_that_intel_did_not_sign() {
    let found = refused(|intel| intel.collateral.tcb_info_signature[0] ^= 1);
    assert_eq!(found, IntelError::CollateralSignature);
    let found = refused(|intel| intel.collateral.qe_identity_signature[63] ^= 1);
    assert_eq!(found, IntelError::CollateralSignature);
    let found =
        refused(|intel| intel.collateral.pck_crl = resign(&intel.collateral.pck_crl, &key(3), |_| ()));
    assert_eq!(found, IntelError::CollateralSignature);
    let found = refused(|intel| {
        intel.collateral.root_ca_crl = resign(&intel.collateral.root_ca_crl, &key(3), |_| ())
    });
    assert_eq!(found, IntelError::CollateralSignature);
}

#[test]
fn collateral_that_cannot_be_read() {
    assert_eq!(refused(|intel| intel.collateral.tcb_info = "{}".to_owned()), IntelError::Collateral);
    assert_eq!(refused(|intel| intel.collateral.qe_identity = String::new()), IntelError::Collateral);
    assert_eq!(refused(|intel| intel.collateral.root_ca_crl = vec![0x30, 0]), IntelError::Collateral);
}

#[test]
fn chains_to_another_root() {
    assert_eq!(refused(|intel| intel.root = certify(&intel.root, &key(9), &key(9))), IntelError::Root);
    let chain = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        refused(|intel| {
            change(&mut intel.chain);
            intel.sign_quote();
        })
    };
    assert_eq!(chain(&|chain| chain.swap(0, 2)), IntelError::Root);
    assert_eq!(chain(&|chain| drop(chain.pop())), IntelError::Root);
    assert_eq!(chain(&|chain| chain.insert(0, chain[0].clone())), IntelError::Root);
}

#[test]
fn certificates_that_do_not_hold() {
    let chain = |at: usize, issuer: u8| {
        refused(|intel| {
            intel.chain[at] = certify(&intel.chain[at], &key(3 - u8::try_from(at).unwrap()), &key(issuer));
            intel.sign_quote();
        })
    };
    assert_eq!(chain(0, 9), IntelError::Certificates);
    assert_eq!(chain(1, 9), IntelError::Certificates);
    // Who signs statements does not make platforms.
    assert_eq!(chain(0, 4), IntelError::Certificates);
    let swapped = refused(|intel| {
        intel.chain.swap(0, 1);
        intel.sign_quote();
    });
    assert_eq!(swapped, IntelError::Certificates);
}

#[test]
fn quotes_of_other_forms() {
    let good = Intel::new(&files::tdx());
    for (at, value) in [
        (0, 2),
        (0, 6),
        (4, 0),
        (4, 0x82),
        // The length of what is signed with, the type and length of data, in it and in turn.
        (632, 0),
        (632 + 4 + 128, 5),
        (632 + 4 + 130, 0),
        (632 + 4 + 134 + 448, 0),
    ] {
        let mut intel = good.clone();
        intel.quote[at] = value;
        assert_eq!(intel.check().unwrap_err(), IntelError::Form, "{at}");
    }
    // A byte more behind what is signed with, or in it and behind the chain, with lengths that count it.
    for lengths in [&[632][..], &[632, 632 + 4 + 130]] {
        let mut intel = good.clone();
        intel.quote.push(0);
        for at in lengths {
            let length: &mut [u8; 4] = intel.quote[*at..].first_chunk_mut().unwrap();
            *length = (u32::from_le_bytes(*length) + 1).to_le_bytes();
        }
        assert_eq!(intel.check().unwrap_err(), IntelError::Form, "{lengths:?}");
    }
    // Another kind of chain, and another maker of quoting enclaves.
    assert_eq!(refused(|intel| intel.quote[12] ^= 1), IntelError::Other);
    let at = good.quote.len() - pem_of(&good.quote).len() - 1 - 6;
    assert_eq!(refused(|intel| intel.quote[at] = 3), IntelError::Form);
    assert_eq!(refused(|intel| intel.quote[at + 20] = b'_'), IntelError::Root);
}
