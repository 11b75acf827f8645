//! Firmware and kernels: no panic, and no measurement takes long.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tacit_attest::{AcpiDigests, Boot, KernelHeader, PageOrder, ProcessorModel, SnpGuest, TdxGuest};

const AMDSEV: &[u8] = include_bytes!("../../tests/data/ovmf-amdsev.suffix");
const X64: &[u8] = include_bytes!("../../tests/data/ovmf-x64.suffix");

fuzz_target!(|input: (u8, u16, u64, &str, &[u8], &[u8])| {
    let (kind, place, memory_bytes, command_line, bytes, kernel) = input;
    // Real firmware's last pages, of which a part is overwritten: the table of entries is at their end, descriptions before it.
    let mut firmware = [X64, if kind & 1 == 0 { AMDSEV } else { X64 }].concat();
    let start = usize::from(place) % firmware.len();
    firmware.iter_mut().skip(start).zip(bytes).for_each(|(to, from)| *to = *from);
    let boot = Boot { kernel, initrd: b"initrd", command_line };
    let model = ProcessorModel::MILAN;
    for boot in [None, Some(boot)] {
        let _ = SnpGuest { firmware: &firmware, boot, processors: 2, model, features: 1 }.image([0; 32]);
    }
    let acpi = AcpiDigests::of(b"", b"", b"");
    let header = if kind & 2 == 0 { KernelHeader::FilledIn } else { KernelHeader::AsInFile };
    let order = if kind & 4 == 0 { PageOrder::EachPage } else { PageOrder::EachSection };
    let guest = TdxGuest { firmware: &firmware, boot, memory_bytes, acpi, order, header };
    let _ = guest.image();
    let _ = guest.mr_td();
});
