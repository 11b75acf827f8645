//! State root: a commitment that depends on state only and costs O(changes) to move.
//!
//! Source: `LtHash` of Bellare and Micciancio (1997), "A New Paradigm for Collision-Free Hashing", with the parameters of
//! Lewi, Kim, Maykov and Weis (2019), "Securing Update Propagation with Homomorphic Hashing": 1024 lanes of 16 bits, each entry expanded by
//! an extendable-output hash and added lane by lane modulo `2^16`.
//! Deviation: BLAKE3 instead of BLAKE2xb, and the 2048-byte sum is hashed once more into 32 bytes.
//!
//! # Definition
//! State is the set of entries `1 || address || nonce || balance || code hash` and `2 || address || slot || value` (big-endian, fixed
//! width, absent accounts and zero slots left out). `root = BLAKE3(sum of expand(entry))`, both under their own derivation context.
//! Code is bound by its hash.
//!
//! # Security
//! Against an adversary who chooses the entries, knows everything and wants two different states with one root: at least 200
//! bits for the sum (short-integer-solution estimate of Lewi et al., section 5), and 128 for the 32-byte digest, which is
//! therefore the bound. Entries form a set, since a key has one value at a time; the known multiset caveat (equal entries repeated
//! `2^16` times cancel) does not arise.
//!
//! It gives no inclusion proofs: whoever wants to check one balance needs all of state or somebody to trust. A store with
//! proofs takes its place behind [`StateCommitment`].

use crate::state::{Account, StateChanges};
use alloy_primitives::{Address, B256, U256};

/// A root over state that follows changes.
pub trait StateCommitment: Clone {
    /// Moves from the state before `changes` to the state after.
    fn apply(&mut self, changes: &StateChanges);

    /// Root of the current state.
    fn root(&self) -> B256;
}

/// Bytes of a serialised [`LtHash`].
pub const LT_HASH_BYTES: usize = 2 * LANES;

/// Lattice-based set hash of state; the empty state is all zeros.
#[derive(Clone, PartialEq, Eq)]
pub struct LtHash {
    lanes: Box<[u16; LANES]>,
}

impl Default for LtHash {
    fn default() -> Self {
        Self { lanes: Box::new([0; LANES]) }
    }
}

impl core::fmt::Debug for LtHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("LtHash").field(&self.root()).finish()
    }
}

impl LtHash {
    /// Little-endian lanes, for keeping beside the state.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; LT_HASH_BYTES] {
        let mut bytes = [0; LT_HASH_BYTES];
        for (to, lane) in bytes.chunks_exact_mut(2).zip(self.lanes.iter()) {
            to.copy_from_slice(&lane.to_le_bytes());
        }
        bytes
    }

    /// Inverse of [`Self::to_bytes`]; every value is some sum.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; LT_HASH_BYTES]) -> Self {
        let mut this = Self::default();
        for (lane, from) in this.lanes.iter_mut().zip(bytes.chunks_exact(2)) {
            *lane = from.try_into().map(u16::from_le_bytes).unwrap_or_default();
        }
        this
    }

    fn account(&mut self, address: Address, account: Option<Account>, sign: Sign) {
        let Some(account) = account else { return };
        let mut hasher = entry_hasher();
        hasher.update(&[ACCOUNT_TAG]);
        hasher.update(address.as_slice());
        hasher.update(&account.nonce.to_be_bytes());
        hasher.update(&account.balance.to_be_bytes::<32>());
        hasher.update(account.code_hash.as_slice());
        self.combine(&hasher, sign);
    }

    fn slot(&mut self, address: Address, slot: U256, value: U256, sign: Sign) {
        if value.is_zero() {
            return;
        }
        let mut hasher = entry_hasher();
        hasher.update(&[STORAGE_TAG]);
        hasher.update(address.as_slice());
        hasher.update(&slot.to_be_bytes::<32>());
        hasher.update(&value.to_be_bytes::<32>());
        self.combine(&hasher, sign);
    }

    fn combine(&mut self, hasher: &blake3::Hasher, sign: Sign) {
        let mut expanded = [0; LT_HASH_BYTES];
        hasher.finalize_xof().fill(&mut expanded);
        for (lane, from) in self.lanes.iter_mut().zip(expanded.as_chunks::<2>().0) {
            let term = u16::from_le_bytes(*from);
            // Lanes are integers modulo 2^16.
            *lane = match sign {
                Sign::Plus => lane.wrapping_add(term),
                Sign::Minus => lane.wrapping_sub(term),
            };
        }
    }
}

impl StateCommitment for LtHash {
    fn apply(&mut self, changes: &StateChanges) {
        for (address, change) in &changes.accounts {
            self.account(*address, change.before, Sign::Minus);
            self.account(*address, change.after, Sign::Plus);
        }
        for ((address, slot), change) in &changes.storage {
            self.slot(*address, *slot, change.before, Sign::Minus);
            self.slot(*address, *slot, change.after, Sign::Plus);
        }
    }

    fn root(&self) -> B256 {
        let mut hasher = blake3::Hasher::new_derive_key(ROOT_CONTEXT);
        hasher.update(&self.to_bytes());
        B256::from(*hasher.finalize().as_bytes())
    }
}

#[derive(Clone, Copy)]
enum Sign {
    Plus,
    Minus,
}

fn entry_hasher() -> blake3::Hasher {
    blake3::Hasher::new_derive_key(ENTRY_CONTEXT)
}

const LANES: usize = 1024;
const ACCOUNT_TAG: u8 = 1;
const STORAGE_TAG: u8 = 2;
const ENTRY_CONTEXT: &str = "tacit 2026-11 ledger state entry";
const ROOT_CONTEXT: &str = "tacit 2026-11 ledger state root";
