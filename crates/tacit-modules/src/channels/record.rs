//! One channel in storage: four slots, in the order that Solidity packs the fields.

use crate::{
    dispatch::{Failure, revert},
    host::{Host, HostError},
    storage::{Packed, mapping, offset},
};
use alloy_primitives::{Address, B256, U256};
use tacit_abi::IChannels;

/// A channel as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// First slot.
    pub(super) base: U256,
    pub(super) client: Address,
    pub(super) close_at: u64,
    pub(super) open: bool,
    pub(super) worker: Address,
    pub(super) signer: Address,
    pub(super) deposit: u128,
    pub(super) settled: u128,
}

impl Record {
    /// First slot of the channel with this id.
    pub(super) fn slot(host: &mut dyn Host, id: B256) -> Result<U256, HostError> {
        mapping(host, CHANNELS, id)
    }

    /// Whether a channel was ever opened at this slot.
    pub(super) fn exists(host: &mut dyn Host, base: U256) -> Result<bool, HostError> {
        Ok(!Packed(host.sload(base)?).address(CLIENT).is_zero())
    }

    /// Reads a channel, open or closed.
    pub(super) fn load(host: &mut dyn Host, id: B256) -> Result<Self, Failure> {
        let base = Self::slot(host, id)?;
        let status = Packed(host.sload(base)?);
        if status.address(CLIENT).is_zero() {
            return Err(revert(IChannels::UnknownChannel { channelId: id }));
        }
        let worker = Packed(host.sload(offset(base, WORKER_SLOT))?);
        let signer = Packed(host.sload(offset(base, SIGNER_SLOT))?);
        let amounts = Packed(host.sload(offset(base, AMOUNTS_SLOT))?);
        Ok(Self {
            base,
            client: status.address(CLIENT),
            close_at: status.u64(CLOSE_AT),
            open: status.u8(OPEN) != 0,
            worker: worker.address(0),
            signer: signer.address(0),
            deposit: amounts.u128(DEPOSIT),
            settled: amounts.u128(SETTLED),
        })
    }

    /// The worker of a channel that is open.
    pub(super) fn payee(host: &mut dyn Host, id: B256) -> Result<Option<Address>, HostError> {
        let base = Self::slot(host, id)?;
        if Packed(host.sload(base)?).u8(OPEN) == 0 {
            return Ok(None);
        }
        Ok(Some(Packed(host.sload(offset(base, WORKER_SLOT))?).address(0)))
    }

    /// Reads a channel that must be open.
    pub(super) fn load_open(host: &mut dyn Host, id: B256) -> Result<Self, Failure> {
        let record = Self::load(host, id)?;
        if !record.open {
            return Err(revert(IChannels::ChannelClosed { channelId: id }));
        }
        Ok(record)
    }

    /// Writes all four slots.
    pub(super) fn create(&self, host: &mut dyn Host) -> Result<(), HostError> {
        self.store_status(host)?;
        host.sstore(offset(self.base, WORKER_SLOT), self.worker.into_word().into())?;
        host.sstore(offset(self.base, SIGNER_SLOT), self.signer.into_word().into())?;
        self.store_amounts(host)
    }

    /// Writes client, closing time and whether it is open.
    pub(super) fn store_status(&self, host: &mut dyn Host) -> Result<(), HostError> {
        let mut status = Packed::default();
        status.set_address(CLIENT, self.client);
        status.set(CLOSE_AT, 64, U256::from(self.close_at));
        status.set(OPEN, 8, U256::from(u8::from(self.open)));
        host.sstore(self.base, status.0)
    }

    /// Writes deposit and settled amount.
    pub(super) fn store_amounts(&self, host: &mut dyn Host) -> Result<(), HostError> {
        let mut amounts = Packed::default();
        amounts.set(DEPOSIT, 128, U256::from(self.deposit));
        amounts.set(SETTLED, 128, U256::from(self.settled));
        host.sstore(offset(self.base, AMOUNTS_SLOT), amounts.0)
    }

    /// As callers see it.
    pub(super) fn into_abi(self) -> IChannels::Channel {
        IChannels::Channel {
            client: self.client,
            worker: self.worker,
            signer: self.signer,
            deposit: self.deposit,
            settled: self.settled,
            closeAt: self.close_at,
            open: self.open,
        }
    }
}

/// Slot of the mapping.
const CHANNELS: U256 = U256::ZERO;
/// Slots of a record, counted from its first.
const WORKER_SLOT: u64 = 1;
const SIGNER_SLOT: u64 = 2;
const AMOUNTS_SLOT: u64 = 3;
/// Bit positions of packed fields.
const CLIENT: usize = 0;
const CLOSE_AT: usize = 160;
const OPEN: usize = 224;
const DEPOSIT: usize = 0;
const SETTLED: usize = 128;
