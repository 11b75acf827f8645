//! The local door.

use super::{DEFAULT_GATEWAY, LedgerAddress, Lifetime, audit_rate, canary_rate};
use alloy_primitives::B256;
use clap::{Args, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use tacit_gateway::{CanaryRate, Ratio};
use tacit_wire::Amount;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Gateway {
    #[command(subcommand)]
    pub(crate) command: Option<GatewayCommand>,
    #[command(flatten)]
    pub(crate) run: GatewayRun,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GatewayCommand {
    /// Keys of programs that may ask at the OpenAI interface. While none was ever made, any program of this machine may.
    #[command(subcommand)]
    Key(GatewayKey),
}

#[derive(Debug, Subcommand)]
pub(crate) enum GatewayKey {
    /// Make a key, and print it: it is not kept, only its hash.
    New {
        /// Whose it is.
        name: String,
        /// Most that one request may cost, in coins; otherwise the gateway's own cap.
        #[arg(long, value_name = "COINS")]
        per_request: Option<Amount>,
        /// Most that its requests of a day (UTC) may cost, in coins; otherwise the gateway's own cap for a key.
        #[arg(long, value_name = "COINS")]
        per_day: Option<Amount>,
        #[command(flatten)]
        data: GatewayData,
    },
    /// List keys and their caps.
    List {
        #[command(flatten)]
        data: GatewayData,
    },
    /// Take a key back; a gateway that runs knows it at once.
    Revoke {
        /// Which.
        name: String,
        #[command(flatten)]
        data: GatewayData,
    },
}

#[derive(Debug, Args)]
pub(crate) struct GatewayData {
    /// The gateway's folder.
    #[arg(long)]
    pub(crate) data: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct GatewayRun {
    /// Key file of the client; made when missing.
    #[arg(long, required = true)]
    pub(crate) key: Option<PathBuf>,
    /// Where channels and receipts are kept.
    #[arg(long, required = true)]
    pub(crate) data: Option<PathBuf>,
    /// Where the gateway listens.
    #[arg(long, default_value = DEFAULT_GATEWAY)]
    pub(crate) listen: SocketAddr,
    /// Hidden questions for each audited one, 0 to 1; a worker's first is always preceded by one.
    #[arg(long, value_name = "RATE", default_value = "0.25", value_parser = canary_rate)]
    pub(crate) canary_rate: CanaryRate,
    /// Rows proved by others to choose among for hidden questions; more of them cost proofs, and repeat less.
    #[arg(long, value_name = "N", default_value_t = tacit_gateway::canary::ROWS_DEFAULT)]
    pub(crate) canary_rows: usize,
    /// Model file with whose weights audited answers are done again that were not encrypted; may be given several times. A false answer is disputed on the ledger, which shows everyone what its false value is made of, perhaps some of the input.
    #[arg(long, value_name = "FILE")]
    pub(crate) audit_model: Vec<PathBuf>,
    /// Asks no second worker the same where a model file is missing that an answer could be done again with: nobody but the one that answers is shown the question, and such answers are not audited.
    #[arg(long)]
    pub(crate) audit_alone: bool,
    /// Has the ledger count passed audits of answers that its beacon selects, which ends a worker's time as a newcomer and counts in its reputation: a second worker is asked the same, and signs. Everybody then reads the receipt: who asked which model, when, and for how much.
    #[arg(long, conflicts_with = "audit_alone")]
    pub(crate) audit_shown: bool,
    /// How many of those answers are done again, here or by a second worker, 0 to 1, whatever the worker's stake; what its stake and the price ask for when left out.
    #[arg(long, value_name = "RATE", value_parser = audit_rate)]
    pub(crate) audit_rate: Option<Ratio>,
    /// How many answers of language models are compared with what another worker of the model says, 0 to 1; 0 when left out: half of them by asking it the same, which it cannot tell from other questions, half by having it compute places of the answer again. Such requests ask for log-probabilities, and the other worker reads question and answer.
    #[arg(long, value_name = "RATE", value_parser = audit_rate)]
    pub(crate) audit_language: Option<Ratio>,
    /// What evidence of hardware is judged by, for questions with --privacy enclave: a line of policies that is followed, or a policy, by its id.
    #[arg(long, value_name = "LINE|ID")]
    pub(crate) policy: Option<B256>,
    /// Relay that unlinkable questions go through, such as http://relay.example:8548. Choose one that is not the worker's.
    #[arg(long, value_name = "URL")]
    pub(crate) relay: Option<String>,
    /// How long a worker's token key must have been on the ledger before tokens are bought under it, in seconds: less leaves fewer buyers to hide among.
    #[arg(long, value_name = "SECONDS", default_value_t = tacit_gateway::TOKEN_KEY_AGE.as_secs())]
    pub(crate) token_key_age: u64,
    /// Most that one answer may cost where neither the question nor a key says, in coins.
    #[arg(long, value_name = "COINS", default_value = "0.01")]
    pub(crate) per_request: Amount,
    /// Most for the answers of a day (UTC) to one key of the OpenAI interface that does not say, in coins.
    #[arg(long, value_name = "COINS", default_value = "1")]
    pub(crate) per_key_day: Amount,
    /// Most for all answers of a day (UTC) at the OpenAI interface, in coins.
    #[arg(long, value_name = "COINS", default_value = "1")]
    pub(crate) per_day: Amount,
    /// Deposit of a new channel to a worker, and least that is added to one, in coins.
    #[arg(long, value_name = "COINS", default_value = "0.1")]
    pub(crate) deposit: Amount,
    /// MiB of requests to language models and their answers that are kept with their receipts, so that those can be shown to others; the oldest go first. 0 keeps none.
    #[arg(long, value_name = "MIB", default_value_t = tacit_gateway::KEPT_BYTES_DEFAULT >> 20, value_parser = clap::value_parser!(u64).range(..=1 << 20))]
    pub(crate) keep_answers: u64,
    #[command(flatten)]
    pub(crate) ledger: LedgerAddress,
    #[command(flatten)]
    pub(crate) lifetime: Lifetime,
}
