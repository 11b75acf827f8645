//! What QEMU hands to firmware so that it starts a kernel directly: kernel, initial file system, command line.

use super::MeasureError;

/// Longest command line: Linux on x86 keeps 2,048 bytes with the zero behind it.
pub const COMMAND_LINE_BYTES_MAX: usize = 2047;
/// Longest kernel that is read.
pub const KERNEL_BYTES_MAX: usize = 256 << 20;
/// Longest initial file system: its length has 32 bits at the interface, and QEMU keeps it below 2 GiB.
pub const INITRD_BYTES_MAX: usize = (2 << 30) - 1;

/// A kernel that is started directly: `-kernel`, `-initrd`, `-append`.
#[derive(Debug, Clone, Copy)]
pub struct Boot<'a> {
    /// The file of the kernel.
    pub kernel: &'a [u8],
    /// The file of the initial file system; empty if there is none.
    pub initrd: &'a [u8],
    /// The kernel's command line.
    pub command_line: &'a str,
}

impl Boot<'_> {
    pub(super) fn check(&self) -> Result<(), MeasureError> {
        if self.kernel.len() > KERNEL_BYTES_MAX {
            return Err(MeasureError::KernelSize { max: KERNEL_BYTES_MAX, got: self.kernel.len() });
        }
        if self.initrd.len() > INITRD_BYTES_MAX {
            let bytes = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
            return Err(MeasureError::InitrdSize {
                max: bytes(INITRD_BYTES_MAX),
                got: bytes(self.initrd.len()),
            });
        }
        let printable = self.command_line.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !printable || self.command_line.len() > COMMAND_LINE_BYTES_MAX {
            return Err(MeasureError::CommandLine { max: COMMAND_LINE_BYTES_MAX });
        }
        Ok(())
    }
}
