//! Why hardware gives no evidence.

use std::{io, path::PathBuf};

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// The kernel has no reports of hardware to give.
    #[error(
        "this machine cannot show that it is a guest on TDX or SEV-SNP: {} cannot be used: {source}",
        path.display()
    )]
    NoInterface {
        /// Where reports would be asked for.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// A file cannot be read or written.
    #[error("{} cannot be used: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// A file is longer than anything that it may hold.
    #[error("{} has more than {limit} bytes", path.display())]
    TooLong {
        /// Which.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// Hardware of another kind.
    #[error("reports of {got:?} are not known here, but those of tdx_guest and sev_guest are")]
    Provider {
        /// What the kernel says.
        got: String,
    },
    /// What the kernel gives is no report of its hardware's kind.
    #[error("what the kernel gives is no report of its hardware's kind")]
    Report,
    /// The report answers somebody else's question.
    #[error("the report answers another request: something else on this machine asks under the same name")]
    ReportData,
    /// A file of collateral is not what its name says.
    #[error("{} is not what its name says", path.display())]
    Collateral {
        /// Which.
        path: PathBuf,
    },
    /// The chip's certificate is neither with the report nor in the folder.
    #[error("the chip's certificate (VCEK) comes neither with the report nor from {}", path.display())]
    NoCertificate {
        /// Where it would be.
        path: PathBuf,
    },
    /// The command that shows GPUs cannot be run, or fails.
    #[error("{} does not show the GPUs: {reason}", path.display())]
    GpuCommand {
        /// The command.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// The command's words are not of the form that is agreed.
    #[error("what {} prints is no evidence of GPUs", path.display())]
    GpuFormat {
        /// The command.
        path: PathBuf,
    },
}
