//! One attack per test, on evidence that is otherwise accepted.

use crate::files::{DRIVER, NOW, VBIOS, h100, other_h100};
use crate::forge;
use p384::ecdsa::SigningKey;
use tacit_nvidia::{
    Anchors, ChainError, CompareError, Gpu, GpuError, Measured, PemError, Report, ReportError, Rim, RimError,
    XmlError, verify,
};

/// A vendor of our own: keys 1 to 5 of a GPU's chain, 11 to 14 of a file's.
struct Vendor {
    report: Vec<u8>,
    chain: Vec<Vec<u8>>,
    anchors: Anchors,
    rim_chain: Vec<Vec<u8>>,
    rim_anchors: Anchors,
}

const DRIVER_VERSION: &str = "550.90.07";
const VBIOS_VERSION: &str = "96.00.9F.00.01";

impl Vendor {
    fn new() -> Self {
        let sample = other_h100();
        let chain = forge::chain(sample.chain, 1);
        let rim_chain = forge::chain(&forge::rim_chain(VBIOS), 11);
        let mut report = sample.report;
        forge::sign_report(&mut report, &forge::key(1));
        let anchors = Anchors::from_pem(&forge::pem(&chain[4..])).unwrap();
        let rim_anchors = Anchors::from_pem(&forge::pem(&rim_chain[3..])).unwrap();
        Self { report, chain, anchors, rim_chain, rim_anchors }
    }

    fn check(&self) -> Result<Gpu, GpuError> {
        verify(&self.report, &forge::pem(&self.chain), &other_h100().nonce(), &self.anchors, NOW)
    }

    /// With a report that was changed and signed again.
    fn signed(&self, change: impl FnOnce(&mut Vec<u8>)) -> Result<Gpu, GpuError> {
        let mut report = self.report.clone();
        change(&mut report);
        forge::sign_report(&mut report, &forge::key(1));
        verify(&report, &forge::pem(&self.chain), &other_h100().nonce(), &self.anchors, NOW)
    }

    /// With one certificate made anew: `at`, signed by `issuer`, after a change.
    fn certified(
        mut self,
        at: usize,
        issuer: &SigningKey,
        edit: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Gpu, GpuError> {
        let subject = forge::key(u8::try_from(at).unwrap() + 1);
        self.chain[at] = forge::certify(&self.chain[at], &subject, issuer, edit);
        self.check()
    }

    /// A file of references to what the report says.
    fn references(&self, version: &str, product: &str, indices: &[u8]) -> Rim {
        let report = Report::parse(&self.report).unwrap();
        let of = |index: &u8| report.measurements().iter().find(|(it, _)| it == index).unwrap().1;
        let list: Vec<_> = indices.iter().map(|index| (*index, true, vec![[7; 48], of(index)])).collect();
        self.rim(version, product, &list)
    }

    fn rim(&self, version: &str, product: &str, list: &[forge::Reference]) -> Rim {
        let text = forge::rim(version, product, list, &self.rim_chain, &forge::key(11));
        Rim::verify(&text, &self.rim_anchors, NOW).unwrap()
    }

    fn compare(&self, vbios: &Rim) -> Result<Measured, CompareError> {
        let driver = self.references(DRIVER_VERSION, "GH100", &[7, 23]);
        self.check().unwrap().compare(&[vbios, &driver])
    }
}

#[test]
fn evidence_of_another_vendor_is_accepted_under_its_root_alone() {
    let vendor = Vendor::new();
    assert!(vendor.check().is_ok());
    let vbios = vendor.references("96.00.9f.00.01", "GH100", &[0, 1, 12]);
    let measured = vendor.compare(&vbios).unwrap();
    assert_eq!(measured.product(), "GH100");
    assert_eq!(measured.references()[1], vbios.fingerprint());
    let anchors = Anchors::device_identity().unwrap();
    let refused = verify(&vendor.report, &forge::pem(&vendor.chain), &other_h100().nonce(), &anchors, NOW);
    assert_eq!(refused.unwrap_err(), GpuError::Chain(ChainError::Root));
}

#[test]
fn a_report_about_another_nonce() {
    let mut nonce = other_h100().nonce();
    nonce[31] ^= 1;
    let vendor = Vendor::new();
    let refused =
        verify(&vendor.report, &forge::pem(&vendor.chain), &nonce, &vendor.anchors, NOW).unwrap_err();
    assert_eq!(refused, GpuError::Nonce);
}

#[test]
fn a_report_signed_by_the_key_above() {
    let mut vendor = Vendor::new();
    forge::sign_report(&mut vendor.report, &forge::key(2));
    assert_eq!(vendor.check().unwrap_err(), GpuError::Signature);
}

#[test]
fn the_chain_of_another_gpu() {
    let (anchors, sample) = (Anchors::device_identity().unwrap(), h100());
    let refused = verify(&sample.report, other_h100().chain, &sample.nonce(), &anchors, NOW).unwrap_err();
    assert_eq!(refused, GpuError::Signature);
}

#[test]
fn firmware_that_the_key_was_not_made_for() {
    let firmware = Report::parse(&other_h100().report).unwrap().opaque(20).unwrap().to_vec();
    let refused = Vendor::new().signed(|report| forge::replace(report, &firmware, &[9; 48])).unwrap_err();
    assert_eq!(refused, GpuError::Firmware);
    // A certificate that does not say what its key was made for.
    let refused =
        Vendor::new().certified(0, &forge::key(2), |body| forge::replace(body, &firmware, &[8; 48]));
    assert_eq!(refused.unwrap_err(), GpuError::Firmware);
    let sha384 = [0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x04, 0x30];
    let sha256 = [0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x04, 0x30];
    let refused = Vendor::new().certified(0, &forge::key(2), |body| forge::replace(body, &sha384, &sha256));
    assert_eq!(refused.unwrap_err(), GpuError::Firmware);
}

#[test]
fn messages_of_another_form() {
    let report = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vendor::new().report;
        change(&mut bytes);
        Report::parse(&bytes).unwrap_err()
    };
    assert_eq!(report(&|it| it[0] = 0x12), ReportError::Version { got: 0x12 });
    assert_eq!(report(&|it| it[37] = 0x10), ReportError::Version { got: 0x10 });
    // No request for measurements, one for a single one, one for unsigned ones, another response.
    for (at, value) in [(1, 0xe1), (3, 1), (2, 0), (38, 0x7f)] {
        assert_eq!(report(&|it| it[at] = value), ReportError::Message);
    }
    // A block of another specification, sizes of others, an index twice, an index of zero.
    let block = 37 + 8;
    for (at, value, which) in
        [(block + 1, 2, 0), (block + 2, 50, 0), (block + 5, 32, 0), (block + 55, 1, 1), (block, 0, 0)]
    {
        assert_eq!(report(&|it| it[at] = value), ReportError::Block { at: which });
    }
    assert_eq!(report(&|it| it[37 + 4] = 63), ReportError::Record);
    assert_eq!(report(&|it| it[37 + 4] = 65), ReportError::Short { field: "block" });
    assert_eq!(report(&|it| it[37 + 7] = 1), ReportError::Short { field: "blocks" });
    let opaque = block + 64 * 55 + 32 + 2;
    // The second field is the first again, or longer than there is.
    assert_eq!(report(&|it| it[opaque + 12] = 6), ReportError::Opaque { at: 1 });
    assert_eq!(report(&|it| it[opaque + 15] = 0xff), ReportError::Short { field: "opaque field" });
    assert_eq!(report(&|it| it[opaque] = 60), ReportError::Missing { field: "VBIOS" });
    let driver = |it: &mut Vec<u8>| forge::replace(it, b"550.90.07\0", b"550.90\x0707\0");
    assert_eq!(report(&driver), ReportError::Missing { field: "driver" });
    assert_eq!(report(&|it| it.push(0)), ReportError::Trailing { got: 1 });
    let long = |it: &mut Vec<u8>| it.resize(tacit_nvidia::REPORT_BYTES_MAX + 1, 0);
    assert!(matches!(report(&long), ReportError::Length { .. }));
}

#[test]
fn more_opaque_fields_than_any_report_has() {
    let mut bytes = Vendor::new().report;
    let signature = bytes.split_off(bytes.len() - 96);
    let length = 37 + 8 + 64 * 55 + 32;
    let mut count = u16::from_le_bytes([bytes[length], bytes[length + 1]]);
    for kind in 1000_u16..1100 {
        bytes.extend([kind.to_le_bytes(), [0, 0]].concat());
        count += 4;
    }
    bytes[length..length + 2].copy_from_slice(&count.to_le_bytes());
    bytes.extend(signature);
    assert_eq!(Report::parse(&bytes), Err(ReportError::Opaque { at: tacit_nvidia::OPAQUE_FIELDS_MAX }));
}

fn chain_refused(change: impl FnOnce(&mut Vendor)) -> ChainError {
    let mut vendor = Vendor::new();
    change(&mut vendor);
    match vendor.check().unwrap_err() {
        GpuError::Chain(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn a_chain_to_another_root() {
    let refused = chain_refused(|vendor| {
        let root = forge::certify(&vendor.chain[4], &forge::key(99), &forge::key(99), |_| ());
        vendor.anchors = Anchors::from_pem(&forge::pem(&[root])).unwrap();
    });
    assert_eq!(refused, ChainError::Root);
}

#[test]
fn a_chain_whose_root_is_signed_anew() {
    // The same key and names, another signature: not the certificate that is believed.
    let refused = chain_refused(|vendor| {
        vendor.chain[4] = forge::certify(&vendor.chain[4], &forge::key(5), &forge::key(6), |_| ());
    });
    assert_eq!(refused, ChainError::Root);
}

#[test]
fn certificates_signed_by_no_issuer_of_theirs() {
    for at in 0..4 {
        let refused = Vendor::new().certified(at, &forge::key(99), |_| ()).unwrap_err();
        assert_eq!(refused, GpuError::Chain(ChainError::Signature { at }));
    }
}

#[test]
fn swapped_certificates() {
    assert_eq!(chain_refused(|vendor| vendor.chain.swap(0, 1)), ChainError::NotAuthority { at: 1 });
    assert_eq!(chain_refused(|vendor| vendor.chain.swap(1, 2)), ChainError::Issuer { at: 0 });
    assert_eq!(chain_refused(|vendor| vendor.chain.swap(3, 4)), ChainError::Root);
}

#[test]
fn chains_too_short_or_too_long() {
    let refused = chain_refused(|vendor| vendor.chain.drain(..4).for_each(drop));
    assert_eq!(refused, ChainError::Length { max: 8, got: 1 });
    let refused = chain_refused(|vendor| vendor.chain = vec![vendor.chain[0].clone(); 9]);
    assert_eq!(refused, ChainError::Length { max: 8, got: 9 });
    assert_eq!(chain_refused(|vendor| drop(vendor.chain.remove(2))), ChainError::Issuer { at: 1 });
}

#[test]
fn the_device_as_its_own_reporter() {
    // A key that may sign certificates, and nothing else.
    let refused = chain_refused(|vendor| drop(vendor.chain.remove(0)));
    assert_eq!(refused, ChainError::KeyUsage);
}

#[test]
fn a_gpu_that_certifies_another() {
    let refused = chain_refused(|vendor| {
        let below = forge::certify(&vendor.chain[0], &forge::key(50), &forge::key(1), |_| ());
        vendor.chain.insert(0, below);
    });
    assert_eq!(refused, ChainError::NotAuthority { at: 1 });
}

#[test]
fn an_authority_whose_key_is_for_other_things() {
    let (certificates, messages) =
        ([0x04, 0x04, 0x03, 0x02, 0x02, 0x04], [0x04, 0x04, 0x03, 0x02, 0x07, 0x80]);
    let edit = |body: &mut Vec<u8>| forge::replace(body, &certificates, &messages);
    let refused = Vendor::new().certified(1, &forge::key(3), edit).unwrap_err();
    assert_eq!(refused, GpuError::Chain(ChainError::NotAuthority { at: 1 }));
}

#[test]
fn more_authorities_than_one_allows() {
    // The root is changed to allow none below it but the last.
    let refused = chain_refused(|vendor| {
        let (any, none) = ([0x30, 0x03, 0x01, 0x01, 0xff], [0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0x00]);
        let old = [&[0x04, 0x05][..], &any].concat();
        let root = forge::certify(&vendor.chain[4], &forge::key(5), &forge::key(5), |body| {
            limit(body, &old, &[&[0x04, 0x08][..], &none].concat());
        });
        vendor.anchors = Anchors::from_pem(&forge::pem(std::slice::from_ref(&root))).unwrap();
        vendor.chain[4] = root;
    });
    assert_eq!(refused, ChainError::NotAuthority { at: 4 });
}

/// Replaces the value of the extension that says who is an authority, in three lengths around it.
fn limit(body: &mut Vec<u8>, old: &[u8], new: &[u8]) {
    let at = body.windows(old.len()).position(|window| window == old).unwrap();
    // Extension: head, identifier (5), critical (3), value. Around it: extensions in a sequence in an element [3].
    assert_eq!((body[at - 10], body[at - 8]), (0x30, 0x06));
    body[at - 9] += 3;
    let mut start = body.iter().rposition(|byte| *byte == 0xa3).unwrap();
    while !(body[start] == 0xa3 && body[start + 2] == 0x30 && body[start + 1] == body[start + 3] + 2) {
        start = body[..start].iter().rposition(|byte| *byte == 0xa3).unwrap();
    }
    body[start + 1] += 3;
    body[start + 3] += 3;
    forge::replace(body, old, new);
}

#[test]
fn times_before_and_after_a_certificate() {
    let end = b"99991231235959Z";
    for at in 0..4_usize {
        let issuer = forge::key(u8::try_from(at).unwrap() + 2);
        let refused =
            Vendor::new().certified(at, &issuer, |body| forge::replace(body, end, b"20250101000000Z"));
        assert_eq!(refused.unwrap_err(), GpuError::Chain(ChainError::Expired { at }));
    }
    for (at, begin) in [(0, b"201017000000Z"), (1, b"201017000000Z"), (3, b"220112000000Z")] {
        let issuer = forge::key(u8::try_from(at).unwrap() + 2);
        let refused =
            Vendor::new().certified(at, &issuer, |body| forge::replace(body, begin, b"260101000000Z"));
        assert_eq!(refused.unwrap_err(), GpuError::Chain(ChainError::NotYetValid { at }));
    }
}

#[test]
fn other_algorithms() {
    // ECDSA with SHA-256, where the signature says so and where what is signed says so.
    let (sha384, sha256) =
        ([0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03], [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]);
    let refused = Vendor::new().certified(1, &forge::key(3), |body| forge::replace(body, &sha384, &sha256));
    assert_eq!(refused.unwrap_err(), GpuError::Chain(ChainError::Algorithm { at: 1 }));
    let refused = chain_refused(|vendor| {
        let (_, content, _) = forge::split(&vendor.chain[1]);
        let (head, body, rest) = forge::split(content);
        let mut rest = rest.to_vec();
        forge::replace(&mut rest, &sha384, &sha256);
        vendor.chain[1] = forge::element(0x30, &[head, body, &rest].concat());
    });
    assert_eq!(refused, ChainError::Algorithm { at: 1 });
    // Another curve.
    let (p384, other) = ([0x2b, 0x81, 0x04, 0x00, 0x22], [0x2b, 0x81, 0x04, 0x00, 0x23]);
    let refused = Vendor::new().certified(0, &forge::key(2), |body| forge::replace(body, &p384, &other));
    assert_eq!(refused.unwrap_err(), GpuError::Chain(ChainError::Algorithm { at: 0 }));
}

#[test]
fn an_extension_that_must_be_understood_and_is_not() {
    let (usage, unknown) = ([0x06, 0x03, 0x55, 0x1d, 0x0f], [0x06, 0x03, 0x55, 0x1d, 0x7f]);
    let refused = Vendor::new().certified(0, &forge::key(2), |body| forge::replace(body, &usage, &unknown));
    assert_eq!(refused.unwrap_err(), GpuError::Chain(ChainError::Extension { at: 0 }));
}

#[test]
fn what_is_no_certificate() {
    let refused = chain_refused(|vendor| vendor.chain[2].push(0));
    assert_eq!(refused, ChainError::Malformed { at: 2 });
    let refused = chain_refused(|vendor| vendor.chain[3] = vec![0x30, 0]);
    assert_eq!(refused, ChainError::Malformed { at: 3 });
}

#[test]
fn what_is_no_pem() {
    let vendor = Vendor::new();
    let refused = |text: &str| match verify(&vendor.report, text, &other_h100().nonce(), &vendor.anchors, NOW)
        .unwrap_err()
    {
        GpuError::Chain(ChainError::Pem(error)) => error,
        other => panic!("{other}"),
    };
    let good = forge::pem(&vendor.chain);
    assert_eq!(refused(&format!("subject\n{good}")), PemError::Boundary { line: 0 });
    let cut = good.trim_end().strip_suffix("-----END CERTIFICATE-----").unwrap();
    assert!(matches!(refused(cut), PemError::Base64 { .. }));
    assert!(matches!(refused(cut.trim_end()), PemError::Boundary { .. } | PemError::Base64 { .. }));
    assert_eq!(refused("-----BEGIN CERTIFICATE-----"), PemError::Boundary { line: 1 });
    assert_eq!(refused(&good.replacen("\nMII", "\n\nMII", 1)), PemError::Base64 { line: 1 });
    assert_eq!(refused(&good.replacen("MII", "MI I", 1)), PemError::Base64 { line: 1 });
    assert!(matches!(refused(&good.replacen('=', "", 1)), PemError::Base64 { .. }));
    assert!(matches!(refused(&good.repeat(8)), PemError::Length { .. }));
}

#[test]
fn a_measurement_that_is_not_golden() {
    let vendor = Vendor::new();
    let bad = vendor.rim(VBIOS_VERSION, "GH100", &[(0, true, vec![[7; 48], [8; 48]])]);
    assert_eq!(vendor.compare(&bad).unwrap_err(), CompareError::Mismatch { index: 0 });
    // Where it does not count, it does not.
    let idle = vendor.rim(
        VBIOS_VERSION,
        "GH100",
        &[(0, false, vec![[7; 48]]), (64, false, vec![]), (35, true, vec![[7; 48]])],
    );
    assert!(vendor.compare(&idle).is_ok(), "the decoder of this GPU is off");
}

#[test]
fn a_decoder_that_is_on_counts() {
    let vendor = Vendor::new();
    let idle = vendor.rim(VBIOS_VERSION, "GH100", &[(35, true, vec![[7; 48]])]);
    let gpu =
        vendor.signed(|report| forge::replace(report, &[11, 0, 1, 0, 0x55], &[11, 0, 1, 0, 0xaa])).unwrap();
    let driver = vendor.references(DRIVER_VERSION, "GH100", &[7]);
    assert_eq!(gpu.compare(&[&driver, &idle]).unwrap_err(), CompareError::Mismatch { index: 35 });
}

#[test]
fn references_that_say_too_much_or_are_for_others() {
    let vendor = Vendor::new();
    let beyond = vendor.rim(VBIOS_VERSION, "GH100", &[(64, true, vec![[7; 48]])]);
    assert_eq!(vendor.compare(&beyond).unwrap_err(), CompareError::Missing { index: 64 });
    let both = vendor.references(VBIOS_VERSION, "GH100", &[0, 23]);
    assert_eq!(vendor.compare(&both).unwrap_err(), CompareError::Conflict { index: 23 });
    let other = vendor.references(VBIOS_VERSION, "GB100", &[0]);
    assert_eq!(vendor.compare(&other).unwrap_err(), CompareError::Product);
    // Where there are files of one driver for several products, the one for this product counts.
    let (gb, gh) =
        (vendor.references(DRIVER_VERSION, "GB100", &[7]), vendor.references(DRIVER_VERSION, "GH100", &[7]));
    let vbios = vendor.references(VBIOS_VERSION, "GH100", &[0]);
    let measured = vendor.check().unwrap().compare(&[&gb, &vbios, &gh]).unwrap();
    assert_eq!(measured.references(), [gh.fingerprint(), vbios.fingerprint()]);
    let older = vendor.references("96.00.9E.00.01", "GH100", &[0]);
    assert_eq!(vendor.compare(&older).unwrap_err(), CompareError::Vbios);
}

fn rim_refused(change: impl FnOnce(&mut Vendor) -> String) -> RimError {
    let mut vendor = Vendor::new();
    let text = change(&mut vendor);
    Rim::verify(&text, &vendor.rim_anchors, NOW).unwrap_err()
}

fn one_measurement() -> Vec<forge::Reference> {
    vec![(1, true, vec![[7; 48]])]
}

fn text_of(vendor: &Vendor) -> String {
    forge::rim("1", "GH100", &one_measurement(), &vendor.rim_chain, &forge::key(11))
}

#[test]
fn a_file_that_was_changed() {
    let changed = VBIOS.replacen("96.00.5E.00.01", "96.00.5E.00.02", 1);
    let anchors = Anchors::reference_values().unwrap();
    assert_eq!(Rim::verify(&changed, &anchors, NOW).unwrap_err(), RimError::Digest);
    assert_eq!(rim_refused(|vendor| text_of(vendor).replace("\n<Meta", " \n<Meta")), RimError::Digest);
}

#[test]
fn a_file_under_the_signature_of_another() {
    let (start, other) = (VBIOS.find("<ds:Signature ").unwrap(), DRIVER.find("<ds:Signature ").unwrap());
    let mixed = format!("{}{}", &VBIOS[..start], &DRIVER[other..]);
    let anchors = Anchors::reference_values().unwrap();
    assert_eq!(Rim::verify(&mixed, &anchors, NOW).unwrap_err(), RimError::Digest);
}

#[test]
fn a_file_signed_by_another_key() {
    let refused = rim_refused(|vendor| {
        forge::rim("1", "GH100", &one_measurement(), &vendor.rim_chain, &forge::key(12))
    });
    assert_eq!(refused, RimError::Signature);
}

#[test]
fn a_file_whose_digest_was_made_anew() {
    // What is signed is the digest: another one needs another signature.
    let refused = rim_refused(|vendor| {
        let digest = |text: &str| {
            let (_, rest) = text.split_once("<d:DigestValue>").unwrap();
            rest.split_once('<').unwrap().0.to_owned()
        };
        let good = text_of(vendor);
        let other = forge::rim("2", "GH100", &one_measurement(), &vendor.rim_chain, &forge::key(99));
        let (document, _) = other.split_once("<d:Signature").unwrap();
        let (_, signature) = good.split_once("<d:Signature").unwrap();
        format!("{document}<d:Signature{}", signature.replace(&digest(&good), &digest(&other)))
    });
    assert_eq!(refused, RimError::Signature);
}

#[test]
fn a_file_signed_by_a_gpu() {
    // A chain that holds, to another root.
    let refused =
        rim_refused(|vendor| forge::rim("1", "GH100", &one_measurement(), &vendor.chain, &forge::key(1)));
    assert_eq!(refused, RimError::Chain(ChainError::Root));
}

#[test]
fn signatures_of_other_forms() {
    for (old, new) in [
        ("2006/12/xml-c14n11", "2001/10/xml-exc-c14n"),
        ("#ecdsa-sha384", "#ecdsa-sha256"),
        ("#enveloped-signature", "#base64"),
        ("URI=\"\"", "URI=\"#x\""),
        ("<d:KeyInfo>", "<d:KeyInfo Id=\"x\">"),
        ("<d:X509Data>", "<d:X509Data>\n"),
        ("<d:X509Data>", "<d:X509Data Id=\"x\">"),
        ("d:X509Data", "d:KeyValue"),
        ("<d:SignedInfo>", "<d:SignedInfo xmlns:x=\"y\">"),
        (
            "</d:Transforms>",
            "<d:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#base64\"></d:Transform></d:Transforms>",
        ),
        ("<d:X509Certificate>", "<d:X509Certificate> "),
        ("d:SignatureValue", "d:Object"),
        ("<Payload>", "<Payload><d:Signature xmlns:d=\"http://www.w3.org/2000/09/xmldsig#\"></d:Signature>"),
        (
            "</d:Signature>",
            "</d:Signature><d:Signature xmlns:d=\"http://www.w3.org/2000/09/xmldsig#\"></d:Signature>",
        ),
    ] {
        let refused = rim_refused(|vendor| {
            let text = text_of(vendor);
            assert!(text.contains(old), "{old}");
            text.replace(old, new)
        });
        assert_eq!(refused, RimError::SignatureForm, "{old} {new}");
    }
    assert_eq!(rim_refused(|_| "<a></a>".to_owned()), RimError::SignatureForm);
}

#[test]
fn signed_files_that_describe_nothing() {
    let namespace = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
    let meta = "<Meta colloquialVersion=\"1\" product=\"GH100\"></Meta>";
    let value = "00".repeat(48);
    let resource = |index: &str, extra: &str| {
        format!(
            "<Resource active=\"True\" alternatives=\"1\" index=\"{index}\" {extra}size=\"48\" type=\"Measurement\" h:Hash0=\"{value}\"></Resource>"
        )
    };
    let payload = |inner: &str| format!("{meta}<Payload>{inner}</Payload>");
    let good = resource("1", "");
    let cases = [
        (payload(""), "Payload"),
        (meta.to_owned(), "Payload"),
        (format!("{}{meta}", payload(&good)), "Meta"),
        (format!("<Payload>{good}</Payload>"), "Meta"),
        (payload(&good).replace("GH100", ""), "product"),
        (payload(&good).replace("colloquialVersion=\"1\" ", ""), "colloquialVersion"),
        (payload(&format!("{good}{good}")), "index"),
        (payload(&resource("256", "")), "Resource"),
        (payload(&good.replace("\"48\"", "\"32\"")), "Resource"),
        (payload(&good.replace("alternatives=\"1\"", "alternatives=\"2\"")), "Resource"),
        (payload(&good.replace("alternatives=\"1\"", "alternatives=\"0\"")), "Resource"),
        (payload(&good.replace("alternatives=\"1\"", "alternatives=\"65\"")), "Resource"),
        (payload(&good.replace("True", "Maybe")), "Resource"),
        (payload(&good.replace(&value, &"0G".repeat(48))), "Resource"),
        (payload(&good.replace("Measurement", "File")), "Resource"),
        (payload("<Resource></Resource>"), "Resource"),
    ];
    for (content, field) in cases {
        let refused = rim_refused(|vendor| {
            let sha384 = "http://www.w3.org/2001/04/xmlenc#sha384";
            let document = format!(
                "<SoftwareIdentity xmlns=\"{namespace}\" xmlns:h=\"{sha384}\">{content}</SoftwareIdentity>"
            );
            forge::sign_xml(&document, &[("", namespace), ("h", sha384)], &vendor.rim_chain, &forge::key(11))
        });
        assert_eq!(refused, RimError::Content { field }, "{content}");
    }
    let refused = rim_refused(|vendor| {
        let document = format!("<Software xmlns=\"{namespace}\">{}</Software>", payload(""));
        forge::sign_xml(&document, &[("", namespace)], &vendor.rim_chain, &forge::key(11))
    });
    assert_eq!(refused, RimError::Content { field: "SoftwareIdentity" });
}

#[test]
fn texts_of_other_kinds() {
    let refused = |text: &str| match rim_refused(|_| text.to_owned()) {
        RimError::Xml(error) => error,
        other => panic!("{other}"),
    };
    for text in ["<!DOCTYPE a>", "<a>\n<!-- no -->", "<a><?no ?></a>", "<a><![CDATA[no]]></a>"] {
        let found = refused(text);
        assert!(matches!(found, XmlError::Markup { .. } | XmlError::Syntax { .. }), "{text}: {found}");
    }
    assert_eq!(refused("<a>\n<!-- no -->"), XmlError::Markup { at: 4 });
    for text in [
        "",
        "a",
        "<a>",
        "<a></b>",
        "<a/><b/>",
        "<a b=c/>",
        "<a b='c'/>",
        "<a b=\"c\"d=\"e\"/>",
        "<a>&#38;</a>",
        "<a>&x;</a>",
        "<a>]]></a>",
        "<a>\r</a>",
        "<a b=\"\n\"/>",
        "<a b=\"<\"/>",
        "<:a/>",
        "<a:/>",
        "<a:b:c/>",
        "<1/>",
        "<a>\0</a>",
    ] {
        let found = refused(text);
        assert!(matches!(found, XmlError::Syntax { .. }), "{text}: {found}");
    }
    for text in [
        "<p:a/>",
        "<a p:b=\"\"/>",
        "<a b=\"\" b=\"\"/>",
        "<a xmlns=\"\"/>",
        "<a xmlns:xmlns=\"b\"/>",
        "<a xmlns:p=\"b\" xmlns:p=\"b\"/>",
        "<a xmlns:p=\"x\" xmlns:q=\"x\" p:b=\"\" q:b=\"\"/>",
        "<a xml:lang=\"en\"/>",
    ] {
        let found = refused(text);
        assert!(matches!(found, XmlError::Name { .. }), "{text}: {found}");
    }
    assert_eq!(refused(&"<a>".repeat(17)), XmlError::Depth { max: 16 });
    assert_eq!(refused(&format!("<a>{}", "<b/>".repeat(1024))), XmlError::Count { max: 1024 });
    let attributes: String = (0..1025).map(|at| format!(" a{at}=\"\"")).collect();
    assert_eq!(refused(&format!("<a{attributes}/>")), XmlError::Count { max: 1024 });
    assert!(matches!(rim_refused(|_| " ".repeat(128 * 1024 + 1)), RimError::Length { .. }));
}

#[test]
fn a_root_is_one_certificate_that_may_sign() {
    let vendor = Vendor::new();
    let refused = |ders: &[Vec<u8>]| Anchors::from_pem(&forge::pem(ders)).unwrap_err();
    assert_eq!(refused(&vendor.chain[..2]), ChainError::Length { max: 1, got: 2 });
    assert_eq!(refused(&vendor.chain[..1]), ChainError::NotAuthority { at: 0 });
}
