//! Serving models.

use super::{LedgerAddress, Lifetime, together};
use clap::{Args, Subcommand};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Worker {
    #[command(subcommand)]
    pub(crate) command: Option<WorkerCommand>,
    #[command(flatten)]
    pub(crate) serve: Serve,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    /// Tell what the language models of a running worker brought in the last days.
    Earnings(WorkerEarnings),
    /// Tell how a running worker is: how full, how fast, what it refused, what is owed, settled, disputed and at stake.
    Status(WorkerOrder),
    /// Have a running worker take nothing new: its asks leave the ledger, what runs ends, everything is settled and anchored. It stays so over a restart.
    Drain(WorkerDrain),
    /// Have a drained worker take requests again.
    Resume(WorkerOrder),
    /// Take the whole stake of a worker that is drained home: ask for it once, and again when its time is over.
    Withdraw(WorkerWithdraw),
    /// Measure an engine that runs, and tell what its model would bring here at the prices that others ask. Demand is not known to anybody.
    Estimate(WorkerEstimate),
    /// Tell what a worker's past is worth, and from which facts of the ledger: anybody gets the same number at the same block.
    Reputation(WorkerReputation),
}

/// An order to a running worker, signed with its key.
#[derive(Debug, Args)]
pub(crate) struct WorkerOrder {
    /// Key file of the worker: only its owner may say so.
    #[arg(long)]
    pub(crate) key: PathBuf,
    /// Where the worker listens.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8546")]
    pub(crate) worker: String,
}

#[derive(Debug, Args)]
pub(crate) struct WorkerDrain {
    #[command(flatten)]
    pub(crate) order: WorkerOrder,
    /// Return once the worker may be stopped without loss.
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WorkerWithdraw {
    /// Key file of the worker.
    #[arg(long)]
    pub(crate) key: PathBuf,
    #[command(flatten)]
    pub(crate) ledger: LedgerAddress,
}

#[derive(Debug, Args)]
pub(crate) struct WorkerReputation {
    /// The worker's address; any worker's.
    #[arg(value_name = "ADDRESS")]
    pub(crate) worker: String,
    /// As of which block; the newest when left out.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) block: Option<u64>,
    #[command(flatten)]
    pub(crate) ledger: LedgerAddress,
}

#[derive(Debug, Args)]
pub(crate) struct WorkerEstimate {
    /// The engine to measure, as for `tacit worker --engine`.
    #[arg(long, value_name = "URL")]
    pub(crate) engine: String,
    /// The engine's name for the model; the manifest's when left out.
    #[arg(long, value_name = "NAME")]
    pub(crate) engine_model: Option<String>,
    /// What the model is, as `tacit model language` writes it.
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: PathBuf,
    /// The model's tokenizer; tokenizer.json beside the manifest when left out.
    #[arg(long, value_name = "FILE")]
    pub(crate) tokenizer: Option<PathBuf>,
    /// Coins for a million tokens of prompts that you think of.
    #[arg(long, value_name = "COINS")]
    pub(crate) prompt_price: Option<String>,
    /// Coins for a million tokens of completions that you think of.
    #[arg(long, value_name = "COINS")]
    pub(crate) completion_price: Option<String>,
    /// Coins for a request that you think of.
    #[arg(long, value_name = "COINS")]
    pub(crate) request_price: Option<String>,
    /// Requests that the engine gets at once.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) capacity: u32,
    /// Tokens of the prompt of a request that is measured.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=32768))]
    pub(crate) prompt_tokens: u32,
    /// Most tokens of its completion.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(2..=32768))]
    pub(crate) completion_tokens: u32,
    /// What the machine costs you in an hour, in coins: power, rent.
    #[arg(long, value_name = "COINS")]
    pub(crate) cost_per_hour: Option<String>,
    #[command(flatten)]
    pub(crate) ledger: LedgerAddress,
}

#[derive(Debug, Args)]
pub(crate) struct WorkerEarnings {
    /// Where the worker listens.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8546")]
    pub(crate) worker: String,
    /// Sum up by what.
    #[arg(long, value_enum, default_value = "day")]
    pub(crate) by: EarningsBy,
}

/// What earnings are summed up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum EarningsBy {
    /// UTC days.
    Day,
    /// Models.
    Model,
}

/// Language models of engines that run already: one by its options, or any number by a file.
#[derive(Debug, Args)]
pub(crate) struct EngineModel {
    /// Serve the language models of this file: a `[[model]]` for each, with keys as the options below (docs/earn.md shows one).
    #[arg(id = "models_file", long = "models", value_name = "FILE.toml", conflicts_with = "engine")]
    pub(crate) models_file: Option<PathBuf>,
    /// Serve a language model of this engine (vLLM, llama.cpp, Ollama, …: any that speaks OpenAI's HTTP interface).
    #[arg(long, value_name = "URL", requires_all = ["manifest", "tokenizer"])]
    pub(crate) engine: Option<String>,
    /// The engine's name for the model; the manifest's when left out.
    #[arg(long, value_name = "NAME", requires = "engine")]
    pub(crate) engine_model: Option<String>,
    /// What the model is, as `tacit model language` writes it.
    #[arg(long, value_name = "FILE", requires = "engine")]
    pub(crate) manifest: Option<PathBuf>,
    /// The model's tokenizer, as `tacit model language` writes it.
    #[arg(long, value_name = "FILE", requires = "engine")]
    pub(crate) tokenizer: Option<PathBuf>,
    /// Coins for a million tokens of prompts.
    #[arg(long, value_name = "COINS", default_value = "0")]
    pub(crate) prompt_price: String,
    /// Coins for a million tokens of completions.
    #[arg(long, value_name = "COINS", default_value = "0")]
    pub(crate) completion_price: String,
    /// Coins for a request, whatever it takes.
    #[arg(long, value_name = "COINS", default_value = "0")]
    pub(crate) request_price: String,
    /// Requests to the engine at once.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) capacity: u32,
}

impl EngineModel {
    /// The arguments that say so.
    pub(crate) fn words(&self) -> Vec<OsString> {
        if let Some(file) = &self.models_file {
            return vec!["--models".into(), file.into()];
        }
        let Some(engine) = &self.engine else { return Vec::new() };
        let mut words: Vec<OsString> = vec!["--engine".into(), engine.into()];
        let mut add = |name: &str, value: Option<OsString>| {
            words.extend(value.into_iter().flat_map(|value| [name.into(), value]));
        };
        add("--engine-model", self.engine_model.as_ref().map(Into::into));
        add("--manifest", self.manifest.as_ref().map(Into::into));
        add("--tokenizer", self.tokenizer.as_ref().map(Into::into));
        add("--prompt-price", Some((&self.prompt_price).into()));
        add("--completion-price", Some((&self.completion_price).into()));
        add("--request-price", Some((&self.request_price).into()));
        add("--capacity", Some(self.capacity.to_string().into()));
        words
    }
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Model to serve and its price in coins, as FILE=PRICE; may be given several times.
    #[arg(long = "model", value_name = "FILE=PRICE", required_unless_present_any = ["engine", "models_file"])]
    pub(crate) models: Vec<String>,
    #[command(flatten)]
    pub(crate) engine: EngineModel,
    /// Key file of the worker; made when missing.
    #[arg(long, required = true)]
    pub(crate) key: Option<PathBuf>,
    /// Where jobs, vouchers and receipts are kept.
    #[arg(long, required = true)]
    pub(crate) data: Option<PathBuf>,
    /// Where the worker listens.
    #[arg(long, default_value = "127.0.0.1:8546")]
    pub(crate) listen: SocketAddr,
    /// Most jobs that are proved together.
    #[arg(long, default_value_t = tacit_worker::TOGETHER_MAX, value_parser = together)]
    pub(crate) together: usize,
    /// Compute look-ups under encryption with integers alone, four times as slow: an auditor gets the same bytes.
    #[arg(long)]
    pub(crate) reproducible: bool,
    /// Also offer answers that anyone may have audited: without a proof, and with the stake for each. Registers the tree of the weights of models that this account publishes. Whoever disputes an answer is shown values of its run.
    #[arg(long)]
    pub(crate) audited: bool,
    /// Also answer as a guest whose hardware vouches for it: TDX or SEV-SNP. Without such hardware the worker does not start.
    #[arg(long, requires = "collateral")]
    pub(crate) attested: bool,
    /// What vendors sign for everybody, kept current by you: intel.json, amd-vcek.der, *.swidtag (docs/attested.md).
    #[arg(long, value_name = "DIR", requires = "attested")]
    pub(crate) collateral: Option<PathBuf>,
    /// The file of weights that the manifest names: hashed at the start, so that hardware may vouch for the language model too. The engine has to be in the guest, at 127.0.0.1.
    #[arg(long, value_name = "FILE", requires_all = ["attested", "engine"])]
    pub(crate) weights: Option<PathBuf>,
    /// Command that shows this machine's GPUs: gets a nonce in hexadecimal, prints JSON (docs/attested.md).
    #[arg(long, value_name = "COMMAND", requires = "attested")]
    pub(crate) gpu_evidence: Option<PathBuf>,
    /// Most questions about a model that one client gets answered in a UTC day, in all modes together; no limit when left out.
    #[arg(long, value_name = "N")]
    pub(crate) quota: Option<NonZeroU64>,
    /// Most questions about a model that all clients get answered in a UTC day: what holds against a client with many accounts.
    #[arg(long, value_name = "N")]
    pub(crate) quota_total: Option<NonZeroU64>,
    /// Sell prepaid tokens, each good for so many coins, and take them for jobs: whoever pays with them is not known. The price stays as long as the key in DATA/tokens.key.
    #[arg(long, value_name = "COINS")]
    pub(crate) token_price: Option<tacit_wire::Amount>,
    /// Keep at least so many coins at stake; as much as the asks need when left out, and room for 256 of the dearest audited answers. All that clients pay for audited answers in
    /// eighty hours is at most three sixteenths of the stake.
    #[arg(long, value_name = "COINS", default_value = "0")]
    pub(crate) stake: tacit_wire::Amount,
    /// Address that clients are told to use; the listening address when left out.
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Also serve what the worker counts, for Prometheus, at this address (`GET /metrics`); nobody is told otherwise.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) ledger: LedgerAddress,
    #[command(flatten)]
    pub(crate) lifetime: Lifetime,
}
