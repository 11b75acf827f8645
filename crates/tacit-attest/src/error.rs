//! Why evidence is refused: one variant per check.

use crate::amd::AmdError;
use crate::intel::IntelError;
use alloy_primitives::B256;
use tacit_nvidia::{CompareError, GpuError, RimError};
use tacit_policy::{Fingerprint, ImageId, Product, TcbStatus, VersionField};

/// The first property that evidence does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The session is about a model that the policy does not accept.
    #[error("model {got} is not one that the policy accepts")]
    Model {
        /// The session's.
        got: B256,
    },
    /// The policy has no rules for CPUs of this vendor.
    #[error("the policy does not accept CPUs of this vendor")]
    Vendor,
    /// The CPU's evidence does not hold by itself.
    #[error(transparent)]
    Intel(#[from] IntelError),
    /// The CPU's evidence does not hold by itself.
    #[error(transparent)]
    Amd(#[from] AmdError),
    /// A certificate that the policy refuses is in a chain.
    #[error("certificate {got:?} is revoked by the policy")]
    Revoked {
        /// Which.
        got: Fingerprint,
    },
    /// The evidence is about another session: another key, worker, model, chain, or nonce.
    #[error("the evidence is about another session")]
    ReportData,
    /// Other software, or another configuration of it.
    #[error("image {} is not one that the policy accepts", got.0)]
    Image {
        /// What was started.
        got: ImageId,
    },
    /// Intel says of the firmware what the policy does not accept.
    #[error("the platform's firmware is {got:?}, which the policy does not accept")]
    Status {
        /// What Intel says.
        got: TcbStatus,
    },
    /// Statements of Intel's that are too old.
    #[error("collateral of evaluation {got}, the policy asks for {min}")]
    Evaluation {
        /// The least number.
        min: u32,
        /// The number it has.
        got: u32,
    },
    /// AMD's product is not among those that the policy accepts.
    #[error("the policy does not accept {got:?}")]
    Product {
        /// Which it is.
        got: Product,
    },
    /// Firmware of AMD's that is too old, or was when the guest was started.
    #[error("{field:?} of version {got}, the policy asks for {min}")]
    Firmware {
        /// Which part.
        field: VersionField,
        /// The least version.
        min: u8,
        /// The version it has.
        got: u8,
    },
    /// The platform is set up otherwise than the policy asks for.
    #[error("platform {got:#x}, the policy asks for {required:#x} and refuses {refused:#x}")]
    Platform {
        /// Bits that must be set.
        required: u64,
        /// Bits that must not be.
        refused: u64,
        /// Bits that are.
        got: u64,
    },
    /// The report comes from software with less privilege than the policy asks for.
    #[error("a report from VMPL {got}, the policy asks for at most {max}")]
    PrivilegeLevel {
        /// The greatest level.
        max: u8,
        /// The level it comes from.
        got: u32,
    },
    /// GPUs that the policy has no rules for.
    #[error("evidence of GPUs, which the policy does not accept")]
    GpuUnexpected,
    /// Fewer GPUs than the policy asks for.
    #[error("{got} GPUs, the policy asks for {min}")]
    GpuCount {
        /// The least number.
        min: u8,
        /// How many there are.
        got: usize,
    },
    /// The GPU's evidence does not hold by itself, or answers another session.
    #[error("GPU {at}: {error}")]
    Gpu {
        /// Which.
        at: usize,
        /// What is wrong.
        error: GpuError,
    },
    /// One GPU is shown twice.
    #[error("GPU {at} is one that was there before")]
    GpuTwice {
        /// The second.
        at: usize,
    },
    /// A file of reference measurements does not hold.
    #[error("reference file {at}: {error}")]
    Reference {
        /// Which.
        at: usize,
        /// What is wrong.
        error: RimError,
    },
    /// A file of reference measurements that the policy does not accept.
    #[error("reference file {got:?} is not one that the policy accepts")]
    ReferenceUnknown {
        /// SHA-256 of the file.
        got: Fingerprint,
    },
    /// The GPU does not measure what it should.
    #[error("GPU {at}: {error}")]
    Measurements {
        /// Which.
        at: usize,
        /// What is wrong.
        error: CompareError,
    },
}
