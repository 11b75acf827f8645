//! Certificates of AMD's chips, and AMD's keys that sign them: RSA-PSS with SHA-384.

use super::AmdError;
use crate::signature::{self, POINT_BYTES, RsaKey};
use crate::trust::Trust;
use tacit_policy::{Fingerprint, Product, Versions};
use x509_cert::{
    Certificate,
    der::{
        Decode as _, Encode as _, Reader as _, SliceReader,
        asn1::{AnyRef, BitStringRef, ObjectIdentifier},
    },
};

/// A chip's certificate that AMD signed.
pub(crate) struct Vcek {
    pub(crate) product: Product,
    /// A point of P-384.
    pub(crate) key: [u8; POINT_BYTES],
    pub(crate) versions: Versions,
    /// As reports name it.
    pub(crate) chip: [u8; 64],
    pub(crate) fingerprint: Fingerprint,
    pub(crate) not_after: u64,
}

/// AMD's key for a product (ASK): who signs certificates of chips.
#[derive(Debug, Clone)]
pub(crate) struct Authority {
    pub(crate) product: Product,
    subject: Vec<u8>,
    key: RsaKey,
    not_before: u64,
    not_after: u64,
}

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const BOOTLOADER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.1");
const TEE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.2");
const SNP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.3");
const MICROCODE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.8");
const FMC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.9");
const CHIP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.4");
/// RSA-PSS with SHA-384, its mask with SHA-384, 48 bytes of salt, in the two ways that AMD writes it: with the last parameter, which
/// has the value that it has by default, and without.
const RSA_PSS_SHA384: [&[u8]; 2] = [
    &[
        0x30, 0x46, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a, 0x30, 0x39, 0xa0, 0x0f,
        0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0xa1, 0x1c,
        0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30, 0x0d, 0x06, 0x09,
        0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0xa2, 0x03, 0x02, 0x01, 0x30, 0xa3,
        0x03, 0x02, 0x01, 0x01,
    ],
    &[
        0x30, 0x41, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a, 0x30, 0x34, 0xa0, 0x0f,
        0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0xa1, 0x1c,
        0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30, 0x0d, 0x06, 0x09,
        0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0xa2, 0x03, 0x02, 0x01, 0x30,
    ],
];

/// The three parts of a certificate as they are there.
struct Parts<'a> {
    body: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
}

fn parts(der: &[u8]) -> x509_cert::der::Result<Parts<'_>> {
    let mut reader = SliceReader::new(AnyRef::from_der(der)?.value())?;
    let parts =
        Parts { body: reader.tlv_bytes()?, algorithm: reader.tlv_bytes()?, signature: reader.tlv_bytes()? };
    reader.finish()?;
    Ok(parts)
}

impl Authority {
    /// From a certificate that is believed as it is.
    pub(crate) fn new(product: Product, der: &[u8]) -> Option<Self> {
        let parsed = Certificate::from_der(der).ok()?;
        let body = parsed.tbs_certificate();
        let info = body.subject_public_key_info();
        if info.algorithm.oid != RSA {
            return None;
        }
        Some(Self {
            product,
            subject: body.subject().to_der().ok()?,
            key: RsaKey::new(info.subject_public_key.as_bytes()?)?,
            not_before: body.validity().not_before.to_unix_duration().as_secs(),
            not_after: body.validity().not_after.to_unix_duration().as_secs(),
        })
    }

    /// Whether its key signed the certificate, whose algorithm has been checked.
    fn signs(&self, parts: &Parts<'_>) -> bool {
        let bits = BitStringRef::from_der(parts.signature).ok();
        bits.and_then(|bits| bits.as_bytes()).is_some_and(|signature| self.key.signed(parts.body, signature))
    }
}

impl Vcek {
    pub(crate) fn verify(der: &[u8], trust: &Trust, now: u64) -> Result<Self, AmdError> {
        let malformed = |_| AmdError::Certificate;
        let parts = parts(der).map_err(malformed)?;
        let parsed = Certificate::from_der(der).map_err(malformed)?;
        let body = parsed.tbs_certificate();
        // The algorithm is there twice, once under the signature.
        let signed = body.signature().to_der().map_err(malformed)?;
        if parts.algorithm != signed || !RSA_PSS_SHA384.contains(&parts.algorithm) {
            return Err(AmdError::Certificate);
        }
        let issuer = body.issuer().to_der().map_err(malformed)?;
        let authority = trust.amd().iter().find(|it| it.subject == issuer).ok_or(AmdError::Issuer)?;
        let not_before = body.validity().not_before.to_unix_duration().as_secs().max(authority.not_before);
        let not_after = body.validity().not_after.to_unix_duration().as_secs().min(authority.not_after);
        if now < not_before {
            return Err(AmdError::NotYetValid);
        }
        if now > not_after {
            return Err(AmdError::Expired);
        }
        if !authority.signs(&parts) {
            return Err(AmdError::CertificateSignature);
        }
        let info = body.subject_public_key_info();
        let curve = info.algorithm.parameters.as_ref().map(|it| it.decode_as::<ObjectIdentifier>());
        let point = info.subject_public_key.as_bytes().unwrap_or_default();
        let key = point.try_into().map_err(|_| AmdError::Certificate)?;
        let curve = matches!(curve, Some(Ok(SECP384R1)));
        if info.algorithm.oid != EC_PUBLIC_KEY || !curve || !signature::is_point(&key) {
            return Err(AmdError::Certificate);
        }
        let extensions = body.extensions().map(Vec::as_slice).unwrap_or_default();
        let value = |id: ObjectIdentifier| {
            extensions.iter().find(|it| it.extn_id == id).map(|it| it.extn_value.as_bytes())
        };
        let version = |id| value(id).and_then(|value| u8::from_der(value).ok()).ok_or(AmdError::Certificate);
        let versions = Versions {
            fmc: if authority.product == Product::Turin { version(FMC)? } else { 0 },
            bootloader: version(BOOTLOADER)?,
            tee: version(TEE)?,
            snp: version(SNP)?,
            microcode: version(MICROCODE)?,
        };
        // 64 bytes, or since Turin 8, which reports fill up with zeros.
        let (name, mut chip) = (value(CHIP).ok_or(AmdError::Certificate)?, [0; 64]);
        if name.len() != 64 && (authority.product != Product::Turin || name.len() != 8) {
            return Err(AmdError::Certificate);
        }
        chip.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
        let (product, fingerprint) = (authority.product, Fingerprint::of(der));
        Ok(Self { product, key, versions, chip, fingerprint, not_after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Product, root and key, as they are built in.
    const BUILT_IN: [(Product, &str, &str); 3] = [
        (
            Product::Milan,
            include_str!("../../roots/amd-milan-ark.pem"),
            include_str!("../../roots/amd-milan-ask.pem"),
        ),
        (
            Product::Genoa,
            include_str!("../../roots/amd-genoa-ark.pem"),
            include_str!("../../roots/amd-genoa-ask.pem"),
        ),
        (
            Product::Turin,
            include_str!("../../roots/amd-turin-ark.pem"),
            include_str!("../../roots/amd-turin-ask.pem"),
        ),
    ];

    #[test]
    fn keys_that_are_built_in_are_signed_by_roots_that_sign_themselves() {
        for (product, root, key) in BUILT_IN {
            let [root, key] = [root, key].map(|pem| tacit_nvidia::decode_pem(pem).unwrap().remove(0));
            let authority = Authority::new(product, &root).unwrap();
            for der in [&root, &key] {
                let parts = parts(der).unwrap();
                assert!(RSA_PSS_SHA384.contains(&parts.algorithm));
                assert!(authority.signs(&parts), "{product:?}");
            }
            // And by no other root.
            let other = if product == Product::Milan { 1 } else { 0 };
            let other = tacit_nvidia::decode_pem(BUILT_IN[other].1).unwrap().remove(0);
            assert!(!Authority::new(product, &other).unwrap().signs(&parts(&key).unwrap()));
        }
    }
}
