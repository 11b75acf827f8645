//! The measurement of an AMD SEV-SNP guest that QEMU starts.
//!
//! Sources: AMD 56860 (SEV Secure Nested Paging Firmware ABI) 1.58, section 8.17 with table 67 (`PAGE_INFO`); EDK II,
//! `OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm`; QEMU, `target/i386/sev.c`.
//!
//! # Formal definition
//! The digest is 48 zeros at first. Each page that the host hands over makes it the SHA-384 of 112 bytes: the digest, the SHA-384 of the page
//! (zeros if its kind has no content), 112 (u16), the kind (u8), five bytes of zero (no image to move, no permissions for lower levels,
//! reserved), the address (u64). Pages come in this order: the firmware's, up to 4 GiB; those of its sections, in the order of their list;
//! one with the registers of each processor.
//!
//! # Soundness
//! A kernel is measured only through the table of its hashes, and means something only if the firmware compares with them what it is given:
//! OVMF built for it (`AmdSev`) does. Firmware without a place for the table is refused where there is a kernel.

use super::firmware::{FOUR_GIB, Firmware, Guid, PAGE, PAGE_SIZE, Place, SECTIONS_MAX, apart, u32_at};
use super::vmsa::registers;
use super::{Boot, Hardware, MeasureError};
use crate::SnpImage;
use sha2::{Digest as _, Sha256, Sha384};

/// Most processors that a guest may have.
pub const PROCESSORS_MAX: u32 = 4096;

/// What the processors of a guest say they are: the answer to CPUID leaf 1, which the host sets by the model it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessorModel(pub u32);

impl ProcessorModel {
    /// QEMU's `EPYC-v4`.
    pub const NAPLES: Self = Self::new(23, 1, 2);
    /// QEMU's `EPYC-Rome`.
    pub const ROME: Self = Self::new(23, 49, 0);
    /// QEMU's `EPYC-Milan`.
    pub const MILAN: Self = Self::new(25, 1, 1);
    /// QEMU's `EPYC-Genoa`.
    pub const GENOA: Self = Self::new(25, 17, 0);
    /// QEMU's `EPYC-Turin`.
    pub const TURIN: Self = Self::new(26, 0, 0);

    /// From a family of 15 or more, a model and a stepping, as AMD counts them (AMD 25481, `CPUID Fn0000_0001_EAX`).
    #[must_use]
    #[expect(clippy::as_conversions, reason = "widening, in a constant function")]
    pub const fn new(family: u8, model: u8, stepping: u8) -> Self {
        let family = family.saturating_sub(15) as u32;
        let (high, low) = ((model >> 4) as u32, (model & 15) as u32);
        Self(family << 20 | high << 16 | 15 << 8 | low << 4 | (stepping & 15) as u32)
    }
}

/// An SEV-SNP guest, as QEMU starts it.
///
/// # Examples
/// ```no_run
/// use tacit_attest::{Boot, MeasureError, ProcessorModel, SnpGuest};
///
/// # fn main() -> Result<(), MeasureError> {
/// # let (firmware, kernel, initrd) = ([0_u8; 0], [0_u8; 0], [0_u8; 0]);
/// let boot = Boot { kernel: &kernel, initrd: &initrd, command_line: "console=ttyS0" };
/// let guest = SnpGuest {
///     firmware: &firmware,
///     boot: Some(boot),
///     processors: 4,
///     model: ProcessorModel::GENOA,
///     features: SnpGuest::FEATURES,
/// };
/// println!("{}", guest.image([0; 32])?.id().0);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct SnpGuest<'a> {
    /// The file of the firmware: `-bios`.
    pub firmware: &'a [u8],
    /// What it starts; nothing, if it is to look for something itself. Measured with `kernel-hashes=on` only.
    pub boot: Option<Boot<'a>>,
    /// How many processors: `-smp`.
    pub processors: u32,
    /// Which: `-cpu`.
    pub model: ProcessorModel,
    /// Features of the guest's hardware (`SEV_FEATURES`): bit 0, that it is an SNP guest, which QEMU and KVM set alone.
    pub features: u64,
}

impl SnpGuest<'_> {
    /// Features of a guest of which nothing else was asked.
    pub const FEATURES: u64 = 1;

    /// What a report of this guest will have as its measurement.
    ///
    /// # Errors
    /// [`MeasureError`], the first check that fails; no input makes this panic.
    pub fn measurement(&self) -> Result<[u8; 48], MeasureError> {
        if !(1..=PROCESSORS_MAX).contains(&self.processors) {
            return Err(MeasureError::Processors { max: PROCESSORS_MAX, got: self.processors });
        }
        let firmware = Firmware::parse(self.firmware)?;
        let sections = sections(&firmware)?;
        let hashes = self.boot.map(|boot| hashes_page(&firmware, &sections, &boot)).transpose()?;
        let mut launch = Launch([0; 48]);
        launch.content(firmware.address(), firmware.bytes());
        for Section { kind, start, length } in sections {
            match (kind, &hashes) {
                (Kind::KernelHashes, Some(page)) => launch.content(start, page),
                (Kind::Zero | Kind::KernelHashes, _) => launch.pages(ZERO, start, length),
                (Kind::Secrets, _) => launch.pages(SECRETS, start, length),
                (Kind::Cpuid, _) => launch.pages(CPUID, start, length),
            }
        }
        let first = Sha384::digest(registers(RESET, self.model, self.features)).into();
        launch.page(REGISTERS, REGISTERS_ADDRESS, &first);
        if self.processors > 1 {
            let reset = firmware
                .number(&OTHERS_RESET)
                .ok_or(MeasureError::Entry { what: "other processors' start" })?;
            let others = Sha384::digest(registers(reset, self.model, self.features)).into();
            (1..self.processors).for_each(|_| launch.page(REGISTERS, REGISTERS_ADDRESS, &others));
        }
        Ok(launch.0)
    }

    /// The image, with whatever the host configures beside it (`host-data`, zeros if nothing).
    ///
    /// # Errors
    /// As [`Self::measurement`].
    pub fn image(&self, host_data: [u8; 32]) -> Result<SnpImage, MeasureError> {
        Ok(SnpImage { measurement: self.measurement()?, host_data })
    }
}

/// The digest of what was handed over so far.
struct Launch([u8; 48]);

impl Launch {
    fn page(&mut self, kind: u8, address: u64, content: &[u8; 48]) {
        let mut hasher = Sha384::new();
        hasher.update(self.0);
        hasher.update(content);
        hasher.update([112, 0, kind, 0, 0, 0, 0, 0]);
        hasher.update(address.to_le_bytes());
        self.0 = hasher.finalize().into();
    }

    fn content(&mut self, start: u64, bytes: &[u8]) {
        for (address, page) in addresses(start).zip(bytes.chunks(PAGE)) {
            self.page(NORMAL, address, &Sha384::digest(page).into());
        }
    }

    fn pages(&mut self, kind: u8, start: u64, length: u64) {
        let end = start.saturating_add(length);
        addresses(start)
            .take_while(|address| *address < end)
            .for_each(|address| self.page(kind, address, &[0; 48]));
    }
}

/// Addresses of pages from one on.
fn addresses(start: u64) -> impl Iterator<Item = u64> {
    core::iter::successors(Some(start), |address| address.checked_add(PAGE_SIZE))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Memory that is zero, for the firmware or a module above it.
    Zero,
    /// Where the hardware puts the guest's secrets.
    Secrets,
    /// Where the hardware puts what processors are.
    Cpuid,
    /// Where the host puts hashes of a kernel.
    KernelHashes,
}

#[derive(Debug, Clone, Copy)]
struct Section {
    kind: Kind,
    start: u64,
    length: u64,
}

fn sections(firmware: &Firmware<'_>) -> Result<Vec<Section>, MeasureError> {
    let malformed = MeasureError::Description { hardware: Hardware::Snp };
    let description = firmware.pointed(&DESCRIPTION, "description for SEV-SNP")?;
    let number = |at| u32_at(description, at).ok_or(malformed);
    let (length, version, count) = (number(4)?, number(8)?, number(12)?);
    if !description.starts_with(b"ASEV") || version != 1 {
        return Err(malformed);
    }
    if !(1..=SECTIONS_MAX).contains(&count) {
        return Err(MeasureError::SectionCount { max: SECTIONS_MAX, got: count });
    }
    if count.checked_mul(12).and_then(|bytes| bytes.checked_add(16)) != Some(length) {
        return Err(malformed);
    }
    let length = usize::try_from(length).map_err(|_| malformed)?;
    let list = description.get(16..length).ok_or(malformed)?;
    let mut sections = Vec::new();
    for (at, entry) in list.chunks_exact(12).enumerate() {
        let field = |at| u32_at(entry, at).ok_or(malformed);
        let (start, length, kind) = (u64::from(field(0)?), u64::from(field(4)?), field(8)?);
        let kind = match kind {
            1 | 4 => Kind::Zero,
            2 => Kind::Secrets,
            3 => Kind::Cpuid,
            0x10 => Kind::KernelHashes,
            got => return Err(MeasureError::SectionKind { at, got }),
        };
        if kind != Kind::Zero && length != PAGE_SIZE {
            return Err(MeasureError::SectionPlace { at });
        }
        sections.push(Section { kind, start, length });
    }
    let places = sections.iter().enumerate().map(|(at, section)| Place {
        at,
        start: section.start,
        length: section.length,
    });
    let own = Place {
        at: sections.len(),
        start: firmware.address(),
        length: FOUR_GIB.saturating_sub(firmware.address()),
    };
    apart(places.chain([own]))?;
    Ok(sections)
}

/// The page with the hashes of kernel, initial file system and command line, as QEMU writes it.
fn hashes_page(
    firmware: &Firmware<'_>,
    sections: &[Section],
    boot: &Boot<'_>,
) -> Result<[u8; PAGE], MeasureError> {
    boot.check()?;
    let mut found = sections.iter().filter(|section| section.kind == Kind::KernelHashes);
    let section = found.next().ok_or(MeasureError::NoKernelHashes)?;
    let more = found.count();
    if more > 0 {
        return Err(MeasureError::SectionSingle { what: "hashes of a kernel", got: more.saturating_add(1) });
    }
    let address =
        firmware.number(&HASHES_PLACE).filter(|address| *address != 0).ok_or(MeasureError::NoKernelHashes)?;
    let offset =
        u64::from(address).checked_sub(section.start).and_then(|offset| usize::try_from(offset).ok());
    let table = hashes_table(boot);
    let mut page = [0; PAGE];
    offset
        .and_then(|offset| page.get_mut(offset..)?.get_mut(..table.len()))
        .ok_or(MeasureError::KernelHashes)?
        .copy_from_slice(&table);
    Ok(page)
}

fn hashes_table(boot: &Boot<'_>) -> Vec<u8> {
    let mut command_line = Sha256::new();
    command_line.update(boot.command_line);
    command_line.update([0]);
    let entries = [
        (COMMAND_LINE_HASH, command_line.finalize()),
        (INITRD_HASH, Sha256::digest(boot.initrd)),
        (KERNEL_HASH, Sha256::digest(boot.kernel)),
    ];
    let mut table = Vec::new();
    table.extend_from_slice(&HASHES);
    table.extend_from_slice(&HASHES_BYTES.to_le_bytes());
    for (guid, hash) in entries {
        table.extend_from_slice(&guid);
        table.extend_from_slice(&HASH_BYTES.to_le_bytes());
        table.extend_from_slice(&hash);
    }
    // QEMU writes whole paragraphs.
    table.resize(table.len().next_multiple_of(16), 0);
    table
}

/// Kinds of pages, as the hardware numbers them.
const NORMAL: u8 = 1;
const REGISTERS: u8 = 2;
const ZERO: u8 = 3;
const SECRETS: u8 = 5;
const CPUID: u8 = 6;
/// The address that pages with registers are said to be at: the highest page of 48 bits.
const REGISTERS_ADDRESS: u64 = 0xffff_ffff_f000;
/// Where the first processor starts.
const RESET: u32 = 0xffff_fff0;
/// Length of a hash with its name and this length, and of the table with its name and this length.
const HASH_BYTES: u16 = 50;
const HASHES_BYTES: u16 = 168;
/// `00f771de-1a7e-4fcb-890e-68c77e2fb44e`: where other processors start.
const OTHERS_RESET: Guid =
    [0xde, 0x71, 0xf7, 0x00, 0x7e, 0x1a, 0xcb, 0x4f, 0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e];
/// `dc886566-984a-4798-a75e-5585a7bf67cc`: the list of sections.
const DESCRIPTION: Guid =
    [0x66, 0x65, 0x88, 0xdc, 0x4a, 0x98, 0x98, 0x47, 0xa7, 0x5e, 0x55, 0x85, 0xa7, 0xbf, 0x67, 0xcc];
/// `7255371f-3a3b-4b04-927b-1da6efa8d454`: the address of the table of hashes.
const HASHES_PLACE: Guid =
    [0x1f, 0x37, 0x55, 0x72, 0x3b, 0x3a, 0x04, 0x4b, 0x92, 0x7b, 0x1d, 0xa6, 0xef, 0xa8, 0xd4, 0x54];
/// `9438d606-4f22-4cc9-b479-a793d411fd21`: the table of hashes.
const HASHES: Guid =
    [0x06, 0xd6, 0x38, 0x94, 0x22, 0x4f, 0xc9, 0x4c, 0xb4, 0x79, 0xa7, 0x93, 0xd4, 0x11, 0xfd, 0x21];
/// `97d02dd8-bd20-4c94-aa78-e7714d36ab2a`.
const COMMAND_LINE_HASH: Guid =
    [0xd8, 0x2d, 0xd0, 0x97, 0x20, 0xbd, 0x94, 0x4c, 0xaa, 0x78, 0xe7, 0x71, 0x4d, 0x36, 0xab, 0x2a];
/// `44baf731-3a2f-4bd7-9af1-41e29169781d`.
const INITRD_HASH: Guid =
    [0x31, 0xf7, 0xba, 0x44, 0x2f, 0x3a, 0xd7, 0x4b, 0x9a, 0xf1, 0x41, 0xe2, 0x91, 0x69, 0x78, 0x1d];
/// `4de79437-abd2-427f-b835-d5b172d2045b`.
const KERNEL_HASH: Guid =
    [0x37, 0x94, 0xe7, 0x4d, 0xd2, 0xab, 0x7f, 0x42, 0xb8, 0x35, 0xd5, 0xb1, 0x72, 0xd2, 0x04, 0x5b];
