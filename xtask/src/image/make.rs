//! From files to an image, its command line and its measurements.

use super::archive::{Files, Node};
use super::recipe::{Options, Recipe, hex, sha256};
use super::verity;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::path::Path;
use tacit_attest::{
    AcpiDigests, Boot, KernelHeader, PageOrder, ProcessorModel, SnpGuest, TdxGuest, TdxImage,
};

/// Makes the image. Options: see [`OPTIONS`].
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments, OPTIONS)?;
    let recipe = options.path("--recipe").map_or_else(|| root.join(RECIPE), Path::to_path_buf);
    let recipe = Recipe::read(&recipe)?;
    let out = options.needed("-o")?;
    std::fs::create_dir_all(out)?;
    let kernel = recipe.file("kernel", options.needed("--kernel")?)?;
    let initrd = initrd(&recipe, &options)?.archive()?;
    let mut command_line = recipe.text("command_line")?.to_owned();
    let mut parts = vec![("kernel", sha256(&kernel)), ("initrd", sha256(&initrd))];
    if let Some(path) = options.path("--disk") {
        let (disk, setting) = disk(&std::fs::read(path).with_context(|| path.display().to_string())?)?;
        command_line = format!("{command_line} {setting}");
        parts.push(("disk", sha256(&disk)));
        std::fs::write(out.join("disk"), disk)?;
    }
    for (name, option) in [("init", "--init"), ("tacit", "--tacit")] {
        parts.push((name, sha256(&std::fs::read(options.needed(option)?)?)));
    }
    std::fs::write(out.join("initrd"), &initrd)?;
    std::fs::write(out.join("command-line"), &command_line)?;
    let boot = Boot { kernel: &kernel, initrd: &initrd, command_line: &command_line };
    let mut manifest = json!({
        "command_line": command_line,
        "sha256": parts.into_iter().map(|(name, hash)| (name.to_owned(), hash.into())).collect::<serde_json::Map<_, _>>(),
    });
    if let Some(path) = options.path("--snp-firmware") {
        let firmware = recipe.file("snp_firmware", path)?;
        manifest["snp"] = snp(&recipe, &firmware, boot)?;
    }
    if let Some(path) = options.path("--tdx-firmware") {
        let firmware = recipe.file("tdx_firmware", path)?;
        manifest["tdx"] = tdx(&recipe, &firmware, boot, options.path("--acpi"))?;
    }
    let text = format!("{}\n", serde_json::to_string_pretty(&manifest)?);
    std::fs::write(out.join("manifest.json"), &text)?;
    if let Some(path) = options.path("--compare") {
        let expected: Value = serde_json::from_slice(&std::fs::read(path)?)?;
        if expected != manifest {
            bail!("the image is not that of {}:\n{text}", path.display());
        }
    }
    #[expect(clippy::print_stdout, reason = "the manifest is what the command is for")]
    {
        print!("{text}");
    }
    Ok(())
}

/// What the kernel unpacks: the first process, the worker, modules, places to mount at.
fn initrd(recipe: &Recipe, options: &Options) -> Result<Files> {
    let mut files = Files::default();
    if let Some(folder) = options.path("--root") {
        files.add_folder(folder)?;
    }
    for (path, option) in [("init", "--init"), ("tacit", "--tacit")] {
        let content = std::fs::read(options.needed(option)?).context(option)?;
        files.add(path, Node::File { content, is_program: true })?;
    }
    for (at, (path, content)) in recipe.modules(options.needed("--modules")?)?.into_iter().enumerate() {
        let name = path.rsplit('/').next().unwrap_or(&path);
        files.add(&format!("modules/{at:02}-{name}"), Node::File { content, is_program: false })?;
    }
    let arguments = recipe.arguments()?.into_bytes();
    files.add("worker.arguments", Node::File { content: arguments, is_program: false })?;
    for folder in ["data", "dev", "models", "proc", "sys", "tmp"] {
        files.add(folder, Node::Folder)?;
    }
    // The kernel opens it for the first process before there are other devices.
    files.add("dev/console", Node::Device(5, 1))?;
    Ok(files)
}

/// A disk with its hash tree behind it, and the setting that says so.
fn disk(content: &[u8]) -> Result<(Vec<u8>, String)> {
    if content.is_empty() {
        bail!("a disk without content");
    }
    let mut disk = content.to_vec();
    disk.resize(disk.len().next_multiple_of(verity::BLOCK), 0);
    let blocks = disk.len() / verity::BLOCK;
    let tree = verity::tree(&disk, &SALT);
    disk.extend_from_slice(&tree.bytes);
    Ok((disk, format!("tacit.disk={blocks}:{}:{}", hex(&SALT), hex(&tree.root))))
}

/// Measurements on every processor that SEV-SNP runs on.
fn snp(recipe: &Recipe, firmware: &[u8], boot: Boot<'_>) -> Result<Value> {
    let processors = u32::try_from(recipe.number("processors")?)?;
    let mut images = Vec::new();
    for (name, model) in [
        ("EPYC-Milan", ProcessorModel::MILAN),
        ("EPYC-Genoa", ProcessorModel::GENOA),
        ("EPYC-Turin", ProcessorModel::TURIN),
    ] {
        let guest = SnpGuest { firmware, boot: Some(boot), processors, model, features: SnpGuest::FEATURES };
        let image = guest.image([0; 32])?;
        images.push(json!({ "cpu": name, "measurement": hex(&image.measurement), "image_id": image.id().0 }));
    }
    Ok(json!({ "firmware": sha256(firmware), "processors": processors, "images": images }))
}

/// Measurements on TDX; of RTMR0 and so of the whole only with what QEMU makes ACPI tables from.
fn tdx(recipe: &Recipe, firmware: &[u8], boot: Boot<'_>, acpi: Option<&Path>) -> Result<Value> {
    let memory_mib = recipe.number("memory_mib")?;
    let memory_bytes = memory_mib.checked_mul(1 << 20).context("too much memory")?;
    let read = |name: &str| -> Result<Vec<u8>> {
        let path = acpi.context("no folder")?.join(name);
        std::fs::read(&path).with_context(|| path.display().to_string())
    };
    let digests = match acpi {
        Some(_) => AcpiDigests::of(&read("table-loader")?, &read("rsdp")?, &read("tables")?),
        None => AcpiDigests { loader: [0; 48], pointer: [0; 48], tables: [0; 48] },
    };
    let guest = TdxGuest {
        firmware,
        boot,
        memory_bytes,
        acpi: digests,
        order: PageOrder::EachPage,
        header: KernelHeader::FilledIn,
    };
    let image = guest.image()?;
    let TdxImage { mr_td, rt_mr: [platform, started, kernel, _], .. } = &image;
    let mut value = json!({
        "firmware": sha256(firmware),
        "memory_mib": memory_mib,
        "mrtd": hex(mr_td),
        "rtmr1": hex(started),
        "rtmr2": hex(kernel),
    });
    if acpi.is_some() {
        value["rtmr0"] = hex(platform).into();
        value["image_id"] = json!(image.id().0);
    }
    Ok(value)
}

const RECIPE: &str = "images/worker/recipe.json";
const OPTIONS: &[&str] = &[
    "--recipe",
    "--kernel",
    "--modules",
    "--init",
    "--tacit",
    "--root",
    "--disk",
    "--snp-firmware",
    "--tdx-firmware",
    "--acpi",
    "--compare",
    "-o",
];
/// The tree's salt is for trees whose root is secret. This one's is not.
const SALT: [u8; 32] = [0; 32];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_its_content_and_its_tree() {
        let (bytes, setting) = disk(&[7; 5000]).unwrap();
        assert_eq!(bytes.len(), 3 * verity::BLOCK);
        assert_eq!(&bytes[..5000], &[7; 5000]);
        let mut parts = setting.strip_prefix("tacit.disk=").unwrap().split(':');
        assert_eq!(parts.next(), Some("2"));
        assert_eq!(parts.next(), Some("0".repeat(64).as_str()));
        assert_eq!(parts.next(), Some(hex(&verity::tree(&bytes[..8192], &SALT).root).as_str()));
        assert!(disk(&[]).is_err());
    }
}
