//! Keys, coins and stakes.

use super::{GatewayAddress, LedgerAddress};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Wallet {
    /// Make a new key file.
    New {
        /// Where to write it.
        key: PathBuf,
    },
    /// Show address and balance.
    Show {
        /// Key file.
        key: PathBuf,
        #[command(flatten)]
        ledger: LedgerAddress,
    },
    /// Show the stake behind a worker's asks, add to it, or take it home.
    Stake {
        /// Key file of the worker.
        key: PathBuf,
        #[command(flatten)]
        change: StakeChange,
        #[command(flatten)]
        ledger: LedgerAddress,
    },
    /// Close the gateway's channels, so that deposits come home once the grace period is over.
    Reclaim {
        #[command(flatten)]
        gateway: GatewayAddress,
    },
    /// Send coins.
    Send {
        /// Key file of the sender.
        key: PathBuf,
        /// Receiver.
        to: String,
        /// Amount in coins, such as 0.25.
        #[arg(allow_hyphen_values = true)]
        amount: String,
        #[command(flatten)]
        ledger: LedgerAddress,
    },
}

#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct StakeChange {
    /// Coins to bond.
    #[arg(long, value_name = "COINS")]
    pub(crate) add: Option<String>,
    /// Coins to begin to take home: asks that they backed can be removed by anyone.
    #[arg(long, value_name = "COINS")]
    pub(crate) unbond: Option<String>,
    /// Take home what was unbonded four days ago or more.
    #[arg(long)]
    pub(crate) withdraw: bool,
}
