//! Figures.

use super::{clients, rows, together};
use clap::{Args, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Prove and verify.
    Prove(BenchModel),
    /// Execute in the clear.
    Run(BenchModel),
    /// Ask one worker as many clients at once: what a question costs worker, clients and ledger.
    Gateway(BenchGateway),
    /// Ask a language model at the OpenAI interface: what everything but the engine takes.
    Door(BenchDoor),
    /// Ask and answer under encryption.
    Encrypt(BenchEncrypt),
    /// Send transactions: what they cost the ledger's nodes, and how soon they are final.
    Ledger(BenchLedger),
}

#[derive(Debug, Args)]
pub(crate) struct BenchLedger {
    /// Validators, all on this machine; 0 is development mode; may be given several times.
    #[arg(long, default_values = ["0", "1", "4"], value_parser = clap::value_parser!(u16).range(0..=16))]
    pub(crate) validators: Vec<u16>,
    /// What the transactions do; may be given several times.
    #[arg(long = "load", default_values = ["transfer", "erc20", "module"])]
    pub(crate) loads: Vec<Load>,
    /// Accounts that exist beforehand and are paid in turn, with validators only; none but the senders when 0.
    #[arg(long, default_value_t = 0)]
    pub(crate) state: u64,
    /// Transactions.
    #[arg(long, default_value_t = 10_000, value_parser = positive)]
    pub(crate) transactions: usize,
    /// Transactions offered in a second; as many as the nodes take when 0.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) rate: f64,
    /// Senders.
    #[arg(long, default_value_t = 50, value_parser = positive)]
    pub(crate) accounts: usize,
    /// Transactions in one request.
    #[arg(long, default_value_t = 100, value_parser = positive)]
    pub(crate) batch: usize,
    /// Requests on their way at a time, to the nodes in turn.
    #[arg(long, default_value_t = 4, value_parser = positive)]
    pub(crate) in_flight: usize,
}

/// What a transaction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Load {
    /// Send a coin.
    Transfer,
    /// Call a token's `transfer`: OpenZeppelin's contract, two slots and a log.
    Erc20,
    /// Anchor receipts: a native module writes a slot and a log.
    Module,
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a number above zero".to_owned()),
        Ok(number) => Ok(number),
    }
}

#[derive(Debug, Args)]
pub(crate) struct BenchGateway {
    /// As in `bench prove`; may be given several times.
    #[arg(long = "model", default_values = ["digits", "mlp:784,128,10"])]
    pub(crate) models: Vec<String>,
    /// Clients that ask at once; may be given several times.
    #[arg(long, default_values = ["1", "8", "64"], value_parser = clients)]
    pub(crate) clients: Vec<usize>,
    /// Most jobs that the worker proves together; may be given several times.
    #[arg(long, default_values = ["1", "64"], value_parser = together)]
    pub(crate) together: Vec<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct BenchDoor {
    /// Requests that begin in a second; may be given several times.
    #[arg(long = "rate", default_values = ["100", "1000", "3000"], value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rates: Vec<u32>,
    /// For how many seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) seconds: u32,
    /// Streams at once; may be given several times.
    #[arg(long, default_values = ["1000"], value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) streams: Vec<u32>,
    /// Where the engine listens, so that another door can be put before it.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) engine_listen: SocketAddr,
    /// Another door to the same engine, measured beside ours, such as http://127.0.0.1:4000/v1.
    #[arg(long, value_name = "URL")]
    pub(crate) beside: Option<String>,
    /// Its key.
    #[arg(long, value_name = "KEY", requires = "beside")]
    pub(crate) beside_key: Option<String>,
    /// A process that it consists of; may be given several times.
    #[arg(long = "beside-pid", value_name = "PID", requires = "beside")]
    pub(crate) beside_pids: Vec<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct BenchEncrypt {
    /// Linear models: mlp:64,10 (untrained) and the like, or a `.tacit` file; with the feature pbs also models with look-ups, such as
    /// mlp:64,32,10; may be given several times.
    #[arg(long = "model", default_values = ["mlp:30,1", "mlp:64,10", "mlp:784,10", "mlp:384,1000"])]
    pub(crate) models: Vec<String>,
    /// Runs of which the median is reported.
    #[arg(long, default_value_t = 11)]
    pub(crate) runs: usize,
    /// Ask every row of this file once instead, and say how many labels are right: JSON `{"rows":[[…]],"labels":["…"]}`.
    #[arg(long)]
    pub(crate) held_out: Option<PathBuf>,
    /// Bootstrap with integers alone: the same bits on every machine, and slower.
    #[cfg(feature = "pbs")]
    #[arg(long)]
    pub(crate) reproducible: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchModel {
    /// digits, breast-cancer, mlp:784,128,10, lenet-5, lenet-5-max, resnet-8, vgg-16, separable (untrained), or a `.tacit` file;
    /// may be given several times.
    #[arg(long = "model", default_values = ["digits", "breast-cancer", "mlp:784,128,10"])]
    pub(crate) models: Vec<String>,
    /// Rows proved together; may be given several times.
    #[arg(long = "batch", default_values = ["1", "64"], value_parser = rows)]
    pub(crate) batches: Vec<usize>,
    /// Runs of which the median is reported.
    #[arg(long, default_value_t = 11)]
    pub(crate) runs: usize,
    /// Prove in zero knowledge too.
    #[arg(long)]
    pub(crate) zk: bool,
    /// Report every layer of plain proofs: time to prove over time to run.
    #[arg(long)]
    pub(crate) per_layer: bool,
}
