//! Whom evidence is believed from: the roots of three vendors, as they are built in, or others.

use crate::amd::Authority;
use tacit_nvidia::{Anchors, ChainError, Rim, RimError};
use tacit_policy::Product;

/// Roots, and reference files that have been checked under them.
#[derive(Debug, Clone)]
pub struct Trust {
    intel: Vec<u8>,
    amd: Vec<Authority>,
    gpu: Anchors,
    references: Anchors,
    known: Vec<Rim>,
}

/// Why a root cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// Not a certificate of the kind that vendors' roots are.
    #[error("no root certificate of this vendor's kind")]
    Root,
    /// Not a root of GPUs.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Not a reference file that the roots signed.
    #[error(transparent)]
    Reference(#[from] RimError),
    /// More files than are kept.
    #[error("at most {max} reference files are kept")]
    Length {
        /// How many.
        max: usize,
    },
}

/// How many reference files [`Trust`] keeps.
pub const KNOWN_MAX: usize = 64;

const AMD: [(Product, &str); 3] = [
    (Product::Milan, include_str!("../roots/amd-milan-ask.pem")),
    (Product::Genoa, include_str!("../roots/amd-genoa-ask.pem")),
    (Product::Turin, include_str!("../roots/amd-turin-ask.pem")),
];

impl Trust {
    /// Intel, AMD and NVIDIA, by the roots that are built in.
    ///
    /// # Errors
    /// None with the built-in files.
    pub fn vendors() -> Result<Self, TrustError> {
        let (gpu, references) = (Anchors::device_identity()?, Anchors::reference_values()?);
        let intel = include_bytes!("../roots/intel-sgx.der").to_vec();
        let mut trust = Self { intel, amd: Vec::new(), gpu, references, known: Vec::new() };
        for (product, pem) in AMD {
            for der in tacit_nvidia::decode_pem(pem).map_err(|_| TrustError::Root)? {
                trust = trust.with_amd(product, &der)?;
            }
        }
        Ok(trust)
    }

    /// With another root for Intel's, in DER: whoever has its key can make evidence of any such CPU.
    #[must_use]
    pub fn with_intel(mut self, der: &[u8]) -> Self {
        self.intel = der.to_vec();
        self
    }

    /// With another key for an AMD product, in DER: whoever has it can make evidence of any such CPU.
    ///
    /// # Errors
    /// [`TrustError::Root`] if it is no certificate of an RSA key.
    pub fn with_amd(mut self, product: Product, der: &[u8]) -> Result<Self, TrustError> {
        self.amd.retain(|it| it.product != product);
        self.amd.push(Authority::new(product, der).ok_or(TrustError::Root)?);
        Ok(self)
    }

    /// With other roots for GPUs and for reference files: whoever has their keys can make evidence of any GPU.
    #[must_use]
    pub fn with_nvidia(mut self, gpu: Anchors, references: Anchors) -> Self {
        (self.gpu, self.references) = (gpu, references);
        self.known.clear();
        self
    }

    /// Checks a reference file once, so that evidence with the same file is checked faster. What is believed stays the same.
    ///
    /// # Errors
    /// [`TrustError`] if the file does not hold, or there are too many.
    pub fn learn_reference(&mut self, text: &str, now: u64) -> Result<(), TrustError> {
        if self.known.len() >= KNOWN_MAX {
            return Err(TrustError::Length { max: KNOWN_MAX });
        }
        let rim = Rim::verify(text, &self.references, now)?;
        if !self.known.contains(&rim) {
            self.known.push(rim);
        }
        Ok(())
    }

    /// Checks a GPU's chain once, so that evidence with the same authorities is checked faster. What is believed stays the same.
    ///
    /// # Errors
    /// [`TrustError::Chain`] if it does not hold.
    pub fn learn_chain(&mut self, chain: &str, now: u64) -> Result<(), TrustError> {
        Ok(self.gpu.learn(chain, now)?)
    }

    pub(crate) fn intel(&self) -> &[u8] {
        &self.intel
    }

    pub(crate) fn amd(&self) -> &[Authority] {
        &self.amd
    }

    pub(crate) fn gpu(&self) -> &Anchors {
        &self.gpu
    }

    /// A reference file, checked now or earlier.
    pub(crate) fn reference(&self, text: &str, now: u64) -> Result<Rim, RimError> {
        let print = tacit_nvidia::Fingerprint::of(text.as_bytes());
        let known = self.known.iter().find(|rim| rim.fingerprint() == print && now <= rim.valid_until());
        known.map_or_else(|| Rim::verify(text, &self.references, now), |rim| Ok(rim.clone()))
    }
}
