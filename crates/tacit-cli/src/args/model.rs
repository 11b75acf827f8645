//! What is done with models.

use super::{LedgerAddress, OPENINGS_DEFAULT};
use clap::{Args, Subcommand};
use std::num::NonZeroUsize;
use std::path::PathBuf;

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
