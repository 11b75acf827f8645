//! Evidence of GPUs, by a command that the owner names: the driver's interface is NVIDIA's, and changes with its versions.
//!
//! The command is run without a shell, with one argument, the nonce as 64 hexadecimal digits. It asks each GPU for a report on that nonce and prints JSON:
//! `[{"evidence": "…", "certificate": "…"}, …]`, of each GPU the report and the chain of its key in PEM, both in base64. Other fields are left out. It ends with 0
//! within half a minute.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use alloy_primitives::hex;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
use tacit_attest::{GPUS_MAX, GpuEvidence};

use super::error::AttestError;

/// How long the command may take, in seconds.
const GPU_COMMAND_S: u64 = 30;
const OUTPUT_BYTES_MAX: usize = 4 << 20;
const POLL: Duration = Duration::from_millis(5);

/// A command that shows the GPUs of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuCommand {
    path: PathBuf,
    patience: Duration,
}

#[derive(Deserialize)]
struct Shown {
    evidence: String,
    certificate: String,
}

impl GpuCommand {
    /// The command at this path.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), patience: Duration::from_secs(GPU_COMMAND_S) }
    }

    /// With less patience.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// What the GPUs answer to a nonce.
    pub(super) fn ask(&self, nonce: &[u8; 32]) -> Result<Vec<GpuEvidence>, AttestError> {
        let spawned = Command::new(&self.path)
            .arg(hex::encode(nonce))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = spawned.map_err(|error| self.failed(error.to_string()))?;
        let printed = self.output(&mut child);
        if printed.is_err() {
            // Whatever it still does, nobody waits for it.
            let _ = child.kill();
        }
        let status = child.wait().map_err(|error| self.failed(error.to_string()))?;
        let printed = printed?;
        if !status.success() {
            return Err(self.failed(format!("it ends with {status}")));
        }
        self.parse(&printed).ok_or_else(|| AttestError::GpuFormat { path: self.path.clone() })
    }

    /// All that it prints, once it has ended.
    fn output(&self, child: &mut Child) -> Result<Vec<u8>, AttestError> {
        let pipe = child.stdout.take().ok_or_else(|| self.failed("it prints nothing".to_owned()))?;
        let most = u64::try_from(OUTPUT_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.take(most).read_to_end(&mut bytes).map(|_| bytes)
        });
        let start = Instant::now();
        while !reader.is_finished() {
            if start.elapsed() > self.patience {
                return Err(self.failed(format!("it takes more than {} s", self.patience.as_secs())));
            }
            std::thread::sleep(POLL);
        }
        let printed = reader.join().map_err(|_| self.failed("it cannot be read".to_owned()))?;
        let printed = printed.map_err(|error| self.failed(error.to_string()))?;
        if printed.len() > OUTPUT_BYTES_MAX {
            return Err(AttestError::TooLong { path: self.path.clone(), limit: OUTPUT_BYTES_MAX });
        }
        Ok(printed)
    }

    fn parse(&self, printed: &[u8]) -> Option<Vec<GpuEvidence>> {
        let shown: Vec<Shown> = serde_json::from_slice(printed).ok()?;
        if shown.len() > GPUS_MAX {
            return None;
        }
        let gpu = |shown: Shown| {
            let chain = String::from_utf8(BASE64_STANDARD.decode(shown.certificate).ok()?).ok()?;
            Some(GpuEvidence { report: BASE64_STANDARD.decode(shown.evidence).ok()?, chain })
        };
        shown.into_iter().map(gpu).collect()
    }

    fn failed(&self, reason: String) -> AttestError {
        AttestError::GpuCommand { path: self.path.clone(), reason }
    }
}
