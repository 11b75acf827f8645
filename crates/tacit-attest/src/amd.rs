//! Reports of AMD SEV-SNP guests.
//!
//! Sources: AMD 56860 (SEV Secure Nested Paging Firmware ABI) 1.58, tables 23 to 26; AMD 57230 (VCEK Certificate and KDS Interface) 1.00.
//!
//! # What is checked
//! The chip's certificate (VCEK) is signed by AMD's key for its product, is valid at this time, and is for this chip and the versions of
//! firmware that the report names; its key signed the report. What nobody signed is zero. The guest may not be debugged, nor associated
//! with an agent that moves it. Reports signed by a VLEK, which a provider holds for many chips, are refused.

mod certificate;

use crate::SnpImage;
use crate::evidence::REPORT_BYTES;
use crate::signature::{POINT_BYTES, p384_signed};
use crate::trust::Trust;
pub(crate) use certificate::Authority;
use certificate::Vcek;
use tacit_policy::{Fingerprint, Product, Versions};

/// Why a report is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AmdError {
    /// A report of a version that is not known.
    #[error("a report of version {got}")]
    Version {
        /// What it says.
        got: u32,
    },
    /// Another algorithm than ECDSA on P-384 with SHA-384.
    #[error("a report signed by algorithm {got}")]
    Algorithm {
        /// What it says.
        got: u32,
    },
    /// Signed by no key of a chip.
    #[error("a report that is not signed by a chip's own key")]
    SigningKey,
    /// Something is set that must be zero.
    #[error("reserved bytes at {at:#x} are not zero")]
    Reserved {
        /// Where they begin.
        at: usize,
    },
    /// The chip's certificate is malformed.
    #[error("the chip's certificate is malformed")]
    Certificate,
    /// The chip's certificate is of no product that is known here.
    #[error("the chip's certificate names no known issuer")]
    Issuer,
    /// AMD did not sign it.
    #[error("the chip's certificate is not signed by its issuer")]
    CertificateSignature,
    /// Its time has not begun.
    #[error("the chip's certificate is not yet valid")]
    NotYetValid,
    /// Its time is over.
    #[error("the chip's certificate has expired")]
    Expired,
    /// It is for another chip.
    #[error("the chip's certificate is for another chip, or the report hides its chip")]
    Chip,
    /// It is for other versions of firmware than the report names.
    #[error("the chip's certificate is for other versions of firmware")]
    Versions,
    /// The chip did not sign the report.
    #[error("the report is not signed by the chip's key")]
    Signature,
    /// Whoever runs the machine can read the guest.
    #[error("the guest may be debugged")]
    Debug,
    /// The guest may be moved by an agent, to wherever it likes.
    #[error("the guest may be moved by an agent")]
    Migration,
}

/// What a report shows.
#[must_use = "a report is worth nothing until it is compared with a policy and a session"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnpReport {
    pub(crate) product: Product,
    pub(crate) report_data: [u8; 64],
    pub(crate) image: SnpImage,
    pub(crate) vmpl: u32,
    pub(crate) platform: u64,
    pub(crate) versions: Versions,
    pub(crate) launch: Versions,
    pub(crate) chip: [u8; 64],
    pub(crate) certificate: Fingerprint,
    pub(crate) valid_until: u64,
}

const SIGNED: usize = 0x2a0;
/// Where nothing is in any version of a report that is read here: begin and end.
const RESERVED: [(usize, usize); 7] = [
    (0x4c, 0x50),
    (0x18b, 0x1a0),
    (0x1eb, 0x1ec),
    (0x1ef, 0x1f0),
    (0x208, SIGNED),
    (0x2d0, 0x2e8),
    (0x318, REPORT_BYTES),
];
const DEBUG: u64 = 1 << 19;
const MIGRATION: u64 = 1 << 18;
const ECDSA_P384: u32 = 1;

impl SnpReport {
    /// Checks a report with the certificate of its chip, at `now` in seconds since 1970.
    ///
    /// # Errors
    /// [`AmdError`], the first check that fails; no input makes this panic.
    pub fn verify(
        report: &[u8; REPORT_BYTES],
        vcek: &[u8],
        trust: &Trust,
        now: u64,
    ) -> Result<Self, AmdError> {
        let fields = Fields(report);
        let version = fields.u32(0);
        if !(2..=5).contains(&version) {
            return Err(AmdError::Version { got: version });
        }
        let algorithm = fields.u32(0x34);
        if algorithm != ECDSA_P384 {
            return Err(AmdError::Algorithm { got: algorithm });
        }
        // Bits 2 to 4 say which key: zero is the chip's. Bit 0 is about keys of the guest's author; bits above are zero.
        if fields.u32(0x48) & !1 != 0 {
            return Err(AmdError::SigningKey);
        }
        let used = |at: &(usize, usize)| {
            report.get(at.0..at.1).is_none_or(|bytes| bytes.iter().any(|byte| *byte != 0))
        };
        if let Some((at, _)) = RESERVED.iter().find(|at| used(at)) {
            return Err(AmdError::Reserved { at: *at });
        }
        let vcek = Vcek::verify(vcek, trust, now)?;
        let versions = versions_of(vcek.product, fields.array(0x180)).ok_or(AmdError::Versions)?;
        if versions != vcek.versions {
            return Err(AmdError::Versions);
        }
        let launch = versions_of(vcek.product, fields.array(0x1f0)).ok_or(AmdError::Versions)?;
        let chip = fields.array(0x1a0);
        if chip != vcek.chip || chip == [0; 64] {
            return Err(AmdError::Chip);
        }
        if !signed(report, &vcek.key) {
            return Err(AmdError::Signature);
        }
        let policy = u64::from_le_bytes(fields.array(0x08));
        if policy & DEBUG != 0 {
            return Err(AmdError::Debug);
        }
        if policy & MIGRATION != 0 {
            return Err(AmdError::Migration);
        }
        Ok(Self {
            product: vcek.product,
            report_data: fields.array(0x50),
            image: SnpImage { measurement: fields.array(0x90), host_data: fields.array(0xc0) },
            vmpl: fields.u32(0x30),
            platform: u64::from_le_bytes(fields.array(0x40)),
            versions,
            launch,
            chip,
            certificate: vcek.fingerprint,
            valid_until: vcek.not_after,
        })
    }

    /// The generation of the chip.
    #[must_use]
    pub fn product(&self) -> Product {
        self.product
    }

    /// What the guest put into it.
    #[must_use]
    pub fn report_data(&self) -> &[u8; 64] {
        &self.report_data
    }

    /// What was started.
    #[must_use]
    pub fn image(&self) -> &SnpImage {
        &self.image
    }

    /// The privilege level of whoever asked for it, zero being the highest.
    #[must_use]
    pub fn vmpl(&self) -> u32 {
        self.vmpl
    }

    /// How the platform is set up: bit 0 threads that share a core, 1 encryption of all memory, 2 memory with error correction, 3 no
    /// measuring of power, 4 hidden ciphertext, 5 checked for memory that stands in for other memory.
    #[must_use]
    pub fn platform(&self) -> u64 {
        self.platform
    }

    /// The versions of firmware that its key was derived for.
    #[must_use]
    pub fn versions(&self) -> Versions {
        self.versions
    }

    /// The versions of firmware that the guest was started under, perhaps before an update.
    #[must_use]
    pub fn launch(&self) -> Versions {
        self.launch
    }

    /// Which chip it is.
    #[must_use]
    pub fn chip(&self) -> &[u8; 64] {
        &self.chip
    }

    /// The fingerprint of the chip's certificate.
    #[must_use]
    pub fn certificate(&self) -> Fingerprint {
        self.certificate
    }

    /// When the chip's certificate expires, in seconds since 1970.
    #[must_use]
    pub fn valid_until(&self) -> u64 {
        self.valid_until
    }
}

/// Whether the key signed the report: two integers of 72 bytes, little-endian, of which 48 are used.
fn signed(report: &[u8; REPORT_BYTES], key: &[u8; POINT_BYTES]) -> bool {
    let fields = Fields(report);
    let [mut r, mut s]: [[u8; 48]; 2] = [fields.array(SIGNED), fields.array(0x2e8)];
    r.reverse();
    s.reverse();
    let mut signature = [0; 96];
    signature.iter_mut().zip(r.into_iter().chain(s)).for_each(|(to, from)| *to = from);
    p384_signed(key, report.get(..SIGNED).unwrap_or_default(), &signature)
}

struct Fields<'a>(&'a [u8; REPORT_BYTES]);

impl Fields<'_> {
    /// Bytes from a place on; all places that are asked for are within.
    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }
}

/// Versions as reports have them.
fn versions_of(product: Product, bytes: [u8; 8]) -> Option<Versions> {
    let (versions, zero) = match product {
        Product::Milan | Product::Genoa => {
            let [bootloader, tee, a, b, c, d, snp, microcode] = bytes;
            (Versions { fmc: 0, bootloader, tee, snp, microcode }, [a, b, c, d])
        }
        Product::Turin => {
            let [fmc, bootloader, tee, snp, a, b, c, microcode] = bytes;
            (Versions { fmc, bootloader, tee, snp, microcode }, [a, b, c, 0])
        }
    };
    (zero == [0; 4]).then_some(versions)
}
