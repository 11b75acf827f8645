//! State of record: how accounts, slots and code lie in QMDB, and how they are read there.
//!
//! # Layout
//! One map from 32 bytes to 72 bytes. Keys are `SHA-256(tag ‖ …)`, so that they are spread evenly and say nothing of order:
//!
//! | tag | rest of the preimage | value |
//! |---|---|---|
//! | 0 account | address (20) | nonce (8) ‖ balance (32) ‖ code hash (32) |
//! | 1 slot | address (20) ‖ slot (32) | value (32) ‖ zeros |
//! | 2 code | code hash (32) ‖ index (4) | 72-byte pieces of `length (4) ‖ code ‖ zeros` |
//! | 3 block hash | number mod 256 (1) | number (8) ‖ hash (32) ‖ zeros |
//!
//! Integers are big-endian. An empty account and a zero slot are absent. Code stays for good, since others may share it.
//! Block `n` writes the hash of block `n - 1`, so that `BLOCKHASH` is a function of state and a synced validator has it.
//!
//! # Root
//! The root is over the log of operations, not over the map: it depends on history and on how writes were grouped. Both
//! are part of the protocol; see `specs/0006-consensus.md`.

use alloy_primitives::{Address, B256, Bytes, U256};
use commonware_cryptography::{Hasher, Sha256, sha256};
use commonware_parallel::Sequential;
use commonware_storage::{
    merkle::mmr,
    qmdb::{self, any::unordered::fixed},
    translator::{EightCap, Hashed},
};
use commonware_utils::sequence::FixedBytes;
use core::future::Future;
use tacit_ledger::{Account, StateChanges};

/// Where a value is found.
pub type Key = sha256::Digest;

/// A value as it is stored.
pub type Value = FixedBytes<VALUE_BYTES>;

/// The database that holds state.
pub type StateDb<E> = fixed::Db<mmr::Family, E, Key, Value, Sha256, Hashed<EightCap>, Sequential>;

/// Why the database could not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A competing block was applied meanwhile: this state is of a branch that lost.
    #[error("state is of an abandoned branch")]
    Stale,
    /// The database failed.
    #[error("state database failed")]
    Database(#[source] qmdb::Error<mmr::Family>),
}

/// State after some block, read by key.
pub trait ReadState: Sync {
    /// Values in the order of `keys`.
    ///
    /// # Errors
    /// The database cannot answer.
    fn read(&self, keys: &[Key]) -> impl Future<Output = Result<Vec<Option<Value>>, ReadError>> + Send;
}

/// A stored value that no ledger writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stored {0} is malformed")]
pub struct Malformed(pub &'static str);

/// Key of an account.
#[must_use]
pub fn account_key(address: Address) -> Key {
    Sha256::hash(&[&[0], address.as_slice()])
}

/// Key of a slot.
#[must_use]
pub fn slot_key(address: Address, slot: U256) -> Key {
    Sha256::hash(&[&[1], address.as_slice(), &slot.to_be_bytes::<32>()])
}

/// Key of piece `index` of a code.
#[must_use]
pub fn code_key(hash: B256, index: u32) -> Key {
    Sha256::hash(&[&[2], hash.as_slice(), &index.to_be_bytes()])
}

/// Key of the place where the hash of block `number` lies.
#[must_use]
pub fn block_hash_key(number: u64) -> Key {
    let [.., low] = number.to_be_bytes();
    Sha256::hash(&[&[3], &[low]])
}

/// Everything a block writes, in the order in which the database sees it: what execution changed, then the parent's hash.
#[must_use]
pub fn writes(changes: &StateChanges, parent: Option<(u64, B256)>) -> Vec<(Key, Option<Value>)> {
    let mut writes = Vec::new();
    for (address, change) in &changes.accounts {
        writes.push((account_key(*address), change.after.as_ref().map(encode_account)));
    }
    for ((address, slot), change) in &changes.storage {
        let value = (!change.after.is_zero()).then(|| pad(&[&change.after.to_be_bytes::<32>()]));
        writes.push((slot_key(*address, *slot), value));
    }
    for (hash, code) in &changes.code {
        writes.extend(encode_code(*hash, code).map(|(key, value)| (key, Some(value))));
    }
    if let Some((number, hash)) = parent {
        writes.push((block_hash_key(number), Some(encode_block_hash(number, hash))));
    }
    writes
}

pub(crate) fn encode_block_hash(number: u64, hash: B256) -> Value {
    pad(&[&number.to_be_bytes(), hash.as_slice()])
}

pub(crate) fn encode_account(account: &Account) -> Value {
    pad(&[&account.nonce.to_be_bytes(), &account.balance.to_be_bytes::<32>(), account.code_hash.as_slice()])
}

pub(crate) fn decode_account(value: &Value) -> Result<Account, Malformed> {
    let (nonce, rest) = value.split_first_chunk::<8>().ok_or(Malformed("account"))?;
    let (balance, rest) = rest.split_first_chunk::<32>().ok_or(Malformed("account"))?;
    let code_hash = B256::try_from(rest).map_err(|_| Malformed("account"))?;
    let account =
        Account { nonce: u64::from_be_bytes(*nonce), balance: U256::from_be_bytes(*balance), code_hash };
    if account.is_empty() { Err(Malformed("account")) } else { Ok(account) }
}

pub(crate) fn decode_slot(value: &Value) -> Result<U256, Malformed> {
    let (slot, rest) = value.split_first_chunk::<32>().ok_or(Malformed("slot"))?;
    let slot = U256::from_be_bytes(*slot);
    if slot.is_zero() || !is_zero(rest) { Err(Malformed("slot")) } else { Ok(slot) }
}

pub(crate) fn decode_block_hash(value: &Value) -> Result<(u64, B256), Malformed> {
    let (number, rest) = value.split_first_chunk::<8>().ok_or(Malformed("block hash"))?;
    let (hash, rest) = rest.split_first_chunk::<32>().ok_or(Malformed("block hash"))?;
    if is_zero(rest) {
        Ok((u64::from_be_bytes(*number), B256::new(*hash)))
    } else {
        Err(Malformed("block hash"))
    }
}

/// How many pieces a code has, read from the first.
pub(crate) fn code_pieces(first: &Value) -> Result<u32, Malformed> {
    let length = code_length(first)?;
    u32::try_from((CODE_PREFIX_BYTES + length).div_ceil(VALUE_BYTES)).map_err(|_| Malformed("code"))
}

/// Puts a code together; `pieces` are all of them, in order.
pub(crate) fn decode_code(pieces: &[Value]) -> Result<Bytes, Malformed> {
    let length = code_length(pieces.first().ok_or(Malformed("code"))?)?;
    let stream = pieces.iter().flat_map(|piece| piece.iter().copied()).skip(CODE_PREFIX_BYTES);
    let code: Vec<u8> = stream.take(length).collect();
    if code.len() == length { Ok(code.into()) } else { Err(Malformed("code")) }
}

fn code_length(first: &Value) -> Result<usize, Malformed> {
    let prefix = first.first_chunk::<CODE_PREFIX_BYTES>().ok_or(Malformed("code"))?;
    let length = usize::try_from(u32::from_be_bytes(*prefix)).map_err(|_| Malformed("code"))?;
    if (1..=CODE_BYTES_MAX).contains(&length) { Ok(length) } else { Err(Malformed("code")) }
}

fn encode_code(hash: B256, code: &Bytes) -> impl Iterator<Item = (Key, Value)> {
    let length = u32::try_from(code.len()).unwrap_or(u32::MAX);
    let stream = [&length.to_be_bytes()[..], code].concat();
    let pieces: Vec<Value> = stream.chunks(VALUE_BYTES).map(|piece| pad(&[piece])).collect();
    (0..).zip(pieces).map(move |(index, piece)| (code_key(hash, index), piece))
}

/// The parts, then zeros. Parts never exceed a value: every caller's are of fixed length.
fn pad(parts: &[&[u8]]) -> Value {
    let mut value = [0; VALUE_BYTES];
    let bytes = parts.iter().flat_map(|part| part.iter());
    for (place, byte) in value.iter_mut().zip(bytes) {
        *place = *byte;
    }
    Value::new(value)
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

const VALUE_BYTES: usize = 72;
const CODE_PREFIX_BYTES: usize = 4;
/// Longer than any code that genesis or a transaction may bring: bounds what a corrupt length can ask for.
const CODE_BYTES_MAX: usize = 1 << 24;

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{KECCAK256_EMPTY, keccak256};
    use std::collections::BTreeMap;
    use tacit_ledger::Change;

    fn map(changes: &StateChanges, parent: Option<(u64, B256)>) -> BTreeMap<Key, Option<Value>> {
        writes(changes, parent).into_iter().collect()
    }

    #[test]
    fn accounts_and_slots_come_back() {
        let address = Address::repeat_byte(7);
        let account = Account { nonce: 3, balance: U256::MAX, code_hash: B256::repeat_byte(9) };
        let mut changes = StateChanges::default();
        changes.accounts.insert(address, Change { before: None, after: Some(account) });
        changes.storage.insert((address, U256::ONE), Change { before: U256::ZERO, after: U256::from(5) });
        changes.storage.insert((address, U256::from(2)), Change { before: U256::ONE, after: U256::ZERO });
        let written = map(&changes, Some((258, B256::repeat_byte(4))));
        let value = |key: Key| written.get(&key).cloned().flatten();
        assert_eq!(decode_account(&value(account_key(address)).unwrap()), Ok(account));
        assert_eq!(decode_slot(&value(slot_key(address, U256::ONE)).unwrap()), Ok(U256::from(5)));
        assert_eq!(written.get(&slot_key(address, U256::from(2))), Some(&None), "a zero slot is removed");
        assert_eq!(decode_block_hash(&value(block_hash_key(2)).unwrap()), Ok((258, B256::repeat_byte(4))));
        assert_eq!(written.len(), 4);
    }

    #[test]
    fn code_of_every_length_around_a_piece_comes_back() {
        for length in [1, 2, 67, 68, 69, 72, 139, 140, 141, 24_576] {
            let code: Bytes = (0..length).map(|i: u32| i.to_be_bytes()[3] | 1).collect::<Vec<_>>().into();
            let hash = keccak256(&code);
            let mut changes = StateChanges::default();
            changes.code.insert(hash, code.clone());
            let written = map(&changes, None);
            let piece = |index| written.get(&code_key(hash, index)).cloned().flatten();
            let pieces = code_pieces(&piece(0).unwrap()).unwrap();
            assert_eq!(usize::try_from(pieces).unwrap(), written.len(), "length {length}");
            let all: Vec<Value> = (0..pieces).map(|index| piece(index).unwrap()).collect();
            assert_eq!(decode_code(&all), Ok(code), "length {length}");
            if all.len() > 1 {
                assert_eq!(decode_code(&all[1..]), Err(Malformed("code")), "length {length}");
            }
            assert!(all.len() == 1 || decode_code(&all[..all.len() - 1]).is_err(), "length {length}");
        }
    }

    #[test]
    fn values_that_no_ledger_writes_are_malformed() {
        let empty = Account { nonce: 0, balance: U256::ZERO, code_hash: KECCAK256_EMPTY };
        assert_eq!(decode_account(&encode_account(&empty)), Err(Malformed("account")));
        assert_eq!(decode_slot(&Value::new([0; 72])), Err(Malformed("slot")));
        assert_eq!(decode_slot(&Value::new([1; 72])), Err(Malformed("slot")));
        assert_eq!(decode_block_hash(&Value::new([1; 72])), Err(Malformed("block hash")));
        assert_eq!(code_pieces(&Value::new([0; 72])), Err(Malformed("code")));
        assert_eq!(code_pieces(&Value::new([255; 72])), Err(Malformed("code")));
        assert_eq!(decode_code(&[]), Err(Malformed("code")));
    }

    #[test]
    fn kinds_do_not_share_keys() {
        let address = Address::ZERO;
        let keys = [
            account_key(address),
            slot_key(address, U256::ZERO),
            code_key(B256::ZERO, 0),
            code_key(B256::ZERO, 1),
            block_hash_key(0),
            block_hash_key(1),
        ];
        let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
        assert_eq!(block_hash_key(1), block_hash_key(257));
    }
}
