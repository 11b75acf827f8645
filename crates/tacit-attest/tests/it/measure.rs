//! Measurements of files: published ones, those of hardware, and files that give none.

use crate::firmware::{
    CERTIFICATE, OPTIONAL, PAGE, Parts, SNP_BACK, TDX_BACK, TdxSection, hex, kernel, put, sha256,
};
use proptest::prelude::{any, prop, prop_assert_ne, proptest};
use sha2::{Digest as _, Sha384};
use tacit_attest::{
    AcpiDigests, Boot, COMMAND_LINE_BYTES_MAX, FIRMWARE_BYTES_MAX, Hardware, KernelHeader, MEMORY_BYTES_MAX,
    MeasureError, PROCESSORS_MAX, PageOrder, ProcessorModel, SnpGuest, TdxGuest, extended,
};

const AMDSEV: &[u8] = include_bytes!("../data/ovmf-amdsev.suffix");
const X64: &[u8] = include_bytes!("../data/ovmf-x64.suffix");

fn published(firmware: &[u8], command_line: Option<&str>, processors: u32, features: u64) -> String {
    let boot = command_line.map(|command_line| Boot { kernel: &[], initrd: &[], command_line });
    let guest = SnpGuest { firmware, boot, processors, model: ProcessorModel::NAPLES, features };
    hex(&guest.measurement().unwrap())
}

#[test]
fn snp_as_published() {
    for (got, expected) in [
        (
            published(AMDSEV, Some(""), 1, 0x21),
            "329c8ce0972ae52343b64d34a434a86f245dfd74f5ed7aae15d22efc78fb9683632b9b50e4e1d7fa41179ef98a7ef198",
        ),
        (
            published(AMDSEV, Some(""), 1, 1),
            "ddc5224521617a536ee7ce9dd6224d1b58a8d4fda1c741f3ac99fc4bfa04ba6e9fc98646d4a07a9079397fa3852819b5",
        ),
        (
            published(AMDSEV, Some("console=ttyS0 loglevel=7"), 1, 0x21),
            "803f691094946e42068aaa3a8f9e26a5c89f36f7b73ecfb28c653360fe4b3aba7e534442e7e1e17895dfe778d0228977",
        ),
        (
            published(AMDSEV, Some("console=ttyS0 loglevel=7"), 1, 1),
            "6d287813eb5222d770f75005c664e34c204f385ce832cc2ce7d0d6f354454362f390ef83a92046c042e706363b4b08fa",
        ),
        (
            published(AMDSEV, None, 1, 0x21),
            "e1e1ca029dd7973ab9513295be68198472dcd4fc834bd9af9b63f6e8a1674dbf281a9278a4a2ebe0eed9f22adbcd0e2b",
        ),
        (
            published(AMDSEV, None, 1, 1),
            "19358ba9a7615534a9a1e2f0dfc29384dcd4dcb7062ff9c6013b26869a5fc6ecabe033c48dd6f6db5d6d76e7c5df632d",
        ),
        (
            published(AMDSEV, Some(""), 4, 0x21),
            "4953b1fb416fa874980e8442b3706d345926d5f38879134e00813c5d7abcbe78eafe7b422907be0b4698e2414a631942",
        ),
        (
            published(AMDSEV, Some(""), 4, 1),
            "5061fffb019493a903613d56d54b94912a1a2f9e4502385f5c194616753720a92441310ba6c4933de877c36e23046ad5",
        ),
        (
            published(X64, None, 1, 0x21),
            "28797ae0afaba4005a81e629acebfb59e6687949d6be44007cd5506823b0dd66f146aaae26ff291eed7b493d8a64c385",
        ),
        (
            published(X64, None, 1, 1),
            "da0296de8193586a5512078dcd719eccecbd87e2b825ad4148c44f665dc87df21e5b49e21523a9ad993afdb6a30b4005",
        ),
    ] {
        assert_eq!(got, expected);
    }
}

#[test]
fn snp_names_all_it_is_started_from() {
    let (firmware, kernel) = (Parts::snp().build(), kernel());
    let boot = Boot { kernel: &kernel, initrd: b"initrd", command_line: "quiet" };
    let guest = SnpGuest {
        firmware: &firmware,
        boot: Some(boot),
        processors: 2,
        model: ProcessorModel::MILAN,
        features: SnpGuest::FEATURES,
    };
    let mut changed = firmware.clone();
    changed[17] ^= 1;
    let mut other_start = Parts::snp();
    other_start.reset = Some(0x80_b008);
    let other_start = other_start.build();
    let mut ids: Vec<_> = [
        guest,
        SnpGuest { firmware: &changed, ..guest },
        SnpGuest { firmware: &other_start, ..guest },
        SnpGuest { boot: None, ..guest },
        SnpGuest { boot: Some(Boot { kernel: &kernel[1..], ..boot }), ..guest },
        SnpGuest { boot: Some(Boot { initrd: b"initre", ..boot }), ..guest },
        SnpGuest { boot: Some(Boot { command_line: "quiet ", ..boot }), ..guest },
        SnpGuest { processors: 3, ..guest },
        SnpGuest { model: ProcessorModel::GENOA, ..guest },
        SnpGuest { features: 0x21, ..guest },
    ]
    .iter()
    .map(|guest| guest.image([0; 32]).unwrap().id())
    .collect();
    ids.push(guest.image([1; 32]).unwrap().id());
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all);
}

fn snp(firmware: &[u8], command_line: &str) -> Result<[u8; 48], MeasureError> {
    let boot = Some(Boot { kernel: b"kernel", initrd: &[], command_line });
    let guest = SnpGuest { firmware, boot, processors: 2, model: ProcessorModel::MILAN, features: 1 };
    guest.measurement()
}

fn snp_sections(change: impl FnOnce(&mut Vec<[u32; 3]>)) -> Result<[u8; 48], MeasureError> {
    let mut parts = Parts::snp();
    change(parts.snp.as_mut().unwrap());
    snp(&parts.build(), "")
}

#[test]
fn firmware_of_no_whole_pages() {
    for bytes in [&[][..], &[0; 100], &vec![0; FIRMWARE_BYTES_MAX + PAGE]] {
        let expected = MeasureError::FirmwareSize { max: FIRMWARE_BYTES_MAX, got: bytes.len() };
        assert_eq!(snp(bytes, ""), Err(expected));
    }
}

#[test]
fn firmware_without_a_table() {
    assert_eq!(snp(&vec![0; PAGE], ""), Err(MeasureError::Footer));
}

#[test]
fn a_table_that_does_not_add_up() {
    let good = Parts::snp().build();
    // The length of the whole, and of its last entry.
    for (at, length) in [(50, 0xffff_u16), (50, 18 + 5), (50 + 18, 17), (50 + 18, 0xfff)] {
        let mut bytes = good.clone();
        let end = bytes.len();
        put(&mut bytes, end - at, &length.to_le_bytes());
        assert_eq!(snp(&bytes, ""), Err(MeasureError::Table), "{at} {length}");
    }
}

#[test]
fn an_entry_twice() {
    let mut bytes = Parts::snp().build();
    let end = bytes.len();
    let guid: [u8; 16] = bytes[end - 66..end - 50].try_into().unwrap();
    put(&mut bytes, end - 66 - 22, &guid);
    assert_eq!(snp(&bytes, ""), Err(MeasureError::EntryTwice));
}

#[test]
fn no_description() {
    let mut parts = Parts::snp();
    parts.snp = None;
    assert_eq!(snp(&parts.build(), ""), Err(MeasureError::Entry { what: "description for SEV-SNP" }));
    parts = Parts::snp();
    parts.reset = None;
    assert_eq!(snp(&parts.build(), ""), Err(MeasureError::Entry { what: "other processors' start" }));
    parts = Parts::tdx();
    parts.tdx = None;
    parts.reset = Some(0);
    assert_eq!(tdx(&parts.build()).err(), Some(MeasureError::Entry { what: "description for TDX" }));
}

#[test]
fn a_description_of_another_form() {
    for (good, back, hardware) in
        [(Parts::snp().build(), SNP_BACK, Hardware::Snp), (Parts::tdx().build(), TDX_BACK, Hardware::Tdx)]
    {
        // Name, length, version.
        for at in [0, 4, 8] {
            let mut bytes = good.clone();
            let at = bytes.len() - back as usize + at;
            bytes[at] ^= 1;
            let got = if hardware == Hardware::Snp { snp(&bytes, "") } else { tdx(&bytes).map(|_| [0; 48]) };
            assert_eq!(got, Err(MeasureError::Description { hardware }));
        }
    }
}

#[test]
fn too_many_sections_or_none() {
    for count in [0_u32, 65] {
        let sections = (0..count).map(|at| [0x1000 * at, 0x1000, 1]).collect();
        let got = snp_sections(|all| *all = sections);
        assert_eq!(got, Err(MeasureError::SectionCount { max: 64, got: count }));
        let mut bytes = Parts::tdx().build();
        let at = bytes.len() - TDX_BACK as usize + 12;
        put(&mut bytes, at, &count.to_le_bytes());
        assert_eq!(tdx(&bytes), Err(MeasureError::SectionCount { max: 64, got: count }));
    }
}

#[test]
fn sections_of_unknown_kinds() {
    assert_eq!(snp_sections(|all| all[1][2] = 5), Err(MeasureError::SectionKind { at: 1, got: 5 }));
    let kind = |at: usize, got| Some(MeasureError::SectionKind { at, got });
    assert_eq!(tdx_sections(|all| all[2].4 = 4).err(), kind(2, 4));
    // Pages that are added later, and an attribute that nobody knows.
    assert_eq!(tdx_sections(|all| all[2].5 = 2).err(), kind(2, 2));
    assert_eq!(tdx_sections(|all| all[0].5 = 5).err(), kind(0, 5));
}

#[test]
fn sections_that_lie_badly() {
    let place = |at| Err(MeasureError::SectionPlace { at });
    assert_eq!(snp_sections(|all| all[0][0] += 1), place(0));
    assert_eq!(snp_sections(|all| all[0][1] = 0), place(0));
    assert_eq!(snp_sections(|all| all[0][1] += 1), place(0));
    assert_eq!(snp_sections(|all| all[1][1] = 0x2000), place(1));
    assert_eq!(snp_sections(|all| all[0] = [0xffff_f000, 0x2000, 1]), place(0));
    assert_eq!(tdx_sections(|all| all[3].2 = u64::MAX - 0xfff).err(), place(3).err());
    assert_eq!(tdx_sections(|all| all[3].2 = 1 << 32).err(), place(3).err());
}

#[test]
fn sections_that_are_too_long() {
    let expected = MeasureError::SectionBytes { max: 64 << 20 };
    assert_eq!(snp_sections(|all| all[0] = [0x1000_0000, 64 << 20, 1]), Err(expected));
    assert_eq!(tdx_sections(|all| (all[2].2, all[2].3) = (0x1000_0000, 64 << 20)).err(), Some(expected));
}

#[test]
fn sections_at_one_place() {
    assert_eq!(snp_sections(|all| all[1][0] = 0x80_8000), Err(MeasureError::Overlap { at: 1 }));
    assert_eq!(tdx_sections(|all| all[3].2 = 0x80_a000).err(), Some(MeasureError::Overlap { at: 3 }));
    // Where the firmware is.
    assert_eq!(snp_sections(|all| all[0] = [0xffff_f000, 0x1000, 1]), Err(MeasureError::Overlap { at: 0 }));
}

#[test]
fn sections_with_content_from_nowhere() {
    let content = |at| Some(MeasureError::SectionContent { at });
    assert_eq!(tdx_sections(|all| all[0].0 = u32::MAX).err(), content(0));
    assert_eq!(tdx_sections(|all| all[0].0 += 1).err(), content(0));
    // Longer than its place, none where there must be some, some where there must be none.
    assert_eq!(tdx_sections(|all| all[0].1 = 0x2001).err(), content(0));
    assert_eq!(tdx_sections(|all| all[1].1 = 0).err(), content(1));
    assert_eq!(tdx_sections(|all| all[2].1 = 1).err(), content(2));
}

#[test]
fn sections_that_there_is_one_of() {
    let single = |what, got| Some(MeasureError::SectionSingle { what, got });
    assert_eq!(tdx_sections(|all| all[3].4 = 2).err(), single("description of memory", 2));
    assert_eq!(tdx_sections(|all| all[4].4 = 3).err(), single("description of memory", 0));
    assert_eq!(tdx_sections(|all| all[1].4 = 0).err(), single("variables", 0));
    let hashes = snp_sections(|all| all[1][2] = 0x10).err();
    assert_eq!(hashes, single("hashes of a kernel", 2));
}

#[test]
fn processors() {
    let firmware = Parts::snp().build();
    for got in [0, PROCESSORS_MAX + 1] {
        let guest = SnpGuest {
            firmware: &firmware,
            boot: None,
            processors: got,
            model: ProcessorModel::TURIN,
            features: 1,
        };
        assert_eq!(guest.measurement(), Err(MeasureError::Processors { max: PROCESSORS_MAX, got }));
    }
}

#[test]
fn firmware_that_checks_no_kernel() {
    assert_eq!(snp(X64, ""), Err(MeasureError::NoKernelHashes));
    assert_eq!(snp_sections(|all| all.truncate(4)), Err(MeasureError::NoKernelHashes));
    for hashes in [None, Some(0)] {
        let parts = Parts { hashes, ..Parts::snp() };
        assert_eq!(snp(&parts.build(), ""), Err(MeasureError::NoKernelHashes));
    }
}

#[test]
fn hashes_outside_of_their_section() {
    // The last place that they fit in is 176 bytes before the end.
    let at = |place| snp(&Parts { hashes: Some(place), ..Parts::snp() }.build(), "");
    assert!(at(0x81_1000 - 176).is_ok());
    for place in [0x80_ffff, 0x81_1000 - 175, 0x81_1000, u32::MAX] {
        assert_eq!(at(place), Err(MeasureError::KernelHashes));
    }
}

#[test]
fn command_lines() {
    let firmware = Parts::snp().build();
    let refused = Err(MeasureError::CommandLine { max: COMMAND_LINE_BYTES_MAX });
    assert!(snp(&firmware, &"a".repeat(COMMAND_LINE_BYTES_MAX)).is_ok());
    assert_eq!(snp(&firmware, &"a".repeat(COMMAND_LINE_BYTES_MAX + 1)), refused);
    for text in ["a\0b", "a\nb", "ä"] {
        assert_eq!(snp(&firmware, text), refused);
    }
}

fn boot(kernel: &[u8]) -> Boot<'_> {
    Boot { kernel, initrd: b"initrd", command_line: "quiet" }
}

const ACPI: AcpiDigests = AcpiDigests { loader: [1; 48], pointer: [2; 48], tables: [3; 48] };

fn guest<'a>(firmware: &'a [u8], kernel: &'a [u8]) -> TdxGuest<'a> {
    TdxGuest {
        firmware,
        boot: boot(kernel),
        memory_bytes: 2 << 30,
        acpi: ACPI,
        order: PageOrder::EachPage,
        header: KernelHeader::FilledIn,
    }
}

fn tdx(firmware: &[u8]) -> Result<tacit_attest::TdxImage, MeasureError> {
    guest(firmware, &kernel()).image()
}

fn tdx_sections(change: impl FnOnce(&mut Vec<TdxSection>)) -> Result<tacit_attest::TdxImage, MeasureError> {
    let mut parts = Parts::tdx();
    change(parts.tdx.as_mut().unwrap());
    tdx(&parts.build())
}

/// `tests/data/mrtd.py` makes the same firmware and computes the same by itself.
#[test]
fn mrtd_as_another_program_computes_it() {
    let firmware = Parts::tdx().build();
    assert_eq!(sha256(&firmware), "529146ed7a955e87b4f40571c9f90407a2d98c4865d7d3233ec93cf2189d28d1");
    let kernel = kernel();
    let guest = guest(&firmware, &kernel);
    assert_eq!(
        hex(&guest.mr_td().unwrap()),
        "3ac9486ab1dd133016915885643683e890e1ecee10a09deee2cdd0893235f5dc5a61e362fee08493fe95977ad8fe97b2"
    );
    assert_eq!(
        hex(&TdxGuest { order: PageOrder::EachSection, ..guest }.mr_td().unwrap()),
        "e607b6fa641ea3497440d7ab14138e182aa1ff556a7a1567791143e4c29e44608443672b5ede04b2f44e6907dced9c2e"
    );
}

/// The log of a guest on hardware, and the registers that the hardware's quote has: what is computed here is what was logged there, but for
/// ACPI tables, kernel, command line and initial file system, whose files are not published.
#[test]
fn events_as_hardware_logged_them() {
    let log: serde_json::Value =
        serde_json::from_str(include_str!("../data/tdx-dstack.events.json")).unwrap();
    let logged = |register: u64| -> Vec<String> {
        let events = log["events"].as_array().unwrap().iter().filter(|event| event["register"] == register);
        events.map(|event| event["digest"].as_str().unwrap().to_owned()).collect()
    };
    let bytes = |text: &str| -> [u8; 48] {
        core::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
    };
    let quote = log["quote_begin"].as_str().unwrap();
    let register = |index: usize| &quote[2 * (48 + 328 + 48 * index)..2 * (48 + 376 + 48 * index)];
    let platform = logged(0);
    let acpi = AcpiDigests {
        loader: bytes(&platform[8]),
        pointer: bytes(&platform[9]),
        tables: bytes(&platform[10]),
    };
    let (firmware, kernel) = (Parts::tdx().build(), kernel());
    let memory_bytes = log["memory_bytes"].as_u64().unwrap();
    let guest = TdxGuest { acpi, memory_bytes, ..guest(&firmware, &kernel) };
    let [mut events, mut started, mut system] = guest.events().unwrap();
    let digests: Vec<String> = events.iter().map(|event| hex(&event.digest)).collect();
    assert_eq!(digests, platform);
    assert_eq!(hex(&extended(&events)), register(0));
    assert_eq!(started.len(), logged(1).len());
    for (event, digest) in started.iter_mut().zip(logged(1)) {
        if event.name == "kernel" {
            event.digest = bytes(&digest);
        }
        assert_eq!(hex(&event.digest), digest, "{}", event.name);
    }
    assert_eq!(hex(&extended(&started)), register(1));
    assert_eq!(system.len(), logged(2).len());
    system.iter_mut().zip(logged(2)).for_each(|(event, digest)| event.digest = bytes(&digest));
    assert_eq!(hex(&extended(&system)), register(2));
    events.swap(0, 1);
    assert_ne!(hex(&extended(&events)), register(0));
}

#[test]
fn memory_is_described_as_the_host_lays_it_out() {
    let (firmware, kernel) = (Parts::tdx().build(), kernel());
    let guest = guest(&firmware, &kernel);
    let digest = |memory_bytes| TdxGuest { memory_bytes, ..guest }.events().unwrap()[0][0].digest;
    // By hand: the first block, then kind, start and length of each range.
    let expected = |ranges: &[(u32, u64, u64)]| -> [u8; 48] {
        let mut bytes =
            [[1_u16, 56].map(u16::to_le_bytes).concat(), vec![0; 4], vec![9, 0, 0, 0], vec![0; 36]].concat();
        bytes.extend((0x80_9000 + 64 + 48 * ranges.len() as u64).to_le_bytes());
        for (kind, start, length) in ranges {
            bytes.extend([[3_u16, 48].map(u16::to_le_bytes).concat(), vec![0; 20]].concat());
            bytes.extend([kind.to_le_bytes(), 7_u32.to_le_bytes()].concat());
            bytes.extend([start.to_le_bytes(), length.to_le_bytes()].concat());
        }
        Sha384::digest(bytes).into()
    };
    let low = [
        (7, 0, 0x80_0000),
        (0, 0x80_0000, 0x6000),
        (7, 0x80_6000, 0x3000),
        (0, 0x80_9000, 0x2000),
        (0, 0x80_b000, 0x2000),
        (7, 0x80_d000, 0x3000),
        (0, 0x81_0000, 0x1_0000),
    ];
    let with = |more: &[(u32, u64, u64)]| expected(&[&low[..], more].concat());
    assert_eq!(digest(0x82_0000), with(&[]));
    assert_eq!(digest(0xaf00_0000), with(&[(7, 0x82_0000, 0xae7e_0000)]));
    assert_eq!(digest(0xb000_0000), with(&[(7, 0x82_0000, 0x7f7e_0000), (7, 1 << 32, 0x3000_0000)]));
    assert_eq!(digest(16 << 30), with(&[(7, 0x82_0000, 0x7f7e_0000), (7, 1 << 32, 14 << 30)]));
    for got in [0x81_f000, (2 << 30) + 1, MEMORY_BYTES_MAX + PAGE as u64, u64::MAX] {
        let refused = MeasureError::Memory { min: 0x82_0000, max: MEMORY_BYTES_MAX, got };
        assert_eq!(TdxGuest { memory_bytes: got, ..guest }.events(), Err(refused));
    }
}

#[test]
fn a_kernel_is_hashed_as_its_signature_would() {
    let (firmware, file) = (Parts::tdx().build(), kernel());
    let digest = |guest: TdxGuest<'_>| guest.events().unwrap()[1][0].digest;
    let as_in_file = TdxGuest { header: KernelHeader::AsInFile, ..guest(&firmware, &file) };
    let naive = |file: &[u8]| -> [u8; 48] {
        let parts =
            [&file[..OPTIONAL + 64], &file[OPTIONAL + 68..CERTIFICATE], &file[CERTIFICATE + 8..0x1c00]];
        Sha384::digest(parts.concat()).into()
    };
    assert_eq!(digest(as_in_file), naive(&file));
    // What QEMU writes: its number, a heap and its end, where the command line is, where the initial file system is and how long.
    let mut filled = file.clone();
    put(&mut filled, 0x210, &[0xb0, 0x81]);
    put(&mut filled, 0x218, &[0x7ffd_7000_u32.to_le_bytes(), 6_u32.to_le_bytes()].concat());
    put(&mut filled, 0x224, &0xfe00_u16.to_le_bytes());
    put(&mut filled, 0x228, &0x2_0000_u32.to_le_bytes());
    assert_eq!(digest(guest(&firmware, &file)), naive(&filled));
    // Without an initial file system, nothing is said about it; with a limit of its own, it lies below that.
    let mut alone = guest(&firmware, &file);
    alone.boot.initrd = &[];
    put(&mut filled, 0x218, &file[0x218..0x220]);
    assert_eq!(digest(alone), naive(&filled));
    let mut limited = file.clone();
    put(&mut limited, 0x22c, &0x37ff_ffff_u32.to_le_bytes());
    put(&mut limited, 0x236, &[0x7d]);
    put(&mut filled, 0x22c, &0x37ff_ffff_u32.to_le_bytes());
    put(&mut filled, 0x236, &[0x7d]);
    put(&mut filled, 0x218, &[0x37ff_f000_u32.to_le_bytes(), 6_u32.to_le_bytes()].concat());
    assert_eq!(digest(guest(&firmware, &limited)), naive(&filled));
}

#[test]
fn kernels_of_older_protocols() {
    let firmware = Parts::tdx().build();
    for (at, bytes) in [(0x202, &b"HdrT"[..]), (0x206, &[0x0b]), (0x211, &[0])] {
        let mut file = kernel();
        put(&mut file, at, bytes);
        assert_eq!(guest(&firmware, &file).events(), Err(MeasureError::BootProtocol));
    }
    assert_eq!(guest(&firmware, &kernel()[..0x237]).events(), Err(MeasureError::BootProtocol));
}

#[test]
fn initial_file_systems_that_do_not_fit() {
    let (firmware, file) = (Parts::tdx().build(), kernel());
    let initrd = vec![0; 0x84_0000];
    let mut guest = TdxGuest { memory_bytes: 0x84_0000, ..guest(&firmware, &file) };
    guest.boot.initrd = &initrd;
    let refused = MeasureError::InitrdSize { max: 0x84_0000 - 0x2_8001, got: 0x84_0000 };
    assert_eq!(guest.events(), Err(refused));
}

#[test]
fn kernels_that_are_no_programs() {
    let firmware = Parts::tdx().build();
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut file = kernel();
        change(&mut file);
        guest(&firmware, &file).events().err()
    };
    let program = |what| Some(MeasureError::Program { what });
    let headers = program("its headers do not lie within it");
    assert_eq!(refused(&|file| file[0] = 0), headers);
    assert_eq!(refused(&|file| file[0x3f] = 0xff), headers);
    assert_eq!(refused(&|file| file[0x81] = 0), headers);
    assert_eq!(refused(&|file| file[OPTIONAL] = 0), headers);
    let within = program("its headers do not lie within each other");
    assert_eq!(refused(&|file| put(file, OPTIONAL + 60, &[0; 4])), within);
    assert_eq!(refused(&|file| put(file, OPTIONAL + 60, &[0xff; 4])), within);
    let list = program("its list of sections does not lie within it");
    assert_eq!(refused(&|file| put(file, 0x86, &[0xff; 2])), list);
    let first = OPTIONAL + 0xa0;
    let order = program("a section does not begin where the one before it ends");
    assert_eq!(refused(&|file| file[first + 20] ^= 1), order);
    assert_eq!(refused(&|file| file[first + 40 + 16] ^= 1), order);
    let end = program("a section does not lie within it");
    assert_eq!(refused(&|file| put(file, first + 16, &[0xff; 4])), end);
    let signature = program("its signature is longer than what is left");
    assert_eq!(refused(&|file| file[CERTIFICATE + 4] = 9), signature);
    assert_eq!(refused(&|file| file.truncate(0x1c04)), signature);
}

#[test]
fn a_kernel_that_is_too_long() {
    let firmware = Parts::snp().build();
    let file = vec![0; tacit_attest::KERNEL_BYTES_MAX + 1];
    let guest = SnpGuest {
        firmware: &firmware,
        boot: Some(Boot { kernel: &file, initrd: &[], command_line: "" }),
        processors: 1,
        model: ProcessorModel::ROME,
        features: 1,
    };
    let refused = MeasureError::KernelSize { max: tacit_attest::KERNEL_BYTES_MAX, got: file.len() };
    assert_eq!(guest.measurement(), Err(refused));
}

/// Every byte of the files that is changed gives another image, or none; but for what a kernel's signature does not sign.
#[test]
fn every_byte_counts() {
    let (small, kernel) = (Parts::snp().build(), kernel());
    let honest = snp(&small, "").unwrap();
    for at in 0..small.len() {
        let mut bytes = small.clone();
        bytes[at] ^= 0x40;
        assert_ne!(snp(&bytes, ""), Ok(honest), "{at}");
    }
    let firmware = Parts::tdx_with(vec![0xff; PAGE]).build();
    let image = tdx(&firmware).unwrap();
    for at in 0..firmware.len() {
        let mut bytes = firmware.clone();
        bytes[at] ^= 0x40;
        assert_ne!(tdx(&bytes), Ok(image), "{at}");
    }
    let unsigned = (OPTIONAL + 64..OPTIONAL + 68).chain(CERTIFICATE..CERTIFICATE + 8).chain(0x1c00..0x1c08);
    // QEMU writes these itself.
    let written = [0x210].into_iter().chain(0x218..0x220).chain(0x224..0x226).chain(0x228..0x22c);
    let ignored: Vec<usize> = unsigned.chain(written).collect();
    for at in (0..kernel.len()).filter(|at| !ignored.contains(at)) {
        let mut bytes = kernel.clone();
        bytes[at] ^= 0x20;
        assert_ne!(guest(&firmware, &bytes).image(), Ok(image), "{at}");
    }
}

#[test]
fn files_that_are_cut() {
    let (small, firmware, file) = (Parts::snp().build(), Parts::tdx().build(), kernel());
    for length in (0..small.len()).step_by(97) {
        assert!(snp(&small[..length], "").is_err());
        assert!(snp(&small[length..], "").is_err() || length == 0);
    }
    for length in (0..firmware.len()).step_by(PAGE) {
        assert!(tdx(&firmware[..length]).is_err());
        assert!(tdx(&firmware[length..]).is_err() || length == 0);
    }
    for length in 0..file.len() {
        assert!(guest(&firmware, &file[..length]).events().is_err());
    }
}

proptest! {
    /// Whatever stands in descriptions and tables: no panic, and no other files of the same measurement.
    #[test]
    fn changed_descriptions_give_another_image_or_none(
        changes in prop::collection::vec((0..2 * PAGE, any::<u8>()), 1..12),
        memory_bytes in any::<u64>(),
    ) {
        for honest in [Parts::snp().build(), Parts::tdx_with(vec![0xff; PAGE]).build()] {
            let mut changed = honest.clone();
            let start = changed.len() - 2 * PAGE;
            changes.iter().for_each(|(at, byte)| changed[start + at] = *byte);
            if changed == honest {
                continue;
            }
            let file = kernel();
            let _ = TdxGuest { memory_bytes, ..guest(&changed, &file) }.image();
            match snp(&honest, "") {
                Ok(image) => prop_assert_ne!(snp(&changed, ""), Ok(image)),
                Err(_) => prop_assert_ne!(tdx(&changed), tdx(&honest)),
            }
        }
    }
}
