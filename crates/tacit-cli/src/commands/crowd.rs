//! `tacit bench gateway`: many clients ask one worker at once, over HTTP, each with its own channel, checks and payment.
//!
//! Ledger and worker are processes of their own, all clients' gateways are in this one. What is measured goes from the
//! question to the acknowledged voucher, divided by the number of questions.

use crate::args::{BenchGateway, OPENINGS_DEFAULT};
use crate::commands::bench::model as bench_model;
use crate::commands::model::commit_as;
use crate::commands::worker::open_wallet;
use crate::failure::{Context, Failure};
use crate::local::{Listen, key, start_ledger_with};
use crate::measure::{cpu_us_of, peak_mib_of, round, user_cpu_us};
use crate::network;
use crate::output::Output;
use crate::role::Role;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tacit_abi::Evidence;
use tacit_gateway::{
    AskAnswer, AskRequest, AuditPolicy, CanaryPolicy, DoorConfig, Gateway, GatewayConfig, Input, Spending,
    Store, UnlinkablePolicy,
};
use tacit_graph::{HidingKey, ImportReport, ModelFile};

/// Measures every model with every number of clients.
pub(crate) async fn measure(arguments: &BenchGateway, output: Output) -> Result<Vec<Value>, Failure> {
    let mut lines = Vec::new();
    for name in &arguments.models {
        let model = bench_model(name)?;
        // A seed for measuring: nothing that is proved here is worth hiding.
        let hiding = Some(HidingKey { openings: OPENINGS_DEFAULT, seed: [7; 32] });
        let weight_root = commit_as(model.clone(), hiding, 0)?.weight_root();
        let report = ImportReport::unmeasured(&model);
        let file = ModelFile { name: MODEL.to_owned(), weight_root, hiding, model, report };
        for clients in &arguments.clients {
            for together in &arguments.together {
                output.note(format!(
                    "measuring {clients} clients of {name}, at most {together} proved together …"
                ));
                lines.push(one(name, &file, *clients, *together, output).await?);
            }
        }
    }
    Ok(lines)
}

/// A network in a folder of its own, so that every measurement has all openings.
async fn one(
    name: &str,
    file: &ModelFile,
    clients: usize,
    together: usize,
    output: Output,
) -> Result<Value, Failure> {
    let folder = tempfile::tempdir().failed("cannot_write", "no temporary folder", "set TMPDIR to one")?;
    let data = folder.path();
    let owners: Vec<String> = (0..clients).map(|client| format!("client-{client}")).collect();
    let funded: Vec<&str> = owners.iter().map(String::as_str).chain(["worker"]).collect();
    let ledger = start_ledger_with(data, Listen::free().ledger, &funded).await?;
    let worker = start_worker(data, &ledger, file, together).await?;
    let mut gateways = Vec::new();
    for owner in &owners {
        gateways.push(gateway(data, owner, &ledger.url()).await?);
    }
    // Opens the channels and fetches the model, which a client does once.
    ask_all(&gateways, file, Evidence::Signed).await?;

    let rounds = QUESTIONS_MIN.div_ceil(clients).max(ROUNDS_MIN).min(OPENINGS_DEFAULT as usize / clients);
    let processes = || [ledger.pid(), worker.pid()].map(|pid| pid.map_or(0, cpu_us_of));
    let (before, here, start) = (processes(), user_cpu_us(), Instant::now());
    let (mut answers, mut latencies) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        for (answer, latency_ms) in ask_all(&gateways, file, Evidence::Proved).await? {
            answers.push(answer);
            latencies.push(latency_ms);
        }
    }
    let wall_ms = start.elapsed().as_secs_f64() * 1000.0;
    let [ledger_us, worker_us] = processes();
    let requests = answers.len() as f64;
    let each = |us: u64| us as f64 / 1000.0 / requests;
    let [ledger_ms, worker_ms] = [each(ledger_us - before[0]), each(worker_us - before[1])];
    let client_ms = each(user_cpu_us() - here);
    let mean = |value: &dyn Fn(&AskAnswer) -> f64| answers.iter().map(value).sum::<f64>() / requests;
    latencies.sort_by(f64::total_cmp);
    let median = latencies.get(latencies.len() / 2).copied().unwrap_or(0.0);
    let peak_mib = worker.pid().map_or(0, peak_mib_of);
    worker.stop().await;
    ledger.stop().await;
    drop(gateways);
    let unpaid = answers.iter().filter(|answer| !answer.paid).count();
    if unpaid > 0 {
        output.note(format!("{unpaid} vouchers were not acknowledged"));
    }
    Ok(json!({
        "bench": "gateway", "model": name, "clients": clients, "together_max": together, "zk": true,
        "requests": answers.len(), "proved_together": round(mean(&|answer| f64::from(answer.proved_together))),
        "prove_cpu_ms": round(mean(&|answer| answer.prove_cpu_ms)),
        "verify_cpu_ms": round(mean(&|answer| answer.verify_cpu_ms)),
        "worker_cpu_ms": round(worker_ms), "client_cpu_ms": round(client_ms), "ledger_cpu_ms": round(ledger_ms),
        "user_cpu_ms": round(worker_ms + client_ms + ledger_ms), "wall_ms": round(wall_ms / requests),
        "latency_ms": round(median), "peak_mib": peak_mib,
        "bytes": round(mean(&|answer| answer.proof_bytes as f64)),
    }))
}

async fn start_worker(
    data: &Path,
    ledger: &Role,
    file: &ModelFile,
    together: usize,
) -> Result<Role, Failure> {
    let path = data.join(format!("{MODEL}.tacit"));
    std::fs::write(&path, file.encode()).failed("cannot_write", path.display(), "check the folder")?;
    let mut model = OsString::from("--model=");
    model.push(&path);
    model.push("=0.0002");
    let mut arguments: Vec<OsString> =
        ["worker", "--listen", "127.0.0.1:0", "--ledger"].map(Into::into).into();
    arguments.extend([ledger.url().into(), model, "--together".into(), together.to_string().into()]);
    arguments.extend(["--key".into(), key(data, "worker").into()]);
    arguments.extend(["--data".into(), data.join("worker").into()]);
    Role::start("worker", &arguments).await
}

async fn gateway(data: &Path, owner: &str, ledger: &str) -> Result<Arc<Gateway>, Failure> {
    let wallet = open_wallet(&key(data, owner))?;
    let ledger = network::ledger(ledger).await?;
    let store = Store::open(&data.join(format!("{owner}.redb"))).failed("gateway", owner, "")?;
    let (spending, canaries) = (Spending::default(), CanaryPolicy::default());
    let (audits, door) = (AuditPolicy::default(), DoorConfig::default());
    let unlinkable = UnlinkablePolicy::default();
    let config = GatewayConfig {
        wallet,
        ledger,
        store,
        spending,
        canaries,
        audits,
        unlinkable,
        door,
        attestation: None,
    };
    Gateway::open(config).failed("gateway", "a gateway cannot start", "")
}

/// One question from every client at once; answers with milliseconds to each.
async fn ask_all(
    gateways: &[Arc<Gateway>],
    file: &ModelFile,
    evidence: Evidence,
) -> Result<Vec<(AskAnswer, f64)>, Failure> {
    let features = file.model.graph().features.len();
    let mut asking = Vec::new();
    for (client, gateway) in gateways.iter().enumerate() {
        let row: Vec<f64> = (0..features).map(|index| ((client * 31 + index * 7) % 16) as f64).collect();
        let input = Input::from_floats(&[features as u64], &row).failed("bench", "the question", "")?;
        let request = AskRequest { evidence: Some(evidence), ..AskRequest::new(MODEL, input) };
        let gateway = Arc::clone(gateway);
        asking.push(tokio::spawn(async move {
            let start = Instant::now();
            let answer = gateway.ask(request).await;
            (answer, start.elapsed().as_secs_f64() * 1000.0)
        }));
    }
    let mut answers = Vec::new();
    for asking in asking {
        let (answer, latency_ms) = asking.await.failed("bench", "a client ended early", "")?;
        answers.push((answer.failed("bench", "a client has no answer", "")?, latency_ms));
    }
    Ok(answers)
}

const MODEL: &str = "bench";
/// Questions, at least, that a figure is the mean of, and times that everybody asks, unless openings run out.
const QUESTIONS_MIN: usize = 24;
const ROUNDS_MIN: usize = 3;
