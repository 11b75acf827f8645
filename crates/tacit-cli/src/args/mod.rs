//! The command line, from which help is generated.

mod attest;
mod bench;
mod gateway;
mod model;
mod node;
mod policy;
mod receipt;
mod subnet;
mod tokens;
mod wallet;
mod worker;

pub(crate) use attest::{Attest, BootFiles, MeasureImage, MeasureSnp, MeasureTdx, SnpProcessor};
pub(crate) use bench::{Bench, BenchDoor, BenchEncrypt, BenchGateway, BenchLedger, BenchModel, Load};
pub(crate) use gateway::{Gateway, GatewayCommand, GatewayKey, GatewayRun};
pub(crate) use model::{Import, LanguageKind, LanguageModel, Measure, Model, Prove, Run, Verify};
pub(crate) use node::{Ceremony, Export, Follow, FromCheckpoint, InitNetwork, NewValidator, Node};
pub(crate) use policy::{Policy, PolicySigned};
pub(crate) use receipt::{Audit, Receipt};
pub(crate) use subnet::{CreateSubnet, Rule, ScoreSubnet, Subnet, SubnetTransaction};
pub(crate) use tokens::{Relay, Tokens};
pub(crate) use wallet::{StakeChange, Wallet};
pub(crate) use worker::{
    EarningsBy, EngineModel, Serve, Worker, WorkerCommand, WorkerDrain, WorkerEarnings, WorkerEstimate,
    WorkerOrder, WorkerReputation, WorkerWithdraw,
};

use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use tacit_abi::{Evidence, Privacy};
use tacit_gateway::{CanaryRate, Ratio};

/// Ask AI about data nobody else can see, believe the answer, pay for what was done.
#[derive(Debug, Parser)]
#[command(name = "tacit", version, propagate_version = true)]
pub(crate) struct Cli {
    /// Print one JSON object instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Play the whole promise on this machine, in seconds.
    Demo(Demo),
    /// Run a lasting local network: ledger, worker and gateway.
    Up(Up),
    /// Ask a model a question through the gateway.
    Ask(Ask),
    /// Import, show, list and publish models.
    #[command(subcommand)]
    Model(Model),
    /// Run a model here, exactly, in the clear.
    Run(Run),
    /// Run a model here and prove the answers.
    Prove(Prove),
    /// Check a proof file, offline.
    Verify(Verify),
    /// List, show and verify receipts.
    #[command(subcommand)]
    Receipt(Receipt),
    /// Make, show and use a wallet.
    #[command(subcommand)]
    Wallet(Wallet),
    /// Show, propose and approve what evidence of hardware is accepted.
    #[command(subcommand)]
    Policy(Policy),
    /// Score workers on an open task, and be paid by what is agreed.
    #[command(subcommand)]
    Subnet(Subnet),
    /// Buy and list prepaid tokens, which pay for questions that nobody can join to a payment.
    #[command(subcommand)]
    Tokens(Tokens),
    /// Keep a ledger.
    #[command(subcommand)]
    Node(Node),
    /// Serve models and be paid for it.
    Worker(Box<Worker>),
    /// Open the local door through which questions are asked and paid.
    Gateway(Gateway),
    /// Pass on questions that are asked with tokens, without being able to read them.
    Relay(Relay),
    /// Compute what hardware reports of images.
    #[command(subcommand)]
    Attest(Attest),
    /// Measure this machine.
    #[command(subcommand)]
    Bench(Bench),
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Keep the ledger and the receipts in this folder instead of a temporary one.
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Where ledger, keys, channels and receipts are kept.
    #[arg(long, default_value = ".tacit")]
    pub(crate) data: PathBuf,
    /// Where the ledger's JSON-RPC listens.
    #[arg(long, default_value = "127.0.0.1:8545")]
    pub(crate) ledger_listen: SocketAddr,
    /// Where the worker listens.
    #[arg(long, default_value = "127.0.0.1:8546")]
    pub(crate) worker_listen: SocketAddr,
    /// Where the gateway listens.
    #[arg(long, default_value = DEFAULT_GATEWAY)]
    pub(crate) gateway_listen: SocketAddr,
    /// Where the relay listens.
    #[arg(long, default_value = "127.0.0.1:8548")]
    pub(crate) relay_listen: SocketAddr,
    #[command(flatten)]
    pub(crate) engine: EngineModel,
}

#[derive(Debug, Args)]
pub(crate) struct Ask {
    /// Name or id of a published model.
    pub(crate) model: String,
    /// The question: JSON `{"shape":[…],"data":[…]}`, `.npy`, or the model's columns by name: JSON `{"age":35,…}` or `.csv`.
    #[arg(long)]
    pub(crate) input: PathBuf,
    /// Which row of a table, counted from 1.
    #[arg(long, value_name = "N")]
    pub(crate) row: Option<NonZeroUsize>,
    /// Who can see the input: clear, sealed, enclave (a guest on attested hardware, as the gateway's --policy asks) or encrypted (nobody but you; linear models only).
    #[arg(long, default_value = "sealed")]
    pub(crate) privacy: Privacy,
    /// Why the answer is believed: signed; proved; audited, on the worker's stake, by whoever does the run again (a gateway with --audit-model does), or, for encrypted, by hidden questions; attested, for enclave. When left out: proved, signed for encrypted, attested for enclave.
    #[arg(long)]
    pub(crate) evidence: Option<Evidence>,
    /// Ask through the gateway's relay and pay with tokens, so that nobody can tell whose question it is: sealed or clear, signed or proved.
    #[arg(long)]
    pub(crate) unlinkable: bool,
    /// Most to pay for the answer, in coins.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) max_price: Option<String>,
    /// Name of the job, 0x and 64 hex digits: asking again with it is the same job, paid once. Random when left out.
    #[arg(long, value_name = "ID")]
    pub(crate) job_id: Option<String>,
    #[command(flatten)]
    pub(crate) gateway: GatewayAddress,
}

#[derive(Debug, Args)]
pub(crate) struct GatewayAddress {
    /// The gateway to ask.
    #[arg(
        id = "gateway-url",
        long = "gateway",
        value_name = "URL",
        env = "TACIT_GATEWAY",
        default_value = "http://127.0.0.1:8547"
    )]
    pub(crate) url: String,
}

#[derive(Debug, Args)]
pub(crate) struct LedgerAddress {
    /// JSON-RPC of the ledger.
    #[arg(
        id = "ledger-url",
        long = "ledger",
        value_name = "URL",
        env = "TACIT_LEDGER",
        default_value = "http://127.0.0.1:8545"
    )]
    pub(crate) url: String,
}

#[derive(Debug, Args)]
pub(crate) struct Lifetime {
    /// Stop when stdin closes, so that a child never outlives its parent.
    #[arg(long, hide = true)]
    pub(crate) with_parent: bool,
}

/// A rate of hidden questions.
fn canary_rate(text: &str) -> Result<CanaryRate, String> {
    text.parse().ok().and_then(CanaryRate::new).ok_or_else(|| "give a number from 0 to 1".to_owned())
}

/// How many answers are done again, in millionths.
fn audit_rate(text: &str) -> Result<Ratio, String> {
    const MILLION: u32 = 1_000_000;
    let rate = text.parse::<f64>().ok().filter(|rate| (0.0..=1.0).contains(rate));
    let rate = rate.and_then(|rate| Ratio::new((rate * f64::from(MILLION)).round() as u64, MILLION.into()));
    rate.ok_or_else(|| "give a number from 0 to 1".to_owned())
}

/// A number of rows that one proof can hold.
fn rows(text: &str) -> Result<usize, String> {
    let most = tacit_verify::plan::MAX_ROWS;
    text.parse().ok().filter(|rows| (1..=most).contains(rows)).ok_or_else(|| format!("give 1 to {most} rows"))
}

/// A number of clients that a worker has room for.
fn clients(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|clients| (1..=128).contains(clients))
        .ok_or_else(|| "give 1 to 128 clients".to_owned())
}

/// A number of jobs that one proof may answer.
fn together(text: &str) -> Result<usize, String> {
    let most = tacit_worker::TOGETHER_MAX;
    text.parse().ok().filter(|jobs| (1..=most).contains(jobs)).ok_or_else(|| format!("give 1 to {most} jobs"))
}

/// Proofs a commitment is made for when nobody says how many.
pub(crate) const OPENINGS_DEFAULT: u32 = 256;
const DEFAULT_GATEWAY: &str = "127.0.0.1:8547";

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
