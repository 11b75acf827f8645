//! Receipts and audits.

use super::{GatewayAddress, LedgerAddress};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Receipt {
    /// List the gateway's receipts, of answers and of streams.
    List {
        #[command(flatten)]
        gateway: GatewayAddress,
    },
    /// Show one receipt, or save it with its evidence.
    Show {
        /// Receipt or job id.
        id: String,
        /// Write everything needed to verify it to this file; of a stream, the model's tokenizer as well, to FILE.tokenizer.
        #[arg(short, long)]
        output: Option<PathBuf>,
        /// Write only what an auditor of an encrypted job may see: receipt and ciphertexts, neither the question nor what decrypts it.
        #[arg(long, requires = "output")]
        for_audit: bool,
        /// Also write the secret keys that the question was asked under, where there are some: whoever has the file then checks what the messages hold,
        /// and can read every other question under these keys.
        #[arg(long, requires = "output", conflicts_with = "for_audit")]
        with_keys: bool,
        #[command(flatten)]
        gateway: GatewayAddress,
    },
    /// Check a saved receipt: offline, or against a ledger with --ledger. Or evidence of a false answer. Or, with --light, the proof of a
    /// transaction's receipt, offline, and whether the transaction anchored the saved receipt.
    Verify {
        /// File written by `tacit receipt show -o` or `tacit receipt evidence -o`.
        #[arg(required_unless_present = "light")]
        file: Option<PathBuf>,
        /// Count the tokens of a stream again, with the tokenizer of its model; FILE.tokenizer when left out, if it is there.
        #[arg(long, value_name = "FILE", requires = "file")]
        tokenizer: Option<PathBuf>,
        /// Also check that the receipt's batch is anchored on this ledger.
        #[arg(long, value_name = "URL", conflicts_with = "light")]
        ledger: Option<String>,
        /// Check this proof, written by `tacit receipt prove`: bytes or hex digits of `tacit_getReceiptProof`.
        #[arg(long, value_name = "PROOF", requires = "network")]
        light: Option<PathBuf>,
        /// What is known of the network beforehand: its `network.toml`, from whoever made the network.
        #[arg(long, value_name = "FILE", requires = "light")]
        network: Option<PathBuf>,
    },
    /// Save what proves a transaction's receipt to whoever has the network's file and no node.
    Prove {
        /// The transaction's hash.
        transaction: String,
        #[command(flatten)]
        ledger: LedgerAddress,
        /// Where the proof goes.
        #[arg(short, long)]
        output: PathBuf,
    },
    /// List false answers to hidden questions, or save what convicts the worker that gave one.
    Evidence {
        /// The hidden question's job; all of them are listed when it is left out.
        #[arg(requires = "output")]
        id: Option<String>,
        /// Write what convicts the worker to this file.
        #[arg(short, long, requires = "id")]
        output: Option<PathBuf>,
        #[command(flatten)]
        gateway: GatewayAddress,
    },
    /// Do the encrypted job of a saved receipt again and compare the answers: for the model's owner, or whoever is given the seed.
    Audit(Audit),
}

#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// File written by `tacit receipt show --for-audit -o`, or by `tacit receipt show -o`.
    pub(crate) file: PathBuf,
    /// The `.tacit` file of the model that answered.
    #[arg(long)]
    pub(crate) model: PathBuf,
    /// Data folder of the worker that answered: its `audit.key` gives the seed.
    #[arg(long, value_name = "DIR", required_unless_present = "seed", conflicts_with = "seed")]
    pub(crate) data: Option<PathBuf>,
    /// The seed of the answer, from whoever has the worker's key.
    #[arg(long, value_name = "HEX")]
    pub(crate) seed: Option<String>,
    /// Evaluation keys of the client, for a model with look-ups: FILE.keys, as `tacit receipt show --for-audit` writes them, or those that the worker
    /// has kept, when left out.
    #[arg(long, value_name = "KEYS")]
    pub(crate) keys: Option<PathBuf>,
    /// Also print the seed, so that another auditor can do the job again without the key. Not for the client: it undoes what hides the weights.
    #[arg(long, requires = "data")]
    pub(crate) give_seed: bool,
}
