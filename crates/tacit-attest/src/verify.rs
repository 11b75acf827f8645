//! The one call: evidence, policy, session and time in; what was shown, or the first property that was not, out.

use crate::Binding;
use crate::amd::SnpReport;
use crate::error::Refusal;
use crate::evidence::{CpuEvidence, Evidence, GPUS_MAX, REFERENCES_MAX};
use crate::intel::IntelQuote;
use crate::trust::Trust;
use alloy_primitives::B256;
use std::collections::BTreeSet;
use tacit_nvidia::{Measured, Rim};
use tacit_policy::{AmdPolicy, Fingerprint, ImageId, Policy};

/// A session whose key lives in hardware that shows what the policy asks for.
///
/// Only [`verify`] makes one.
#[must_use = "what was shown is of use only to whoever asks for it"]
#[derive(Debug, Clone)]
pub struct Attested {
    binding: Binding,
    policy: B256,
    evidence: B256,
    image: ImageId,
    cpu: Cpu,
    gpus: Vec<Measured>,
    valid_until: u64,
}

/// What the CPU's evidence showed.
#[derive(Debug, Clone)]
pub enum Cpu {
    /// A TDX guest or an SGX enclave.
    Intel(Box<IntelQuote>),
    /// An SEV-SNP guest.
    Amd(Box<SnpReport>),
}

/// Checks evidence against a policy and a session, at `now` in seconds since 1970.
///
/// # Errors
/// [`Refusal`], the first check that fails; no input makes this panic.
///
/// # Soundness
/// The caller MUST have drawn the binding's nonce for this session, MUST seal to no other key than the binding's, and SHOULD know that `now` is right
/// within a day: revocation and firmware are judged as of collateral that is valid then.
pub fn verify(
    evidence: &Evidence,
    policy: &Policy,
    binding: &Binding,
    trust: &Trust,
    now: u64,
) -> Result<Attested, Refusal> {
    if !policy.accepts_model(binding.model()) {
        return Err(Refusal::Model { got: binding.model() });
    }
    let (cpu, image, until) = match &evidence.cpu {
        CpuEvidence::Intel { quote, collateral } => {
            let rules = policy.intel().ok_or(Refusal::Vendor)?;
            let shown = IntelQuote::verify(quote, collateral, trust, now)?;
            revoked(policy, shown.certificates())?;
            bound(binding, shown.report_data())?;
            if !rules.statuses.contains(&shown.status()) {
                return Err(Refusal::Status { got: shown.status() });
            }
            if shown.evaluation() < rules.evaluation_min {
                return Err(Refusal::Evaluation { min: rules.evaluation_min, got: shown.evaluation() });
            }
            let (image, until) = (shown.image().id(), shown.valid_until());
            (Cpu::Intel(Box::new(shown)), image, until)
        }
        CpuEvidence::Amd { report, vcek } => {
            let rules = policy.amd().ok_or(Refusal::Vendor)?;
            let shown = SnpReport::verify(report, vcek, trust, now)?;
            revoked(policy, &[shown.certificate])?;
            bound(binding, &shown.report_data)?;
            amd(rules, &shown)?;
            let (image, until) = (shown.image.id(), shown.valid_until);
            (Cpu::Amd(Box::new(shown)), image, until)
        }
    };
    if !policy.accepts_image(image) {
        return Err(Refusal::Image { got: image });
    }
    let gpus = gpus(evidence, policy, binding, trust, now)?;
    let valid_until = gpus.iter().map(Measured::valid_until).fold(until, u64::min);
    let (policy, evidence) = (policy.id(), evidence.id());
    Ok(Attested { binding: *binding, policy, evidence, image, cpu, gpus, valid_until })
}

fn bound(binding: &Binding, report_data: &[u8; 64]) -> Result<(), Refusal> {
    if *report_data == binding.report_data() { Ok(()) } else { Err(Refusal::ReportData) }
}

fn revoked(policy: &Policy, certificates: &[Fingerprint]) -> Result<(), Refusal> {
    let found = certificates.iter().find(|print| policy.revoked().contains(print));
    found.map_or(Ok(()), |print| Err(Refusal::Revoked { got: *print }))
}

/// As policies name them.
fn named(certificates: &[tacit_nvidia::Fingerprint]) -> Vec<Fingerprint> {
    certificates.iter().map(|print| Fingerprint(print.0)).collect()
}

/// Compares a report with the policy's rules.
fn amd(rules: &AmdPolicy, shown: &SnpReport) -> Result<(), Refusal> {
    let min = rules.versions_min.iter().find(|(product, _)| *product == shown.product);
    let (_, min) = min.ok_or(Refusal::Product { got: shown.product })?;
    // What was started under old firmware may have been read before the update.
    for versions in [shown.versions, shown.launch] {
        if let Some((field, min, got)) = versions.below(*min) {
            return Err(Refusal::Firmware { field, min, got });
        }
    }
    let (required, refused, got) = (rules.platform_required, rules.platform_refused, shown.platform);
    if got & required != required || got & refused != 0 {
        return Err(Refusal::Platform { required, refused, got });
    }
    if shown.vmpl > u32::from(rules.vmpl_max) {
        return Err(Refusal::PrivilegeLevel { max: rules.vmpl_max, got: shown.vmpl });
    }
    Ok(())
}

fn gpus(
    evidence: &Evidence,
    policy: &Policy,
    binding: &Binding,
    trust: &Trust,
    now: u64,
) -> Result<Vec<Measured>, Refusal> {
    let Some(rules) = policy.gpu() else {
        let none = evidence.gpus.is_empty() && evidence.references.is_empty();
        return if none { Ok(Vec::new()) } else { Err(Refusal::GpuUnexpected) };
    };
    let got = evidence.gpus.len();
    if got < usize::from(rules.count_min) || got > GPUS_MAX || evidence.references.len() > REFERENCES_MAX {
        return Err(Refusal::GpuCount { min: rules.count_min, got });
    }
    // What the policy does not name is not looked at any further.
    let prints = evidence.references.iter().map(|text| Fingerprint::of(text.as_bytes()));
    if let Some(got) = prints.into_iter().find(|print| !rules.references.contains(print)) {
        return Err(Refusal::ReferenceUnknown { got });
    }
    let nonce = binding.gpu_nonce();
    let mut devices = BTreeSet::new();
    let mut shown = Vec::with_capacity(got);
    for (at, gpu) in evidence.gpus.iter().enumerate() {
        let checked = tacit_nvidia::verify(&gpu.report, &gpu.chain, &nonce, trust.gpu(), now);
        let checked = checked.map_err(|error| Refusal::Gpu { at, error })?;
        revoked(policy, &named(checked.certificates()))?;
        if !devices.insert(checked.device()) {
            return Err(Refusal::GpuTwice { at });
        }
        shown.push(checked);
    }
    let mut references: Vec<Rim> = Vec::with_capacity(evidence.references.len());
    for (at, text) in evidence.references.iter().enumerate() {
        let rim = trust.reference(text, now).map_err(|error| Refusal::Reference { at, error })?;
        revoked(policy, &named(rim.certificates()))?;
        references.push(rim);
    }
    let references: Vec<&Rim> = references.iter().collect();
    let compare = |(at, gpu): (usize, tacit_nvidia::Gpu)| {
        gpu.compare(&references).map_err(|error| Refusal::Measurements { at, error })
    };
    shown.into_iter().enumerate().map(compare).collect()
}

impl Attested {
    /// The session that it is about.
    #[must_use]
    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// The policy that it satisfies, by its id.
    #[must_use]
    pub fn policy(&self) -> B256 {
        self.policy
    }

    /// The evidence that showed it, by its id.
    #[must_use]
    pub fn evidence(&self) -> B256 {
        self.evidence
    }

    /// What was started.
    #[must_use]
    pub fn image(&self) -> ImageId {
        self.image
    }

    /// What the CPU's evidence showed.
    #[must_use]
    pub fn cpu(&self) -> &Cpu {
        &self.cpu
    }

    /// GPUs that measure what they should.
    pub fn gpus(&self) -> &[Measured] {
        &self.gpus
    }

    /// Until when the same evidence says the same, in seconds since 1970: when the first certificate or statement expires.
    #[must_use]
    pub fn valid_until(&self) -> u64 {
        self.valid_until
    }
}
