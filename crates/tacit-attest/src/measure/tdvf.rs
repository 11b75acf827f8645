//! What firmware says a host must put into a TDX guest before it starts, and the measurement of that: MRTD.
//!
//! Sources: Intel 344991 (TDX Virtual Firmware Design Guide) 1.01, section 11 (the description); Intel 344425 (TDX Module Base Architecture
//! Specification), section on build-time measurement; EDK II, `OvmfPkg/ResetVector/X64/IntelTdxMetadata.asm`.
//!
//! # Formal definition
//! MRTD is the SHA-384 of blocks of 128 bytes, zero but for a name at 0 and an address (u64) at 16: `MEM.PAGE.ADD` for each page that is
//! added, and `MR.EXTEND` for each 256 bytes of content that are measured, which follow the block. Sections come in the order of their list.
//!
//! # Soundness
//! Sections that nobody measures are memory that is zero, or the description of memory, or the volume of variables: the firmware measures the
//! latter two itself, into RTMR0, before it reads them. A volume that the host measures as well gives another MRTD and is fine.

use super::MeasureError;
use super::error::Hardware;
use super::firmware::{Firmware, Guid, PAGE_SIZE, Place, SECTIONS_MAX, apart, u32_at, u64_at};
use sha2::{Digest as _, Sha384};

/// In which order a host adds pages to a guest and measures their content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PageOrder {
    /// Each page is measured as soon as it was added: Linux 6.16 and later.
    #[default]
    EachPage,
    /// All pages of a section are added before the first is measured: hosts with the patches that came before that.
    EachSection,
}

/// What a section of the description is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The firmware's code.
    Code,
    /// The volume with the firmware's variables.
    Variables,
    /// Where the host describes memory.
    MemoryList,
    /// Memory that is zero.
    Temporary,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Section<'a> {
    pub(super) kind: Kind,
    pub(super) start: u64,
    pub(super) length: u64,
    content: &'a [u8],
    is_measured: bool,
}

/// The description, checked.
#[derive(Debug, Clone)]
pub(super) struct Sections<'a>(Vec<Section<'a>>);

impl<'a> Sections<'a> {
    pub(super) fn parse(firmware: &Firmware<'a>) -> Result<Self, MeasureError> {
        let malformed = MeasureError::Description { hardware: Hardware::Tdx };
        let description = firmware.pointed(&DESCRIPTION, "description for TDX")?;
        let number = |at| u32_at(description, at).ok_or(malformed);
        let (length, version, count) = (number(4)?, number(8)?, number(12)?);
        if !description.starts_with(b"TDVF") || version != 1 {
            return Err(malformed);
        }
        if !(1..=SECTIONS_MAX).contains(&count) {
            return Err(MeasureError::SectionCount { max: SECTIONS_MAX, got: count });
        }
        if count.checked_mul(32).and_then(|bytes| bytes.checked_add(16)) != Some(length) {
            return Err(malformed);
        }
        let length = usize::try_from(length).map_err(|_| malformed)?;
        let list = description.get(16..length).ok_or(malformed)?;
        let sections = list.chunks_exact(32).enumerate();
        let sections: Vec<Section<'a>> =
            sections.map(|(at, entry)| section(firmware.bytes(), at, entry)).collect::<Result<_, _>>()?;
        let place =
            |(at, section): (usize, &Section<'_>)| Place { at, start: section.start, length: section.length };
        apart(sections.iter().enumerate().map(place))?;
        Ok(Self(sections))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Section<'a>> {
        self.0.iter()
    }

    /// The only section of a kind.
    fn single(&self, kind: Kind, what: &'static str) -> Result<&Section<'a>, MeasureError> {
        let mut found = self.0.iter().filter(|section| section.kind == kind);
        match (found.next(), found.count()) {
            (Some(section), 0) => Ok(section),
            (first, more) => {
                let got = more.saturating_add(usize::from(first.is_some()));
                Err(MeasureError::SectionSingle { what, got })
            }
        }
    }

    /// Where the host describes memory.
    pub(super) fn memory_list(&self) -> Result<u64, MeasureError> {
        Ok(self.single(Kind::MemoryList, "description of memory")?.start)
    }

    /// The volume with the firmware's variables, as it is in the file.
    pub(super) fn variables(&self) -> Result<&'a [u8], MeasureError> {
        Ok(self.single(Kind::Variables, "variables")?.content)
    }

    /// MRTD.
    pub(super) fn measurement(&self, order: PageOrder) -> [u8; 48] {
        let mut hasher = Sha384::new();
        for section in &self.0 {
            let pages = || (0..section.length / PAGE_SIZE).map(|page| page.saturating_mul(PAGE_SIZE));
            for offset in pages() {
                hasher.update(block(b"MEM.PAGE.ADD", section.start.saturating_add(offset)));
                if order == PageOrder::EachPage {
                    section.extend(&mut hasher, offset);
                }
            }
            if order == PageOrder::EachSection {
                pages().for_each(|offset| section.extend(&mut hasher, offset));
            }
        }
        hasher.finalize().into()
    }
}

impl Section<'_> {
    /// Measures the content of one page, if it is measured; behind the section's content there are zeros.
    fn extend(&self, hasher: &mut Sha384, offset: u64) {
        if !self.is_measured {
            return;
        }
        for part in 0..PAGE_SIZE / PART_SIZE {
            let offset = offset.saturating_add(part.saturating_mul(PART_SIZE));
            hasher.update(block(b"MR.EXTEND", self.start.saturating_add(offset)));
            let content = usize::try_from(offset)
                .ok()
                .and_then(|offset| self.content.get(offset..))
                .unwrap_or_default();
            let content = content.get(..PART).unwrap_or(content);
            hasher.update(content);
            hasher.update(ZEROS.get(content.len()..).unwrap_or_default());
        }
    }
}

fn section<'a>(firmware: &'a [u8], at: usize, entry: &[u8]) -> Result<Section<'a>, MeasureError> {
    let malformed = MeasureError::Description { hardware: Hardware::Tdx };
    let number = |at| u32_at(entry, at).ok_or(malformed);
    let wide = |at| u64_at(entry, at).ok_or(malformed);
    let (from, size, kind, attributes) = (number(0)?, number(4)?, number(24)?, number(28)?);
    let (start, length) = (wide(8)?, wide(16)?);
    let kind = match kind {
        0 => Kind::Code,
        1 => Kind::Variables,
        2 => Kind::MemoryList,
        3 => Kind::Temporary,
        got => return Err(MeasureError::SectionKind { at, got }),
    };
    if attributes & !MEASURED != 0 {
        return Err(MeasureError::SectionKind { at, got: attributes });
    }
    let has_content = matches!(kind, Kind::Code | Kind::Variables);
    if has_content != (size != 0) || u64::from(size) > length {
        return Err(MeasureError::SectionContent { at });
    }
    let content = usize::try_from(from).ok().zip(usize::try_from(size).ok());
    let content = content
        .and_then(|(from, size)| firmware.get(from..)?.get(..size))
        .ok_or(MeasureError::SectionContent { at })?;
    Ok(Section { kind, start, length, content, is_measured: attributes & MEASURED != 0 })
}

fn block(name: &[u8], address: u64) -> [u8; 128] {
    let mut block = [0; 128];
    block.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
    block.iter_mut().skip(16).zip(address.to_le_bytes()).for_each(|(to, from)| *to = from);
    block
}

const PART: usize = 256;
/// [`PART`], where addresses are counted.
const PART_SIZE: u64 = 256;
const ZEROS: [u8; PART] = [0; PART];
/// The attribute of a section whose content the host measures.
const MEASURED: u32 = 1;
/// `e47a6535-984a-4798-865e-4685a7bf8ec2`.
const DESCRIPTION: Guid =
    [0x35, 0x65, 0x7a, 0xe4, 0x4a, 0x98, 0x98, 0x47, 0x86, 0x5e, 0x46, 0x85, 0xa7, 0xbf, 0x8e, 0xc2];
