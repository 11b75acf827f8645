//! Chains of certificates, from a key to a root that is believed (RFC 5280, section 6, for the chains that NVIDIA issues).
//!
//! Deviation: no revocation lists, which NVIDIA's chains do not come with; fingerprints are given out instead.

use crate::certificate::{Certificate, Fault, PathLimit};
use crate::error::ChainError;
use crate::{Fingerprint, pem};
use std::collections::BTreeSet;

/// How many certificates a chain may have, its root included.
pub const CHAIN_MAX: usize = 8;

/// A root that is believed, and what has been found to follow from it.
#[derive(Debug, Clone)]
pub struct Anchors {
    root: Certificate,
    /// Certificates whose signature under the key of another was checked: the two fingerprints.
    checked: BTreeSet<(Fingerprint, Fingerprint)>,
}

/// How many signatures of authorities are remembered.
const CHECKED_MAX: usize = 256;

impl Anchors {
    /// NVIDIA's root of the identities of devices, as it is built in.
    ///
    /// # Errors
    /// None with the built-in file.
    pub fn device_identity() -> Result<Self, ChainError> {
        Self::from_pem(include_str!("../roots/device-identity.pem"))
    }

    /// NVIDIA's root of reference measurements, as it is built in.
    ///
    /// # Errors
    /// None with the built-in file.
    pub fn reference_values() -> Result<Self, ChainError> {
        Self::from_pem(include_str!("../roots/reference-values.pem"))
    }

    /// Another root: whoever has its key can make evidence of any GPU.
    ///
    /// # Errors
    /// [`ChainError`] if the text is not one certificate that may sign others.
    pub fn from_pem(text: &str) -> Result<Self, ChainError> {
        let ders = pem::decode(text)?;
        let [der] = ders.as_slice() else {
            return Err(ChainError::Length { max: 1, got: ders.len() });
        };
        let root = parse(der, 0)?;
        if root.authority.is_none() {
            return Err(ChainError::NotAuthority { at: 0 });
        }
        Ok(Self { root, checked: BTreeSet::new() })
    }

    /// Remembers the signatures within a chain, most of which are the same for many devices, so that they are not
    /// checked again. What is believed stays the same.
    ///
    /// # Errors
    /// [`ChainError`] if the chain does not hold.
    pub fn learn(&mut self, chain: &str, now: u64) -> Result<(), ChainError> {
        let chain = verify(&pem::decode(chain)?, self, now)?;
        for pair in chain.certificates.windows(2) {
            if let [certificate, issuer] = pair
                && self.checked.len() < CHECKED_MAX
            {
                self.checked.insert((certificate.fingerprint(), issuer.fingerprint()));
            }
        }
        Ok(())
    }
}

/// A chain that holds.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    certificates: Vec<Certificate>,
    leaf: Certificate,
    /// When the first of its certificates expires, in seconds since 1970.
    pub(crate) valid_until: u64,
}

impl Chain {
    /// The one that signs no certificate.
    pub(crate) fn leaf(&self) -> &Certificate {
        &self.leaf
    }

    pub(crate) fn fingerprints(&self) -> Vec<Fingerprint> {
        self.certificates.iter().map(Certificate::fingerprint).collect()
    }
}

/// Checks a chain, first certificate first, root last.
pub(crate) fn verify(ders: &[Vec<u8>], anchors: &Anchors, now: u64) -> Result<Chain, ChainError> {
    if ders.len() < 2 || ders.len() > CHAIN_MAX {
        return Err(ChainError::Length { max: CHAIN_MAX, got: ders.len() });
    }
    let certificates: Vec<Certificate> =
        ders.iter().enumerate().map(|(at, der)| parse(der, at)).collect::<Result<_, _>>()?;
    let (Some(leaf), Some(root)) = (certificates.first(), certificates.last()) else {
        return Err(ChainError::Length { max: CHAIN_MAX, got: 0 });
    };
    // The root is compared, so that its own signature says nothing more.
    if root.der() != anchors.root.der() {
        return Err(ChainError::Root);
    }
    for (at, certificate) in certificates.iter().enumerate() {
        if now < certificate.not_before {
            return Err(ChainError::NotYetValid { at });
        }
        if now > certificate.not_after {
            return Err(ChainError::Expired { at });
        }
        // Between an authority and the first certificate are all others below it.
        let below = at.saturating_sub(1);
        let allowed = match certificate.authority {
            None => at == 0,
            Some(PathLimit::None) => true,
            Some(PathLimit::AtMost(limit)) => below <= usize::from(limit),
        };
        if !allowed {
            return Err(ChainError::NotAuthority { at });
        }
    }
    if !leaf.signs {
        return Err(ChainError::KeyUsage);
    }
    for (at, pair) in certificates.windows(2).enumerate() {
        let [certificate, issuer] = pair else { continue };
        if certificate.issuer != issuer.subject {
            return Err(ChainError::Issuer { at });
        }
        let known = anchors.checked.contains(&(certificate.fingerprint(), issuer.fingerprint()));
        if !known && !certificate.signed_by(issuer) {
            return Err(ChainError::Signature { at });
        }
    }
    let valid_until = certificates.iter().map(|it| it.not_after).min().unwrap_or_default();
    Ok(Chain { leaf: leaf.clone(), valid_until, certificates })
}

fn parse(der: &[u8], at: usize) -> Result<Certificate, ChainError> {
    Certificate::parse(der).map_err(|fault| match fault {
        Fault::Malformed => ChainError::Malformed { at },
        Fault::Algorithm => ChainError::Algorithm { at },
        Fault::Extension => ChainError::Extension { at },
    })
}
