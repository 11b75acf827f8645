//! Why a proof is refused.

use crate::{commitment::SetupError, plan::PlanError, security::BudgetError};

/// Why a statement is not believed. Every check has its own variant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reject {
    /// The statement's batch cannot be proved at all.
    #[error("the statement cannot be proved")]
    Plan(#[from] PlanError),
    /// The statement's batch cannot be proved at this security.
    #[error("the statement cannot be proved at this security")]
    Setup(#[from] SetupError),
    /// Another number of output rows than input rows.
    #[error("{inputs} input rows, {outputs} output rows")]
    RowCount {
        /// Input rows.
        inputs: usize,
        /// Output rows.
        outputs: usize,
    },
    /// An input row of another length.
    #[error("input row {row} has {got} values, the graph reads {expected}")]
    InputLength {
        /// Row number.
        row: usize,
        /// Features of the graph.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// An output row of another length.
    #[error("output row {row} has {got} values, the graph makes {expected}")]
    OutputLength {
        /// Row number.
        row: usize,
        /// Logits of the graph.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// An output no graph can produce; in the field it could stand for another.
    #[error("output {got} of row {row} is out of range")]
    OutputRange {
        /// Row number.
        row: usize,
        /// The value.
        got: i32,
    },
    /// A format this verifier does not know.
    #[error("proof version {got} is unknown")]
    Version {
        /// First byte.
        got: u8,
    },
    /// The proof is about committed rows where public ones are asked for, or the reverse.
    #[error("the proof is about {} rows", if *committed { "committed" } else { "public" })]
    Kind {
        /// What the proof is about.
        committed: bool,
    },
    /// A kind of proof this verifier does not know.
    #[error("proof kind {got} is unknown")]
    UnknownKind {
        /// The byte.
        got: u8,
    },
    /// The proof aims at another security level.
    #[error("the proof is for {got} bits of security, {expected} are asked for")]
    Security {
        /// Bits asked for.
        expected: u32,
        /// Bits named in the proof.
        got: u8,
    },
    /// The proof ends early.
    #[error("the proof ends early")]
    Truncated,
    /// Bytes follow the proof.
    #[error("{got} bytes follow the proof")]
    TrailingBytes {
        /// Their number.
        got: usize,
    },
    /// A field element of `p` or more.
    #[error("field element {got} is not canonical")]
    NonCanonical {
        /// The integer read.
        got: u32,
    },
    /// More Merkle siblings than the tree has room for.
    #[error("{got} Merkle siblings, at most {most}")]
    SiblingCount {
        /// Siblings announced.
        got: usize,
        /// Most there can be.
        most: usize,
    },
    /// A challenge fell where a round cannot be inverted. Happens to an honest proof with probability `2^-150`.
    #[error("a challenge is degenerate")]
    DegenerateChallenge,
    /// The look-up fractions do not add up to zero.
    #[error("the look-ups are not balanced")]
    LookupSum,
    /// A denominator of the look-up sum is zero.
    #[error("the look-up sum has a zero denominator")]
    LookupPole,
    /// A layer of the look-up tree is not the sum of the one below.
    #[error("look-up layer {layer} does not follow from the one below")]
    LookupLayer {
        /// Layers above it.
        layer: usize,
    },
    /// The numerators at the leaves are not those of the columns.
    #[error("the look-up numerators differ from the columns")]
    LookupNumerators,
    /// The denominators at the leaves are not those of the columns.
    #[error("the look-up denominators differ from the columns")]
    LookupDenominators,
    /// A contraction is not the sum of products of what it reads.
    #[error("node {node} is not the sum of products of its factors")]
    Product {
        /// Index of the node.
        node: usize,
    },
    /// A view does not read what is claimed of its tensor.
    #[error("node {node} does not read what its input holds")]
    View {
        /// Index of the node.
        node: usize,
    },
    /// Claims about one tensor contradict each other.
    #[error("the claims about tensor {tensor} do not hold together")]
    Merge {
        /// Number of the tensor.
        tensor: usize,
    },
    /// A salt is not the one that the proof was made with.
    #[error("row {row} of the proof has another salt")]
    Salt {
        /// Row number.
        row: usize,
    },
    /// A row is not the one that the proof was made for.
    #[error("row {row} of the proof is another question or answer")]
    Fingerprint {
        /// Row number.
        row: usize,
    },
    /// The first layers do not read the public input.
    #[error("the network did not read the input of the statement")]
    Input,
    /// The claims about the witness do not hold of one polynomial.
    #[error("the claims about the witness do not hold together")]
    WitnessBatch,
    /// The claims about the weights do not hold of one polynomial.
    #[error("the claims about the weights do not hold together")]
    WeightBatch,
    /// The witness commitment does not open to the claimed value.
    #[error("the witness commitment does not open to the claimed value")]
    WitnessOpening,
    /// The weight commitment does not open to the claimed value.
    #[error("the weight commitment does not open to the claimed value")]
    WeightOpening,
    /// The weight oracle, the number of openings and the level are not those that the model's root binds.
    #[error("the proof opens another commitment to weights")]
    WeightRoot,
    /// An opening that the commitment was not made for: it could show weights.
    #[error("opening {got} of a commitment made for {openings}")]
    OpeningIndex {
        /// Index in the proof.
        got: u32,
        /// Openings the commitment was made for.
        openings: u32,
    },
    /// Too little work before a set of queries.
    #[error("a set of queries lacks its work")]
    Work,
    /// Opened rows are not those of their oracle.
    #[error("opened rows are not those of their oracle")]
    OracleRows,
    /// A hiding opening does not end in its last polynomial.
    #[error("a hiding opening does not end in its last polynomial")]
    HidingOpening,
    /// The run sent another number of values than masks are committed for. The plan decides both.
    #[error("{got} masked values and products, {expected} are committed for")]
    MaskCount {
        /// Masks and products of the shape.
        expected: usize,
        /// Masks and products of the run.
        got: usize,
    },
    /// The combination of rows of the inner argument differs from the rows.
    #[error("the combination of masks differs from an opened column")]
    InnerCombination,
    /// The sum of the inner argument differs from the rows.
    #[error("the sum over masks differs from an opened column")]
    InnerColumn,
    /// The sum of the inner argument is not what the relation demands: some check of the protocol fails behind the masks.
    #[error("the masked values do not satisfy the protocol")]
    InnerSum,
}

impl From<BudgetError> for Reject {
    fn from(error: BudgetError) -> Self {
        match error {
            BudgetError::Plan(error) => Self::Plan(error),
            BudgetError::Setup(error) => Self::Setup(error),
        }
    }
}
