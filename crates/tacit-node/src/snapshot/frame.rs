//! Frames and their bytes.

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rlp::{Decodable as _, RlpDecodable, RlpEncodable};
use tacit_ledger::Account;
use thiserror::Error;

use crate::store::FlatSlot;

/// Longest payload of a frame.
pub const FRAME_BYTES_MAX: usize = 8 << 20;

/// One part of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// What the rest is checked against.
    Head(Head),
    /// Code.
    Code(Bytes),
    /// Accounts, ascending.
    Accounts(Vec<(Address, Account)>),
    /// Slots, ascending.
    Slots(Vec<FlatSlot>),
    /// Nothing comes after it.
    End,
}

/// What a snapshot is checked against.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Head {
    /// Headers, each the child of the one before, up to that of the block whose seal has the checkpoint.
    pub headers: Vec<Header>,
    /// That block's seal.
    pub seal: Bytes,
    /// Bytes of that block's `tacit_light::Finality`.
    pub finality: Bytes,
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Written by another version.
    #[error("snapshot format {got}, expected {VERSION}")]
    Version {
        /// Given.
        got: u8,
    },
    /// No such kind.
    #[error("unknown frame kind {got}")]
    Kind {
        /// Given.
        got: u8,
    },
    /// Longer than any frame.
    #[error("frame of {got} bytes, at most {FRAME_BYTES_MAX} are allowed")]
    Length {
        /// Bytes that it says it has.
        got: usize,
    },
    /// The payload is not what a frame of this kind has.
    #[error("malformed frame of kind {kind}")]
    Malformed {
        /// The kind.
        kind: u8,
    },
    /// The stream ended before the snapshot did.
    #[error("the snapshot is cut short")]
    Short,
    /// Something comes after the end.
    #[error("the snapshot goes on after its end")]
    Trailing,
}

/// The first byte of a stream, then its frames.
#[must_use]
pub fn encode(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    for frame in frames {
        bytes.extend_from_slice(&frame.encode());
    }
    bytes
}

impl Frame {
    /// The frame's bytes, without those of the stream.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (kind, payload) = match self {
            Self::Head(head) => (HEAD, alloy_rlp::encode(head)),
            Self::Code(code) => (CODE, code.to_vec()),
            Self::Accounts(accounts) => (ACCOUNTS, accounts.iter().flat_map(account_bytes).collect()),
            Self::Slots(slots) => (SLOTS, slots.iter().flat_map(slot_bytes).collect()),
            Self::End => (END, Vec::new()),
        };
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
        [&[kind], &length[..], &payload].concat()
    }

    fn decode(kind: u8, payload: &[u8]) -> Result<Self, FrameError> {
        let malformed = FrameError::Malformed { kind };
        match kind {
            HEAD => {
                let mut rest = payload;
                let head = Head::decode(&mut rest).map_err(|_| malformed)?;
                // Some decoders forgive what an encoder never writes.
                let canonical = rest.is_empty() && alloy_rlp::encode(&head) == payload;
                canonical.then_some(Self::Head(head)).ok_or(malformed)
            }
            CODE if payload.is_empty() => Err(malformed),
            CODE => Ok(Self::Code(Bytes::copy_from_slice(payload))),
            ACCOUNTS => entries(payload, account).map(Self::Accounts).ok_or(malformed),
            SLOTS => entries(payload, slot).map(Self::Slots).ok_or(malformed),
            END if payload.is_empty() => Ok(Self::End),
            END => Err(malformed),
            got => Err(FrameError::Kind { got }),
        }
    }
}

/// Frames from bytes as they come. It holds one frame at most, and what came with its last bytes.
#[derive(Debug, Default)]
pub struct Decoder {
    begun: bool,
    ended: bool,
    bytes: Vec<u8>,
}

impl Decoder {
    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if !self.begun {
            match self.bytes.first() {
                None => return Ok(None),
                Some(&VERSION) => drop(self.bytes.drain(..1)),
                Some(&got) => return Err(FrameError::Version { got }),
            }
            self.begun = true;
        }
        if self.ended {
            return if self.bytes.is_empty() { Ok(None) } else { Err(FrameError::Trailing) };
        }
        let Some(([kind, length @ ..], rest)) = self.bytes.split_first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        let (kind, length) = (*kind, u32::from_be_bytes(*length));
        if !(HEAD..=END).contains(&kind) {
            return Err(FrameError::Kind { got: kind });
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > FRAME_BYTES_MAX {
            return Err(FrameError::Length { got: length });
        }
        let Some(payload) = rest.get(..length) else { return Ok(None) };
        let frame = Frame::decode(kind, payload)?;
        self.bytes.drain(..PREFIX_BYTES.saturating_add(length));
        self.ended = frame == Frame::End;
        Ok(Some(frame))
    }

    /// Checks that nothing is missing once no more bytes come.
    ///
    /// # Errors
    /// [`FrameError::Short`], [`FrameError::Trailing`].
    pub fn finish(&self) -> Result<(), FrameError> {
        match (self.ended, self.bytes.is_empty()) {
            (true, true) => Ok(()),
            (true, false) => Err(FrameError::Trailing),
            (false, _) => Err(FrameError::Short),
        }
    }
}

fn account_bytes((address, account): &(Address, Account)) -> Vec<u8> {
    let (nonce, balance) = (account.nonce.to_be_bytes(), account.balance.to_be_bytes::<32>());
    [address.as_slice(), &nonce, &balance, account.code_hash.as_slice()].concat()
}

fn slot_bytes((address, slot, value): &FlatSlot) -> Vec<u8> {
    [address.as_slice(), &slot.to_be_bytes::<32>(), &value.to_be_bytes::<32>()].concat()
}

/// One entry or more, and nothing left over.
fn entries<const N: usize, T>(payload: &[u8], read: impl Fn(&[u8; N]) -> Option<T>) -> Option<Vec<T>> {
    let (entries, rest) = payload.as_chunks::<N>();
    if entries.is_empty() || !rest.is_empty() {
        return None;
    }
    entries.iter().map(read).collect()
}

fn account(bytes: &[u8; ACCOUNT_BYTES]) -> Option<(Address, Account)> {
    let (address, rest) = bytes.split_first_chunk::<20>()?;
    let (nonce, rest) = rest.split_first_chunk::<8>()?;
    let (balance, rest) = rest.split_first_chunk::<32>()?;
    let account = Account {
        nonce: u64::from_be_bytes(*nonce),
        balance: U256::from_be_bytes(*balance),
        code_hash: B256::try_from(rest).ok()?,
    };
    Some((address.into(), account))
}

fn slot(bytes: &[u8; SLOT_BYTES]) -> Option<FlatSlot> {
    let (address, rest) = bytes.split_first_chunk::<20>()?;
    let (slot, rest) = rest.split_first_chunk::<32>()?;
    let value: &[u8; 32] = rest.try_into().ok()?;
    Some((address.into(), U256::from_be_bytes(*slot), U256::from_be_bytes(*value)))
}

const VERSION: u8 = 1;
const HEAD: u8 = 1;
const CODE: u8 = 2;
const ACCOUNTS: u8 = 3;
const SLOTS: u8 = 4;
const END: u8 = 5;
/// Kind and length.
const PREFIX_BYTES: usize = 5;
const ACCOUNT_BYTES: usize = 92;
const SLOT_BYTES: usize = 84;

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<Frame> {
        let head = Head {
            headers: vec![Header::default(), Header { number: 1, ..Header::default() }],
            seal: Bytes::from_static(b"seal"),
            finality: Bytes::from_static(b"finality"),
        };
        let account = Account { nonce: 3, balance: U256::MAX, code_hash: B256::repeat_byte(9) };
        vec![
            Frame::Head(head),
            Frame::Code(Bytes::from_static(&[1, 2, 3])),
            Frame::Accounts(vec![(Address::ZERO, account), (Address::repeat_byte(7), Account::default())]),
            Frame::Slots(vec![(Address::ZERO, U256::ONE, U256::MAX)]),
            Frame::End,
        ]
    }

    fn decode<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Frame>, FrameError> {
        let (mut decoder, mut found) = (Decoder::default(), Vec::new());
        for part in parts {
            decoder.push(part);
            while let Some(frame) = decoder.next_frame()? {
                found.push(frame);
            }
        }
        decoder.finish().map(|()| found)
    }

    #[test]
    fn frames_come_back_in_parts_of_any_size() {
        let bytes = encode(&frames());
        for size in [1, 2, 3, 5, 64, bytes.len()] {
            assert_eq!(decode(bytes.chunks(size)), Ok(frames()), "{size}");
        }
    }

    #[test]
    fn every_cut_is_noticed_and_no_byte_is_ignored() {
        let bytes = encode(&frames());
        for length in 0..bytes.len() {
            assert_eq!(decode([&bytes[..length]]), Err(FrameError::Short), "{length}");
        }
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert_ne!(decode([&changed[..]]), Ok(frames()), "byte {place}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(decode([&longer[..]]), Err(FrameError::Trailing));
        assert_eq!(decode([&bytes[..], &[0]]), Err(FrameError::Trailing));
    }

    #[test]
    fn each_fault_has_its_name() {
        let with = |tail: &[u8]| decode([&[VERSION], tail]).unwrap_err();
        assert_eq!(decode([&[2][..]]), Err(FrameError::Version { got: 2 }));
        assert_eq!(with(&[0, 0, 0, 0, 0]), FrameError::Kind { got: 0 });
        assert_eq!(with(&[6, 0, 0, 0, 0]), FrameError::Kind { got: 6 });
        assert_eq!(with(&[CODE, 255, 0, 0, 0]), FrameError::Length { got: 255 << 24 });
        for kind in [HEAD, CODE, ACCOUNTS, SLOTS] {
            assert_eq!(with(&[kind, 0, 0, 0, 0]), FrameError::Malformed { kind });
        }
        for kind in [HEAD, ACCOUNTS, SLOTS, END] {
            assert_eq!(with(&[kind, 0, 0, 0, 1, 7]), FrameError::Malformed { kind });
        }
    }
}
