//! Hardware evidence, checked offline: that a session's key lives in a measured guest on genuine hardware, with measured GPUs.
//!
//! # What a check says
//! [`verify`] takes [`Evidence`] as a worker sends it, the client's [`Policy`], the [`Binding`] of the session and a time, and gives an [`Attested`]
//! or the first [`Refusal`]. Nothing is fetched: collateral comes with the evidence and is signed by the vendors, whose roots are in [`Trust`].
//!
//! # Parts
//! - A CPU: a quote of Intel TDX or SGX (checked by `dcap-qvl`), or a report of AMD SEV-SNP. It holds the session's
//!   [`Binding::report_data`], it was started from an [image](ImageId) that the policy accepts, it is not debugged and does not move, and its
//!   firmware is as new as the policy asks for.
//! - GPUs, if the policy asks for them (checked by `tacit-nvidia`). Each answers [`Binding::gpu_nonce`], no two are the same, and each measures
//!   what NVIDIA's reference files say, which the policy names.
//!
//! # Which image files are
//! [`SnpGuest`] and [`TdxGuest`] compute what hardware will report of a guest from the files that it is started from, so that a policy can name
//! an image that anybody can build.
//!
//! # Soundness
//! A false [`Attested`] needs a signature under a vendor's key or a key in its hardware, a hash collision, or an accepted image that does other
//! than it should. `specs/0012-attestation.md` says what that leaves out: above all whoever holds the machine in their hands.
//!
//! # Examples
//! ```no_run
//! use tacit_attest::{Binding, Evidence, Policy, Trust, verify};
//!
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! # let (bytes, policy, key, now) = ([0_u8; 0], [0_u8; 0], [0_u8; 32], 0);
//! # let (worker, model, nonce) = Default::default();
//! let (trust, policy) = (Trust::vendors()?, Policy::decode(&policy)?);
//! let binding = Binding::new(1337, worker, &key, model, nonce);
//! let attested = verify(&Evidence::decode(&bytes)?, &policy, &binding, &trust, now)?;
//! println!("{:?}, {} GPUs, until {}", attested.image(), attested.gpus().len(), attested.valid_until());
//! # Ok(()) }
//! ```

#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::panic_in_result_fn,
    clippy::unreachable
)]

mod amd;
mod binding;
mod error;
mod evidence;
mod image;
mod intel;
mod measure;
mod signature;
mod trust;
mod verify;

pub use amd::{AmdError, SnpReport};
pub use binding::Binding;
pub use error::Refusal;
pub use evidence::{
    CERTIFICATE_BYTES_MAX, COLLATERAL_BYTES_MAX, Collateral, CpuEvidence, EVIDENCE_BYTES_MAX, Evidence,
    GPUS_MAX, GpuEvidence, QUOTE_BYTES_MAX, REFERENCES_MAX, REPORT_BYTES,
};
pub use image::{SgxImage, SnpImage, TdxImage};
pub use intel::{IntelError, IntelImage, IntelQuote, quote_bytes};
pub use measure::{
    AcpiDigests, Boot, COMMAND_LINE_BYTES_MAX, Event, FIRMWARE_BYTES_MAX, Hardware, INITRD_BYTES_MAX,
    KERNEL_BYTES_MAX, KernelHeader, MEMORY_BYTES_MAX, MeasureError, PROCESSORS_MAX, PageOrder,
    ProcessorModel, SnpGuest, TdxGuest, extended,
};
pub use tacit_policy::{
    ACCEPTED_MAX, AmdPolicy, DecodeError, Fingerprint, GpuPolicy, ImageId, IntelPolicy, POLICY_BYTES_MAX,
    Policy, PolicyError, Product, REVOKED_MAX, TcbStatus, VersionField, Versions,
};
pub use trust::{KNOWN_MAX, Trust, TrustError};
pub use verify::{Attested, Cpu, verify};
