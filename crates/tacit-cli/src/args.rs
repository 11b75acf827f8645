//! The command line, from which help is generated.

use clap::{Args, Parser, Subcommand};
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use tacit_abi::{Evidence, Privacy};
use tacit_gateway::CanaryRate;
use tacit_wire::Amount;

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
    /// Keep a ledger.
    #[command(subcommand)]
    Node(Node),
    /// Serve models and be paid for it.
    Worker(Worker),
    /// Open the local door through which questions are asked and paid.
    Gateway(Gateway),
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
    /// Who can see the input: clear, sealed or encrypted (nobody but you; linear models only).
    #[arg(long, default_value = "sealed")]
    pub(crate) privacy: Privacy,
    /// Why the answer is believed: signed, proved, or, for encrypted, audited by hidden questions. When left out: proved, or signed for encrypted.
    #[arg(long)]
    pub(crate) evidence: Option<Evidence>,
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
        long = "gateway",
        value_name = "URL",
        env = "TACIT_GATEWAY",
        default_value = "http://127.0.0.1:8547"
    )]
    pub(crate) url: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Model {
    /// Turn an ONNX network into an exact integer graph with committed weights.
    Import(Import),
    /// Commit to a model's weights anew, with fresh randomness: another id, and all its proofs still to be made.
    Rerandomise {
        /// A `.tacit` file; it is replaced.
        file: PathBuf,
        /// Proofs to make room for; as many as before when not given.
        #[arg(long)]
        openings: Option<u32>,
    },
    /// Ask held-out rows under encryption, and keep in the file how often labels are the model's: a worker publishes that where they are not always.
    Measure(Measure),
    /// Describe a language model, for workers to serve from an engine: writes manifest and tokenizer.
    Language(LanguageModel),
    /// Describe a `.tacit` file.
    Show {
        /// A `.tacit` file.
        file: PathBuf,
    },
    /// List the models published on a ledger.
    List {
        #[command(flatten)]
        ledger: LedgerAddress,
    },
    /// Publish a `.tacit` file on a ledger under a name.
    Publish {
        /// A `.tacit` file.
        file: PathBuf,
        /// Name to publish under: 1 to 32 of a-z 0-9 - . _
        #[arg(long)]
        name: String,
        /// Key file of the owner.
        #[arg(long)]
        key: PathBuf,
        #[command(flatten)]
        ledger: LedgerAddress,
    },
}

#[derive(Debug, Args)]
pub(crate) struct LanguageModel {
    /// File of the weights, whose hash names the model. A GGUF file says most of the rest.
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: PathBuf,
    /// Name to publish under: 1 to 32 of a-z 0-9 - . _
    #[arg(long)]
    pub(crate) name: String,
    /// What the model is for.
    #[arg(long, value_enum, default_value = "language")]
    pub(crate) kind: LanguageKind,
    /// The model's `tokenizer.json`; made from a GGUF file with a byte-level BPE vocabulary when left out.
    #[arg(long, value_name = "FILE")]
    pub(crate) tokenizer: Option<PathBuf>,
    /// Licence of the weights, such as Apache-2.0.
    #[arg(long)]
    pub(crate) licence: Option<String>,
    /// How the weights are rounded, such as Q4_1 or bf16.
    #[arg(long)]
    pub(crate) quantisation: Option<String>,
    /// Format of the weights' file.
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Tokens that prompt and completion may have together.
    #[arg(long, value_name = "N")]
    pub(crate) context_tokens: Option<u32>,
    /// Tokens that each message of a chat counts for besides its text.
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) message_tokens: u32,
    /// Folder for manifest.json and tokenizer.json.
    #[arg(long, short)]
    pub(crate) output: PathBuf,
}

/// What a language model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LanguageKind {
    /// Continues text.
    Language,
    /// Turns text into vectors.
    Embedding,
}

#[derive(Debug, Args)]
pub(crate) struct Measure {
    /// A `.tacit` file; its report is replaced, its id stays.
    pub(crate) file: PathBuf,
    /// Rows that the model was not trained on: JSON `{"rows":[[…]],"labels":["…"]}`, or rows alone and labels with --labels.
    #[arg(long)]
    pub(crate) held_out: PathBuf,
    /// Right answers for rows that were given alone, `[n]` numbers.
    #[arg(long)]
    pub(crate) labels: Option<PathBuf>,
    /// Bootstrap with integers alone, as `tacit worker --reproducible` does.
    #[cfg(feature = "pbs")]
    #[arg(long)]
    pub(crate) reproducible: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The network: float, QDQ or QLinear ONNX, or an ensemble of decision trees.
    pub(crate) onnx: PathBuf,
    /// Real inputs to choose scales from, `[n, features]`; decision trees need none.
    #[arg(long)]
    pub(crate) calibration: Option<PathBuf>,
    /// Rows held out from training, for the accuracy report: JSON `{"rows":[[…]],"labels":["…"]}`, or rows alone.
    #[arg(long)]
    pub(crate) held_out: Option<PathBuf>,
    /// Names of the classes in the order of the outputs, for a network that only gives scores: a,b,c.
    #[arg(long)]
    pub(crate) classes: Option<String>,
    /// Names of the inputs in order: a JSON list. Inputs named `column=kind` are the kinds of one column.
    #[arg(long, value_name = "FILE")]
    pub(crate) features: Option<PathBuf>,
    /// Most bits of an encoded input: fewer leave more room under encryption, and cost accuracy.
    #[arg(long, default_value_t = tacit_graph::graph::MAX_INPUT_BITS, value_parser = clap::value_parser!(u8).range(8..=16))]
    pub(crate) input_bits: u8,
    /// Most bits of what a leaf of a tree adds to a score: with 8 or 9, sums over tens of trees come out exactly under encryption.
    #[arg(long, default_value_t = tacit_graph::graph::MAX_TABLE_BITS, value_parser = clap::value_parser!(u8).range(4..=16))]
    pub(crate) leaf_bits: u8,
    /// Right answers for rows that were given alone, `[n]` numbers.
    #[arg(long, requires = "held_out")]
    pub(crate) labels: Option<PathBuf>,
    /// Proofs that the commitment to the weights serves before they could be seen; more make each proof dearer.
    #[arg(long, default_value_t = OPENINGS_DEFAULT)]
    pub(crate) openings: u32,
    /// Do not hide the weights: smaller and faster proofs, as many as wanted, that show something of weights and rows.
    #[arg(long, conflicts_with = "openings")]
    pub(crate) plain: bool,
    /// Where to write the model; the file's name without `.tacit` becomes the model's name.
    #[arg(short, long)]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct LedgerAddress {
    /// JSON-RPC of the ledger.
    #[arg(
        long = "ledger",
        value_name = "URL",
        env = "TACIT_LEDGER",
        default_value = "http://127.0.0.1:8545"
    )]
    pub(crate) url: String,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// A `.tacit` file.
    pub(crate) model: PathBuf,
    /// One or more rows: JSON `{"shape":[…],"data":[…]}`, `.npy`, or the model's columns by name: JSON `{"age":35,…}` or `.csv`.
    #[arg(long)]
    pub(crate) input: PathBuf,
    /// Only this row of a table, counted from 1.
    #[arg(long, value_name = "N")]
    pub(crate) row: Option<NonZeroUsize>,
}

#[derive(Debug, Args)]
pub(crate) struct Prove {
    /// A `.tacit` file.
    pub(crate) model: PathBuf,
    /// Refuse unless the proof shows nothing but the answer; proofs with a model whose weights are hidden always do.
    #[arg(long)]
    pub(crate) zk: bool,
    /// One or more rows: JSON `{"shape":[…],"data":[…]}`, `.npy`, or the model's columns by name: JSON `{"age":35,…}` or `.csv`.
    #[arg(long)]
    pub(crate) input: PathBuf,
    /// Only this row of a table, counted from 1.
    #[arg(long, value_name = "N")]
    pub(crate) row: Option<NonZeroUsize>,
    /// Where to write answers and proof.
    #[arg(short, long)]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// A proof file.
    pub(crate) proof: PathBuf,
    /// Refuse unless the proof is about this model id.
    #[arg(long, value_name = "ID")]
    pub(crate) model: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Receipt {
    /// List the gateway's receipts.
    List {
        #[command(flatten)]
        gateway: GatewayAddress,
    },
    /// Show one receipt, or save it with its evidence.
    Show {
        /// Receipt or job id.
        id: String,
        /// Write everything needed to verify it to this file.
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
    /// Take home what was unbonded three days ago or more.
    #[arg(long)]
    pub(crate) withdraw: bool,
}

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

#[derive(Debug, Args)]
pub(crate) struct Lifetime {
    /// Stop when stdin closes, so that a child never outlives its parent.
    #[arg(long, hide = true)]
    pub(crate) with_parent: bool,
}

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

/// A language model of an engine that runs already.
#[derive(Debug, Args)]
pub(crate) struct EngineModel {
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

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Model to serve and its price in coins, as FILE=PRICE; may be given several times.
    #[arg(long = "model", value_name = "FILE=PRICE", required_unless_present = "engine")]
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
    /// Most questions about a model that one client gets answered in a UTC day, in all modes together; no limit when left out.
    #[arg(long, value_name = "N")]
    pub(crate) quota: Option<NonZeroU64>,
    /// Most questions about a model that all clients get answered in a UTC day: what holds against a client with many accounts.
    #[arg(long, value_name = "N")]
    pub(crate) quota_total: Option<NonZeroU64>,
    /// Address that clients are told to use; the listening address when left out.
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    #[command(flatten)]
    pub(crate) ledger: LedgerAddress,
    #[command(flatten)]
    pub(crate) lifetime: Lifetime,
}

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
    #[command(flatten)]
    pub(crate) ledger: LedgerAddress,
    #[command(flatten)]
    pub(crate) lifetime: Lifetime,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Prove and verify.
    Prove(BenchModel),
    /// Execute in the clear.
    Run(BenchModel),
    /// Ask one worker as many clients at once: what a question costs worker, clients and ledger.
    Gateway(BenchGateway),
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

/// A rate of hidden questions.
fn canary_rate(text: &str) -> Result<CanaryRate, String> {
    text.parse().ok().and_then(CanaryRate::new).ok_or_else(|| "give a number from 0 to 1".to_owned())
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
