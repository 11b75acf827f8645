//! Which of two policies accepts less.
//!
//! # Formal definition
//! `a` narrows `b` if part by part it asks for no less: its images, models, statuses, products and reference files are among those of `b`, all certificates
//! that `b` refuses it refuses, its least numbers are no smaller, its greatest no greater, bits that `b` requires or refuses it does too. A vendor
//! without rules accepts nothing, so rules may go. Not so for GPUs: without rules evidence has to be without GPUs, which is neither less nor more than evidence
//! with some, so both have rules or neither.
//!
//! # Soundness
//! Evidence that `a` accepts, of whatever session and at whatever time, `b` accepts. `tacit-attest` has that as a property test, on evidence.

use crate::policy::{AmdPolicy, GpuPolicy, IntelPolicy, Policy};

impl Policy {
    /// Whether it only takes away from what `base` accepts. A policy narrows itself.
    #[must_use]
    pub fn narrows(&self, base: &Self) -> bool {
        self.images().is_subset(base.images())
            && self.models().is_subset(base.models())
            && self.revoked().is_superset(base.revoked())
            && self.intel().is_none_or(|rules| base.intel().is_some_and(|base| intel(rules, base)))
            && self.amd().is_none_or(|rules| base.amd().is_some_and(|base| amd(rules, base)))
            && match (self.gpu(), base.gpu()) {
                (None, None) => true,
                (Some(rules), Some(base)) => gpu(rules, base),
                (None, Some(_)) | (Some(_), None) => false,
            }
    }
}

fn intel(rules: &IntelPolicy, base: &IntelPolicy) -> bool {
    rules.statuses.is_subset(&base.statuses) && rules.evaluation_min >= base.evaluation_min
}

fn amd(rules: &AmdPolicy, base: &AmdPolicy) -> bool {
    let bits = |ours: u64, theirs: u64| ours & theirs == theirs;
    bits(rules.platform_required, base.platform_required)
        && bits(rules.platform_refused, base.platform_refused)
        && rules.vmpl_max <= base.vmpl_max
        && rules.versions_min.iter().all(|(product, versions)| {
            let theirs = base.versions_min.iter().find(|(it, _)| it == product);
            theirs.is_some_and(|(_, least)| versions.below(*least).is_none())
        })
}

fn gpu(rules: &GpuPolicy, base: &GpuPolicy) -> bool {
    rules.count_min >= base.count_min && rules.references.is_subset(&base.references)
}
