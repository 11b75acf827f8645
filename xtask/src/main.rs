//! `cargo xtask performance` writes `docs/performance.md`, `cargo xtask mutate` writes `docs/mutation.md`, `cargo xtask image` makes the
//! image of a confidential worker and computes its measurements; `cargo xtask tidy` checks what the compiler does not:
//!
//! - **layers**: a crate depends only on crates of lower layers; the verifier never reaches the prover; ledger and
//!   meaning crates reach no network, clock or async runtime.
//! - **secrets**: built alone, neither worker nor ledger node can name what encrypts and decrypts.
//! - **licences**: every dependency offers a licence that an MIT/Apache project can use.
//! - **determinism**: no floats and no hash maps in the crates where agreement depends on it.
//! - **roots**: no command can have hardware believed under other roots than those of Intel, AMD and NVIDIA.
//! - **stray words**: no unfinished-work markers in Rust sources.

mod determinism;
mod image;
mod layers;
mod licences;
mod mutation;
mod performance;
mod secrets;

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("tidy") => tidy(),
        Some("image") => image::run(&workspace_root()?, arguments.get(1..).unwrap_or_default()),
        Some("mutate") => mutation::run(&workspace_root()?, &arguments),
        Some("performance") => performance::write(&workspace_root()?, &arguments),
        _ => {
            bail!(
                "usage: cargo xtask tidy | image OPTIONS | mutate [--jobs N] | performance [--cold-build] [--python FILE]"
            )
        }
    }
}

fn tidy() -> Result<()> {
    let root = workspace_root()?;
    let metadata = metadata(&root)?;
    let mut findings = layers::check(&metadata)?;
    findings.extend(secrets::check(&root, secrets::WITHOUT_SECRETS)?);
    findings.extend(secrets::check_pure(&root)?);
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
