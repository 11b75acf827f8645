//! Firmware and kernels: no panic, and no measurement takes long.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tacit_attest::{AcpiDigests, Boot, KernelHeader, PageOrder, ProcessorModel, SnpGuest, TdxGuest};

const AMDSEV: &[u8] = include_bytes!("../../tests/data/ovmf-amdsev.suffix");

fuzz_target!(|input: (u8, u64, &str, &[u8], &[u8])| {
    let (kind, memory_bytes, command_line, bytes, kernel) = input;
    // Firmware is whole pages: what is given is its end, over real firmware's or over zeros.
    let pages = bytes.len().div_ceil(4096).max(1);
    let mut firmware = if kind & 1 == 0 { AMDSEV.repeat(pages) } else { vec![0; 4096 * pages] };
    let start = firmware.len() - bytes.len();
    firmware[start..].copy_from_slice(bytes);
    let boot = Boot { kernel, initrd: b"initrd", command_line };
    let model = ProcessorModel::MILAN;
    let _ = SnpGuest { firmware: &firmware, boot: Some(boot), processors: 2, model, features: 1 }.image([0; 32]);
    let acpi = AcpiDigests::of(b"", b"", b"");
    let header = if kind & 2 == 0 { KernelHeader::FilledIn } else { KernelHeader::AsInFile };
    let order = if kind & 4 == 0 { PageOrder::EachPage } else { PageOrder::EachSection };
    let guest = TdxGuest { firmware: &firmware, boot, memory_bytes, acpi, order, header };
    let _ = guest.image();
    let _ = guest.mr_td();
});
