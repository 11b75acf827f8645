//! Subnets: open tasks on which validators score workers.

use super::{GatewayAddress, LedgerAddress};
use clap::{Args, Subcommand, ValueEnum};
use std::num::NonZeroUsize;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Subnet {
    /// Begin a subnet whose task is to answer held-out rows. Nobody owns it, and its terms stay.
    Create(CreateSubnet),
    /// List subnets.
    List {
        #[command(flatten)]
        ledger: LedgerAddress,
    },
    /// Show a subnet: its workers with ranks, trust, incentives and rewards, its validators with stakes, trust, dividends and rewards.
    Show {
        /// Number of the subnet.
        id: u64,
        #[command(flatten)]
        ledger: LedgerAddress,
    },
    /// Give coins to a subnet's pool, for good.
    Deposit {
        #[command(flatten)]
        transaction: SubnetTransaction,
        /// Coins.
        amount: String,
    },
    /// Take a seat as a worker, for the subnet's fee.
    Register(SubnetTransaction),
    /// Give a worker's seat up.
    Resign(SubnetTransaction),
    /// Put coins at stake as a validator, whose weights count by them.
    Bond {
        #[command(flatten)]
        transaction: SubnetTransaction,
        /// Coins.
        amount: String,
    },
    /// Begin to take stake home.
    Unbond {
        #[command(flatten)]
        transaction: SubnetTransaction,
        /// Coins.
        amount: String,
    },
    /// Take stake home that was unbonded, once the epoch after has ended.
    Withdraw(SubnetTransaction),
    /// Ask the workers held-out rows through your gateway, score their answers, and commit to the scores.
    Score(ScoreSubnet),
    /// Reveal the scores that were committed to in the last epoch.
    Reveal {
        #[command(flatten)]
        transaction: SubnetTransaction,
        /// Where scores are kept.
        #[arg(long, value_name = "DIR", default_value = DEFAULT_SCORES)]
        scores: PathBuf,
    },
    /// Have an epoch paid whose scores are revealed; anybody may.
    Close {
        #[command(flatten)]
        transaction: SubnetTransaction,
    },
    /// Take home what was earned in all subnets.
    Claim {
        /// Key file.
        #[arg(long)]
        key: PathBuf,
        #[command(flatten)]
        ledger: LedgerAddress,
    },
}

/// Who does something in which subnet.
#[derive(Debug, Args)]
pub(crate) struct SubnetTransaction {
    /// Number of the subnet.
    pub(crate) id: u64,
    /// Key file.
    #[arg(long)]
    pub(crate) key: PathBuf,
    #[command(flatten)]
    pub(crate) ledger: LedgerAddress,
}

#[derive(Debug, Args)]
pub(crate) struct CreateSubnet {
    /// What is asked for: models of this name, or whose name begins with it and a hyphen.
    #[arg(long)]
    pub(crate) kind: String,
    /// Rows and labels that are asked: JSON `{"rows":[…],"labels":[…]}`. Validators need the same file.
    #[arg(long, value_name = "FILE")]
    pub(crate) held_out: PathBuf,
    /// Key file.
    #[arg(long)]
    pub(crate) key: PathBuf,
    /// Length of an epoch in seconds.
    #[arg(long, value_name = "N", default_value_t = 3600)]
    pub(crate) epoch_s: u32,
    /// Time to reveal after an epoch, in seconds; a quarter of an epoch when left out.
    #[arg(long, value_name = "N")]
    pub(crate) reveal_s: Option<u32>,
    /// How bonds follow weights.
    #[arg(long, value_enum, default_value = "classic")]
    pub(crate) rule: Rule,
    /// What an epoch pays of the pool, in millionths.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) payout_millionths: u32,
    /// Share of all stake that must reveal for an epoch to pay, in percent.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(0..=100))]
    pub(crate) quorum_percent: u16,
    /// Most workers.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) workers: u16,
    /// Most validators.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub(crate) validators: u16,
    /// Coins that a worker pays for its seat.
    #[arg(long, value_name = "COINS", default_value = "0.01")]
    pub(crate) fee: String,
    /// Least stake of a validator, in coins.
    #[arg(long, value_name = "COINS", default_value = "1")]
    pub(crate) stake_min: String,
    #[command(flatten)]
    pub(crate) ledger: LedgerAddress,
}

/// How bonds follow weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rule {
    /// The first Yuma: a tenth of the way each epoch, clipped weights only.
    Classic,
    /// Yuma 3: each pair by itself, a fortieth of the way.
    Yuma3,
    /// Yuma 3 with liquid alpha: between a tenth and three tenths.
    Liquid,
}

#[derive(Debug, Args)]
pub(crate) struct ScoreSubnet {
    #[command(flatten)]
    pub(crate) transaction: SubnetTransaction,
    /// The rows of the task.
    #[arg(long, value_name = "FILE")]
    pub(crate) held_out: PathBuf,
    /// Rows that each worker is asked, drawn anew each time.
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) rows: NonZeroUsize,
    /// Most to pay for an answer, in coins.
    #[arg(long, value_name = "COINS", default_value = "0.001")]
    pub(crate) max_price: String,
    /// Where scores are kept until they are revealed.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_SCORES)]
    pub(crate) scores: PathBuf,
    #[command(flatten)]
    pub(crate) gateway: GatewayAddress,
}

/// Where scores are kept.
const DEFAULT_SCORES: &str = ".tacit/subnets";
