//! The disk with models: read through its hash tree (dm-verity), mounted for reading.
//!
//! Sources: Linux, `include/uapi/linux/dm-ioctl.h` and `Documentation/admin-guide/device-mapper/verity.rst`.
//!
//! # Formal definition
//! A request is 312 bytes of header (version 4.0.0, its own length, where data begins, how many targets, flags, a name at 48), then for a table
//! one target (first sector, sectors, status, next, kind) and its parameters as text that ends in a zero.
//!
//! # Soundness
//! The kernel compares each block that is read with the tree, and the tree with the root. Root and salt come from the command line, which is
//! measured; nothing on the disk, which the host writes, says where anything is.

use crate::error::{During as _, Failure};
use crate::settings::Disk;
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountFlags;
use std::fs::File;
use std::time::{Duration, Instant};

/// Makes the disk readable at `/models`.
pub(crate) fn open(disk: &Disk) -> Result<(), Failure> {
    wait_for(DISK)?;
    let control = rustix::fs::open(CONTROL, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .during("opening the device mapper")?;
    let control = File::from(control);
    // One type for three numbers: the kernel reads and writes as many bytes as the header says.
    let mut create = request(None);
    call::<{ opcode(CREATE) }>(&control, &mut create)?;
    let mut load = request(Some(disk));
    call::<{ opcode(LOAD) }>(&control, &mut load)?;
    let mut resume = request(None);
    call::<{ opcode(RESUME) }>(&control, &mut resume)?;
    wait_for(VERIFIED)?;
    let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC;
    rustix::mount::mount(VERIFIED, "/models", "squashfs", flags, None).during("mounting the models")
}

/// A request as long as any that is made here.
type Request = [u8; REQUEST_BYTES];

fn request(table: Option<&Disk>) -> Request {
    let mut bytes = [0; REQUEST_BYTES];
    let mut put = |at: usize, content: &[u8]| {
        bytes.iter_mut().skip(at).zip(content).for_each(|(to, from)| *to = *from);
    };
    put(0, &4_u32.to_le_bytes());
    put(12, &LENGTH.to_le_bytes());
    put(16, &HEADER.to_le_bytes());
    put(28, &READ_ONLY.to_le_bytes());
    put(48, NAME);
    if let Some(disk) = table {
        put(20, &1_u32.to_le_bytes());
        let sectors = disk.blocks.saturating_mul(SECTORS_PER_BLOCK);
        put(HEADER_BYTES + 8, &sectors.to_le_bytes());
        put(HEADER_BYTES + 24, b"verity");
        put(HEADER_BYTES + 40, parameters(disk).as_bytes());
    }
    bytes
}

/// Version, content, tree, sizes of their blocks, how many blocks of content, where the tree begins, hash, root, salt.
fn parameters(disk: &Disk) -> String {
    let Disk { blocks, salt, root } = disk;
    format!("1 {DISK} {DISK} 4096 4096 {blocks} {blocks} sha256 {root} {salt}")
}

/// The number of a request of the device mapper: it reads and writes 312 bytes, and what follows them.
const fn opcode(number: u8) -> rustix::ioctl::Opcode {
    rustix::ioctl::opcode::read_write::<[u8; HEADER_BYTES]>(0xfd, number)
}

fn call<const OPCODE: rustix::ioctl::Opcode>(control: &File, request: &mut Request) -> Result<(), Failure> {
    #[expect(unsafe_code, reason = "the device mapper has no other interface")]
    // SAFETY: the file is the device mapper's, OPCODE one of its requests. For these the kernel reads and writes at most as many bytes as the
    // header says, which is the length of `Request`; every content of the bytes is valid for both sides.
    let done =
        unsafe { rustix::ioctl::ioctl(control, rustix::ioctl::Updater::<OPCODE, Request>::new(request)) };
    done.during("asking the device mapper")
}

/// Waits until a disk is there.
pub(crate) fn wait_for(path: &'static str) -> Result<(), Failure> {
    let start = Instant::now();
    while !std::path::Path::new(path).exists() {
        if start.elapsed() > Duration::from_secs(WAIT_SECONDS) {
            return Err(Failure::NoDisk(path, WAIT_SECONDS));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

const DISK: &str = "/dev/vda";
const CONTROL: &str = "/dev/mapper/control";
const VERIFIED: &str = "/dev/dm-0";
const NAME: &[u8] = b"models";
const WAIT_SECONDS: u64 = 30;
const CREATE: u8 = 3;
const RESUME: u8 = 6;
const LOAD: u8 = 9;
const READ_ONLY: u32 = 1;
const SECTORS_PER_BLOCK: u64 = 8;
const HEADER_BYTES: usize = 312;
const HEADER: u32 = 312;
const REQUEST_BYTES: usize = 1024;
const LENGTH: u32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_laid_out_as_the_kernel_reads_it() {
        let disk = Disk { blocks: u64::MAX / 8, salt: "b".repeat(64), root: "a".repeat(64) };
        let bytes = request(Some(&disk));
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!(
            [number(0), number(4), number(8), number(12), number(16), number(20)],
            [4, 0, 0, 1024, 312, 1]
        );
        assert_eq!(number(28), 1);
        assert_eq!(&bytes[48..55], b"models\0");
        let sectors = u64::from_le_bytes(bytes[320..328].try_into().unwrap());
        assert_eq!(sectors, u64::MAX / 8 * 8);
        assert_eq!(&bytes[336..343], b"verity\0");
        let end = bytes.iter().skip(352).position(|byte| *byte == 0).unwrap();
        assert_eq!(&bytes[352..352 + end], parameters(&disk).as_bytes());
        assert!(352 + end < bytes.len());
        assert_eq!(opcode(CREATE), 0xc138_fd03);
    }
}
