//! The hash of a Linux kernel as firmware measures it: of a program in the form PE/COFF, after QEMU wrote into its header.
//!
//! Sources: Microsoft, *Windows Authenticode Portable Executable Signature Format* 1.0, "Calculating the PE Image Hash", as EDK II does it in
//! `OvmfPkg/Tcg/TdTcg2Dxe/MeasureBootPeCoff.c`; Linux, `Documentation/arch/x86/boot.rst` (the header); QEMU, `hw/i386/x86-common.c`.
//!
//! # Soundness
//! The hash leaves out a checksum and a signature, as it must. Parts of the file that lie behind one another's ends in other ways than
//! linkers write them are refused, not guessed at.

use super::MeasureError;
use super::firmware::{u16_at, u32_at};
use super::memory::below_four_gib;
use sha2::{Digest as _, Sha384};

/// What of the kernel's header reaches the firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KernelHeader {
    /// QEMU fills in which loader it is, and where command line and initial file system would lie: OVMF before edk2-stable202505.
    #[default]
    FilledIn,
    /// The file as it is: later OVMF, which asks QEMU for the file.
    AsInFile,
}

/// SHA-384 of the kernel, as the firmware measures it when it starts it.
pub(super) fn measured(
    kernel: &[u8],
    header: KernelHeader,
    initrd_bytes: usize,
    memory_bytes: u64,
) -> Result<[u8; 48], MeasureError> {
    match header {
        KernelHeader::FilledIn => program_hash(&filled_in(kernel, initrd_bytes, memory_bytes)?),
        KernelHeader::AsInFile => program_hash(kernel),
    }
}

fn filled_in(kernel: &[u8], initrd_bytes: usize, memory_bytes: u64) -> Result<Vec<u8>, MeasureError> {
    let mut kernel = kernel.to_vec();
    let is_linux = kernel.get(0x202..0x206) == Some(b"HdrS");
    let protocol = u16_at(&kernel, 0x206).filter(|protocol| is_linux && *protocol >= 0x20c);
    let flags = protocol.and_then(|_| kernel.get(0x211).copied()).filter(|flags| flags & LOADED_HIGH != 0);
    let (Some(flags), Some(more)) = (flags, u16_at(&kernel, 0x236)) else {
        return Err(MeasureError::BootProtocol);
    };
    let mut put = |at: usize, bytes: &[u8]| {
        kernel.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
    };
    put(0x210, &[QEMU]);
    put(0x211, &[flags | CAN_USE_HEAP]);
    put(0x224, &HEAP_END.to_le_bytes());
    put(0x228, &COMMAND_LINE.to_le_bytes());
    if initrd_bytes != 0 {
        let size = u64::try_from(initrd_bytes).unwrap_or(u64::MAX);
        let limit = if more & ANYWHERE == 0 {
            u64::from(u32_at(&kernel, 0x22c).ok_or(MeasureError::BootProtocol)?)
        } else {
            u64::from(u32::MAX)
        };
        let limit = limit.min(below_four_gib(memory_bytes).saturating_sub(TABLES).saturating_sub(1));
        let too_large = MeasureError::InitrdSize { max: limit, got: size };
        let place = limit.checked_sub(size).filter(|place| *place != 0).ok_or(too_large)? & !4095;
        let narrow = |number: u64| u32::try_from(number).map_err(|_| too_large);
        let (place, size) = (narrow(place)?, narrow(size)?);
        let mut put = |at: usize, bytes: &[u8]| {
            kernel.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
        };
        put(0x218, &place.to_le_bytes());
        put(0x21c, &size.to_le_bytes());
    }
    Ok(kernel)
}

/// The hash of a program that its signature would sign.
fn program_hash(file: &[u8]) -> Result<[u8; 48], MeasureError> {
    let refused = |what| MeasureError::Program { what };
    let header = Header::read(file).ok_or(refused("its headers do not lie within it"))?;
    let mut hasher = Sha384::new();
    let mut hashed = header.length;
    let behind_checksum = header.checksum.saturating_add(4);
    for part in
        [0..header.checksum, behind_checksum..header.certificate, header.certificate_end..header.length]
    {
        hasher.update(file.get(part).ok_or(refused("its headers do not lie within each other"))?);
    }
    let mut sections: Vec<(usize, usize)> = Vec::new();
    for index in 0..header.sections {
        let at = index.checked_mul(SECTION).and_then(|offset| offset.checked_add(header.table));
        let numbers =
            at.and_then(|at| Some((number(file, at.checked_add(20)?)?, number(file, at.checked_add(16)?)?)));
        let (from, size) = numbers.ok_or(refused("its list of sections does not lie within it"))?;
        if size != 0 {
            sections.push((from, size));
        }
    }
    sections.sort_unstable();
    for (from, size) in sections {
        if from != hashed {
            return Err(refused("a section does not begin where the one before it ends"));
        }
        let content = file.get(from..).and_then(|rest| rest.get(..size));
        hasher.update(content.ok_or(refused("a section does not lie within it"))?);
        hashed = hashed.saturating_add(size);
    }
    let end = file.len().checked_sub(header.certificate_bytes).filter(|end| *end >= hashed);
    let end = end.ok_or(refused("its signature is longer than what is left"))?;
    hasher.update(file.get(hashed..end).unwrap_or_default());
    Ok(hasher.finalize().into())
}

/// Places in the headers of a program, and what they say.
struct Header {
    /// Length of all headers.
    length: usize,
    checksum: usize,
    /// The entry that says where a signature is.
    certificate: usize,
    certificate_end: usize,
    certificate_bytes: usize,
    /// The list of sections.
    table: usize,
    sections: usize,
}

impl Header {
    fn read(file: &[u8]) -> Option<Self> {
        let start = number(file, 0x3c)?;
        if !file.starts_with(b"MZ") || !file.get(start..)?.starts_with(b"PE\0\0") {
            return None;
        }
        let coff = start.checked_add(4)?;
        let optional = coff.checked_add(20)?;
        // PE32 has addresses of 32 bits, PE32+ of 64.
        let (count_at, directories) = match u16_at(file, optional)? {
            0x10b => (92, 96),
            0x20b => (108, 112),
            _ => return None,
        };
        let checksum = optional.checked_add(64)?;
        let has_certificate = number(file, optional.checked_add(count_at)?)? > CERTIFICATE;
        let directories = optional.checked_add(directories)?;
        let (certificate, certificate_end, certificate_bytes) = if has_certificate {
            let at = directories.checked_add(CERTIFICATE.checked_mul(8)?)?;
            (at, at.checked_add(8)?, number(file, at.checked_add(4)?)?)
        } else {
            let end = checksum.checked_add(4)?;
            (end, end, 0)
        };
        Some(Self {
            length: number(file, optional.checked_add(60)?)?,
            checksum,
            certificate,
            certificate_end,
            certificate_bytes,
            table: optional.checked_add(usize::from(u16_at(file, coff.checked_add(16)?)?))?,
            sections: usize::from(u16_at(file, coff.checked_add(2)?)?),
        })
    }
}

fn number(file: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32_at(file, at)?).ok()
}

/// Bits of the header's flags.
const LOADED_HIGH: u8 = 1;
const CAN_USE_HEAP: u8 = 0x80;
/// Of its further flags: the initial file system may lie anywhere.
const ANYWHERE: u16 = 2;
/// QEMU's number as a loader.
const QEMU: u8 = 0xb0;
/// Where QEMU would put a command line, and the end of the heap before it.
const COMMAND_LINE: u32 = 0x2_0000;
const HEAP_END: u16 = 0xfe00;
/// What QEMU keeps free for tables at the end of memory.
const TABLES: u64 = 0x2_8000;
/// Which of a program's directories has its signature.
const CERTIFICATE: usize = 4;
/// Length of an entry of the list of sections.
const SECTION: usize = 40;
