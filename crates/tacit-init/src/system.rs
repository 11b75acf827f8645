//! What the first process asks of the kernel: mounts, modules, children, the end.

use crate::error::{At as _, During as _, Failure};
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountFlags;
use rustix::process::{Pid, WaitOptions, WaitStatus};
use rustix::system::RebootCommand;
use std::process::{Child, Command, Stdio};

/// A file of the image, or of the kernel's interfaces, as text.
pub(crate) fn read(path: &str) -> Result<String, Failure> {
    std::fs::read_to_string(path).at(path)
}

pub(crate) fn mount_kernel_interfaces() -> Result<(), Failure> {
    let quiet = MountFlags::NOSUID | MountFlags::NOEXEC;
    let nowhere = quiet | MountFlags::NODEV;
    // The console, which is the first process's from its start, is one of these devices.
    rustix::mount::mount("devtmpfs", "/dev", "devtmpfs", quiet, None).during("mounting devices")?;
    rustix::mount::mount("proc", "/proc", "proc", nowhere, None).during("mounting processes")?;
    rustix::mount::mount("sysfs", "/sys", "sysfs", nowhere, None).during("mounting the kernel's view")?;
    // The worker's folder is the worker's; an engine may use the other.
    for (path, mode) in [("/data", c"mode=0700"), ("/tmp", c"mode=1777")] {
        rustix::mount::mount("tmpfs", path, "tmpfs", nowhere, mode).during("mounting memory")?;
    }
    Ok(())
}

/// Loads the modules in `/modules`, in the order of their names, as the kernel's packages have them. One that the hardware is not there for is
/// not loaded.
pub(crate) fn load_modules() -> Result<(), Failure> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(MODULES).at(MODULES)? {
        paths.push(entry.at(MODULES)?.path());
    }
    paths.sort_unstable();
    for path in paths {
        let file = rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .during("opening a module")?;
        let flags = if path.extension().is_some_and(|extension| extension == "xz") { COMPRESSED } else { 0 };
        match rustix::system::finit_module(file, c"", flags) {
            Ok(()) | Err(rustix::io::Errno::NODEV | rustix::io::Errno::EXIST) => {}
            Err(error) => {
                let error = error.into();
                return Err(Failure::File { path: path.to_string_lossy().into_owned(), error });
            }
        }
    }
    // Guests ask for reports here, if the modules for that found their hardware.
    if std::path::Path::new(REPORTS).exists() {
        rustix::mount::mount("configfs", REPORTS, "configfs", MountFlags::NOSUID | MountFlags::NOEXEC, None)
            .during("mounting reports")?;
    }
    Ok(())
}

/// Nothing more can be loaded into the kernel, no other kernel be started, no key of the console does anything.
pub(crate) fn close_doors() -> Result<(), Failure> {
    for (path, value) in DOORS {
        std::fs::write(path, value).at(path)?;
    }
    Ok(())
}

/// Starts the worker.
pub(crate) fn start_worker(arguments: &[String]) -> Result<Child, Failure> {
    Command::new(WORKER)
        .args(arguments)
        .env_clear()
        .env("HOME", "/data")
        .env("TMPDIR", "/tmp")
        .current_dir("/data")
        .stdin(Stdio::null())
        .spawn()
        .at(WORKER)
}

/// Waits until one of these ends, and for whatever else ends before, and says which.
pub(crate) fn await_end(children: &[(&str, Child)]) -> Result<String, Failure> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) => {
                let is_it = |(_, child): &&(&str, Child)| Pid::from_child(child) == ended;
                if let Some((name, _)) = children.iter().find(is_it) {
                    return Ok(format!("the {name} ended: {}", describe(status)));
                }
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Failure::Step { step: "waiting for the worker", error }),
        }
    }
}

fn describe(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "in another way".to_owned(),
    }
}

/// Turns the machine off; if the kernel refuses, stops for ever, since its first process must not end.
pub(crate) fn turn_off() -> ! {
    rustix::fs::sync();
    let _ = rustix::system::reboot(RebootCommand::PowerOff);
    loop {
        std::thread::park();
    }
}

const MODULES: &str = "/modules";
const REPORTS: &str = "/sys/kernel/config";
const WORKER: &str = "/tacit";
/// The kernel unpacks it itself.
const COMPRESSED: i32 = 4;
const DOORS: [(&str, &str); 3] = [
    ("/proc/sys/kernel/modules_disabled", "1"),
    ("/proc/sys/kernel/kexec_load_disabled", "1"),
    ("/proc/sys/kernel/sysrq", "0"),
];
