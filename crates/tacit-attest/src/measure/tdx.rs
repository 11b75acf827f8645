//! The measurements of an Intel TDX guest that QEMU starts: MRTD by the host's steps, RTMR0 to RTMR2 by what firmware and kernel log.
//!
//! Sources: Intel 344991 (TDX Virtual Firmware Design Guide) 1.01, section 8; TCG, *PC Client Platform Firmware Profile* 1.06, section 3.3
//! (which events there are); EDK II at edk2-stable202502, `OvmfPkg` with `CC_MEASUREMENT_ENABLE`; Linux, `drivers/firmware/efi/libstub`.
//!
//! # Formal definition
//! An RTMR is 48 zeros at first; an event makes it the SHA-384 of itself and the event's digest. Events are, of firmware without keys of
//! secure boot that starts a kernel which it was given:
//! - RTMR0: the description of memory, the volume of variables, five variables of secure boot, a separator, three files from which QEMU has
//!   the firmware make ACPI tables, the order of boot entries, the only entry;
//! - RTMR1: the kernel, that it is called, a separator, that the firmware's services end, that they ended;
//! - RTMR2, by the kernel: its command line as the firmware gives it (UTF-16, with ` initrd=initrd` and a zero behind), the initial file system;
//! - RTMR3: nothing, unless the image puts something in. This network's does not.
//!
//! # Soundness
//! ACPI tables are QEMU's and depend on its version and devices; here they are taken as they are. They are code that the kernel interprets: an
//! RTMR0 is worth no more than whoever looked at the tables that it was computed from.

use super::firmware::Firmware;
use super::kernel::{self, KernelHeader};
use super::memory;
use super::tdvf::{PageOrder, Sections};
use super::{Boot, MeasureError};
use crate::TdxImage;
use sha2::{Digest as _, Sha384};

/// Digests of the files from which QEMU has the firmware make ACPI tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcpiDigests {
    /// Of `etc/table-loader`.
    pub loader: [u8; 48],
    /// Of `etc/acpi/rsdp`.
    pub pointer: [u8; 48],
    /// Of `etc/acpi/tables`.
    pub tables: [u8; 48],
}

impl AcpiDigests {
    /// Of the files, as a guest of the same kind reads them below `/sys/firmware/qemu_fw_cfg/by_name`.
    #[must_use]
    pub fn of(loader: &[u8], pointer: &[u8], tables: &[u8]) -> Self {
        Self { loader: sha384(loader), pointer: sha384(pointer), tables: sha384(tables) }
    }
}

/// A TDX guest, as QEMU starts it.
#[derive(Debug, Clone, Copy)]
pub struct TdxGuest<'a> {
    /// The file of the firmware: `-bios`.
    pub firmware: &'a [u8],
    /// What it starts.
    pub boot: Boot<'a>,
    /// How much memory: `-m`.
    pub memory_bytes: u64,
    /// What QEMU has the firmware make ACPI tables from.
    pub acpi: AcpiDigests,
    /// In which order the host measures.
    pub order: PageOrder,
    /// What of the kernel's header reaches the firmware.
    pub header: KernelHeader,
}

/// Something that is logged and extends a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// What it is about.
    pub name: &'static str,
    /// What it extends the register by.
    pub digest: [u8; 48],
}

impl TdxGuest<'_> {
    /// MRTD.
    ///
    /// # Errors
    /// [`MeasureError`], the first check that fails; no input makes this panic.
    pub fn mr_td(&self) -> Result<[u8; 48], MeasureError> {
        Ok(Sections::parse(&Firmware::parse(self.firmware)?)?.measurement(self.order))
    }

    /// What firmware and kernel put into RTMR0, RTMR1 and RTMR2, in order.
    ///
    /// # Errors
    /// [`MeasureError`], the first check that fails; no input makes this panic.
    pub fn events(&self) -> Result<[Vec<Event>; 3], MeasureError> {
        self.boot.check()?;
        let sections = Sections::parse(&Firmware::parse(self.firmware)?)?;
        let kernel =
            kernel::measured(self.boot.kernel, self.header, self.boot.initrd.len(), self.memory_bytes)?;
        let memory = memory::described(&sections, self.memory_bytes)?;
        let platform = vec![
            event("memory", &memory),
            event("variables", sections.variables()?),
            variable("SecureBoot", GLOBAL),
            variable("PK", GLOBAL),
            variable("KEK", GLOBAL),
            variable("db", SECURITY),
            variable("dbx", SECURITY),
            event("separator", &[0; 4]),
            Event { name: "ACPI loader", digest: self.acpi.loader },
            Event { name: "ACPI pointer", digest: self.acpi.pointer },
            Event { name: "ACPI tables", digest: self.acpi.tables },
            event("BootOrder", &[0; 2]),
            event("Boot0000", &BOOT_ENTRY),
        ];
        let started = vec![
            Event { name: "kernel", digest: kernel },
            event("call", b"Calling EFI Application from Boot Option"),
            event("separator", &[0; 4]),
            event("services end", b"Exit Boot Services Invocation"),
            event("services ended", b"Exit Boot Services Returned with Success"),
        ];
        let mut command_line = utf16(self.boot.command_line);
        command_line.extend(utf16(" initrd=initrd\0"));
        let kernel = vec![event("command line", &command_line), event("initrd", self.boot.initrd)];
        Ok([platform, started, kernel])
    }

    /// The image: nothing is in RTMR3, and the host configures nothing beside.
    ///
    /// # Errors
    /// As [`Self::mr_td`] and [`Self::events`].
    pub fn image(&self) -> Result<TdxImage, MeasureError> {
        let [platform, started, kernel] = self.events()?;
        Ok(TdxImage {
            mr_td: self.mr_td()?,
            rt_mr: [extended(&platform), extended(&started), extended(&kernel), [0; 48]],
            mr_config_id: [0; 48],
            mr_owner: [0; 48],
            mr_owner_config: [0; 48],
        })
    }
}

/// What a register holds after these events.
#[must_use]
pub fn extended(events: &[Event]) -> [u8; 48] {
    events.iter().fold([0; 48], |register, event| {
        let mut hasher = Sha384::new();
        hasher.update(register);
        hasher.update(event.digest);
        hasher.finalize().into()
    })
}

fn event(name: &'static str, content: &[u8]) -> Event {
    Event { name, digest: sha384(content) }
}

/// A variable of the firmware that is not there: its vendor, lengths of its name and its value, its name.
fn variable(name: &'static str, vendor: [u8; 16]) -> Event {
    let mut content = vendor.to_vec();
    let name_utf16 = utf16(name);
    content.extend_from_slice(&u64::try_from(name_utf16.len() / 2).unwrap_or(u64::MAX).to_le_bytes());
    content.extend_from_slice(&[0; 8]);
    content.extend_from_slice(&name_utf16);
    event(name, &content)
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn sha384(bytes: &[u8]) -> [u8; 48] {
    Sha384::digest(bytes).into()
}

/// `8be4df61-93ca-11d2-aa0d-00e098032b8c` and `d719b2cb-3d3a-4596-a3bc-dad00e67656f`: vendors of variables.
const GLOBAL: [u8; 16] =
    [0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c];
const SECURITY: [u8; 16] =
    [0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f];
/// The entry that OVMF makes for its own menu: attributes (hidden, active, an application), length of the path, "UiApp", the path (the
/// volume `7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1`, the file `462caa21-7614-4503-836e-8ab6f4662331`, the end).
const BOOT_ENTRY: [u8; 62] = *b"\x09\x01\0\0\x2c\0U\0i\0A\0p\0p\0\0\0\
    \x04\x07\x14\0\xc9\xbd\xb8\x7c\xeb\xf8\x34\x4f\xaa\xea\x3e\xe4\xaf\x65\x16\xa1\
    \x04\x06\x14\0\x21\xaa\x2c\x46\x14\x76\x03\x45\x83\x6e\x8a\xb6\xf4\x66\x23\x31\x7f\xff\x04\0";
