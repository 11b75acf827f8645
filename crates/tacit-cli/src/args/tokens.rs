//! Prepaid tokens, and the relay that questions paid with them go through.

use super::{GatewayAddress, LedgerAddress, Lifetime};
use clap::{Args, Subcommand};
use std::net::SocketAddr;
use std::num::NonZeroU32;

#[derive(Debug, Subcommand)]
pub(crate) enum Tokens {
    /// Buy tokens of a worker that serves a model, ahead of the questions that they pay for: the longer ahead, the less the time tells.
    Buy {
        /// Name or id of a published model.
        model: String,
        /// How many.
        #[arg(long, default_value = "16")]
        count: NonZeroU32,
        /// Of this worker only.
        #[arg(long, value_name = "ADDRESS")]
        worker: Option<String>,
        /// Most to pay for all of them, in coins.
        #[arg(long, allow_hyphen_values = true)]
        max_price: Option<String>,
        #[command(flatten)]
        gateway: GatewayAddress,
    },
    /// List tokens that were bought and not used.
    List {
        #[command(flatten)]
        gateway: GatewayAddress,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Relay {
    /// Where the relay listens.
    #[arg(long, default_value = "127.0.0.1:8548")]
    pub(crate) listen: SocketAddr,
    /// Goes to workers on this machine and on private networks too.
    #[arg(long)]
    pub(crate) private_networks: bool,
    /// Requests that one address may have at once; after them two in a second.
    #[arg(long, value_name = "N", default_value = "30")]
    pub(crate) burst: NonZeroU32,
    #[command(flatten)]
    pub(crate) ledger: LedgerAddress,
    #[command(flatten)]
    pub(crate) lifetime: Lifetime,
}
