//! The first process of a confidential worker's image: `/init` of its initial file system.
//!
//! # What it does
//! In this order, and nothing else: mounts what the kernel offers; reads the command line; loads the modules that the image names, and forbids
//! any other; makes the disk with models readable through its hash tree ([`disk`]); gives the network card its address ([`network`]); starts
//! the worker and waits for it. When the worker ends, or a step fails, the machine is turned off.
//!
//! # What it takes its configuration from
//! The kernel's command line ([`settings`]) and files of the initial file system. Both are measured before the kernel starts. There is no shell,
//! no login and no other program in the image; the console is written to and never read.
//!
//! # Invariants
//! - Words of the command line that begin with `tacit.` and are not known turn the machine off: a mistaken setting is no other image's.
//! - The disk is read only through the root of its hash tree. A block that was changed is an error of reading, never content.
//! - Nothing is written that outlives the machine: what is mounted for writing lies in memory.

mod disk;
mod error;
mod network;
mod settings;
mod system;

use error::Failure;
use settings::Settings;
use std::io::Write as _;

fn main() {
    match run() {
        Ok(status) => say(&format!("the worker ended: {status}")),
        Err(failure) => say(&format!("stopped: {failure}")),
    }
    system::turn_off();
}

fn run() -> Result<String, Failure> {
    system::mount_kernel_interfaces()?;
    let settings = Settings::parse(&system::read("/proc/cmdline")?)?;
    system::load_modules()?;
    if let Some(disk) = &settings.disk {
        disk::open(disk)?;
        say(&format!("models: root {}", disk.root));
    }
    if let Some(address) = &settings.address {
        network::set_up(address)?;
        say(&format!("network: {}/{} through {}", address.own, address.prefix, address.gateway));
    }
    system::close_doors()?;
    say("starting the worker");
    system::run_worker(&system::read(WORKER_ARGUMENTS)?)
}

/// One line on the console. Nobody may be there to read it.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "init: {line}");
}

/// The worker's arguments, one on each line.
const WORKER_ARGUMENTS: &str = "/worker.arguments";
