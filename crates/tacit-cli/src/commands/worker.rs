//! `tacit worker`: serve models and be paid for it.

use crate::args;
use crate::commands::model::{Opened, open as open_model};
use crate::commands::node::{bind, url};
use crate::commands::{estimate, language, owner, reputation};
use crate::failure::{Context, Failure};
use crate::output::{Output, bytes};
use crate::{lifetime, network, question};
use alloy_primitives::B256;
use serde::Serialize;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use tacit_abi::{Evidence, Privacy};
use tacit_encrypt::{Closeness, Offer, Variant, server::EncryptedModel};
use tacit_graph::{Agreement, ModelFile};
use tacit_wire::{Amount, LedgerClient, LedgerError, Wallet};
use tacit_worker::engine::TOGETHER_BYTES_DEFAULT;
use tacit_worker::{
    AskedPrice, Attester, Billing, GpuCommand, GraphEngine, LanguageModel, Limits, Quota, ServedModel,
    SettlementPolicy, StoreError, SystemClock, TSM_REPORTS, TokenSale, TsmAttester, Worker, WorkerConfig,
    WorkerError, WorkerFolder,
};

pub(crate) async fn worker(arguments: &args::Worker, output: Output) -> Result<(), Failure> {
    let args::Worker { command, serve } = arguments;
    match (command, &serve.key, &serve.data) {
        (Some(args::WorkerCommand::Earnings(arguments)), ..) => language::earnings(arguments, output).await,
        (Some(args::WorkerCommand::Status(order)), ..) => owner::status(order, output).await,
        (Some(args::WorkerCommand::Drain(drain)), ..) => owner::drain(drain, output).await,
        (Some(args::WorkerCommand::Resume(order)), ..) => owner::resume(order, output).await,
        (Some(args::WorkerCommand::Withdraw(withdraw)), ..) => owner::withdraw(withdraw, output).await,
        (Some(args::WorkerCommand::Estimate(arguments)), ..) => estimate::estimate(arguments, output).await,
        (Some(args::WorkerCommand::Reputation(arguments)), ..) => {
            reputation::reputation(arguments, output).await
        }
        (None, Some(key), Some(data)) => run(serve, key, data, output).await,
        // The command line's reader asks for both.
        (None, ..) => Err(Failure::new("bad_usage", "--key and --data are missing", "tacit worker --help")),
    }
}

async fn run(arguments: &args::Serve, key: &Path, data: &Path, output: Output) -> Result<(), Failure> {
    let wallet = open_wallet(key)?;
    let ledger = network::ledger(&arguments.ledger.url).await?;
    let quota = Quota { per_client: arguments.quota, total: arguments.quota_total };
    let attester = attester(arguments)?;
    let (mut models, mut encrypted) = (Vec::new(), Vec::new());
    for text in &arguments.models {
        let (file, price) = text.rsplit_once('=').ok_or_else(|| {
            Failure::new(
                "bad_usage",
                format!("{text:?} names no price"),
                "give FILE=PRICE, such as digits.tacit=0.0002",
            )
        })?;
        let price = price.parse().failed("bad_amount", format!("{price:?}"), "a price looks like 0.0002")?;
        let path = Path::new(file);
        let file = question::read_model(path)?;
        crate::memory::ensure(&file, 1)?;
        let together = Together { jobs_max: arguments.together, bytes: crate::memory::free_bytes() };
        let opened = open_model(&file, path, output)?;
        let variant = if arguments.reproducible { Variant::Reproducible } else { Variant::Fast };
        let (mut served, misfit) = serve(&file, opened, price, together, variant)?;
        if arguments.audited {
            for privacy in [Privacy::Clear, Privacy::Sealed] {
                served = served.ask(privacy, Evidence::Audited, price);
            }
        }
        if attester.is_some() {
            served = served.ask(Privacy::Enclave, Evidence::Attested, price);
        }
        encrypted.push(Encrypted::new(&served, misfit.as_ref()));
        models.push(served.with_quota(quota).with_misfit(misfit));
    }
    let weights = arguments.weights.as_deref();
    let languages = language::open(&arguments.engine, arguments.attested, weights, output).await?;
    let listener = bind(arguments.listen, "worker").await?;
    let url = url(&listener)?;
    let endpoint = arguments.endpoint.clone().unwrap_or_else(|| url.clone());
    let models = Models { models, languages, attester };
    let terms =
        Terms { tokens: arguments.token_price, stake_min: arguments.stake, billing: Arc::new(AskedPrice) };
    let worker = open(data, wallet, ledger, models, terms).await?;
    publish(&worker, &endpoint).await?;
    let metrics = match arguments.metrics {
        Some(address) => Some(bind(address, "worker's metrics").await?),
        None => None,
    };
    let metrics_url = metrics.as_ref().map(crate::commands::node::url).transpose()?;
    let info = worker.info().failed("worker", "the worker's database", "")?;
    let result = json!({
        "role": "worker", "url": url, "endpoint": endpoint, "info": info, "encrypted": encrypted,
        "quota": quota, "drained": worker.is_drained(), "metrics": metrics_url,
    });
    if worker.is_drained() {
        output.note("the worker was drained, and takes nothing new: tacit worker resume --key KEY");
    }
    output.data(&result, || {
        let languages = info.languages.iter().map(language::line);
        let models: Vec<_> = encrypted.iter().map(Encrypted::line).chain(languages).collect();
        format!("worker {} at {endpoint} serves\n{}", worker.address(), models.join("\n"))
    });
    let serving = Arc::clone(&worker).serve(listener, lifetime::ended(arguments.lifetime.with_parent));
    let ended = match metrics {
        Some(metrics) => tokio::select! {
            ended = serving => ended,
            ended = worker.serve_metrics(metrics) => ended,
        },
        None => serving.await,
    };
    ended.failed("worker", "the worker stopped", "")
}

/// What vouches for this machine, asked once: without hardware that does, the worker does not start.
fn attester(arguments: &args::Serve) -> Result<Option<Arc<dyn Attester>>, Failure> {
    let Some(collateral) = arguments.collateral.as_deref().filter(|_| arguments.attested) else {
        return Ok(None);
    };
    let gpus = arguments.gpu_evidence.as_deref().map(GpuCommand::new);
    let opened = TsmAttester::open(Path::new(TSM_REPORTS), collateral, gpus).failed(
        "not_attested",
        "this worker cannot serve attested answers",
        "start it in a TDX or SEV-SNP guest on Linux 6.7 or newer, as docs/attested.md says, or without --attested",
    )?;
    Ok(Some(Arc::new(opened)))
}

/// How much one proof may be about.
#[derive(Debug, Clone, Copy)]
struct Together {
    jobs_max: usize,
    /// Memory that it may take, where the system says how much there is.
    bytes: Option<u64>,
}

/// Whether a model is offered under encryption.
#[derive(Debug, Serialize)]
struct Encrypted {
    model: String,
    model_id: B256,
    /// Bytes of a question and of an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    offer: Option<Lengths>,
    /// Why there is no offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct Lengths {
    query_bytes: usize,
    answer_bytes: usize,
    /// Sent once.
    key_bytes: usize,
    exact: bool,
    /// How often labels are the model's, where they are not always.
    #[serde(skip_serializing_if = "Option::is_none")]
    agreement: Option<Agreement>,
}

impl Encrypted {
    fn new(served: &ServedModel, misfit: Option<&String>) -> Self {
        let lengths = |offer: &Offer| {
            let (exact, agreement) = match offer.closeness() {
                Closeness::Exact => (true, None),
                Closeness::Approximate(near) => (false, near.agreement),
            };
            let (query_bytes, answer_bytes) = (offer.query_bytes(), offer.answer_bytes());
            Lengths { query_bytes, answer_bytes, key_bytes: offer.key_bytes(), exact, agreement }
        };
        Self {
            model: served.info().name.clone(),
            model_id: served.model_id(),
            offer: served.offer().map(lengths),
            reason: misfit.cloned(),
        }
    }

    fn line(&self) -> String {
        let encrypted = match (&self.offer, &self.reason) {
            (Some(Lengths { query_bytes, answer_bytes, key_bytes, agreement, .. }), _) => {
                let keys = match key_bytes {
                    0 => String::new(),
                    key_bytes => format!(", after keys of {}", bytes(*key_bytes)),
                };
                let near = agreement.map_or_else(String::new, |Agreement { rows, agreed }| {
                    format!(", approximate: {agreed} of {rows} labels as without encryption")
                });
                format!(
                    "also encrypted: {} up, {} down{keys}{near}",
                    bytes(*query_bytes),
                    bytes(*answer_bytes)
                )
            }
            (None, reason) => format!("not encrypted: {}", reason.as_deref().unwrap_or("not offered")),
        };
        format!("  {} {} ({encrypted})", self.model, self.model_id)
    }
}

/// The honest service of a model: `signed` and `proved`, in the clear and sealed, and `signed` and `audited` under encryption where the model fits, at one
/// price. Where it does not fit, the reason comes with it.
fn serve(
    file: &ModelFile,
    opened: Opened,
    price: Amount,
    together: Together,
    variant: Variant,
) -> Result<(ServedModel, Option<String>), Failure> {
    let Opened { committed, openings } = opened;
    let root = committed.weight_root();
    let committed = Arc::new(committed);
    let engine = match openings {
        Some(openings) => GraphEngine::hiding(committed, Arc::new(openings)),
        None => GraphEngine::new(committed),
    };
    let bytes = together.bytes.unwrap_or(TOGETHER_BYTES_DEFAULT).min(TOGETHER_BYTES_DEFAULT);
    let engine = engine.together(together.jobs_max, bytes);
    let (engine, misfit) = match (EncryptedModel::with(&file.model, variant), file.report.encrypted) {
        (Ok(model), Some(agreement)) => (engine.encrypted(model.measured(agreement)), None),
        (Ok(model), None) if model.offer().closeness() == Closeness::Exact => (engine.encrypted(model), None),
        (Ok(_), None) => (engine, Some(UNMEASURED.to_owned())),
        (Err(misfit), _) => (engine, Some(misfit.to_string())),
    };
    let engine = Arc::new(engine);
    let mut served = ServedModel::new(&file.name, file.model.graph(), root, engine).failed(
        "bad_model",
        &file.name,
        "import it again",
    )?;
    for privacy in [Privacy::Clear, Privacy::Sealed] {
        for evidence in [Evidence::Signed, Evidence::Proved] {
            served = served.ask(privacy, evidence, price);
        }
    }
    for evidence in [Evidence::Signed, Evidence::Audited] {
        served = served.ask(Privacy::Encrypted, evidence, price);
    }
    Ok((served, misfit))
}

const UNMEASURED: &str = "its answers would be approximate, and how often they are the model's was not measured: tacit model measure FILE --held-out ROWS";

/// What a worker serves.
pub(crate) struct Models {
    models: Vec<ServedModel>,
    languages: Vec<LanguageModel>,
    attester: Option<Arc<dyn Attester>>,
}

impl Models {
    /// One model.
    pub(crate) fn of(model: ServedModel) -> Self {
        Self { models: vec![model], languages: Vec::new(), attester: None }
    }
}

/// What a worker takes, and what it puts at stake.
pub(crate) struct Terms {
    /// What a token is sold for, if any are.
    pub(crate) tokens: Option<Amount>,
    /// Least that is kept at stake.
    pub(crate) stake_min: Amount,
    pub(crate) billing: Arc<dyn Billing>,
}

impl Terms {
    /// No tokens, and no more at stake than asks and answers need.
    pub(crate) fn billed(billing: Arc<dyn Billing>) -> Self {
        Self { tokens: None, stake_min: Amount::ZERO, billing }
    }
}

/// Opens a worker on a data folder.
pub(crate) async fn open(
    data: &Path,
    wallet: Wallet,
    ledger: LedgerClient,
    Models { models, languages, attester }: Models,
    Terms { tokens, stake_min, billing }: Terms,
) -> Result<Arc<Worker>, Failure> {
    let opened = lifetime::once_free(
        || Worker::open_folder(data),
        |error| error.downcast_ref::<StoreError>().is_some_and(StoreError::is_in_use),
    )
    .await;
    let WorkerFolder { sealing, audit, session, store, keys } = opened.map_err(|error| {
        let hint = "another worker may be using it; check the folder and its permissions";
        Failure::new("worker", format!("cannot open {}: {error}", data.display()), hint)
    })?;
    let tokens = tokens.map(|price| TokenSale::open(data, price)).transpose();
    let tokens = tokens.failed("key_file", data.display(), "check tokens.key and its permissions")?;
    let (settlement, limits) = (SettlementPolicy::default(), Limits { stake_min, ..Limits::default() });
    let clock = Arc::new(SystemClock);
    let config = WorkerConfig {
        wallet,
        sealing,
        audit,
        ledger,
        store,
        keys,
        models,
        languages,
        session,
        attester,
        tokens,
        billing,
        settlement,
        limits,
        clock,
    };
    Worker::open(config).failed("worker", "the worker cannot start", "")
}

/// Publishes models and prices on the ledger.
pub(crate) async fn publish(worker: &Worker, endpoint: &str) -> Result<(), Failure> {
    worker.publish_and_ask(endpoint).await.map_err(|error| {
        let hint = match &error {
            WorkerError::Ledger(LedgerError::InsufficientFunds { .. }) => {
                "its account needs some coins for gas: tacit wallet show KEY"
            }
            WorkerError::NameTaken { .. } => {
                "import the model again with another output file name: it names the model"
            }
            _ => "names are 1 to 32 of a-z 0-9 - . _; is the ledger running?",
        };
        Failure::new(
            "cannot_publish",
            format!("the worker's models and prices cannot be published: {error}"),
            hint,
        )
    })
}

/// Loads a key file, making it when missing.
pub(crate) fn open_wallet(key: &Path) -> Result<Wallet, Failure> {
    if let Some(folder) = key.parent() {
        std::fs::create_dir_all(folder).failed(
            "key_file",
            folder.display(),
            "check the folder and its permissions",
        )?;
    }
    Wallet::load_or_create(key).failed("key_file", key.display(), "check the file and its permissions")
}
