//! The kernel's interface to hardware, played by files: what a published guest gave there, and what is refused.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Barrier},
    time::Duration,
};

use alloy_primitives::hex;
use tacit_attest::{CpuEvidence, Evidence, IntelQuote, SnpReport, Trust};
use tacit_worker::{AttestError, Attester, GpuCommand, TsmAttester};

const TDX: &[u8] = include_bytes!("../../../tacit-attest/tests/data/tdx.quote");
const TDX_EXTENDED: &[u8] = include_bytes!("../../../tacit-attest/tests/data/tdx-15ex.quote");
const COLLATERAL: &str = include_str!("../../../tacit-attest/tests/data/tdx.collateral.json");
const EXTENDED_COLLATERAL: &str = include_str!("../../../tacit-attest/tests/data/tdx-15ex.collateral.json");
const REPORT: &[u8] = include_bytes!("../../../tacit-attest/tests/data/snp-milan.report");
const VCEK: &[u8] = include_bytes!("../../../tacit-attest/tests/data/snp-milan.vcek");
const REFERENCE: &str = include_str!("../../../tacit-nvidia/tests/data/driver-550.144.03.swidtag");
/// 2025-06-20, 2026-10-20, 2026-07-01.
const TIMES: [u64; 3] = [1_750_420_800, 1_792_454_400, 1_782_864_000];

/// A folder for the kernel's files and one for the owner's.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new(provider: &str, outblob: &[u8]) -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(machine.kernel("")).unwrap();
        fs::create_dir(machine.owner("")).unwrap();
        machine.give("provider", provider.as_bytes());
        machine.give("outblob", outblob);
        machine.give("inblob", b"");
        machine
    }

    fn tdx() -> Self {
        let machine = Self::new("tdx_guest\n", TDX);
        machine.provide("intel.json", COLLATERAL.as_bytes());
        machine
    }

    fn snp() -> Self {
        let machine = Self::new("sev_guest\n", REPORT);
        machine.provide("amd-vcek.der", VCEK);
        machine
    }

    /// A file of the entry that a worker uses, as the kernel would make it.
    fn kernel(&self, name: &str) -> PathBuf {
        self.folder.path().join("report/tacit").join(name)
    }

    fn owner(&self, name: &str) -> PathBuf {
        self.folder.path().join("collateral").join(name)
    }

    fn give(&self, name: &str, bytes: &[u8]) {
        fs::write(self.kernel(name), bytes).unwrap();
    }

    fn provide(&self, name: &str, bytes: &[u8]) {
        fs::write(self.owner(name), bytes).unwrap();
    }

    fn script(&self, text: &str) -> GpuCommand {
        let path = self.folder.path().join("gpus");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        GpuCommand::new(&path)
    }

    /// An attester that has not been tried, since a published report answers one question alone.
    fn attester(&self, gpus: Option<GpuCommand>) -> TsmAttester {
        TsmAttester::untried(&self.folder.path().join("report"), &self.owner(""), gpus)
    }

    fn ask(&self, report_data: &[u8; 64]) -> Result<Evidence, AttestError> {
        self.attester(None).attest(report_data, &[0; 32])
    }
}

fn data(bytes: &[u8], at: usize) -> [u8; 64] {
    bytes[at..at + 64].try_into().unwrap()
}

fn tdx_data() -> [u8; 64] {
    data(TDX, 48 + 520)
}

fn snp_data() -> [u8; 64] {
    data(REPORT, 0x50)
}

#[test]
fn a_tdx_guest_shows_what_its_kernel_gives() {
    let cases =
        [(TDX, COLLATERAL, 48 + 520, TIMES[0]), (TDX_EXTENDED, EXTENDED_COLLATERAL, 54 + 520, TIMES[1])];
    for (quote, collateral, at, now) in cases {
        let machine = Machine::tdx();
        // The interface may fill up with zeros.
        machine.give("outblob", &[quote, &[0; 70]].concat());
        machine.provide("intel.json", collateral.as_bytes());
        let evidence = machine.ask(&data(quote, at)).unwrap();
        assert_eq!(fs::read(machine.kernel("inblob")).unwrap(), data(quote, at));
        let CpuEvidence::Intel { quote: given, collateral } = &evidence.cpu else { panic!("not Intel's") };
        assert_eq!(given, quote);
        let shown = IntelQuote::verify(given, collateral, &Trust::vendors().unwrap(), now).unwrap();
        assert_eq!(shown.report_data(), &data(quote, at));
        assert_eq!(Evidence::decode(&evidence.encode()), Ok(evidence));
    }
}

#[test]
fn an_snp_guest_has_its_chips_certificate_from_the_host_or_from_its_owner() {
    let machine = Machine::snp();
    let shown = |machine: &Machine| {
        let evidence = machine.ask(&snp_data()).unwrap();
        let CpuEvidence::Amd { report, vcek } = &evidence.cpu else { panic!("not AMD's") };
        assert_eq!(vcek, VCEK);
        SnpReport::verify(report, vcek, &Trust::vendors().unwrap(), TIMES[2]).unwrap()
    };
    assert_eq!(shown(&machine).report_data(), &snp_data());
    fs::remove_file(machine.owner("amd-vcek.der")).unwrap();
    assert!(matches!(machine.ask(&snp_data()), Err(AttestError::NoCertificate { .. })));
    let guid = hex!("63da758de6644564adc5f4b93be8accd");
    let length = u32::try_from(VCEK.len()).unwrap().to_le_bytes();
    machine.give("auxblob", &[&guid[..], &48_u32.to_le_bytes(), &length, &[0; 24], VCEK].concat());
    assert_eq!(shown(&machine).report_data(), &snp_data());
    machine.give("auxblob", &[0; 65 * 1024]);
    assert!(matches!(machine.ask(&snp_data()), Err(AttestError::TooLong { .. })));
}

/// A report that somebody else asked for meanwhile, under the same name, is not passed on.
#[test]
fn a_report_that_answers_somebody_else() {
    for machine in [Machine::tdx(), Machine::snp()] {
        assert!(matches!(machine.ask(&[1; 64]), Err(AttestError::ReportData)));
        // So a machine on which nothing answers is found out before it serves anything.
        let reports = machine.folder.path().join("report");
        let opened = TsmAttester::open(&reports, &machine.owner(""), None);
        assert!(matches!(opened, Err(AttestError::ReportData)));
    }
}

#[test]
fn a_machine_without_such_hardware() {
    let folder = tempfile::tempdir().unwrap();
    let opened = TsmAttester::open(&folder.path().join("report"), folder.path(), None);
    let error = opened.unwrap_err();
    assert!(matches!(error, AttestError::NoInterface { .. }), "{error}");
    assert!(error.to_string().starts_with("this machine cannot show that it is a guest"), "{error}");
    // A folder that is no kernel's makes no files.
    fs::create_dir(folder.path().join("report")).unwrap();
    let opened = TsmAttester::open(&folder.path().join("report"), folder.path(), None);
    assert!(matches!(opened, Err(AttestError::File { .. })));
}

#[test]
fn hardware_that_is_not_known() {
    let machine = Machine::tdx();
    machine.give("provider", b"arm_cca_guest\n");
    assert!(matches!(machine.ask(&tdx_data()), Err(AttestError::Provider { got }) if got == "arm_cca_guest"));
    machine.give("provider", &[b'x'; 65]);
    assert!(matches!(machine.ask(&tdx_data()), Err(AttestError::TooLong { limit: 64, .. })));
}

#[test]
fn bytes_that_are_no_report() {
    let machine = Machine::tdx();
    for bytes in [&TDX[..TDX.len() - 1], &TDX[..600], &[]] {
        machine.give("outblob", bytes);
        assert!(matches!(machine.ask(&tdx_data()), Err(AttestError::Report)));
    }
    let machine = Machine::snp();
    for bytes in [&REPORT[..REPORT.len() - 1], &[REPORT, &[0]].concat(), &[]] {
        machine.give("outblob", bytes);
        assert!(matches!(machine.ask(&snp_data()), Err(AttestError::Report)));
    }
}

#[test]
fn collateral_that_is_none() {
    let machine = Machine::tdx();
    for text in ["", "{}", "[]", &COLLATERAL.replacen("\"pck_crl\": \"", "\"pck_crl\": \"x", 1)] {
        machine.provide("intel.json", text.as_bytes());
        assert!(matches!(machine.ask(&tdx_data()), Err(AttestError::Collateral { .. })), "{text:.20}");
    }
    fs::remove_file(machine.owner("intel.json")).unwrap();
    assert!(matches!(machine.ask(&tdx_data()), Err(AttestError::File { .. })));
}

#[test]
fn gpus_are_shown_by_the_owners_command() {
    let machine = Machine::snp();
    machine.provide("a.swidtag", REFERENCE.as_bytes());
    machine.provide("b.swidtag", b"second");
    machine.provide("notes.txt", b"none of these");
    let command = machine.script(
        r#"printf '[{"evidence":"%s","certificate":"Y2hhaW4=","arch":"HOPPER"},{"evidence":"","certificate":""}]' "$(printf %s "$1" | base64 -w0)""#,
    );
    let attester = machine.attester(Some(command));
    let evidence = attester.attest(&snp_data(), &[0xab; 32]).unwrap();
    let [first, second] = &evidence.gpus[..] else { panic!("not two") };
    assert_eq!((first.report.as_slice(), first.chain.as_str()), ("ab".repeat(32).as_bytes(), "chain"));
    assert_eq!((second.report.len(), second.chain.len()), (0, 0));
    assert_eq!(evidence.references, [REFERENCE, "second"]);
    machine.provide("c.swidtag", &[0xff]);
    assert!(matches!(attester.attest(&snp_data(), &[0; 32]), Err(AttestError::Collateral { .. })));
    (0..17).for_each(|at| machine.provide(&format!("{at}.swidtag"), b""));
    assert!(matches!(attester.attest(&snp_data(), &[0; 32]), Err(AttestError::TooLong { limit: 16, .. })));
}

#[test]
fn a_command_that_does_not_show_gpus() {
    let machine = Machine::snp();
    let ask =
        |command: GpuCommand| machine.attester(Some(command)).attest(&snp_data(), &[0; 32]).unwrap_err();
    let missing = ask(GpuCommand::new(Path::new("/nonexistent/gpus")));
    assert!(matches!(missing, AttestError::GpuCommand { .. }), "{missing}");
    let failing = ask(machine.script("echo '[]'; exit 3"));
    assert!(matches!(&failing, AttestError::GpuCommand { reason, .. } if reason.contains('3')), "{failing}");
    for printed in
        ["", "{}", r#"[{"evidence":"?","certificate":""}]"#, r#"[{"evidence":"","certificate":"/w=="}]"#]
    {
        let refused = ask(machine.script(&format!("printf '%s' '{printed}'")));
        assert!(matches!(refused, AttestError::GpuFormat { .. }), "{printed}: {refused}");
    }
    let many = format!("[{}]", vec![r#"{"evidence":"","certificate":""}"#; 17].join(","));
    assert!(matches!(ask(machine.script(&format!("echo '{many}'"))), AttestError::GpuFormat { .. }));
    let slow = machine.script("exec sleep 30").with_patience(Duration::from_millis(50));
    assert!(matches!(ask(slow), AttestError::GpuCommand { .. }));
    let endless = machine.script("exec yes");
    assert!(matches!(ask(endless), AttestError::TooLong { .. }));
}

/// Plays a kernel that answers what was written: a report with those data, once for each.
fn answering(machine: &Arc<Machine>, asks: usize) -> std::thread::JoinHandle<()> {
    let outblob = machine.kernel("outblob");
    fs::remove_file(&outblob).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&outblob).status().unwrap().success());
    let machine = Arc::clone(machine);
    std::thread::spawn(move || {
        let mut last = Vec::new();
        for _ in 0..asks {
            let asked = loop {
                let asked = fs::read(machine.kernel("inblob")).unwrap();
                if asked.len() == 64 && asked != last {
                    break asked;
                }
                std::thread::sleep(Duration::from_millis(1));
            };
            // Opens once somebody reads.
            let mut pipe = fs::OpenOptions::new().write(true).open(&outblob).unwrap();
            let mut report = REPORT.to_vec();
            report[0x50..0x90].copy_from_slice(&fs::read(machine.kernel("inblob")).unwrap());
            pipe.write_all(&report).unwrap();
            last = asked;
        }
    })
}

/// Sessions at once do not get each other's reports: one waits for the other.
#[test]
fn sessions_do_not_meet_in_one_entry() {
    let machine = Arc::new(Machine::snp());
    let attester = Arc::new(machine.attester(None));
    let kernel = answering(&machine, 4 * 10);
    let barrier = Arc::new(Barrier::new(4));
    let threads: Vec<_> = (0..4_u8)
        .map(|thread| {
            let (attester, barrier) = (Arc::clone(&attester), Arc::clone(&barrier));
            std::thread::spawn(move || {
                barrier.wait();
                for ask in 0..10_u8 {
                    let asked = [thread * 16 + ask + 1; 64];
                    let evidence = attester.attest(&asked, &[0; 32]).unwrap();
                    let CpuEvidence::Amd { report, .. } = &evidence.cpu else { panic!("not AMD's") };
                    assert_eq!(report[0x50..0x90], asked);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    kernel.join().unwrap();
}
