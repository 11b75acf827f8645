//! What a session was judged by, as it is kept beside a receipt, and the one call that judges it again.

use alloy_primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};
use tacit_attest::{
    Attested, Binding, Cpu, DecodeError, Evidence, IntelImage, Policy, Product, Refusal, TcbStatus, Trust,
    verify,
};
use tacit_wire::message::base64_bytes;

/// Evidence of a session, and the policy that it was judged by.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestedMessages {
    /// Public key of the session, in its one encoding: what a job was sealed to, or the secret of a stream's session was agreed with.
    pub key: Bytes,
    /// The client's nonce.
    pub nonce: B256,
    /// As the worker sent it.
    #[serde(with = "base64_bytes")]
    pub evidence: Vec<u8>,
    /// The policy's encoding.
    #[serde(with = "base64_bytes")]
    pub policy: Vec<u8>,
    /// When the session began, seconds since 1970.
    pub begun_s: u64,
}

/// Why a session is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttestedReject {
    /// The bytes are no evidence.
    #[error("what should be evidence of hardware is none: {0}")]
    Evidence(#[source] DecodeError),
    /// The bytes are no policy.
    #[error("what should be a policy is none: {0}")]
    Policy(#[source] DecodeError),
    /// The session's key is of another kind than was asked for.
    #[error("the session's key has {got} bytes, not {expected}")]
    Key {
        /// Bytes of a key of the kind.
        expected: usize,
        /// Bytes of what came.
        got: usize,
    },
    /// A property that the policy asks for is not shown.
    #[error("the evidence of hardware is refused: {0}")]
    Refused(#[from] Refusal),
}

/// What evidence showed, briefly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttestedSummary {
    /// The policy that it satisfies.
    pub policy: B256,
    /// Id of the evidence, which the receipt commits to.
    pub evidence: B256,
    /// Hash of all that was started.
    pub image: B256,
    /// The CPU, and how its firmware is.
    pub cpu: String,
    /// GPUs that measure what NVIDIA says they should.
    pub gpus: u32,
    /// BLAKE3 of the session's public key, which is in the evidence.
    pub key: B256,
    /// Until when the same evidence says the same, seconds since 1970.
    pub valid_until: u64,
}

impl AttestedMessages {
    /// Judges them by their policy, at `now_s`: CPU, GPUs, image, model and key in one call.
    ///
    /// # Errors
    /// [`AttestedReject`]; no input makes this panic.
    ///
    /// # Soundness
    /// The caller MUST know that the policy is one that it accepts.
    pub fn verify(
        &self,
        chain_id: u64,
        worker: Address,
        model_id: B256,
        trust: &Trust,
        now_s: u64,
    ) -> Result<Attested, AttestedReject> {
        let evidence = Evidence::decode(&self.evidence).map_err(AttestedReject::Evidence)?;
        let policy = Policy::decode(&self.policy).map_err(AttestedReject::Policy)?;
        let binding = Binding::new(chain_id, worker, &self.key, model_id, self.nonce);
        Ok(verify(&evidence, &policy, &binding, trust, now_s)?)
    }

    /// What they showed.
    pub(crate) fn summary(attested: &Attested) -> AttestedSummary {
        let cpu = match attested.cpu() {
            Cpu::Intel(quote) => {
                let kind = match quote.image() {
                    IntelImage::Tdx(_) => "Intel TDX",
                    IntelImage::Sgx(_) => "Intel SGX",
                };
                let firmware = match quote.status() {
                    TcbStatus::UpToDate => "firmware up to date".to_owned(),
                    other => format!("firmware {other:?}"),
                };
                format!("{kind}, {firmware}")
            }
            Cpu::Amd(report) => {
                let product = match report.product() {
                    Product::Milan => "Milan",
                    Product::Genoa => "Genoa",
                    Product::Turin => "Turin",
                };
                let versions = report.versions();
                format!(
                    "AMD SEV-SNP on {product}, firmware {}, microcode {}",
                    versions.snp, versions.microcode
                )
            }
        };
        AttestedSummary {
            policy: attested.policy(),
            evidence: attested.evidence(),
            image: attested.image().0,
            cpu,
            gpus: u32::try_from(attested.gpus().len()).unwrap_or(u32::MAX),
            key: attested.binding().key(),
            valid_until: attested.valid_until(),
        }
    }
}

impl AttestedReject {
    /// Stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Evidence(_) => "evidence_malformed",
            Self::Policy(_) => "policy_malformed",
            Self::Key { .. } => "attested_key",
            Self::Refused(refusal) => refusal_code(refusal),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Refused(Refusal::Model { .. }) => {
                "the policy names the models that it accepts: see tacit policy show, or ask with --policy of another"
            }
            Self::Refused(Refusal::Image { .. }) => {
                "the worker runs software that the policy does not accept: ask another worker, or propose the image"
            }
            Self::Refused(Refusal::Status { .. } | Refusal::Evaluation { .. } | Refusal::Firmware { .. }) => {
                "the worker's owner has to update firmware or collateral; ask another worker until then"
            }
            _ => "nothing was sent and nothing is owed; ask another worker",
        }
    }
}

fn refusal_code(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Model { .. } => "attested_model",
        Refusal::Vendor => "attested_vendor",
        Refusal::Intel(_) | Refusal::Amd(_) => "attested_cpu",
        Refusal::Revoked { .. } => "attested_revoked",
        Refusal::ReportData => "attested_session",
        Refusal::Image { .. } => "attested_image",
        Refusal::Status { .. } | Refusal::Evaluation { .. } | Refusal::Firmware { .. } => "attested_firmware",
        Refusal::Product { .. } | Refusal::Platform { .. } | Refusal::PrivilegeLevel { .. } => {
            "attested_platform"
        }
        Refusal::GpuUnexpected
        | Refusal::GpuCount { .. }
        | Refusal::Gpu { .. }
        | Refusal::GpuTwice { .. }
        | Refusal::Measurements { .. } => "attested_gpu",
        Refusal::Reference { .. } | Refusal::ReferenceUnknown { .. } => "attested_reference",
        _ => "attested_refused",
    }
}

impl core::fmt::Debug for AttestedMessages {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("AttestedMessages").field("begun_s", &self.begun_s).finish_non_exhaustive()
    }
}
