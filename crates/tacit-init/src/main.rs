//! The first process of a confidential worker's image: `/init` of its initial file system.
//!
//! # What it does
//! In this order, and nothing else: mounts what the kernel offers; reads the command line; loads the modules that the image names, and forbids
//! any other; makes the disk with models readable through its hash tree ([`disk`]); reads what the operator gives ([`operator`]); gives the
//! network card its address ([`network`]); starts the engine, if the image has one, and waits until it can be asked ([`engine`]); starts the
//! worker. When one of the two ends, or a step fails, the machine is turned off.
//!
//! # What it takes its configuration from
//! The kernel's command line ([`settings`]) and files of the initial file system. Both are measured before the kernel starts. What the operator
//! gives is not: an account, statements that vendors sign, and values at places that the measured arguments leave open. There is no shell, no
//! login and no other program in the image; the console is written to and never read.
//!
//! # Invariants
//! - Words of the command line that begin with `tacit.` and are not known turn the machine off: a mistaken setting is no other image's.
//! - The disk is read only through the root of its hash tree. A block that was changed is an error of reading, never content.
//! - An engine listens on the loopback interface alone, under another user than the worker's, and nobody reads what it writes. The file that it
//!   loads is named by its measured arguments.
//! - Nothing is written that outlives the machine: what is mounted for writing lies in memory.

mod disk;
mod engine;
mod error;
mod network;
mod operator;
mod settings;
mod system;

use error::Failure;
use settings::Settings;
use std::io::Write as _;

fn main() {
    match run() {
        Ok(end) => say(&end),
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
    let choices = match settings.operator_mib {
        Some(mib) => operator::read(mib)?,
        None => operator::Choices::new(),
    };
    if let Some(address) = &settings.address {
        network::set_up(address)?;
        say(&format!("network: {}/{} through {}", address.own, address.prefix, address.gateway));
    }
    system::close_doors()?;
    let arguments = operator::fill(&system::read(WORKER_ARGUMENTS)?, &choices).map_err(Failure::Operator)?;
    let mut children = Vec::new();
    if std::path::Path::new(ENGINE_ARGUMENTS).exists() {
        say("starting the engine");
        children.push(("engine", engine::start(&system::read(ENGINE_ARGUMENTS)?)?));
    }
    say("starting the worker");
    children.push(("worker", system::start_worker(&arguments)?));
    system::await_end(&children)
}

/// One line on the console. Nobody may be there to read it.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "init: {line}");
}

/// The worker's arguments, one on each line.
const WORKER_ARGUMENTS: &str = "/worker.arguments";
/// The engine's, where the image has one.
const ENGINE_ARGUMENTS: &str = "/engine.arguments";
