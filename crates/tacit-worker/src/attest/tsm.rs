//! Evidence of TDX and SEV-SNP guests, through the kernel's one interface for both.
//!
//! Source: Linux, `Documentation/ABI/testing/configfs-tsm-report` (since 6.7): a folder made under `/sys/kernel/config/tsm/report` has files `provider`, `inblob`, `outblob`
//! and `auxblob`; what is written to `inblob` is in the report that `outblob` then holds. For SEV-SNP `auxblob` may hold certificates, in the table of AMD's
//! GHCB specification (56421, section 4.1.8.1): entries of a GUID (16), offset and length (4 each, little-endian), until one that is all zero.
//!
//! One folder with a fixed name is used again and again, so that a worker that was killed leaves nothing behind that piles up. That nobody else asked meanwhile is seen
//! from the report, which has to hold what was written.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use tacit_attest::{CpuEvidence, Evidence, QUOTE_BYTES_MAX, REPORT_BYTES, quote_bytes};

use super::{Attester, collateral, error::AttestError, gpu::GpuCommand};

/// Where the kernel gives reports.
pub const TSM_REPORTS: &str = "/sys/kernel/config/tsm/report";

const ENTRY: &str = "tacit";
const PROVIDER_BYTES_MAX: usize = 64;
const AUXILIARY_BYTES_MAX: usize = 64 * 1024;
/// `63da758d-e664-4564-adc5-f4b93be8accd`.
const VCEK_GUID: [u8; 16] =
    [0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd];
/// Where report data is in the body of a TDX quote, which begins after a header, and in version 5 a type and a length.
const TDX_REPORT_DATA: usize = 520;
const TDX_HEADER: usize = 48;
const TDX_BODY_HEAD: usize = 6;
const SNP_REPORT_DATA: usize = 0x50;

/// Asks the kernel, and adds what the owner provides.
#[derive(Debug)]
pub struct TsmAttester {
    reports: PathBuf,
    collateral: PathBuf,
    gpus: Option<GpuCommand>,
    turn: Mutex<()>,
}

impl TsmAttester {
    /// Asks at `reports` ([`TSM_REPORTS`]) once, so that a machine without such hardware is found out now.
    ///
    /// # Errors
    /// [`AttestError`]: there is no such hardware, or not all that is needed beside it.
    pub fn open(reports: &Path, collateral: &Path, gpus: Option<GpuCommand>) -> Result<Self, AttestError> {
        let attester = Self::untried(reports, collateral, gpus);
        attester.attest(&[0; 64], &[0; 32])?;
        Ok(attester)
    }

    /// The same without asking: what is missing shows when a session is to begin.
    #[must_use]
    pub fn untried(reports: &Path, collateral: &Path, gpus: Option<GpuCommand>) -> Self {
        let (reports, collateral) = (reports.to_owned(), collateral.to_owned());
        Self { reports, collateral, gpus, turn: Mutex::default() }
    }

    fn cpu(&self, report_data: &[u8; 64]) -> Result<CpuEvidence, AttestError> {
        let entry = self.reports.join(ENTRY);
        match DirBuilder::new().create(&entry) {
            Err(source) if source.kind() != ErrorKind::AlreadyExists => {
                return Err(AttestError::NoInterface { path: self.reports.clone(), source });
            }
            _ => {}
        }
        let inblob = entry.join("inblob");
        let unwritable = |source| AttestError::File { path: inblob.clone(), source };
        let mut file = OpenOptions::new().write(true).open(&inblob).map_err(unwritable)?;
        file.write_all(report_data).map_err(unwritable)?;
        // The kernel takes it when the file is closed.
        drop(file);
        let provider = collateral::read(&entry.join("provider"), PROVIDER_BYTES_MAX)?;
        let provider = String::from_utf8_lossy(&provider).trim().to_owned();
        let blob = collateral::read(&entry.join("outblob"), QUOTE_BYTES_MAX)?;
        match provider.as_str() {
            "tdx_guest" => {
                let quote = quote_bytes(&blob).ok_or(AttestError::Report)?.to_vec();
                answers(tdx_report_data(&quote), report_data)?;
                let collateral = Box::new(collateral::intel(&self.collateral)?);
                Ok(CpuEvidence::Intel { quote, collateral })
            }
            "sev_guest" => {
                let report = <[u8; REPORT_BYTES]>::try_from(blob).map_err(|_| AttestError::Report)?;
                answers(report.get(SNP_REPORT_DATA..), report_data)?;
                let vcek = match certificate(&entry.join("auxblob"))? {
                    Some(vcek) => vcek,
                    None => collateral::vcek(&self.collateral)?,
                };
                Ok(CpuEvidence::Amd { report: Box::new(report), vcek })
            }
            _ => Err(AttestError::Provider { got: provider }),
        }
    }
}

impl Attester for TsmAttester {
    fn attest(&self, report_data: &[u8; 64], gpu_nonce: &[u8; 32]) -> Result<Evidence, AttestError> {
        let _alone = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let cpu = self.cpu(report_data)?;
        let Some(command) = &self.gpus else {
            return Ok(Evidence { cpu, gpus: Vec::new(), references: Vec::new() });
        };
        let gpus = command.ask(gpu_nonce)?;
        Ok(Evidence { cpu, gpus, references: collateral::references(&self.collateral)? })
    }
}

/// What the guest put into a quote, from where it is.
fn tdx_report_data(quote: &[u8]) -> Option<&[u8]> {
    let head = if quote.first() == Some(&5) { TDX_BODY_HEAD } else { 0 };
    quote.get(TDX_HEADER + head + TDX_REPORT_DATA..)
}

fn answers(found: Option<&[u8]>, asked: &[u8; 64]) -> Result<(), AttestError> {
    let found = found.and_then(<[u8]>::first_chunk::<64>).ok_or(AttestError::Report)?;
    if found == asked { Ok(()) } else { Err(AttestError::ReportData) }
}

/// The chip's certificate that came with a report, if one did.
fn certificate(path: &Path) -> Result<Option<Vec<u8>>, AttestError> {
    let table = match collateral::read(path, AUXILIARY_BYTES_MAX) {
        Ok(table) => table,
        // Hosts need not give any: the file is not there then, or cannot be read.
        Err(AttestError::File { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(find(&table).map(<[u8]>::to_vec))
}

fn find(table: &[u8]) -> Option<&[u8]> {
    let (entries, _) = table.as_chunks::<24>();
    let mut used = entries.iter().take_while(|entry| **entry != [0; 24]);
    let entry = used.find(|entry| entry.starts_with(&VCEK_GUID))?;
    let (_, place) = entry.split_first_chunk::<16>()?;
    let (offset, length) = place.split_first_chunk::<4>()?;
    let number = |bytes: [u8; 4]| usize::try_from(u32::from_le_bytes(bytes)).ok();
    let (offset, length) = (number(*offset)?, number(*length.first_chunk()?)?);
    table.get(offset..offset.checked_add(length)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(guid: [u8; 16], offset: u32, length: u32) -> Vec<u8> {
        let entry = [&guid[..], &offset.to_le_bytes(), &length.to_le_bytes()].concat();
        [&entry[..], &[0; 24], b"certificate"].concat()
    }

    #[test]
    fn the_chips_certificate_is_found_where_the_table_says() {
        assert_eq!(find(&table(VCEK_GUID, 48, 11)), Some(&b"certificate"[..]));
        assert_eq!(find(&table([1; 16], 48, 11)), None);
        for (offset, length) in [(48, 12), (60, 1), (u32::MAX, 2), (48, u32::MAX)] {
            assert_eq!(find(&table(VCEK_GUID, offset, length)), None);
        }
        // What stands behind the end of the table is no entry.
        let behind = [&[0; 24][..], &table(VCEK_GUID, 48, 11)].concat();
        assert_eq!(find(&behind), None);
        for length in 0..59 {
            assert_eq!(find(&table(VCEK_GUID, 48, 11)[..length]), None, "{length}");
        }
    }
}
