//! `cargo xtask performance`: writes `docs/performance.md` from `tacit bench`, the demo and, when given, EZKL's side.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Options: `--cold-build` also times a release build into an empty folder; `--python FILE` also runs EZKL with that
/// interpreter (see `bench/ezkl/README.md`).
pub(crate) fn write(root: &Path, arguments: &[String]) -> Result<()> {
    let option = |name: &str| arguments.iter().position(|argument| argument == name);
    let python = option("--python").and_then(|at| arguments.get(at + 1)).map(PathBuf::from);
    let cold = option("--cold-build").map(|_| ColdBuild::make(root)).transpose()?;
    let tacit = match &cold {
        Some(cold) => cold.folder.join("release").join("tacit"),
        None => {
            run(Command::new(env!("CARGO")).args(["build", "--release", "--locked"]).current_dir(root))?;
            target_folder(root)?.join("release").join("tacit")
        }
    };

    let mut page = String::from(HEADER);
    writeln!(page, "Machine: {}.\n", machine())?;
    let mut prove = Vec::new();
    for (models, batches, runs) in [
        (&["digits", "breast-cancer", "mlp:784,128,10"][..], &["1", "64"][..], "11"),
        (&["lenet-5", "resnet-8", "separable", "mlp:1024,2048,1024,10"], &["1", "8"], "5"),
        (&["vgg-16"], &["1"], "3"),
    ] {
        let mut command = Command::new(&tacit);
        command.args(["--json", "bench", "prove", "--zk", "--runs", runs]);
        for model in models {
            command.args(["--model", model]);
        }
        for batch in batches {
            command.args(["--batch", batch]);
        }
        prove.extend(json_lines(&mut command)?);
    }
    page.push_str(PROVE);
    for line in &prove {
        let memory = if line["bench"] == "prove" { text(&line["peak_mib"]) } else { "-".to_owned() };
        let bytes = if line["bench"] == "import" { "-".to_owned() } else { text(&line["bytes"]) };
        writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {memory} | {bytes} | {} |",
            text(&line["model"]),
            text(&line["batch"]),
            text(&line["bench"]),
            if line["zk"] == true { "yes" } else { "" },
            text(&line["user_cpu_ms"]),
            text(&line["wall_ms"]),
            text(&line["security_bits"]),
        )?;
    }
    page.push_str(LAYERS);
    for model in ["mlp:784,128,10", "resnet-8"] {
        let mut command = Command::new(&tacit);
        command.args([
            "--json",
            "bench",
            "prove",
            "--per-layer",
            "--runs",
            "3",
            "--batch",
            "64",
            "--model",
            model,
        ]);
        for line in json_lines(&mut command)?.iter().filter(|line| line["bench"] == "layer") {
            let figures = ["run_cpu_ms", "prove_cpu_ms", "ratio"].map(|key| match line[key].as_f64() {
                Some(value) => format!("{value:.2}"),
                None => "-".to_owned(),
            });
            writeln!(page, "| {model} | {} | {} |", text(&line["layer"]), figures.join(" | "))?;
        }
    }
    page.push_str(RUN);
    for line in json_lines(Command::new(&tacit).args(["--json", "bench", "run"]))? {
        let (macs, batch, ms) = (number(&line["macs"]), number(&line["batch"]), number(&line["user_cpu_ms"]));
        writeln!(
            page,
            "| {} | {batch} | {ms:.3} | {:.2} |",
            text(&line["model"]),
            macs * batch / (ms * 1e6)
        )?;
    }
    clients(&mut page, &tacit)?;
    if let Some(python) = python {
        page.push_str(EZKL);
        for (option, network) in
            [("--model", "models/digits"), ("--widths", "784,128,10"), ("--model", "models/lenet5")]
        {
            let mut command = Command::new(&python);
            let keys = root.join("target/ezkl").join(network.replace([',', '/'], "-"));
            command.current_dir(root).args(["bench/ezkl/run.py", option, network, "--tacit"]).arg(&tacit);
            for line in json_lines(command.arg("--keep").arg(keys))? {
                ezkl_rows(&mut page, &line)?;
            }
        }
    }
    whole(&mut page, &tacit, root, cold.as_ref().map(|cold| cold.seconds))?;
    std::fs::create_dir_all(root.join("docs"))?;
    std::fs::write(root.join("docs/performance.md"), page).context("writing docs/performance.md")
}

fn ezkl_rows(page: &mut String, line: &Value) -> Result<()> {
    let model = text(&line["model"]);
    let ezkl = number(&line["ezkl"]["prove_user_s"]);
    for (name, side) in [("EZKL", "ezkl"), ("Tacit, zero knowledge", "tacit_zk"), ("Tacit, plain", "tacit")] {
        let side = &line[side];
        writeln!(
            page,
            "| {model} | {name} | {:.3} | {:.4} | {:.4} | {} | {} | {:.0} |",
            number(&side["setup_user_s"]),
            number(&side["prove_user_s"]),
            number(&side["verify_user_s"]),
            text(&side["prove_peak_mib"]),
            text(&side["proof_bytes"]),
            ezkl / number(&side["prove_user_s"]),
        )?;
    }
    Ok(())
}

fn whole(page: &mut String, tacit: &Path, root: &Path, cold_build: Option<f64>) -> Result<()> {
    page.push_str("\n## The whole\n\n| figure | value |\n|---|---|\n");
    let demo = json_lines(Command::new(tacit).args(["--json", "demo"]))?;
    let demo = demo.last().context("the demo printed nothing")?;
    writeln!(page, "| `tacit demo`, wall | {:.1} s |", number(&demo["wall_ms"]) / 1000.0)?;
    if let Some(seconds) = cold_build {
        writeln!(
            page,
            "| `cargo build --release` into an empty folder, sources already downloaded, wall | {seconds:.0} s |"
        )?;
    }
    let tree =
        output(Command::new(env!("CARGO")).args(["tree", "--prefix", "none", "--locked"]).current_dir(root))?;
    let mut crates: Vec<&str> =
        tree.lines().map(|line| line.trim_end_matches(" (*)")).filter(|l| !l.is_empty()).collect();
    crates.sort_unstable();
    crates.dedup();
    writeln!(page, "| crates built for `tacit` on this platform | {} |", crates.len())?;
    writeln!(page, "| size of the release binary | {} MB |", std::fs::metadata(tacit)?.len() / 1_000_000)?;
    Ok(())
}

/// A release build into an empty folder, which goes with this value.
struct ColdBuild {
    folder: PathBuf,
    seconds: f64,
}

impl ColdBuild {
    fn make(root: &Path) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("tacit-cold-build-{}", std::process::id()));
        let start = Instant::now();
        let mut command = Command::new(env!("CARGO"));
        command.args(["build", "--release", "--locked", "--target-dir"]).arg(&folder).current_dir(root);
        let mut cold = Self { folder, seconds: 0.0 };
        run(&mut command)?;
        cold.seconds = start.elapsed().as_secs_f64();
        Ok(cold)
    }
}

impl Drop for ColdBuild {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn target_folder(root: &Path) -> Result<PathBuf> {
    let metadata = super::metadata(root)?;
    Ok(metadata["target_directory"].as_str().context("target_directory")?.into())
}

fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1)).unwrap_or(" unknown");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let units = if cpu.contains("avx512f") {
        "AVX-512"
    } else if cpu.contains("avx2") {
        "AVX2"
    } else {
        "no AVX2"
    };
    format!("{cores} cores of {}, {units}, {}", name.trim(), std::env::consts::OS)
}

fn clients(page: &mut String, tacit: &Path) -> Result<()> {
    page.push_str(CLIENTS);
    for line in json_lines(Command::new(tacit).args(["--json", "bench", "gateway"]))? {
        let keys = ["model", "clients", "together_max"];
        let figures = [
            "proved_together",
            "prove_cpu_ms",
            "worker_cpu_ms",
            "client_cpu_ms",
            "ledger_cpu_ms",
            "wall_ms",
            "latency_ms",
        ];
        let keys = keys.map(|key| text(&line[key]));
        let figures = figures.map(|key| format!("{:.1}", number(&line[key])));
        let (peak, bytes) = (text(&line["peak_mib"]), number(&line["bytes"]));
        writeln!(page, "| {} | {} | {peak} | {bytes:.0} |", keys.join(" | "), figures.join(" | "))?;
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    if status.success() { Ok(()) } else { bail!("{command:?} failed") }
}

fn output(command: &mut Command) -> Result<String> {
    let output =
        command.stderr(std::process::Stdio::inherit()).output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed");
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn json_lines(command: &mut Command) -> Result<Vec<Value>> {
    output(command)?.lines().map(|line| serde_json::from_str(line).context(line.to_owned())).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

const CLIENTS: &str = "\n## Many clients\n\nClients ask one worker at once, each with its own channel, checks and payment; proofs in zero knowledge. \
Milliseconds for each question, from the question to the acknowledged voucher; `together` is how many jobs the worker may prove in one proof, `rows` how many it did, \
on average. Latency is the median.\n\n\
| model | clients | together | rows | prove CPU | worker CPU | client CPU | ledger CPU | wall | latency | worker MiB | proof bytes |\n\
|---|---|---|---|---|---|---|---|---|---|---|---|\n";
const HEADER: &str = "# Performance\n\nWritten by `cargo xtask performance` from `tacit bench`; run it again on your machine. Medians; \
user CPU counts all threads, and the little spent in the system.\n\n";
const PROVE: &str = "## Prove and verify\n\n`import` is the commitment to the weights, made once per model; in zero \
knowledge (zk) it is made for 256 proofs. Memory is the peak of the whole process, plain proofs first.\n\n\
| model | batch | step | zk | user CPU ms | wall ms | peak MiB | proof bytes | security bits |\n|---|---|---|---|---|---|---|---|---|\n";
const LAYERS: &str = "\n## Layer by layer\n\n64 rows in one plain proof: milliseconds of CPU to run and to prove, and their ratio. Look-ups, the \
witness and its opening are shared among the layers that look something up; weights are opened once.\n\n\
| model | layer | run | prove | ratio |\n|---|---|---|---|---|\n";
const RUN: &str = "\n## Run in the clear\n\n| model | batch | user CPU ms | GMAC/s |\n|---|---|---|---|\n";
const EZKL: &str = "\n## EZKL beside it\n\nOne run of `bench/ezkl/run.py`, one thread each. EZKL's set-up is SRS and keys, Tacit's the weight \
commitment. EZKL's proof hides input and weights and is smaller; Tacit's in zero knowledge hides weights and all between input and output. \
The last column is EZKL's proving time over the row's.\n\n\
| network | prover | set-up user s | prove user s | verify user s | prove peak MiB | proof bytes | EZKL ÷ |\n|---|---|---|---|---|---|---|---|\n";
