//! Evidence as it is carried: in a worker's answer, beside a receipt, which names it by its hash.
//!
//! # Format
//! Version `01`. Kind of CPU (1): `01` Intel: quote, then collateral in the order of [`Collateral`]'s fields; `02` AMD: report (1184), VCEK in
//! DER. Number of GPUs (2), of each its report and its chain in PEM. Number of reference files (2), each. Contents are preceded by
//! their length (4, little-endian) but for the report of 1184 bytes. Nothing follows.

use alloy_primitives::B256;
use tacit_policy::{
    DecodeError,
    codec::{Reader, Writer},
};

/// Everything that a worker shows of its hardware. Nothing of it has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Of its CPU.
    pub cpu: CpuEvidence,
    /// Of its GPUs.
    pub gpus: Vec<GpuEvidence>,
    /// Files of reference measurements that NVIDIA signed, for drivers and VBIOSes of these GPUs.
    pub references: Vec<String>,
}

/// Evidence of a CPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CpuEvidence {
    /// A quote of a TDX guest or of an SGX enclave.
    Intel {
        /// As the hardware gives it, without what follows it (see [`crate::quote_bytes`]).
        quote: Vec<u8>,
        /// What Intel says of such platforms.
        collateral: Box<Collateral>,
    },
    /// A report of an SEV-SNP guest.
    Amd {
        /// As the hardware gives it.
        report: Box<[u8; REPORT_BYTES]>,
        /// The certificate of the chip at this version of its firmware, in DER.
        vcek: Vec<u8>,
    },
}

/// What Intel signs for everybody, fetched by anybody: certificates in PEM, lists of revoked certificates in DER, statements in JSON. The authority
/// between Intel's root and platforms is in the quote.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collateral {
    /// Revoked authorities.
    pub root_ca_crl: Vec<u8>,
    /// Revoked platforms.
    pub pck_crl: Vec<u8>,
    /// Who signed the statement on firmware.
    pub tcb_info_issuer_chain: String,
    /// Which versions of firmware are how good.
    pub tcb_info: String,
    /// Its signature.
    pub tcb_info_signature: Vec<u8>,
    /// Who signed the statement on quoting enclaves.
    pub qe_identity_issuer_chain: String,
    /// Which quoting enclaves are how good.
    pub qe_identity: String,
    /// Its signature.
    pub qe_identity_signature: Vec<u8>,
}

/// Evidence of a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuEvidence {
    /// As the driver gives it.
    pub report: Vec<u8>,
    /// The chain of the key that signed it, in PEM.
    pub chain: String,
}

/// How long a report of an SEV-SNP guest is.
pub const REPORT_BYTES: usize = 1184;
/// How many GPUs evidence may be of.
pub const GPUS_MAX: usize = 16;
/// How many files of reference measurements evidence may have.
pub const REFERENCES_MAX: usize = 16;
/// How long a quote may be.
pub const QUOTE_BYTES_MAX: usize = 16 * 1024;
/// How long one part of the collateral may be.
pub const COLLATERAL_BYTES_MAX: usize = 256 * 1024;
/// How long a certificate may be.
pub const CERTIFICATE_BYTES_MAX: usize = 8 * 1024;
/// How long evidence may be.
pub const EVIDENCE_BYTES_MAX: usize = 4 * 1024 * 1024;

const VERSION: u8 = 1;
const INTEL: u8 = 1;
const AMD: u8 = 2;
const CONTEXT: &str = "tacit 2026 attested evidence v1";

impl Evidence {
    /// Reads evidence.
    ///
    /// # Errors
    /// [`DecodeError`]; no input makes this panic.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > EVIDENCE_BYTES_MAX {
            let (field, max, got) = ("evidence", EVIDENCE_BYTES_MAX, bytes.len());
            return Err(DecodeError::Length { field, max, got });
        }
        let mut reader = Reader::new(bytes);
        match reader.byte()? {
            VERSION => {}
            got => return Err(DecodeError::Version { got }),
        }
        let cpu = match reader.byte()? {
            INTEL => CpuEvidence::Intel {
                quote: reader.bytes("quote", QUOTE_BYTES_MAX)?.to_vec(),
                collateral: Box::new(Collateral::read(&mut reader)?),
            },
            AMD => CpuEvidence::Amd {
                report: Box::new(reader.array()?),
                vcek: reader.bytes("VCEK", CERTIFICATE_BYTES_MAX)?.to_vec(),
            },
            got => return Err(DecodeError::Kind { got }),
        };
        let mut gpus = Vec::new();
        for _ in 0..reader.count("GPUs", GPUS_MAX)? {
            let report = reader.bytes("GPU report", tacit_nvidia::REPORT_BYTES_MAX)?.to_vec();
            gpus.push(GpuEvidence { report, chain: reader.text("GPU chain", tacit_nvidia::PEM_BYTES_MAX)? });
        }
        let mut references = Vec::new();
        for _ in 0..reader.count("references", REFERENCES_MAX)? {
            references.push(reader.text("reference", tacit_nvidia::RIM_BYTES_MAX)?);
        }
        reader.end()?;
        Ok(Self { cpu, gpus, references })
    }

    /// Its one encoding. What is longer than [`decode`](Self::decode) takes is encoded all the same, and not read again.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.put(&[VERSION]);
        match &self.cpu {
            CpuEvidence::Intel { quote, collateral } => {
                writer.put(&[INTEL]);
                writer.bytes(quote);
                collateral.write(&mut writer);
            }
            CpuEvidence::Amd { report, vcek } => {
                writer.put(&[AMD]);
                writer.put(report.as_slice());
                writer.bytes(vcek);
            }
        }
        writer.count(self.gpus.len());
        for gpu in &self.gpus {
            writer.bytes(&gpu.report);
            writer.bytes(gpu.chain.as_bytes());
        }
        writer.count(self.references.len());
        self.references.iter().for_each(|text| writer.bytes(text.as_bytes()));
        writer.into_bytes()
    }

    /// Its name on receipts: a hash of its encoding.
    #[must_use]
    pub fn id(&self) -> B256 {
        B256::from(blake3::derive_key(CONTEXT, &self.encode()))
    }
}

impl Collateral {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            root_ca_crl: bytes(reader)?,
            pck_crl: bytes(reader)?,
            tcb_info_issuer_chain: text(reader)?,
            tcb_info: text(reader)?,
            tcb_info_signature: bytes(reader)?,
            qe_identity_issuer_chain: text(reader)?,
            qe_identity: text(reader)?,
            qe_identity_signature: bytes(reader)?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.bytes(&self.root_ca_crl);
        writer.bytes(&self.pck_crl);
        writer.bytes(self.tcb_info_issuer_chain.as_bytes());
        writer.bytes(self.tcb_info.as_bytes());
        writer.bytes(&self.tcb_info_signature);
        writer.bytes(self.qe_identity_issuer_chain.as_bytes());
        writer.bytes(self.qe_identity.as_bytes());
        writer.bytes(&self.qe_identity_signature);
    }
}

fn text(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    reader.text("collateral", COLLATERAL_BYTES_MAX)
}

fn bytes(reader: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    Ok(reader.bytes("collateral", COLLATERAL_BYTES_MAX)?.to_vec())
}
