//! Taking a snapshot: checked frame by frame, put into a store that is none before the root has been compared.

use std::path::Path;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, U256, keccak256};
use tacit_ledger::{Chain, Genesis, Origin};
use tacit_light::{Checkpoint, DecodeError, Finality, LightError, SealError, Trust, checkpoint};
use thiserror::Error;

use super::{
    frame::{Decoder, Frame, FrameError, Head},
    serve::HASHES,
};
use crate::store::{Beginning, Filling, Identity, MadeBy, StoreError};

/// Why a snapshot is refused. Whoever served it made it up, or changed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SnapshotReject {
    /// Bytes that are no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// More bytes than were to be taken.
    #[error("the snapshot has more than {limit} bytes")]
    TooLong {
        /// Most bytes.
        limit: u64,
    },
    /// Frames, or entries, are not in their order, or come twice.
    #[error("the snapshot is not in order")]
    Order,
    /// The certificate is none.
    #[error("the snapshot's certificate: {0}")]
    Finality(#[from] DecodeError),
    /// The certificate is not of this network.
    #[error("the snapshot's certificate: {0}")]
    Light(#[from] LightError),
    /// The headers do not lead to the certified block.
    #[error("the snapshot's headers do not lead to its certificate")]
    Headers,
    /// The headers begin elsewhere than they must.
    #[error("the snapshot's headers begin with block {got}, not {expected}")]
    Oldest {
        /// Where they must begin.
        expected: u64,
        /// Where they do.
        got: u64,
    },
    /// The network began with another block.
    #[error("the snapshot is of another network: it began with {got}")]
    OtherNetwork {
        /// Hash of that block.
        got: B256,
    },
    /// The seal is not the certified block's.
    #[error("the snapshot's {0}")]
    Seal(#[from] SealError),
    /// The seal has no checkpoint.
    #[error("the snapshot's block has no checkpoint")]
    NoCheckpoint,
    /// An account has code that did not come before it.
    #[error("account {address} has code {hash}, which the snapshot lacks")]
    Code {
        /// The account.
        address: Address,
        /// Hash of its code.
        hash: B256,
    },
    /// A slot is zero.
    #[error("slot {slot} of {address} is zero")]
    ZeroSlot {
        /// The account.
        address: Address,
        /// The slot.
        slot: U256,
    },
    /// The state is not the one that the validators certified.
    #[error("the snapshot's state has root {got}, the validators certified {expected}")]
    Root {
        /// Certified.
        expected: B256,
        /// Computed.
        got: B256,
    },
}

/// Why taking a snapshot ended.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Refused {
    /// It is none, or not a true one.
    #[error(transparent)]
    Snapshot(#[from] SnapshotReject),
    /// It could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is to come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Head,
    Code(B256),
    Account(Address),
    Slot(Address, U256),
    End,
}

/// A snapshot on its way into a new store.
#[derive(Debug)]
pub struct Taking {
    trust: Trust,
    identity: Identity,
    earlier: Vec<(u64, B256)>,
    decoder: Decoder,
    filling: Filling,
    found: Option<(Checkpoint, Vec<(B256, Header)>)>,
    last: Last,
    left: u64,
    limit: u64,
}

impl Taking {
    /// Begins a store in `data_dir` for the network of `genesis`, whose certificates `trust` knows. At most `bytes_max` are taken.
    ///
    /// # Errors
    /// The directory cannot be used, or holds a chain.
    pub fn begin(
        data_dir: &Path,
        genesis: &Genesis,
        trust: Trust,
        bytes_max: u64,
    ) -> Result<Self, StoreError> {
        let chain = Chain { certifier: trust.certifier(), ..genesis.chain };
        let identity = Identity { chain, genesis: trust.genesis(), made_by: MadeBy::Validators };
        Ok(Self {
            trust,
            identity,
            earlier: genesis.origin.iter().flat_map(Origin::blocks).collect(),
            decoder: Decoder::default(),
            filling: Filling::begin(data_dir)?,
            found: None,
            last: Last::Nothing,
            left: bytes_max,
            limit: bytes_max,
        })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Refused`]; nothing more can be taken then.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let too_long = SnapshotReject::TooLong { limit: self.limit };
        self.left = self.left.checked_sub(length).ok_or(too_long)?;
        self.decoder.push(bytes);
        while let Some(frame) = self.decoder.next_frame().map_err(SnapshotReject::from)? {
            self.frame(frame)?;
        }
        Ok(())
    }

    /// Makes what came a store, if it is whole and true. Gives the number of the block whose state it is.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn finish(self) -> Result<u64, Refused> {
        self.decoder.finish().map_err(SnapshotReject::from)?;
        let (checkpoint, headers) = self.found.ok_or(SnapshotReject::Order)?;
        let (expected, got) = (checkpoint.root, self.filling.root());
        if got != expected {
            return Err(SnapshotReject::Root { expected, got }.into());
        }
        let beginning = Beginning { identity: self.identity, headers: &headers, earlier: &self.earlier };
        self.filling.finish(&beginning)?;
        Ok(checkpoint.number)
    }

    fn frame(&mut self, frame: Frame) -> Result<(), Refused> {
        match frame {
            Frame::Head(head) => {
                follows(self.last == Last::Nothing)?;
                self.found = Some(self.check_head(&head)?);
                self.last = Last::Head;
            }
            Frame::Code(code) => {
                let hash = keccak256(&code);
                follows(match self.last {
                    Last::Head => true,
                    Last::Code(last) => last < hash,
                    _ => false,
                })?;
                self.filling.code(hash, code)?;
                self.last = Last::Code(hash);
            }
            Frame::Accounts(accounts) => {
                for (address, account) in &accounts {
                    follows(match self.last {
                        Last::Head | Last::Code(_) => true,
                        Last::Account(last) => last < *address,
                        _ => false,
                    })?;
                    let hash = account.code_hash;
                    if account.has_code() && !self.filling.has_code(hash)? {
                        return Err(SnapshotReject::Code { address: *address, hash }.into());
                    }
                    self.last = Last::Account(*address);
                }
                self.filling.accounts(&accounts)?;
            }
            Frame::Slots(slots) => {
                for (address, slot, value) in &slots {
                    follows(match self.last {
                        Last::Account(_) => true,
                        Last::Slot(at, last) => (at, last) < (*address, *slot),
                        _ => false,
                    })?;
                    if value.is_zero() {
                        return Err(SnapshotReject::ZeroSlot { address: *address, slot: *slot }.into());
                    }
                    self.last = Last::Slot(*address, *slot);
                }
                self.filling.slots(&slots)?;
            }
            Frame::End => {
                follows(!matches!(self.last, Last::Nothing | Last::End))?;
                self.last = Last::End;
            }
        }
        Ok(())
    }

    /// The checkpoint that the validators certified, and headers with hashes up to the block that it is of.
    fn check_head(&self, head: &Head) -> Result<(Checkpoint, Vec<(B256, Header)>), SnapshotReject> {
        let certified = Finality::decode(&head.finality)?.verify(&self.trust)?;
        let mut headers: Vec<(B256, Header)> = Vec::with_capacity(head.headers.len());
        for header in &head.headers {
            if let Some((hash, parent)) = headers.last()
                && (header.parent_hash != *hash || Some(header.number) != parent.number.checked_add(1))
            {
                return Err(SnapshotReject::Headers);
            }
            headers.push((header.hash_slow(), header.clone()));
        }
        if headers.last().is_none_or(|(hash, _)| *hash != certified.hash()) {
            return Err(SnapshotReject::Headers);
        }
        let found = checkpoint(&certified, &head.seal)?.ok_or(SnapshotReject::NoCheckpoint)?;
        let first = self.trust.first_number();
        let expected = found.number.saturating_sub(HASHES - 1).max(first);
        let (hash, oldest) = headers.first().ok_or(SnapshotReject::Headers)?;
        if oldest.number != expected {
            return Err(SnapshotReject::Oldest { expected, got: oldest.number });
        }
        if oldest.number == first && *hash != self.trust.genesis() {
            return Err(SnapshotReject::OtherNetwork { got: *hash });
        }
        headers.retain(|(_, header)| header.number <= found.number);
        Ok((found, headers))
    }
}

fn follows(in_order: bool) -> Result<(), SnapshotReject> {
    if in_order { Ok(()) } else { Err(SnapshotReject::Order) }
}
