//! One X.509 certificate: the few kinds that NVIDIA issues, in their one encoding (RFC 5280, DER).

use crate::signature::Key;
use sha2::{Digest as _, Sha256};
use x509_cert::{
    Certificate as Parsed,
    der::{
        Decode as _, Encode as _, Reader as _, SliceReader,
        asn1::{AnyRef, ObjectIdentifier},
    },
    ext::pkix::{BasicConstraints, KeyUsage},
};

/// SHA-256 of a certificate in DER: a name for it, in lists of those that are revoked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of these bytes.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl core::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A certificate whose form has been checked, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    der: Vec<u8>,
    /// What is signed.
    body: Vec<u8>,
    signature: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) key: Key,
    /// Seconds since 1970.
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    /// Whether it may sign certificates, and how many may be between it and the first.
    pub(crate) authority: Option<PathLimit>,
    pub(crate) signs: bool,
    /// SHA-384 of the firmware that the key was made for.
    pub(crate) firmware: Option<[u8; 48]>,
}

/// How many authorities may be below one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathLimit {
    None,
    AtMost(u8),
}

/// What is wrong with a certificate by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Malformed,
    Algorithm,
    Extension,
}

const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
/// DICE TCB information, as it is (`.1`) and as NVIDIA's GPUs have it.
const DICE: [ObjectIdentifier; 2] =
    [ObjectIdentifier::new_unwrap("2.23.133.5.4.1"), ObjectIdentifier::new_unwrap("2.23.133.5.4.1.1")];
/// SHA-384 as an identifier, then the beginning of 48 bytes: what stands before a FWID.
const FWID_PREFIX: [u8; 13] = [0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x04, 0x30];

impl Certificate {
    pub(crate) fn parse(der: &[u8]) -> Result<Self, Fault> {
        let parsed = Parsed::from_der(der).map_err(|_| Fault::Malformed)?;
        let signed = signed_part(der).map_err(|_| Fault::Malformed)?.to_vec();
        let body = parsed.tbs_certificate();
        let algorithms = [parsed.signature_algorithm(), body.signature()];
        if algorithms.iter().any(|it| it.oid != ECDSA_WITH_SHA384 || it.parameters.is_some()) {
            return Err(Fault::Algorithm);
        }
        let info = body.subject_public_key_info();
        let curve = info.algorithm.parameters.as_ref().map(|it| it.decode_as::<ObjectIdentifier>());
        if info.algorithm.oid != EC_PUBLIC_KEY || !matches!(curve, Some(Ok(SECP384R1))) {
            return Err(Fault::Algorithm);
        }
        let point = info.subject_public_key.as_bytes().ok_or(Fault::Malformed)?;
        let encoded = |it: x509_cert::der::Result<Vec<u8>>| it.map_err(|_| Fault::Malformed);
        let mut certificate = Self {
            der: der.to_vec(),
            body: signed,
            signature: parsed.signature().as_bytes().ok_or(Fault::Malformed)?.to_vec(),
            issuer: encoded(body.issuer().to_der())?,
            subject: encoded(body.subject().to_der())?,
            key: Key::from_point(point).ok_or(Fault::Malformed)?,
            not_before: body.validity().not_before.to_unix_duration().as_secs(),
            not_after: body.validity().not_after.to_unix_duration().as_secs(),
            authority: None,
            signs: false,
            firmware: None,
        };
        let mut may_certify = false;
        let mut constraints = None;
        for extension in body.extensions().map(Vec::as_slice).unwrap_or_default() {
            let value = extension.extn_value.as_bytes();
            match extension.extn_id {
                BASIC_CONSTRAINTS => {
                    constraints = Some(BasicConstraints::from_der(value).map_err(|_| Fault::Malformed)?);
                }
                KEY_USAGE => {
                    let usage = KeyUsage::from_der(value).map_err(|_| Fault::Malformed)?;
                    certificate.signs = usage.digital_signature();
                    may_certify = usage.key_cert_sign();
                }
                id if DICE.contains(&id) => certificate.firmware = firmware(value),
                _ if extension.critical => return Err(Fault::Extension),
                _ => {}
            }
        }
        if let Some(constraints) = constraints
            && constraints.ca
            && may_certify
        {
            certificate.authority =
                Some(constraints.path_len_constraint.map_or(PathLimit::None, PathLimit::AtMost));
        }
        Ok(certificate)
    }

    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.der)
    }

    /// Whether the issuer's key signed it.
    pub(crate) fn signed_by(&self, issuer: &Self) -> bool {
        issuer.key.signed_der(&self.body, &self.signature)
    }
}

/// What is signed, as it is there: NVIDIA writes some times as no encoder would.
fn signed_part(der: &[u8]) -> x509_cert::der::Result<&[u8]> {
    let outer = AnyRef::from_der(der)?;
    SliceReader::new(outer.value())?.tlv_bytes()
}

/// The first FWID of DICE TCB information: the hash of what the layer below started. Hopper has one, Blackwell's second is zero.
fn firmware(value: &[u8]) -> Option<[u8; 48]> {
    let (_, fwid) = value
        .windows(FWID_PREFIX.len())
        .enumerate()
        .find(|(_, window)| *window == FWID_PREFIX)
        .and_then(|(at, _)| value.get(at..)?.split_at_checked(FWID_PREFIX.len()))?;
    fwid.first_chunk().copied()
}
