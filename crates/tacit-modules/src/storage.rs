//! Typed views of EVM storage in Solidity layout.
//!
//! Layout rules: Solidity documentation, "Layout of State Variables in Storage". Mappings lie at
//! `keccak256(key . slot)`, array elements at `keccak256(slot) + index * size`, short strings (up to 31 bytes) in
//! their slot with twice the length in the lowest byte, long ones at `keccak256(slot)` with twice the length plus one in the
//! slot. Packed fields fill a slot from its lowest byte.

use crate::host::{Host, HostError, words};
use alloy_primitives::{Address, B256, U256};

/// Slot of a mapping's value: `keccak256(key . base)`.
pub(crate) fn mapping(host: &mut dyn Host, base: U256, key: B256) -> Result<U256, HostError> {
    let preimage = [key.0, base.to_be_bytes::<32>()].concat();
    host.keccak(&preimage).map(Into::into)
}

/// Slot of a `mapping(string => ...)` value: `keccak256(bytes(key) . base)`.
pub(crate) fn string_mapping(host: &mut dyn Host, base: U256, key: &[u8]) -> Result<U256, HostError> {
    let preimage = [key, &base.to_be_bytes::<32>()].concat();
    host.keccak(&preimage).map(Into::into)
}

/// Key of a mapping by address: left-padded with zeros.
pub(crate) fn address_key(address: Address) -> B256 {
    address.into_word()
}

/// First slot of the data of a dynamic array or long string at `base`.
pub(crate) fn data(host: &mut dyn Host, base: U256) -> Result<U256, HostError> {
    host.keccak(&base.to_be_bytes::<32>()).map(Into::into)
}

/// Slot of element `index` of an array whose data starts at `first` and whose elements fill `size` slots.
pub(crate) fn element(first: U256, index: u64, size: u64) -> U256 {
    // Slot arithmetic is modulo 2^256 in the EVM too.
    first.wrapping_add(U256::from(index).wrapping_mul(U256::from(size)))
}

/// Slot `offset` further.
pub(crate) fn offset(base: U256, offset: u64) -> U256 {
    // Slot arithmetic is modulo 2^256 in the EVM too.
    base.wrapping_add(U256::from(offset))
}

/// A slot that several fields share, lowest bits first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Packed(pub(crate) U256);

impl Packed {
    /// The `bits` wide field that starts at bit `at`.
    pub(crate) fn get(self, at: usize, bits: usize) -> U256 {
        self.0.wrapping_shr(at) & mask(bits)
    }

    /// Replaces the `bits` wide field at bit `at`; bits of `value` beyond its width are dropped.
    pub(crate) fn set(&mut self, at: usize, bits: usize, value: U256) {
        let field = mask(bits);
        self.0 = (self.0 & !field.wrapping_shl(at)) | (value & field).wrapping_shl(at);
    }

    /// The address at bit `at`.
    pub(crate) fn address(self, at: usize) -> Address {
        Address::from_word(self.get(at, 160).into())
    }

    /// Replaces the address at bit `at`.
    pub(crate) fn set_address(&mut self, at: usize, value: Address) {
        self.set(at, 160, value.into_word().into());
    }

    /// The 64-bit number at bit `at`.
    pub(crate) fn u64(self, at: usize) -> u64 {
        self.get(at, 64).saturating_to()
    }

    /// The 32-bit number at bit `at`.
    pub(crate) fn u32(self, at: usize) -> u32 {
        self.get(at, 32).saturating_to()
    }

    /// The 128-bit number at bit `at`.
    pub(crate) fn u128(self, at: usize) -> u128 {
        self.get(at, 128).saturating_to()
    }

    /// The 16-bit number at bit `at`.
    pub(crate) fn u16(self, at: usize) -> u16 {
        self.get(at, 16).saturating_to()
    }

    /// The 8-bit number at bit `at`.
    pub(crate) fn u8(self, at: usize) -> u8 {
        self.get(at, 8).saturating_to()
    }
}

fn mask(bits: usize) -> U256 {
    U256::MAX.wrapping_shr(256_usize.saturating_sub(bits))
}

/// Reads the string at `slot`. A slot that no [`write_string`] made (longer than `limit`) reads as empty.
pub(crate) fn read_string(host: &mut dyn Host, slot: U256, limit: usize) -> Result<String, HostError> {
    let head = host.sload(slot)?;
    let bytes = head.to_be_bytes::<32>();
    let tag = head.byte(0);
    if tag & 1 == 0 {
        let length = usize::from(tag >> 1).min(31);
        return Ok(text(bytes.get(..length).unwrap_or_default()));
    }
    let length: usize = half(head).saturating_to();
    if length > limit {
        return Ok(String::new());
    }
    let first = data(host, slot)?;
    let mut bytes = Vec::with_capacity(length);
    for index in 0..words(length) {
        bytes.extend_from_slice(&host.sload(offset(first, index))?.to_be_bytes::<32>());
    }
    bytes.truncate(length);
    Ok(text(&bytes))
}

/// Writes the string at `slot` and clears what a longer one left behind.
pub(crate) fn write_string(host: &mut dyn Host, slot: U256, value: &str) -> Result<(), HostError> {
    let old_words = long_words(host.sload(slot)?);
    let bytes = value.as_bytes();
    let length = U256::from(bytes.len()).wrapping_shl(1);
    let new_words = if bytes.len() < 32 {
        host.sstore(slot, left_aligned(bytes) | length)?;
        0
    } else {
        host.sstore(slot, length | U256::ONE)?;
        words(bytes.len())
    };
    if new_words == 0 && old_words == 0 {
        return Ok(());
    }
    let first = data(host, slot)?;
    for (chunk, index) in bytes.chunks(32).zip(0..new_words) {
        host.sstore(offset(first, index), left_aligned(chunk))?;
    }
    for index in new_words..old_words {
        host.sstore(offset(first, index), U256::ZERO)?;
    }
    Ok(())
}

/// Up to 32 bytes at the high end of a word.
fn left_aligned(bytes: &[u8]) -> U256 {
    let mut word = [0; 32];
    for (to, from) in word.iter_mut().zip(bytes) {
        *to = *from;
    }
    U256::from_be_bytes(word)
}

/// Data words of a long string, none for a short one.
fn long_words(head: U256) -> u64 {
    if head.bit(0) { words(half(head).saturating_to()) } else { 0 }
}

/// The length that a long string's head slot holds.
fn half(head: U256) -> U256 {
    head.wrapping_shr(1)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
