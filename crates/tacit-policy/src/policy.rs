//! What a client accepts: which software, models, hardware and versions of firmware.
//!
//! # Format
//! Version `01`. Images, models, revoked certificates, references of GPUs: number (2) and hashes (32), each greater than the one before. In this
//! order: images, models, revoked; Intel: `00`, or `01`, statuses (2), evaluation number (4); AMD: `00`, or `01`, required and refused bits of
//! the platform (8 each), VMPL (1), then for Milan, Genoa and Turin `00`, or `01` and versions (5); GPUs: `00`, or `01`, number (1), references.
//! Its id is a hash of that: two policies with the same id are the same.

use crate::codec::{Reader, Writer};
use crate::{DecodeError, Fingerprint, ImageId, PolicyError, Product, TcbStatus, Versions};
use alloy_primitives::B256;
use std::collections::BTreeSet;

/// Rules for evidence. Debugged guests are never accepted, nor guests that may be moved to another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    images: BTreeSet<ImageId>,
    models: BTreeSet<B256>,
    revoked: BTreeSet<Fingerprint>,
    intel: Option<IntelPolicy>,
    amd: Option<AmdPolicy>,
    gpu: Option<GpuPolicy>,
}

/// Rules for Intel's CPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntelPolicy {
    /// What firmware may be, by Intel's own statement. A platform that Intel revoked is refused whatever is here.
    pub statuses: BTreeSet<TcbStatus>,
    /// The least number of Intel's evaluation that statements must be made under: older ones know of fewer weaknesses.
    pub evaluation_min: u32,
}

/// Rules for AMD's CPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmdPolicy {
    /// Bits of the platform's description that must be set, such as the check for memory that stands in for other memory (bit 5).
    pub platform_required: u64,
    /// Bits that must not be.
    pub platform_refused: u64,
    /// The greatest privilege level (least privilege) that the report may come from.
    pub vmpl_max: u8,
    /// The least versions of firmware, now and when the guest was started, for the products that are accepted.
    pub versions_min: Vec<(Product, Versions)>,
}

/// Rules for GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuPolicy {
    /// How many there must be.
    pub count_min: u8,
    /// SHA-256 of the files of reference measurements that are accepted: so which drivers and VBIOSes are.
    pub references: BTreeSet<Fingerprint>,
}

/// How many images, or models, a policy may accept.
pub const ACCEPTED_MAX: usize = 256;
/// How many certificates a policy may refuse.
pub const REVOKED_MAX: usize = 1024;
/// How long a policy may be.
pub const POLICY_BYTES_MAX: usize = 64 * 1024;

const VERSION: u8 = 1;
const CONTEXT: &str = "tacit 2026 attestation policy v1";

impl Policy {
    /// A policy that accepts these images with these models, on no hardware yet.
    ///
    /// # Errors
    /// [`PolicyError`] if it could accept nothing, or is too long to be written.
    pub fn new(
        images: impl IntoIterator<Item = ImageId>,
        models: impl IntoIterator<Item = B256>,
    ) -> Result<Self, PolicyError> {
        let (images, models): (BTreeSet<_>, BTreeSet<_>) =
            (images.into_iter().collect(), models.into_iter().collect());
        if images.is_empty() || models.is_empty() {
            return Err(PolicyError::Empty);
        }
        if images.len().max(models.len()) > ACCEPTED_MAX {
            return Err(PolicyError::Length);
        }
        Ok(Self { images, models, revoked: BTreeSet::new(), intel: None, amd: None, gpu: None })
    }

    /// Accepts Intel's CPUs.
    ///
    /// # Errors
    /// [`PolicyError::Empty`] without a status, [`PolicyError::Revoked`] if it is to accept what Intel revoked.
    pub fn with_intel(mut self, intel: IntelPolicy) -> Result<Self, PolicyError> {
        if intel.statuses.is_empty() {
            return Err(PolicyError::Empty);
        }
        if intel.statuses.contains(&TcbStatus::Revoked) {
            return Err(PolicyError::Revoked);
        }
        self.intel = Some(intel);
        Ok(self)
    }

    /// Accepts AMD's CPUs.
    ///
    /// # Errors
    /// [`PolicyError::Empty`] without a product, [`PolicyError::Twice`] with two rules for one.
    pub fn with_amd(mut self, mut amd: AmdPolicy) -> Result<Self, PolicyError> {
        amd.versions_min.sort_unstable_by_key(|(product, _)| *product);
        if amd.versions_min.is_empty() {
            return Err(PolicyError::Empty);
        }
        let products: BTreeSet<Product> = amd.versions_min.iter().map(|(product, _)| *product).collect();
        if products.len() != amd.versions_min.len() {
            return Err(PolicyError::Twice);
        }
        self.amd = Some(amd);
        Ok(self)
    }

    /// Asks for GPUs.
    ///
    /// # Errors
    /// [`PolicyError::Empty`] for none, or without references; [`PolicyError::Length`] for too many references.
    pub fn with_gpus(mut self, gpu: GpuPolicy) -> Result<Self, PolicyError> {
        if gpu.count_min == 0 || gpu.references.is_empty() {
            return Err(PolicyError::Empty);
        }
        if gpu.references.len() > ACCEPTED_MAX {
            return Err(PolicyError::Length);
        }
        self.gpu = Some(gpu);
        Ok(self)
    }

    /// Refuses these certificates, in whatever chain they are.
    ///
    /// # Errors
    /// [`PolicyError::Length`] for too many.
    pub fn with_revoked(
        mut self,
        revoked: impl IntoIterator<Item = Fingerprint>,
    ) -> Result<Self, PolicyError> {
        self.revoked = revoked.into_iter().collect();
        if self.revoked.len() > REVOKED_MAX { Err(PolicyError::Length) } else { Ok(self) }
    }

    /// Its name: a hash of its encoding.
    #[must_use]
    pub fn id(&self) -> B256 {
        B256::from(blake3::derive_key(CONTEXT, &self.encode()))
    }

    /// Whether it accepts the image.
    #[must_use]
    pub fn accepts_image(&self, image: ImageId) -> bool {
        self.images.contains(&image)
    }

    /// Whether it accepts the model.
    #[must_use]
    pub fn accepts_model(&self, model: B256) -> bool {
        self.models.contains(&model)
    }

    /// The certificates that it refuses.
    #[must_use]
    pub fn revoked(&self) -> &BTreeSet<Fingerprint> {
        &self.revoked
    }

    /// The images that it accepts.
    #[must_use]
    pub fn images(&self) -> &BTreeSet<ImageId> {
        &self.images
    }

    /// The models that it accepts.
    #[must_use]
    pub fn models(&self) -> &BTreeSet<B256> {
        &self.models
    }

    /// Its rules for Intel's CPUs; without, they are refused.
    #[must_use]
    pub fn intel(&self) -> Option<&IntelPolicy> {
        self.intel.as_ref()
    }

    /// Its rules for AMD's CPUs; without, they are refused.
    #[must_use]
    pub fn amd(&self) -> Option<&AmdPolicy> {
        self.amd.as_ref()
    }

    /// Its rules for GPUs; without, they are refused.
    #[must_use]
    pub fn gpu(&self) -> Option<&GpuPolicy> {
        self.gpu.as_ref()
    }

    /// Its one encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.put(&[VERSION]);
        writer.hashes(self.images.iter().map(|image| &image.0.0).collect::<Vec<_>>().into_iter());
        writer.hashes(self.models.iter().map(|model| &model.0).collect::<Vec<_>>().into_iter());
        writer.hashes(self.revoked.iter().map(|print| &print.0).collect::<Vec<_>>().into_iter());
        writer.put(&[u8::from(self.intel.is_some())]);
        if let Some(intel) = &self.intel {
            let statuses = intel.statuses.iter().fold(0_u16, |bits, status| bits | status.bit());
            writer.put(&statuses.to_le_bytes());
            writer.put(&intel.evaluation_min.to_le_bytes());
        }
        writer.put(&[u8::from(self.amd.is_some())]);
        if let Some(amd) = &self.amd {
            writer.put(&amd.platform_required.to_le_bytes());
            writer.put(&amd.platform_refused.to_le_bytes());
            writer.put(&[amd.vmpl_max]);
            for product in Product::ALL {
                let versions = amd.versions_min.iter().find(|(it, _)| *it == product);
                writer.put(&[u8::from(versions.is_some())]);
                if let Some((_, versions)) = versions {
                    writer.put(&versions.to_bytes());
                }
            }
        }
        writer.put(&[u8::from(self.gpu.is_some())]);
        if let Some(gpu) = &self.gpu {
            writer.put(&[gpu.count_min]);
            writer.hashes(gpu.references.iter().map(|print| &print.0).collect::<Vec<_>>().into_iter());
        }
        writer.into_bytes()
    }

    /// Reads a policy.
    ///
    /// # Errors
    /// [`DecodeError`]; no input makes this panic.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > POLICY_BYTES_MAX {
            let (field, max, got) = ("policy", POLICY_BYTES_MAX, bytes.len());
            return Err(DecodeError::Length { field, max, got });
        }
        let mut reader = Reader::new(bytes);
        match reader.byte()? {
            VERSION => {}
            got => return Err(DecodeError::Version { got }),
        }
        let images =
            reader.ascending("images", ACCEPTED_MAX)?.into_iter().map(|hash| ImageId(B256::from(hash)));
        let models = reader.ascending("models", ACCEPTED_MAX)?.into_iter().map(B256::from);
        let mut policy = Self::new(images, models)?;
        policy.revoked = reader.ascending("revoked", REVOKED_MAX)?.into_iter().map(Fingerprint).collect();
        if present(&mut reader)? {
            let bits = reader.u16()?;
            let statuses: BTreeSet<TcbStatus> =
                TcbStatus::ALL.into_iter().filter(|status| bits & status.bit() != 0).collect();
            if statuses.iter().fold(0, |bits, status| bits | status.bit()) != bits {
                return Err(DecodeError::Status);
            }
            policy = policy.with_intel(IntelPolicy { statuses, evaluation_min: reader.u32()? })?;
        }
        if present(&mut reader)? {
            let mut amd = AmdPolicy {
                platform_required: reader.u64()?,
                platform_refused: reader.u64()?,
                vmpl_max: reader.byte()?,
                versions_min: Vec::new(),
            };
            for product in Product::ALL {
                if present(&mut reader)? {
                    amd.versions_min.push((product, Versions::from_bytes(reader.array()?)));
                }
            }
            policy = policy.with_amd(amd)?;
        }
        if present(&mut reader)? {
            let count_min = reader.byte()?;
            let references =
                reader.ascending("references", ACCEPTED_MAX)?.into_iter().map(Fingerprint).collect();
            policy = policy.with_gpus(GpuPolicy { count_min, references })?;
        }
        reader.end()?;
        Ok(policy)
    }
}

fn present(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        got => Err(DecodeError::Kind { got }),
    }
}
