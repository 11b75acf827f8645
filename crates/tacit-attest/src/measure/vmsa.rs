//! The page of registers that a processor of an SEV-SNP guest starts with.
//!
//! Sources: AMD 24593 (Architecture Programmer's Manual, volume 2), table B-4 (layout) and section 14.1.3 (values after reset); what KVM and
//! QEMU set differently.

use super::firmware::PAGE;
use super::snp::ProcessorModel;

/// Registers of a processor that starts at this address.
pub(super) fn registers(start: u32, model: ProcessorModel, features: u64) -> [u8; PAGE] {
    let mut page = [0; PAGE];
    let mut put = |at: usize, bytes: &[u8]| {
        page.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
    };
    // A segment: selector (u16), attributes (u16), limit (u32), base (u64).
    let mut segment = |at, selector: u16, attributes: u16, base: u32| {
        put(at, &selector.to_le_bytes());
        put(at.saturating_add(2), &attributes.to_le_bytes());
        put(at.saturating_add(4), &0xffff_u32.to_le_bytes());
        put(at.saturating_add(8), &u64::from(base).to_le_bytes());
    };
    for data in [ES, SS, DS, FS, GS] {
        segment(data, 0, 0x93, 0);
    }
    segment(CS, 0xf000, 0x9b, start & 0xffff_0000);
    segment(GDTR, 0, 0, 0);
    segment(IDTR, 0, 0, 0);
    segment(LDTR, 0, 0x82, 0);
    segment(TR, 0, 0x8b, 0);
    let words = [
        // KVM turns on the extensions of virtual machines, and machine checks.
        (EFER, 0x1000),
        (CR4, 0x40),
        (CR0, 0x10),
        (DR7, 0x400),
        (DR6, 0xffff_0ff0),
        (RFLAGS, 2),
        (RIP, u64::from(start & 0xffff)),
        (PAT, 0x0007_0406_0007_0406),
        (RDX, u64::from(model.0)),
        (SEV_FEATURES, features),
        (XCR0, 1),
    ];
    for (at, word) in words {
        put(at, &word.to_le_bytes());
    }
    put(MXCSR, &0x1f80_u32.to_le_bytes());
    put(X87_CONTROL, &0x37f_u16.to_le_bytes());
    page
}

const ES: usize = 0x00;
const CS: usize = 0x10;
const SS: usize = 0x20;
const DS: usize = 0x30;
const FS: usize = 0x40;
const GS: usize = 0x50;
const GDTR: usize = 0x60;
const LDTR: usize = 0x70;
const IDTR: usize = 0x80;
const TR: usize = 0x90;
const EFER: usize = 0xd0;
const CR4: usize = 0x148;
const CR0: usize = 0x158;
const DR7: usize = 0x160;
const DR6: usize = 0x168;
const RFLAGS: usize = 0x170;
const RIP: usize = 0x178;
const PAT: usize = 0x268;
const RDX: usize = 0x310;
const SEV_FEATURES: usize = 0x3b0;
const XCR0: usize = 0x3e8;
const MXCSR: usize = 0x408;
const X87_CONTROL: usize = 0x410;
