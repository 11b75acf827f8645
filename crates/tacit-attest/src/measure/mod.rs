//! From the files that a guest is started from to what its hardware will report: pure functions of bytes.
//!
//! A client that has firmware, kernel, initial file system and command line computes by itself which [image](crate::ImageId) they are, and
//! needs to believe nobody about it. For QEMU with OVMF, which start a kernel directly.
//!
//! - [`SnpGuest::image`]: AMD SEV-SNP, whole;
//! - [`TdxGuest::image`]: Intel TDX; the files that QEMU makes ACPI tables from are inputs, as digests.

mod boot;
mod error;
mod firmware;
mod kernel;
mod memory;
mod snp;
mod tdvf;
mod tdx;
mod vmsa;

pub use boot::{Boot, COMMAND_LINE_BYTES_MAX, INITRD_BYTES_MAX, KERNEL_BYTES_MAX};
pub use error::{Hardware, MeasureError};
pub use firmware::FIRMWARE_BYTES_MAX;
pub use kernel::KernelHeader;
pub use memory::MEMORY_BYTES_MAX;
pub use snp::{PROCESSORS_MAX, ProcessorModel, SnpGuest};
pub use tdvf::PageOrder;
pub use tdx::{AcpiDigests, Event, TdxGuest, extended};
