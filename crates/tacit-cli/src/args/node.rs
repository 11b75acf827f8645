//! The ledger's roles.

use super::{LedgerAddress, Lifetime};
use clap::{Args, Subcommand};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Node {
    /// A development ledger: one process, a block for each transaction, funded test accounts.
    Dev {
        /// Where the chain is kept; in memory when left out.
        #[arg(long)]
        data: Option<PathBuf>,
        /// Where JSON-RPC listens.
        #[arg(long, default_value = "127.0.0.1:8545")]
        listen: SocketAddr,
        /// More accounts to fund at genesis.
        #[arg(long = "fund", value_name = "ADDRESS")]
        fund: Vec<String>,
        #[command(flatten)]
        lifetime: Lifetime,
    },
    /// Write keys, genesis and configuration of a network of validators.
    InitNetwork(InitNetwork),
    /// One validator of a network: consensus, JSON-RPC, WebSocket, /health and /metrics.
    Run {
        /// The validator's file, as `init-network` wrote it.
        config: PathBuf,
        #[command(flatten)]
        begin: FromCheckpoint,
        #[command(flatten)]
        lifetime: Lifetime,
    },
    /// Follow a network without a vote: all of its blocks and state, checked, served like a validator's, and transactions passed on.
    Follow(Follow),
    /// Make the key of a network's first validators together with them: each holds a share, and nobody the whole. Run by every founder, on the
    /// plan that `init-network --member` wrote; when it is over, each has the network's file.
    Ceremony(Ceremony),
    /// Send evidence that a validator kept: two votes of one key that contradict each other cost its stake.
    Report {
        /// A file of a validator's `evidence` folder.
        file: PathBuf,
        /// Key file of the account that pays, and gets the reward.
        #[arg(long)]
        from: PathBuf,
        #[command(flatten)]
        ledger: LedgerAddress,
    },
    /// Make what a validator needs, on the machine where it will stay: a key, and a file to run it from. With --network it can join a running
    /// network; without, it can be a founder of a new one.
    NewValidator(NewValidator),
    /// Bond coins to a validator's key. It is in the set of validators from the fourth epoch after this one.
    Join {
        /// The validator's key file.
        #[arg(long)]
        key: PathBuf,
        /// Key file of the account whose coins they are, and to whom they come back.
        #[arg(long)]
        owner: PathBuf,
        /// Coins to bond.
        #[arg(long)]
        stake: String,
        #[command(flatten)]
        ledger: LedgerAddress,
    },
    /// End a validator. It is in the set until the fourth epoch after this one, and has to run as long.
    Leave {
        /// Key file of the account that owns it.
        #[arg(long)]
        owner: PathBuf,
        #[command(flatten)]
        ledger: LedgerAddress,
    },
    /// Take back the coins of a validator that has left, once nothing can be reported of it any more.
    Withdraw {
        /// Key file of the account that owns it.
        #[arg(long)]
        owner: PathBuf,
        #[command(flatten)]
        ledger: LedgerAddress,
    },
    /// Show who has stake: the sets of validators of this epoch and those to come.
    Validators {
        #[command(flatten)]
        ledger: LedgerAddress,
    },
    /// Write the state of a chain at its head as a genesis that another chain can begin with.
    Export(Export),
}

#[derive(Debug, Args)]
pub(crate) struct Follow {
    /// JSON-RPC of a node of the network, a validator or a follower; several are asked in turn, and none is believed.
    #[arg(value_name = "URL", required = true)]
    pub(crate) sources: Vec<String>,
    /// What is known of the network beforehand: its `network.toml`, with the genesis beside it, from whoever made the network.
    #[arg(long, value_name = "FILE")]
    pub(crate) network: PathBuf,
    /// Where the chain is kept.
    #[arg(long, default_value = "follower")]
    pub(crate) data: PathBuf,
    /// Where JSON-RPC listens.
    #[arg(long, default_value = "127.0.0.1:8545")]
    pub(crate) rpc: SocketAddr,
    /// Begin with the state at the newest checkpoint that the validators certified, instead of executing every block: an empty folder only.
    /// Earlier blocks will not be here.
    #[arg(long)]
    pub(crate) from_checkpoint: bool,
    /// Most GiB that a checkpoint may have.
    #[arg(long, value_name = "GIB", default_value_t = 64, requires = "from_checkpoint")]
    pub(crate) checkpoint_gib_max: u32,
    /// Snapshots of the state that are served to others at a time; none when 0.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) snapshots: usize,
    #[command(flatten)]
    pub(crate) lifetime: Lifetime,
}

#[derive(Debug, Args)]
pub(crate) struct FromCheckpoint {
    /// With an empty folder: begin with the state at the newest checkpoint that the validators certified, instead of executing every block.
    /// JSON-RPC of a validator of the network; several may be given, and none is believed. A folder that is not empty is gone on with.
    #[arg(long, value_name = "URL")]
    pub(crate) from_checkpoint: Vec<String>,
    /// Most GiB that a checkpoint may have.
    #[arg(long, value_name = "GIB", default_value_t = 64, requires = "from_checkpoint")]
    pub(crate) checkpoint_gib_max: u32,
}

#[derive(Debug, Args)]
pub(crate) struct NewValidator {
    /// The file of a network that runs; none when this is for a founder.
    #[arg(long, value_name = "FILE")]
    pub(crate) network: Option<PathBuf>,
    /// A new folder for key, file and data.
    #[arg(long, short)]
    pub(crate) output: PathBuf,
    /// Where other validators connect.
    #[arg(long, default_value = "0.0.0.0:30301")]
    pub(crate) listen: SocketAddr,
    /// Where they reach it; `listen` when left out.
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) address: Option<SocketAddr>,
    /// Where JSON-RPC listens.
    #[arg(long, default_value = "127.0.0.1:8545")]
    pub(crate) rpc: SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct Ceremony {
    /// The founder's file, as `new-validator` wrote it; the plan lies beside it, or where its `network` will.
    pub(crate) config: PathBuf,
    /// Seconds to wait for founders who are not there before it goes on without them, if more than two thirds are.
    #[arg(long = "wait", value_name = "SECONDS", default_value_t = 600)]
    pub(crate) wait_s: u64,
    #[command(flatten)]
    pub(crate) lifetime: Lifetime,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct InitNetwork {
    /// How many validators; one of them less than a third may fail, so 4 bear one.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) validators: u16,
    /// A new folder for all of it.
    #[arg(long, default_value = "network")]
    pub(crate) output: PathBuf,
    /// Address of a validator's machine, one for each; all on this machine when left out.
    #[arg(long = "host", value_name = "IP")]
    pub(crate) hosts: Vec<IpAddr>,
    /// A founder that made its own key, as KEY:OWNER@IP:PORT, which `new-validator` told it; one for each instead of --validators and
    /// --host. What is written is the plan of a network, for the founders' ceremony.
    #[arg(long = "member", value_name = "FOUNDER", conflicts_with_all = ["validators", "hosts", "port", "rpc_port"])]
    pub(crate) members: Vec<String>,
    /// Where validators connect to each other; counts up on one machine.
    #[arg(long, default_value_t = 30_301)]
    pub(crate) port: u16,
    /// Where JSON-RPC listens; counts up on one machine.
    #[arg(long, default_value_t = 8545)]
    pub(crate) rpc_port: u16,
    /// Blocks from one checkpoint of the state to the next.
    #[arg(long, value_name = "BLOCKS")]
    pub(crate) checkpoint_blocks: Option<NonZeroU64>,
    /// Chain id of a new network.
    #[arg(long, default_value_t = 82_249, conflicts_with = "from")]
    pub(crate) chain_id: u64,
    /// Account that has coins from the start; may be given several times.
    #[arg(long = "fund", value_name = "ADDRESS", conflicts_with = "from")]
    pub(crate) fund: Vec<String>,
    /// Give coins to the accounts of the public test mnemonic, whose keys everybody knows.
    #[arg(long, conflicts_with = "from")]
    pub(crate) dev_accounts: bool,
    /// Go on from a chain: its data folder, or a file that `export` wrote.
    #[arg(long, value_name = "PATH")]
    pub(crate) from: Option<PathBuf>,
    /// Account of the chain to go on from whose coins become the validators' stakes, 100 for each; with --member each owner's do.
    #[arg(long, value_name = "ADDRESS", requires = "from", conflicts_with = "members")]
    pub(crate) stake_from: Option<String>,
    /// Blocks of an epoch, after which the set of validators may be another. Each seat takes four, so that a short epoch has few.
    #[arg(long, value_name = "BLOCKS")]
    pub(crate) epoch_blocks: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The chain's data folder; nothing else may have it open.
    #[arg(long)]
    pub(crate) data: PathBuf,
    /// A new file.
    #[arg(long, short)]
    pub(crate) output: PathBuf,
}
