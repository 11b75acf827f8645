//! `cargo xtask tidy`: repository rules that the compiler does not check.
//!
//! - **layers**: a crate depends only on crates of lower layers; the verifier never reaches the prover; ledger and
//!   meaning crates reach no network, clock or async runtime.
//! - **licences**: every dependency offers a licence that an MIT/Apache project can use.
//! - **determinism**: no floats and no hash maps in the crates where agreement depends on it.
//! - **stray words**: no unfinished-work markers in Rust sources.

mod determinism;
mod layers;
mod licences;

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

fn main() -> Result<()> {
    let command = std::env::args().nth(1);
    match command.as_deref() {
        Some("tidy") => tidy(),
        _ => bail!("usage: cargo xtask tidy"),
    }
}

fn tidy() -> Result<()> {
    let root = workspace_root()?;
    let metadata = metadata(&root)?;
    let mut findings = layers::check(&metadata)?;
    findings.extend(licences::check(&root)?);
    findings.extend(determinism::check(&root)?);
    if findings.is_empty() {
        return Ok(());
    }
    bail!("{} finding(s):\n  {}", findings.len(), findings.join("\n  "))
}

fn workspace_root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.parent().context("xtask lies inside the workspace")?.to_path_buf())
}

fn metadata(root: &Path) -> Result<serde_json::Value> {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root)
        .output()
        .context("running cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    serde_json::from_slice(&output.stdout).context("reading cargo metadata")
}
