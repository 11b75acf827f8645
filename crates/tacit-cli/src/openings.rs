//! The count of openings of a hiding commitment, kept in a file beside the model: `M.tacit.openings`.
//!
//! The file holds the weight root and the number of proofs made, and is locked while a process makes proofs, so that no
//! opening is used twice. A model committed to anew has another root, and starts from zero.

use crate::failure::{Context, Failure};
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Mutex;

/// An open count.
#[derive(Debug)]
pub(crate) struct OpeningsFile {
    root: String,
    file: Mutex<File>,
}

impl OpeningsFile {
    /// Opens the count beside a model file; gives the openings that are spent.
    pub(crate) fn open(model: &Path, weight_root: &[u8; 32]) -> Result<(Self, u32), Failure> {
        let mut path = model.as_os_str().to_owned();
        path.push(".openings");
        let path = Path::new(&path);
        let unusable = |reason: &dyn std::fmt::Display| {
            Failure::new(
                "openings",
                format!("cannot use {}: {reason}", path.display()),
                "it counts proofs, so that no more are made than hide the weights: check its folder and permissions",
            )
        };
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| unusable(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::new(
                    "model_in_use",
                    format!("another process makes proofs with {}", model.display()),
                    "stop it first: both would use the same openings",
                ));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(&error)),
        }
        let mut text = String::new();
        (&mut file).take(MAX_BYTES).read_to_string(&mut text).map_err(|error| unusable(&error))?;
        let root: String = weight_root.iter().map(|byte| format!("{byte:02x}")).collect();
        let used = match text.split_whitespace().collect::<Vec<_>>().as_slice() {
            [] => 0,
            [of, _] if *of != root => 0,
            [_, used] => used.parse().failed(
                "openings",
                path.display(),
                "it is damaged: commit to the model anew with `tacit model rerandomise`",
            )?,
            _ => return Err(unusable(&"it is damaged")),
        };
        Ok((Self { root, file: Mutex::new(file) }, used))
    }
}

impl tacit_worker::Openings for OpeningsFile {
    fn record(&self, used: u32) -> std::io::Result<()> {
        let mut file =
            self.file.lock().map_err(|_| std::io::Error::other("the count is in an unknown state"))?;
        file.seek(SeekFrom::Start(0))?;
        // Of one length, so that a write never leaves a part of the one before.
        file.write_all(format!("{} {used:010}\n", self.root).as_bytes())?;
        file.sync_data()
    }
}

const MAX_BYTES: u64 = 256;
