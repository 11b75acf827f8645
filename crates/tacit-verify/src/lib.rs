//! Proof verifier: transcript, sumcheck, lookups, commitments, proof format.
