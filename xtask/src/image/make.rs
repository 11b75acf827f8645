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
        let (disk, setting) = disk(&recipe.file("models", path)?)?;
        command_line = format!("{command_line} {setting}");
        parts.push(("disk", sha256(&disk)));
        std::fs::write(out.join("disk"), disk)?;
    }
    for (name, option) in PROGRAMS {
        parts.push((name, sha256(&std::fs::read(options.needed(option)?)?)));
    }
    if let Some(path) = options.path("--engine") {
        parts.push(("engine", sha256(&std::fs::read(path)?)));
    }
    std::fs::write(out.join("initrd"), &initrd)?;
    std::fs::write(out.join("command-line"), &command_line)?;
    let boot = Boot { kernel: &kernel, initrd: &initrd, command_line: &command_line };
    let mut manifest = json!({
        "arguments": arguments_of(&options),
        "command_line": command_line,
        "sha256": parts.into_iter().map(|(name, hash)| (name.to_owned(), hash.into())).collect::<serde_json::Map<_, _>>(),
    });
    if let Some(commit) = options.text("--source") {
        manifest["source"] = commit.into();
    }
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
    for (path, option) in PROGRAMS {
        let content = std::fs::read(options.needed(option)?).context(option)?;
        files.add(path, Node::File { content, is_program: true })?;
    }
    for (at, (path, content)) in recipe.modules(options.needed("--modules")?)?.into_iter().enumerate() {
        let name = path.rsplit('/').next().unwrap_or(&path);
        files.add(&format!("modules/{at:02}-{name}"), Node::File { content, is_program: false })?;
    }
    let worker = recipe.arguments(arguments_of(options))?;
    match (recipe.has(ENGINE_ARGUMENTS), options.path("--engine")) {
        (true, Some(path)) => {
            let content = recipe.file("engine", path)?;
            files.add("engine", Node::File { content, is_program: true })?;
            let engine = recipe.arguments(ENGINE_ARGUMENTS)?;
            check_weights(&engine, &worker)?;
            files.add("engine.arguments", Node::File { content: engine.into_bytes(), is_program: false })?;
        }
        (false, None) => {}
        (true, None) => bail!("--engine is missing: the recipe has {ENGINE_ARGUMENTS}"),
        (false, Some(_)) => bail!("the recipe has no {ENGINE_ARGUMENTS}"),
    }
    files.add("worker.arguments", Node::File { content: worker.into_bytes(), is_program: false })?;
    for folder in ["data", "dev", "models", "proc", "sys", "tmp"] {
        files.add(folder, Node::Folder)?;
    }
    // The kernel opens it for the first process before there are other devices.
    files.add("dev/console", Node::Device(5, 1))?;
    Ok(files)
}

/// An engine loads the file that the worker hashes, if it hashes one, from the disk that is checked as it is read; and it listens where the first
/// process says.
fn check_weights(engine: &str, worker: &str) -> Result<()> {
    let value = |arguments: &str, name: &str| {
        let mut lines = arguments.lines();
        lines.by_ref().find(|line| *line == name).and_then(|_| lines.next()).map(str::to_owned)
    };
    let (loaded, hashed) = (value(engine, "--model"), value(worker, "--weights"));
    match (&loaded, &hashed) {
        (Some(loaded), _) if !loaded.starts_with("/models/") => {
            bail!("the engine loads {loaded}, which is not on the disk")
        }
        (Some(loaded), Some(hashed)) if loaded != hashed => {
            bail!("the engine loads {loaded}, the worker hashes {hashed}")
        }
        (None, _) => bail!("{ENGINE_ARGUMENTS} have no --model"),
        _ => {}
    }
    for own in ["--host", "--port", "--model"] {
        let times = engine.lines().filter(|line| line.split('=').next() == Some(own)).count();
        if times > usize::from(own == "--model") {
            bail!("{ENGINE_ARGUMENTS}: {own} is once too often there");
        }
    }
    Ok(())
}

/// Which of the recipe's lists the worker is started with.
fn arguments_of(options: &Options) -> &str {
    options.text("--arguments").unwrap_or("worker_arguments")
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
const PROGRAMS: [(&str, &str); 2] = [("init", "--init"), ("tacit", "--tacit")];
const ENGINE_ARGUMENTS: &str = "engine_arguments";
const OPTIONS: &[&str] = &[
    "--recipe",
    "--kernel",
    "--modules",
    "--init",
    "--tacit",
    "--engine",
    "--arguments",
    "--source",
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
    use tacit_attest::SnpImage;

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

    fn repository(path: &str) -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    fn list(value: &Value) -> Vec<&str> {
        value.as_array().unwrap().iter().map(|entry| entry.as_str().unwrap()).collect()
    }

    fn value_of<'a>(arguments: &[&'a str], name: &str) -> &'a str {
        let at = arguments.iter().position(|argument| *argument == name).unwrap();
        arguments[at + 1]
    }

    /// What of a manifest follows from the recipe without the files that both name.
    #[test]
    fn manifests_are_of_the_recipe() {
        let recipe = repository(RECIPE);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../images/worker");
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        let manifests: Vec<_> = names.iter().filter(|name| name.ends_with("manifest.json")).collect();
        assert!(!manifests.is_empty());
        for name in manifests {
            let manifest = repository(&format!("images/worker/{name}"));
            assert_eq!(manifest["sha256"]["kernel"], recipe["files"]["kernel"], "{name}");
            for part in ["disk", "init", "initrd", "tacit"] {
                assert_eq!(manifest["sha256"][part].as_str().unwrap().len(), 64, "{name}: {part}");
            }
            assert_eq!(manifest["snp"]["firmware"], recipe["files"]["snp_firmware"], "{name}");
            assert_eq!(manifest["snp"]["processors"], recipe["processors"], "{name}");
            let images = manifest["snp"]["images"].as_array().unwrap();
            assert_eq!(images.len(), 3, "{name}");
            for image in images {
                let text = image["measurement"].as_str().unwrap();
                let measurement: [u8; 48] =
                    std::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap());
                let id = SnpImage { measurement, host_data: [0; 32] }.id();
                assert_eq!(image["image_id"], json!(id.0), "{name}");
            }
            assert_eq!(manifest["tdx"]["firmware"], recipe["files"]["tdx_firmware"], "{name}");
            assert_eq!(manifest["tdx"]["memory_mib"], recipe["memory_mib"], "{name}");
            // One to accept is of this recipe and of a commit; others are to compare programs by.
            if name == "manifest.json" {
                assert_eq!(manifest["arguments"], "worker_arguments");
                assert_eq!(manifest["source"].as_str().unwrap().len(), 40);
                let own = recipe["command_line"].as_str().unwrap();
                let disk = manifest["command_line"].as_str().unwrap().strip_prefix(own).unwrap();
                assert!(disk.starts_with(" tacit.disk="), "{disk}");
            }
        }
    }

    /// What the operator chooses is a whole value, and no path.
    #[test]
    fn places_are_whole_values() {
        let recipe = repository(RECIPE);
        let arguments = list(&recipe["worker_arguments"]);
        for argument in arguments.iter().filter(|argument| argument.contains('{')) {
            let value = argument.rsplit('=').next().unwrap();
            assert!(value.starts_with('{') && value.ends_with('}'), "{argument}");
        }
    }

    #[test]
    fn an_engine_that_loads_another_file() {
        let worker = "worker\n--weights\n/models/a.gguf\n";
        check_weights("--model\n/models/a.gguf\n", worker).unwrap();
        check_weights("--model\n/models/a.gguf\n", "worker\n").unwrap();
        for engine in [
            "",
            "--model\n",
            "--model\n/models/b.gguf\n",
            "--model\n/models/../a.gguf\n",
            "--model\n/models/a.gguf\n--model\n/models/b.gguf\n",
            "--model\n/models/a.gguf\n--model=/models/b.gguf\n",
            "--model\n/models/a.gguf\n--host\n0.0.0.0\n",
            "--model\n/models/a.gguf\n--port=1\n",
        ] {
            assert!(check_weights(engine, worker).is_err(), "{engine:?}");
        }
        assert!(check_weights("--model\n/data/a.gguf\n", "worker\n").is_err());
    }

    /// A trial leaves out what asks hardware, and nothing else.
    #[test]
    fn a_trial_is_the_worker_without_hardware() {
        let recipe = repository(RECIPE);
        let (trial, worker) = (list(&recipe["trial_arguments"]), list(&recipe["worker_arguments"]));
        assert_eq!(worker[..trial.len()], trial);
        let rest = &worker[trial.len()..];
        assert_eq!(rest[0], "--attested");
        let names: Vec<_> = rest.iter().filter(|argument| argument.starts_with("--")).collect();
        assert_eq!(names, [&"--attested", &"--collateral"]);
        assert_eq!(value_of(rest, "--collateral"), "/data/operator/collateral");
    }

    #[test]
    fn an_engine_and_its_arguments_come_together() {
        let folder = std::env::temp_dir().join(format!("tacit-image-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        for name in ["init", "tacit", "engine"] {
            std::fs::write(folder.join(name), name).unwrap();
        }
        let archive = |recipe: Value, engine: bool| {
            std::fs::write(folder.join("recipe.json"), recipe.to_string()).unwrap();
            let recipe = Recipe::read(&folder.join("recipe.json")).unwrap();
            let mut words = vec!["--init".into(), path("init"), "--tacit".into(), path("tacit")];
            words.extend(["--modules".into(), path("")]);
            if engine {
                words.extend(["--engine".into(), path("engine")]);
            }
            initrd(&recipe, &Options::parse(&words, OPTIONS).unwrap())?.archive()
        };
        let mut recipe = json!({ "modules": [], "worker_arguments": ["worker"] });
        let without = archive(recipe.clone(), false).unwrap();
        assert!(archive(recipe.clone(), true).is_err());
        recipe["engine_arguments"] = json!(["--model", "/models/a"]);
        assert!(archive(recipe.clone(), false).is_err());
        assert!(archive(recipe.clone(), true).is_err(), "an engine whose hash the recipe does not name");
        recipe["files"] = json!({ "engine": sha256(b"engine") });
        let with = archive(recipe.clone(), true).unwrap();
        assert_ne!(with, without);
        let text = String::from_utf8_lossy(&with);
        assert!(text.contains("engine.arguments\0") && text.contains("--model\n/models/a\n"));
        std::fs::write(folder.join("engine"), "other").unwrap();
        assert!(archive(recipe, true).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
