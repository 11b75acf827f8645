//! Hardware evidence.

use alloy_primitives::B256;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Attest {
    /// Compute which image published files are: what hardware will report of a guest that QEMU starts from them, and the id that policies name.
    #[command(subcommand)]
    Measure(MeasureImage),
}

#[derive(Debug, Subcommand)]
pub(crate) enum MeasureImage {
    /// As AMD SEV-SNP measures.
    Snp(MeasureSnp),
    /// As Intel TDX measures.
    Tdx(MeasureTdx),
}

/// What a guest is started from.
#[derive(Debug, Args)]
pub(crate) struct BootFiles {
    /// The firmware: OVMF. For SEV-SNP one that checks the kernel it is given (AmdSev).
    #[arg(long, value_name = "FILE")]
    pub(crate) firmware: PathBuf,
    /// The kernel.
    #[arg(long, value_name = "FILE")]
    pub(crate) kernel: PathBuf,
    /// The initial file system.
    #[arg(long, value_name = "FILE")]
    pub(crate) initrd: PathBuf,
    /// A file with the kernel's command line; a line end at its end does not count.
    #[arg(long, value_name = "FILE")]
    pub(crate) command_line: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct MeasureSnp {
    #[command(flatten)]
    pub(crate) files: BootFiles,
    /// How many processors the guest has.
    #[arg(long, value_name = "N")]
    pub(crate) processors: u32,
    /// Which they are.
    #[arg(long, value_enum)]
    pub(crate) cpu: SnpProcessor,
    /// Features of the guest (SEV_FEATURES) that the host turns on.
    #[arg(long, value_name = "N", default_value_t = tacit_attest::SnpGuest::FEATURES)]
    pub(crate) features: u64,
    /// What the host configures beside the image; nothing when left out.
    #[arg(long, value_name = "HASH", default_value_t = B256::ZERO)]
    pub(crate) host_data: B256,
}

#[derive(Debug, Args)]
pub(crate) struct MeasureTdx {
    #[command(flatten)]
    pub(crate) files: BootFiles,
    /// How much memory the guest has.
    #[arg(long, value_name = "MIB")]
    pub(crate) memory_mib: u64,
    /// A folder with `table-loader`, `rsdp` and `tables`: what QEMU has the firmware make ACPI tables from.
    #[arg(long, value_name = "DIR")]
    pub(crate) acpi: PathBuf,
    /// The host adds all pages of a section before it measures one, as it did before Linux 6.16.
    #[arg(long)]
    pub(crate) whole_sections: bool,
    /// The firmware starts the kernel's file as it is, as OVMF does since edk2-stable202505.
    #[arg(long)]
    pub(crate) kernel_as_is: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SnpProcessor {
    /// EPYC 7003: QEMU's EPYC-Milan.
    Milan,
    /// EPYC 9004: QEMU's EPYC-Genoa.
    Genoa,
    /// EPYC 9005: QEMU's EPYC-Turin.
    Turin,
}
