//! Parts of a proof, for whoever measures them.

/// What a prover is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Commit to the witness.
    Witness,
    /// Prove all look-ups.
    Lookups,
    /// Tie the rows to the argument.
    Rows,
    /// Turn claims about what a node makes into claims about what it reads.
    Node(usize),
    /// Reduce all claims about the witness to one.
    WitnessBatch,
    /// Reduce all claims about the weights to one.
    WeightBatch,
    /// Open the weights.
    WeightOpening,
    /// Open the witness.
    WitnessOpening,
    /// Nothing more.
    End,
}
