//! Lines of attestation policies.

use super::LedgerAddress;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Write a policy from JSON in its one encoding, and print its id.
    Make {
        /// JSON, as `tacit policy show --json` prints under "policy".
        file: PathBuf,
        /// Where the policy goes.
        #[arg(short, long)]
        output: PathBuf,
    },
    /// Show a line with what is proposed for it, or a policy by its id, or a file of one.
    Show {
        /// A line or a policy, 0x and 64 hex digits; or a file.
        name: String,
        #[command(flatten)]
        ledger: LedgerAddress,
    },
    /// Open a line with its first policy; nobody owns it.
    Open {
        /// File of the policy.
        file: PathBuf,
        /// Days that what validators accepted waits, 3 to 90.
        #[arg(long, value_name = "DAYS", default_value_t = 3)]
        delay: u64,
        /// Share of stake that has to approve, in ten-thousandths.
        #[arg(long, value_name = "PARTS", default_value_t = tacit_abi::policies::QUORUM_MIN)]
        quorum: u16,
        #[command(flatten)]
        signed: PolicySigned,
    },
    /// Propose a line's next policy, with a bond of a coin that burns if too few validators approve within two weeks.
    Propose {
        /// The line.
        line: String,
        /// File of the policy.
        file: PathBuf,
        #[command(flatten)]
        signed: PolicySigned,
    },
    /// Approve a proposal, as the owner of a validator.
    Approve {
        /// The proposal.
        proposal: String,
        #[command(flatten)]
        signed: PolicySigned,
    },
    /// Want taken back what was accepted and is not in force yet, as the owner of a validator.
    TakeBack {
        /// The proposal.
        proposal: String,
        #[command(flatten)]
        signed: PolicySigned,
    },
    /// Put into force what has waited, or close what cannot come into force any more.
    Settle {
        /// The proposal.
        proposal: String,
        #[command(flatten)]
        signed: PolicySigned,
    },
}

#[derive(Debug, Args)]
pub(crate) struct PolicySigned {
    /// Key file of whoever sends it.
    #[arg(long)]
    pub(crate) key: PathBuf,
    #[command(flatten)]
    pub(crate) ledger: LedgerAddress,
}
