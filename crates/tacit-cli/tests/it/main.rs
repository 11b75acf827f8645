//! The `tacit` command as a user meets it: real processes, real files, real mistakes.

#![expect(clippy::unwrap_used, reason = "a test ends where its assumption does")]

#[cfg(target_os = "linux")]
mod abuse;
mod audited;
mod demo;
mod encrypted;
mod faults;
mod flood;
mod followers;
mod founders;
mod light;
mod local;
#[cfg(target_os = "linux")]
mod memory;
mod network;
mod owner;
#[cfg(feature = "pbs")]
mod pbs;
mod policies;
mod roles;
mod state_sync;
mod subnets;
mod validators;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The command under test.
fn tacit() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tacit"));
    command.env_remove("TACIT_GATEWAY").env_remove("TACIT_LEDGER").env_remove("TACIT_LOG");
    command
}

/// Runs with `--json`, expects success, and gives the last line of stdout.
fn ok(arguments: &[&str]) -> Value {
    let output = tacit().arg("--json").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    let stdout = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(stdout.lines().last().unwrap()).unwrap()
}

/// Runs with `--json`, expects exit code 1 and a well-formed refusal, and gives it.
fn refused(arguments: &[&str]) -> Value {
    let output = tacit().arg("--json").args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let error = &value["error"];
    for key in ["code", "message", "hint"] {
        assert!(error[key].is_string(), "{key} is missing in {value}");
    }
    assert!(!error["message"].as_str().unwrap().is_empty());
    error.clone()
}

fn text(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn words(path: &Path) -> &str {
    path.to_str().unwrap()
}
