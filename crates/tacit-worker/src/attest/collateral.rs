//! What vendors sign for everybody, from a folder that the owner keeps current.
//!
//! | file | holds |
//! |---|---|
//! | `intel.json` | collateral as Intel's tools and caching services give it: `root_ca_crl`, `pck_crl` (DER in hexadecimal), `tcb_info`, `qe_identity` with `…_issuer_chain` and `…_signature` (hexadecimal) |
//! | `amd-vcek.der` | the chip's certificate, where it does not come with the report |
//! | `*.swidtag` | NVIDIA's reference files, in the order of their names |
//!
//! Files are read for each session, so that newer ones take effect when they are there.

use std::{
    fs::File,
    io::{ErrorKind, Read as _},
    path::{Path, PathBuf},
};

use alloy_primitives::hex;
use serde::Deserialize;
use tacit_attest::{CERTIFICATE_BYTES_MAX, COLLATERAL_BYTES_MAX, Collateral, REFERENCES_MAX};

use super::error::AttestError;

const INTEL_FILE: &str = "intel.json";
const VCEK_FILE: &str = "amd-vcek.der";
const REFERENCE_EXTENSION: &str = "swidtag";
/// Eight parts, two of them in hexadecimal.
const INTEL_FILE_BYTES_MAX: usize = 12 * COLLATERAL_BYTES_MAX;
const REFERENCE_BYTES_MAX: usize = 1 << 20;

/// The file's fields that evidence has; others are left out.
#[derive(Deserialize)]
struct Intel {
    root_ca_crl: String,
    pck_crl: String,
    tcb_info_issuer_chain: String,
    tcb_info: String,
    tcb_info_signature: String,
    qe_identity_issuer_chain: String,
    qe_identity: String,
    qe_identity_signature: String,
}

/// Intel's collateral.
pub(super) fn intel(folder: &Path) -> Result<Collateral, AttestError> {
    let path = folder.join(INTEL_FILE);
    let bytes = read(&path, INTEL_FILE_BYTES_MAX)?;
    let malformed = || AttestError::Collateral { path: path.clone() };
    let file: Intel = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
    let bits = |text: &str| hex::decode(text).map_err(|_| malformed());
    Ok(Collateral {
        root_ca_crl: bits(&file.root_ca_crl)?,
        pck_crl: bits(&file.pck_crl)?,
        tcb_info_issuer_chain: file.tcb_info_issuer_chain,
        tcb_info: file.tcb_info,
        tcb_info_signature: bits(&file.tcb_info_signature)?,
        qe_identity_issuer_chain: file.qe_identity_issuer_chain,
        qe_identity: file.qe_identity,
        qe_identity_signature: bits(&file.qe_identity_signature)?,
    })
}

/// The chip's certificate that lies in the folder.
pub(super) fn vcek(folder: &Path) -> Result<Vec<u8>, AttestError> {
    let path = folder.join(VCEK_FILE);
    match read(&path, CERTIFICATE_BYTES_MAX) {
        Err(AttestError::File { path, source }) if source.kind() == ErrorKind::NotFound => {
            Err(AttestError::NoCertificate { path })
        }
        read => read,
    }
}

/// NVIDIA's reference files.
pub(super) fn references(folder: &Path) -> Result<Vec<String>, AttestError> {
    let unreadable = |source| AttestError::File { path: folder.to_owned(), source };
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == REFERENCE_EXTENSION) {
            paths.push(path);
        }
        if paths.len() > REFERENCES_MAX {
            return Err(AttestError::TooLong { path: folder.to_owned(), limit: REFERENCES_MAX });
        }
    }
    paths.sort();
    let text = |path: PathBuf| {
        let bytes = read(&path, REFERENCE_BYTES_MAX)?;
        String::from_utf8(bytes).map_err(|_| AttestError::Collateral { path })
    };
    paths.into_iter().map(text).collect()
}

/// A file's bytes, at most so many.
pub(super) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, AttestError> {
    let unreadable = |source| AttestError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > limit {
        return Err(AttestError::TooLong { path: path.to_owned(), limit });
    }
    Ok(bytes)
}
