//! Quotes of Intel TDX guests and SGX enclaves, with what Intel says of their platforms.
//!
//! Sources: Intel TDX DCAP Quoting Library API, appendix 3 (quotes 4 and 5); Intel SGX ECDSA Quote Library Reference, appendix A (quote 3). Certificates, revocation,
//! firmware levels and the quoting enclave are checked by `dcap-qvl`; here is what that leaves open: the form, to the last byte, so that
//! nothing of a quote can change unseen, and a name for each refusal.
//!
//! The library says why it refuses in words. They are matched against those of the one version that is used, a word that is not known being a
//! refusal all the same ([`IntelError::Other`]).

use crate::evidence::Collateral;
use crate::signature;
use crate::trust::Trust;
use crate::{SgxImage, TdxImage};
use dcap_qvl::quote::{EnclaveReport, Report, TDReport10};
use dcap_qvl::verify::QuoteVerifier;
use dcap_qvl::{QuoteCollateralV3, QuotePolicy};
use tacit_policy::{Fingerprint, ImageId, TcbStatus};

/// Why a quote is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntelError {
    /// Not a quote of a form that is known, to its last byte.
    #[error("no quote of a known form")]
    Form,
    /// Chains that are not canonical PEM, or do not end in Intel's root as it is believed.
    #[error("chains that do not end in Intel's root")]
    Root,
    /// Collateral, or a certificate, whose time has not begun.
    #[error("collateral or certificates that are not yet valid")]
    NotYetValid,
    /// Collateral, or a certificate, whose time is over.
    #[error("collateral or certificates that have expired")]
    Expired,
    /// Collateral that cannot be read.
    #[error("malformed collateral")]
    Collateral,
    /// Collateral that Intel did not sign.
    #[error("collateral that is not signed by Intel")]
    CollateralSignature,
    /// Certificates that do not lead to Intel's root.
    #[error("certificates that do not hold")]
    Certificates,
    /// A certificate, or all platforms with this firmware, is revoked by Intel.
    #[error("the platform is revoked by Intel")]
    Revoked,
    /// The quote is not signed by the platform.
    #[error("the quote is not signed by the platform")]
    Signature,
    /// Collateral of another kind of platform.
    #[error("collateral of another kind of platform")]
    Platform,
    /// Intel's statement does not know such firmware: it is older than any that is listed.
    #[error("firmware that Intel does not list")]
    Unlisted,
    /// Not the quoting enclave, or not the module, that Intel made.
    #[error("quoted by another enclave than Intel's")]
    QuotingEnclave,
    /// Whoever runs the machine can read the guest, or watch it closely.
    #[error("the guest may be debugged")]
    Debug,
    /// The guest may be moved to another machine.
    #[error("the guest may be moved")]
    Migration,
    /// The guest is bound to another that serves it.
    #[error("the guest is bound to a service guest")]
    ServiceGuest,
    /// The guest has attributes that are not known, or lacks one that keeps it from being tricked.
    #[error("attributes of the guest that are not acceptable")]
    Attributes,
    /// Refused for a reason that has no name here.
    #[error("refused by the library")]
    Other,
}

/// Words of the library's, and what they mean; the first that is found.
const REASONS: &[(&str, IntelError)] = &[
    ("Debug mode is enabled", IntelError::Debug),
    ("TD profiling is enabled", IntelError::Debug),
    ("TD migration is enabled", IntelError::Migration),
    ("SERVTD_EXT is enabled", IntelError::ServiceGuest),
    ("Invalid MR service TD", IntelError::ServiceGuest),
    ("Reserved bits in TD attributes", IntelError::Attributes),
    ("SEPT_VE_DISABLE is not enabled", IntelError::Attributes),
    ("expired", IntelError::Expired),
    ("Expired", IntelError::Expired),
    ("issue date is in the future", IntelError::NotYetValid),
    ("CertNotValidYet", IntelError::NotYetValid),
    ("CertRevoked", IntelError::Revoked),
    ("Revoked", IntelError::Revoked),
    ("No matching TCB level found", IntelError::Unlisted),
    ("Signature is invalid for tcb_info", IntelError::CollateralSignature),
    ("Signature is invalid for qe_identity", IntelError::CollateralSignature),
    ("InvalidCrlSignatureForPublicKey", IntelError::CollateralSignature),
    ("Signature is invalid for qe_report", IntelError::Signature),
    ("QE report hash mismatch", IntelError::Signature),
    ("ISV enclave report signature", IntelError::Signature),
    ("Fmspc mismatch", IntelError::Platform),
    ("with non-TDX TCB info", IntelError::Platform),
    ("with non-SGX TCB info", IntelError::Platform),
    ("Unsupported QE Identity", IntelError::Platform),
    ("QE MRSIGNER mismatch", IntelError::QuotingEnclave),
    ("QE ISVPRODID mismatch", IntelError::QuotingEnclave),
    ("QE MISCSELECT mismatch", IntelError::QuotingEnclave),
    ("QE ATTRIBUTES mismatch", IntelError::QuotingEnclave),
    ("QE ISVSVN", IntelError::QuotingEnclave),
    ("TDX module identity", IntelError::QuotingEnclave),
    ("Failed to decode TcbInfo", IntelError::Collateral),
    ("Failed to decode QeIdentity", IntelError::Collateral),
    ("issue date", IntelError::Collateral),
    ("next update", IntelError::Collateral),
    ("CRL", IntelError::Collateral),
    ("Failed to verify certificate chain", IntelError::Certificates),
    ("certificate", IntelError::Certificates),
    ("Certificate", IntelError::Certificates),
];

/// What was measured of a guest, or of an enclave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntelImage {
    /// Of a TDX guest.
    Tdx(TdxImage),
    /// Of an SGX enclave.
    Sgx(SgxImage),
}

impl IntelImage {
    /// Its hash.
    #[must_use]
    pub fn id(&self) -> ImageId {
        match self {
            Self::Tdx(image) => image.id(),
            Self::Sgx(image) => image.id(),
        }
    }
}

/// What a quote shows.
#[must_use = "a quote is worth nothing until it is compared with a policy and a session"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntelQuote {
    image: IntelImage,
    report_data: [u8; 64],
    status: TcbStatus,
    advisories: Vec<String>,
    evaluation: u32,
    certificates: Vec<Fingerprint>,
    platform: Vec<u8>,
    valid_until: u64,
}

impl IntelQuote {
    /// Checks a quote with collateral, at `now` in seconds since 1970.
    ///
    /// # Errors
    /// [`IntelError`], the first check that fails; no input makes this panic.
    pub fn verify(
        quote: &[u8],
        collateral: &Collateral,
        trust: &Trust,
        now: u64,
    ) -> Result<Self, IntelError> {
        let (length, chain) = frame(quote).ok_or(IntelError::Form)?;
        if length != quote.len() {
            return Err(IntelError::Form);
        }
        let mut certificates = Vec::new();
        let chain = chain.strip_suffix(&[0]).unwrap_or(chain);
        let chain = core::str::from_utf8(chain).map_err(|_| IntelError::Root)?;
        for (text, count) in
            [(chain, 3), (&*collateral.tcb_info_issuer_chain, 2), (&*collateral.qe_identity_issuer_chain, 2)]
        {
            let ders = tacit_nvidia::decode_pem(text).map_err(|_| IntelError::Root)?;
            if ders.len() != count || ders.last().is_none_or(|root| root != trust.intel()) {
                return Err(IntelError::Root);
            }
            certificates.extend(ders.iter().map(|der| Fingerprint::of(der)));
        }
        let claims = QuoteVerifier::<signature::Intel>::new_with_config(trust.intel().to_vec())
            .verify_with_policy(quote, library_collateral(collateral), now, &QuotePolicy::claims_only(now))
            .map_err(|error| reason(&format!("{error:#}")))?;
        let (image, report_data) = match &claims.report {
            Report::SgxEnclave(report) => (IntelImage::Sgx(sgx(report)), report.report_data),
            Report::TD10(report) => (IntelImage::Tdx(tdx(report)), report.report_data),
            Report::TD15(report) => (IntelImage::Tdx(tdx(&report.base)), report.base.report_data),
            Report::TD15Ex(report) => (IntelImage::Tdx(tdx(&report.base.base)), report.base.base.report_data),
        };
        Ok(Self {
            image,
            report_data,
            status: status_of(claims.tcb.status),
            advisories: claims.tcb.advisory_ids,
            evaluation: claims.tcb.eval_data_number,
            certificates,
            platform: claims.platform.pck.ppid,
            valid_until: claims.earliest_expiration_date,
        })
    }

    /// What was started.
    #[must_use]
    pub fn image(&self) -> &IntelImage {
        &self.image
    }

    /// What the guest put into it.
    #[must_use]
    pub fn report_data(&self) -> &[u8; 64] {
        &self.report_data
    }

    /// What Intel says of the firmware.
    #[must_use]
    pub fn status(&self) -> TcbStatus {
        self.status
    }

    /// The notices of weaknesses that this is about, such as `INTEL-SA-00615`.
    #[must_use]
    pub fn advisories(&self) -> &[String] {
        &self.advisories
    }

    /// Under which of Intel's evaluations its statements were made.
    #[must_use]
    pub fn evaluation(&self) -> u32 {
        self.evaluation
    }

    /// Fingerprints of all certificates.
    #[must_use]
    pub fn certificates(&self) -> &[Fingerprint] {
        &self.certificates
    }

    /// Which platform it is, as Intel provisioned it.
    #[must_use]
    pub fn platform(&self) -> &[u8] {
        &self.platform
    }

    /// When the first of collateral and certificates expires, in seconds since 1970.
    #[must_use]
    pub fn valid_until(&self) -> u64 {
        self.valid_until
    }
}

fn reason(words: &str) -> IntelError {
    let found = REASONS.iter().find(|(known, _)| words.contains(known));
    found.map_or(IntelError::Other, |(_, reason)| *reason)
}

fn library_collateral(collateral: &Collateral) -> QuoteCollateralV3 {
    QuoteCollateralV3 {
        pck_crl_issuer_chain: String::new(),
        root_ca_crl: collateral.root_ca_crl.clone(),
        pck_crl: collateral.pck_crl.clone(),
        tcb_info_issuer_chain: collateral.tcb_info_issuer_chain.clone(),
        tcb_info: collateral.tcb_info.clone(),
        tcb_info_signature: collateral.tcb_info_signature.clone(),
        qe_identity_issuer_chain: collateral.qe_identity_issuer_chain.clone(),
        qe_identity: collateral.qe_identity.clone(),
        qe_identity_signature: collateral.qe_identity_signature.clone(),
        // That of the quote.
        pck_certificate_chain: None,
    }
}

fn tdx(report: &TDReport10) -> TdxImage {
    TdxImage {
        mr_td: report.mr_td,
        rt_mr: [report.rt_mr0, report.rt_mr1, report.rt_mr2, report.rt_mr3],
        mr_config_id: report.mr_config_id,
        mr_owner: report.mr_owner,
        mr_owner_config: report.mr_owner_config,
    }
}

fn sgx(report: &EnclaveReport) -> SgxImage {
    SgxImage {
        mr_enclave: report.mr_enclave,
        mr_signer: report.mr_signer,
        product: report.isv_prod_id,
        security_version: report.isv_svn,
        reserved: (report.reserved1, report.reserved2, report.reserved3, report.reserved4),
    }
}

/// As the library has it.
fn status_of(status: dcap_qvl::TcbStatus) -> TcbStatus {
    use dcap_qvl::TcbStatus as Intel;
    match status {
        Intel::UpToDate => TcbStatus::UpToDate,
        Intel::SWHardeningNeeded => TcbStatus::SoftwareHardeningNeeded,
        Intel::ConfigurationNeeded => TcbStatus::ConfigurationNeeded,
        Intel::ConfigurationAndSWHardeningNeeded => TcbStatus::ConfigurationAndSoftwareHardeningNeeded,
        Intel::OutOfDate => TcbStatus::OutOfDate,
        Intel::OutOfDateConfigurationNeeded => TcbStatus::OutOfDateConfigurationNeeded,
        Intel::TDRelaunchAdvised => TcbStatus::RelaunchAdvised,
        Intel::TDRelaunchAdvisedConfigurationNeeded => TcbStatus::RelaunchAdvisedConfigurationNeeded,
        Intel::Revoked => TcbStatus::Revoked,
    }
}

/// The quote at the beginning of what hardware interfaces give, which may fill up with zeros.
#[must_use]
pub fn quote_bytes(bytes: &[u8]) -> Option<&[u8]> {
    let (length, _) = frame(bytes)?;
    bytes.get(..length)
}

const HEADER: usize = 48;
const SGX_REPORT: usize = 384;
const TDX_REPORT: usize = 584;
/// A signature and the key that made it.
const SIGNATURE: usize = 128;
/// The quoting enclave's report and its signature.
const QE_REPORT: usize = SGX_REPORT + 64;
/// Data that is a chain of certificates, and data that is about the quoting enclave.
const CHAIN: u16 = 5;
const QE_DATA: u16 = 6;

/// How long a quote is, and its chain of certificates, if it has the form that quotes with such a chain have.
fn frame(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut rest = bytes;
    let header = take(&mut rest, HEADER)?;
    let version = u16::from_le_bytes(*header.first_chunk()?);
    let tee = header.get(4..8)?;
    let body = match (version, tee) {
        (3, [0, 0, 0, 0]) => SGX_REPORT,
        (4, [0x81, 0, 0, 0]) => TDX_REPORT,
        (5, [0x81, 0, 0, 0]) => {
            take(&mut rest, 2)?;
            length(&mut rest)?
        }
        _ => return None,
    };
    take(&mut rest, body)?;
    let signed = length(&mut rest)?;
    let mut signature = take(&mut rest, signed)?;
    let used = bytes.len().checked_sub(rest.len())?;
    take(&mut signature, SIGNATURE)?;
    let mut certified = if version == 3 { signature } else { data(&mut signature, QE_DATA)? };
    if version != 3 && !signature.is_empty() {
        return None;
    }
    take(&mut certified, QE_REPORT)?;
    let extra = usize::from(u16::from_le_bytes(*take(&mut certified, 2)?.first_chunk()?));
    take(&mut certified, extra)?;
    let chain = data(&mut certified, CHAIN)?;
    certified.is_empty().then_some((used, chain))
}

/// Data of this type.
fn data<'a>(rest: &mut &'a [u8], kind: u16) -> Option<&'a [u8]> {
    let found = u16::from_le_bytes(*take(rest, 2)?.first_chunk()?);
    let size = length(rest)?;
    if found == kind { take(rest, size) } else { None }
}

fn length(rest: &mut &[u8]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(*take(rest, 4)?.first_chunk()?)).ok()
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}
