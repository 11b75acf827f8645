//! What a guest or an enclave was started from, as one hash.
//!
//! # Formal definition
//! BLAKE3 in its mode for deriving keys, under a context of its own, of a kind (1) and the measurements of that kind, in this order:
//! - TDX (1): MRTD, RTMR0 to RTMR3, MRCONFIGID, MROWNER, MROWNERCONFIG, each 48 bytes;
//! - SGX (2): MRENCLAVE (32), MRSIGNER (32), product (2), security version (2), then what configures an enclave at its start: 28, 32, 96
//!   and 60 bytes that are reserved in plain enclaves;
//! - SEV-SNP (3): measurement (48), host data (32).
//!
//! What the host may choose at the start and a guest may act on is in it: a host that adds its own configuration starts another image.

use alloy_primitives::B256;
use tacit_policy::ImageId;

const CONTEXT: &str = "tacit 2026 attested image v1";

/// Measurements of a TDX guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TdxImage {
    /// Of the firmware.
    pub mr_td: [u8; 48],
    /// Of what firmware and operating system started.
    pub rt_mr: [[u8; 48]; 4],
    /// Whatever the host configured.
    pub mr_config_id: [u8; 48],
    /// Likewise.
    pub mr_owner: [u8; 48],
    /// Likewise.
    pub mr_owner_config: [u8; 48],
}

/// Measurements of an SGX enclave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SgxImage {
    /// Of code and data.
    pub mr_enclave: [u8; 32],
    /// Of the key that signed it.
    pub mr_signer: [u8; 32],
    /// Which product of that signer.
    pub product: u16,
    /// Which security version.
    pub security_version: u16,
    /// Zero, or what an enclave with key separation and sharing was configured with.
    pub reserved: ([u8; 28], [u8; 32], [u8; 96], [u8; 60]),
}

/// Measurements of an SEV-SNP guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnpImage {
    /// Of what was in memory at the start.
    pub measurement: [u8; 48],
    /// Whatever the host configured.
    pub host_data: [u8; 32],
}

impl TdxImage {
    /// Its hash.
    #[must_use]
    pub fn id(&self) -> ImageId {
        let Self { mr_td, rt_mr: [a, b, c, d], mr_config_id, mr_owner, mr_owner_config } = self;
        id(1, &[mr_td, a, b, c, d, mr_config_id, mr_owner, mr_owner_config])
    }
}

impl SgxImage {
    /// Its hash.
    #[must_use]
    pub fn id(&self) -> ImageId {
        let (product, version) = (self.product.to_le_bytes(), self.security_version.to_le_bytes());
        let (a, b, c, d) = &self.reserved;
        id(2, &[&self.mr_enclave, &self.mr_signer, &product, &version, a, b, c, d])
    }
}

impl SnpImage {
    /// Its hash.
    #[must_use]
    pub fn id(&self) -> ImageId {
        id(3, &[&self.measurement, &self.host_data])
    }
}

fn id(kind: u8, parts: &[&[u8]]) -> ImageId {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(&[kind]);
    for part in parts {
        hasher.update(part);
    }
    ImageId(B256::from(*hasher.finalize().as_bytes()))
}
