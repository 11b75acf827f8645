//! The flat state after a past block, in key order: what is there now, and what blocks since have overwritten.
//!
//! An entry was, after block `h`, what the first later block that changed it found, or what it is now if none did. So keys are
//! those of both tables, each looked up once.

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use redb::ReadOnlyTable;
use tacit_ledger::{Account, Entry};

use super::{FlatSlot, StoreError, codec, file::failed};

type Bytes20 = [u8; 20];
type Bytes32 = [u8; 32];

pub(super) fn codes(
    table: &ReadOnlyTable<Bytes32, &'static [u8]>,
    after: Option<B256>,
    bytes_max: usize,
) -> Result<Vec<(B256, Bytes)>, StoreError> {
    let (mut found, mut bytes) = (Vec::new(), 0_usize);
    let Some(start) = after.map_or(Some([0; 32]), |after| next(after.0)) else { return Ok(found) };
    for entry in table.range(start..).map_err(failed)? {
        let (hash, code) = entry.map_err(failed)?;
        let code = code.value();
        bytes = bytes.saturating_add(code.len());
        if bytes > bytes_max && !found.is_empty() {
            break;
        }
        found.push((hash.value().into(), Bytes::copy_from_slice(code)));
    }
    Ok(found)
}

pub(super) fn accounts(
    now: &ReadOnlyTable<Bytes20, &'static [u8]>,
    before: &ReadOnlyTable<(Bytes20, u64), &'static [u8]>,
    after: Option<Address>,
    height: u64,
    limit: usize,
) -> Result<Vec<(Address, Account)>, StoreError> {
    let mut found = Vec::new();
    let mut from = after.map_or(Some([0; 20]), |after| next(after.into_array()));
    while let (Some(start), true) = (from, found.len() < limit) {
        let here = first(now.range(start..).map_err(failed)?, |key, value| (key, value.to_vec()))?;
        let there = first(before.range((start, 0)..).map_err(failed)?, |(key, _), _| key)?;
        let Some(key) = least(here.as_ref().map(|(key, _)| *key), there) else { break };
        let later = later(height).map(|later| before.range((key, later)..=(key, u64::MAX)));
        let overwritten = match later.transpose().map_err(failed)? {
            Some(range) => first(range, |_, value| value.to_vec())?,
            None => None,
        };
        let value = overwritten.or_else(|| here.filter(|(at, _)| *at == key).map(|(_, value)| value));
        // An empty value stands for an account that was not there.
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            found.push((key.into(), codec::decode_account(&value)?));
        }
        from = next(key);
    }
    Ok(found)
}

pub(super) fn slots(
    now: &ReadOnlyTable<(Bytes20, Bytes32), Bytes32>,
    before: &ReadOnlyTable<(Bytes20, Bytes32, u64), Bytes32>,
    after: Option<(Address, U256)>,
    height: u64,
    limit: usize,
) -> Result<Vec<FlatSlot>, StoreError> {
    let mut found = Vec::new();
    let mut from = match after {
        Some((address, slot)) => next_slot((address.into_array(), slot.to_be_bytes())),
        None => Some(([0; 20], [0; 32])),
    };
    while let (Some(start), true) = (from, found.len() < limit) {
        let here = first(now.range(start..).map_err(failed)?, |key, value| (key, value))?;
        let there = before.range((start.0, start.1, 0)..).map_err(failed)?;
        let there = first(there, |(address, slot, _), _| (address, slot))?;
        let Some(key) = least(here.map(|(key, _)| key), there) else { break };
        let later = later(height);
        let later = later.map(|later| before.range((key.0, key.1, later)..=(key.0, key.1, u64::MAX)));
        let overwritten = match later.transpose().map_err(failed)? {
            Some(range) => first(range, |_, value| value)?,
            None => None,
        };
        let value = overwritten.or_else(|| here.filter(|(at, _)| *at == key).map(|(_, value)| value));
        let value = value.map_or(U256::ZERO, U256::from_be_bytes);
        if !value.is_zero() {
            found.push((key.0.into(), U256::from_be_bytes(key.1), value));
        }
        from = next_slot(key);
    }
    Ok(found)
}

/// All of the state as it is now: accounts by address, each followed by its slots.
pub(super) fn everything(
    accounts: &ReadOnlyTable<Bytes20, &'static [u8]>,
    storage: &ReadOnlyTable<(Bytes20, Bytes32), Bytes32>,
    code: ReadOnlyTable<Bytes32, &'static [u8]>,
) -> Result<impl Iterator<Item = Result<Entry, StoreError>> + Send + use<>, StoreError> {
    let mut accounts = accounts.range::<Bytes20>(..).map_err(failed)?;
    let mut slots = storage.range::<(Bytes20, Bytes32)>(..).map_err(failed)?.peekable();
    let mut last: Option<Bytes20> = None;
    let mut next = move || -> Result<Option<Entry>, StoreError> {
        let of_last = slots.next_if(|slot| match slot {
            Ok((key, _)) => Some(key.value().0) <= last,
            Err(_) => true,
        });
        if let Some(slot) = of_last {
            let (key, value) = slot.map_err(failed)?;
            let (address, slot) = key.value();
            if Some(address) != last {
                return Err(StoreError::Corrupt("slot"));
            }
            return Ok(Some(Entry::Slot { slot: slot.into(), value: value.value().into() }));
        }
        let Some(entry) = accounts.next() else {
            return if slots.next().is_none() { Ok(None) } else { Err(StoreError::Corrupt("slot")) };
        };
        let (address, account) = entry.map_err(failed)?;
        let Account { nonce, balance, code_hash } = codec::decode_account(account.value())?;
        let code = match code_hash == KECCAK256_EMPTY {
            true => Bytes::new(),
            false => {
                let code = code.get(code_hash.0).map_err(failed)?.ok_or(StoreError::Corrupt("code"))?;
                Bytes::copy_from_slice(code.value())
            }
        };
        last = Some(address.value());
        Ok(Some(Entry::Account { address: address.value().into(), balance, nonce, code }))
    };
    Ok(std::iter::from_fn(move || next().transpose()))
}

/// The first entry of a range.
fn first<K: redb::Key + 'static, V: redb::Value + 'static, T>(
    mut range: redb::Range<'_, K, V>,
    read: impl FnOnce(K::SelfType<'_>, V::SelfType<'_>) -> T,
) -> Result<Option<T>, StoreError> {
    let entry = range.next().transpose().map_err(failed)?;
    Ok(entry.map(|(key, value)| read(key.value(), value.value())))
}

fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    [one, other].into_iter().flatten().min()
}

/// The height from which on blocks have overwritten what was there after `height`.
fn later(height: u64) -> Option<u64> {
    height.checked_add(1)
}

/// The key that follows, if any does.
fn next<const N: usize>(mut key: [u8; N]) -> Option<[u8; N]> {
    for byte in key.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Some(key);
        }
    }
    None
}

fn next_slot((address, slot): (Bytes20, Bytes32)) -> Option<(Bytes20, Bytes32)> {
    match next(slot) {
        Some(slot) => Some((address, slot)),
        None => next(address).map(|address| (address, [0; 32])),
    }
}

#[cfg(test)]
mod tests {
    use super::{next, next_slot};

    #[test]
    fn keys_follow_each_other() {
        assert_eq!(next([0, 0]), Some([0, 1]));
        assert_eq!(next([0, 255]), Some([1, 0]));
        assert_eq!(next([255, 255]), None);
        assert_eq!(next_slot(([7; 20], [255; 32])), next([7; 20]).map(|address| (address, [0; 32])));
        assert_eq!(next_slot(([255; 20], [255; 32])), None);
    }
}
