//! Firmware images of QEMU guests (OVMF): the table of entries at their end.
//!
//! Source: EDK II, `OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm`. The table ends 32 bytes before the image does. Each entry is its data, its
//! length with these 18 bytes (u16), and a GUID; the last is the table's own, with the length of all. It is read from its end.
//!
//! # Soundness
//! What is read here decides what is measured, so nothing is skipped: entries must fill the table, and no name may be there twice.

use super::MeasureError;

/// Longest firmware that is read.
pub const FIRMWARE_BYTES_MAX: usize = 16 << 20;
pub(super) const PAGE: usize = 4096;
/// [`PAGE`], where addresses are counted.
pub(super) const PAGE_SIZE: u64 = 4096;
/// Firmware ends here in a guest's memory.
pub(super) const FOUR_GIB: u64 = 1 << 32;
/// Most sections that a description may list.
pub(super) const SECTIONS_MAX: u32 = 64;
/// Most bytes that all sections of a description may have.
pub(super) const SECTION_BYTES_MAX: u64 = 64 << 20;

/// A GUID as firmware stores it: the first three fields little-endian.
pub(super) type Guid = [u8; 16];

/// Firmware whose table of entries adds up.
#[derive(Debug, Clone)]
pub(super) struct Firmware<'a> {
    bytes: &'a [u8],
    entries: Vec<(Guid, &'a [u8])>,
}

impl<'a> Firmware<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, MeasureError> {
        let got = bytes.len();
        if got == 0 || got > FIRMWARE_BYTES_MAX || !got.is_multiple_of(PAGE) {
            return Err(MeasureError::FirmwareSize { max: FIRMWARE_BYTES_MAX, got });
        }
        let end = got.checked_sub(BEHIND_TABLE).ok_or(MeasureError::Footer)?;
        let (before, guid, length) =
            split_header(bytes.get(..end).unwrap_or_default()).ok_or(MeasureError::Footer)?;
        if guid != TABLE {
            return Err(MeasureError::Footer);
        }
        let start = before.len().checked_sub(length).ok_or(MeasureError::Table)?;
        let mut rest = before.get(start..).unwrap_or_default();
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let (before, guid, length) = split_header(rest).ok_or(MeasureError::Table)?;
            let at = before.len().checked_sub(length).ok_or(MeasureError::Table)?;
            let (front, data) = before.split_at_checked(at).ok_or(MeasureError::Table)?;
            if entries.iter().any(|(known, _)| *known == guid) {
                return Err(MeasureError::EntryTwice);
            }
            entries.push((guid, data));
            rest = front;
        }
        Ok(Self { bytes, entries })
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where it begins in a guest's memory.
    pub(super) fn address(&self) -> u64 {
        FOUR_GIB.saturating_sub(u64::try_from(self.bytes.len()).unwrap_or(FOUR_GIB))
    }

    /// The number that an entry begins with; `None` if there is no such entry.
    pub(super) fn number(&self, guid: &Guid) -> Option<u32> {
        let (_, data) = self.entries.iter().find(|(known, _)| known == guid)?;
        u32_at(data, 0)
    }

    /// What an entry points to: bytes from a place on that is counted from the firmware's end.
    pub(super) fn pointed(&self, guid: &Guid, what: &'static str) -> Result<&'a [u8], MeasureError> {
        let back = self.number(guid).ok_or(MeasureError::Entry { what })?;
        let at = usize::try_from(back).ok().and_then(|back| self.bytes.len().checked_sub(back));
        at.and_then(|at| self.bytes.get(at..)).ok_or(MeasureError::Entry { what })
    }
}

/// What lies before an entry's last 18 bytes, the entry's GUID, and the length of its data.
fn split_header(bytes: &[u8]) -> Option<(&[u8], Guid, usize)> {
    let (before, header) = bytes.split_at_checked(bytes.len().checked_sub(HEADER)?)?;
    let length = usize::from(u16_at(header, 0)?).checked_sub(HEADER)?;
    Some((before, *header.last_chunk()?, length))
}

/// A place in memory, and which section has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) at: usize,
    pub(super) start: u64,
    pub(super) length: u64,
}

/// Checks that places are of whole pages, below 4 GiB, apart from each other, and not too much together.
pub(super) fn apart(places: impl Iterator<Item = Place>) -> Result<(), MeasureError> {
    let mut places: Vec<Place> = places.collect();
    let mut total = 0_u64;
    for Place { at, start, length } in &places {
        let whole = start.is_multiple_of(PAGE_SIZE) && length.is_multiple_of(PAGE_SIZE) && *length != 0;
        if !whole || start.checked_add(*length).is_none_or(|end| end > FOUR_GIB) {
            return Err(MeasureError::SectionPlace { at: *at });
        }
        total = total.saturating_add(*length);
    }
    if total > SECTION_BYTES_MAX {
        return Err(MeasureError::SectionBytes { max: SECTION_BYTES_MAX });
    }
    places.sort_by_key(|place| place.start);
    for (one, next) in places.iter().zip(places.iter().skip(1)) {
        if one.start.saturating_add(one.length) > next.start {
            return Err(MeasureError::Overlap { at: next.at });
        }
    }
    Ok(())
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The image's reset vector lies behind the table.
const BEHIND_TABLE: usize = 32;
const HEADER: usize = 18;
/// `96b582de-1fb2-45f7-baea-a366c55a082d`.
const TABLE: Guid =
    [0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45, 0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d];
