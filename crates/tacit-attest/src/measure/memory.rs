//! The description of memory that QEMU gives to the firmware of a TDX guest (the TD HOB), as the firmware measures it.
//!
//! Sources: UEFI Platform Initialization Specification 1.8, volume 3, sections 5.3 and 5.5 (the blocks); QEMU, `hw/i386/tdvf-hob.c` and
//! `hw/i386/pc_q35.c`; EDK II, `OvmfPkg/IntelTdx/TdxHelperLib/SecTdxHelper.c` (what of it is measured: all but the last block).
//!
//! Memory is one range if it is less than 2.75 GiB, else 2 GiB and the rest from 4 GiB on. What the host added from the description's sections
//! is memory in use; what lies between is memory that the guest has yet to accept.

use super::MeasureError;
use super::firmware::{FOUR_GIB, PAGE_SIZE};
use super::tdvf::{Kind, Sections};

/// Most memory that is described: what 52 bits of addresses have above 4 GiB, and a margin.
pub const MEMORY_BYTES_MAX: u64 = 1 << 51;

/// The bytes that the firmware measures.
pub(super) fn described(sections: &Sections<'_>, memory_bytes: u64) -> Result<Vec<u8>, MeasureError> {
    let place = sections.memory_list()?;
    let added = sections.iter().filter(|section| matches!(section.kind, Kind::MemoryList | Kind::Temporary));
    let mut added: Vec<(u64, u64)> =
        added.map(|section| (section.start, section.start.saturating_add(section.length))).collect();
    added.sort_unstable();
    let min = added.last().map_or(PAGE_SIZE, |(_, end)| *end);
    let below = below_four_gib(memory_bytes);
    if !memory_bytes.is_multiple_of(PAGE_SIZE) || below < min || memory_bytes > MEMORY_BYTES_MAX {
        return Err(MeasureError::Memory { min, max: MEMORY_BYTES_MAX, got: memory_bytes });
    }
    let mut list = Vec::new();
    let mut end = 0;
    for (start, next) in added {
        resource(&mut list, UNACCEPTED, end, start);
        resource(&mut list, IN_USE, start, next);
        end = next;
    }
    resource(&mut list, UNACCEPTED, end, below);
    let above = memory_bytes.saturating_sub(below);
    resource(&mut list, UNACCEPTED, FOUR_GIB, FOUR_GIB.saturating_add(above));
    let mut described = Vec::new();
    described.extend_from_slice(&block_header(1, FIRST_BYTES));
    described.extend_from_slice(&9_u32.to_le_bytes());
    // Mode of the boot, and four addresses that the host leaves open.
    described.extend_from_slice(&[0; 36]);
    let length = u64::from(FIRST_BYTES).saturating_add(u64::try_from(list.len()).unwrap_or(u64::MAX));
    described.extend_from_slice(&place.saturating_add(length).saturating_add(LAST_BYTES).to_le_bytes());
    described.extend_from_slice(&list);
    Ok(described)
}

/// How much of the memory lies below 4 GiB.
pub(super) fn below_four_gib(memory_bytes: u64) -> u64 {
    if memory_bytes < SPLIT { memory_bytes } else { BELOW_IF_SPLIT }
}

/// Adds a range of memory, if there is anything in it.
fn resource(list: &mut Vec<u8>, kind: u32, start: u64, end: u64) {
    let length = end.saturating_sub(start);
    if length == 0 {
        return;
    }
    list.extend_from_slice(&block_header(3, RESOURCE_BYTES));
    list.extend_from_slice(&[0; 16]);
    list.extend_from_slice(&kind.to_le_bytes());
    // Present, initialised, tested.
    list.extend_from_slice(&7_u32.to_le_bytes());
    list.extend_from_slice(&start.to_le_bytes());
    list.extend_from_slice(&length.to_le_bytes());
}

fn block_header(kind: u16, length: u16) -> [u8; 8] {
    let ([a, b], [c, d]) = (kind.to_le_bytes(), length.to_le_bytes());
    [a, b, c, d, 0, 0, 0, 0]
}

const SPLIT: u64 = 0xb000_0000;
const BELOW_IF_SPLIT: u64 = 0x8000_0000;
/// Kinds of memory: in use by the firmware, and not yet accepted by the guest.
const IN_USE: u32 = 0;
const UNACCEPTED: u32 = 7;
const FIRST_BYTES: u16 = 56;
const RESOURCE_BYTES: u16 = 48;
const LAST_BYTES: u64 = 8;
