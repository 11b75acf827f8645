//! Who comes next: the ledger's own answer.
//!
//! # Formal definition
//! The players of epoch `p` are the set of epoch `p + 1` in the `validators` module: those who would keep it if the dealing succeeds.
//! They are asked for in the last block of epoch `p - 2`, and are the same in every state from the last block of epoch `p - 3` to
//! that one. Keys that are no key to the engine are left out. If nobody is left, those announced last stay.

use crate::{
    application::{Ledger, halt},
    bridge::{StateError, with_state},
    certify::Marshal,
    epochs::record,
    ports::{BlockSink, TransactionSource},
    state::{Key, ReadError, ReadState, StateDb, Value},
};
use alloy_primitives::B256;
use commonware_codec::DecodeFixed as _;
use commonware_consensus::types::{Epoch, Height};
use commonware_cryptography::ed25519::PublicKey;
use commonware_glue::{dkg::ParticipantsProvider, stateful::Mailbox as StatefulMailbox};
use commonware_runtime::{Clock, Spawner};
use commonware_storage::Context as StorageContext;
use commonware_utils::{ordered::Set, sequence::Unit};
use core::{future::pending, num::NonZeroU64};
use tacit_ledger::{Seat, SetError, validators_of};

/// Why the ledger's answer is not to be had. It ends the validator.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("state of the validators")]
    State(#[from] StateError),
    #[error("set of validators")]
    Set(#[from] SetError<StateError>),
    #[error("epoch {0} is none that is asked for")]
    Epoch(u64),
    #[error("block {0}, which began an epoch, is missing")]
    Boundary(u64),
}

/// Where the answer comes from.
pub(crate) struct Participants<E, T, S>
where
    E: Spawner + Clock + StorageContext,
    T: TransactionSource,
    S: BlockSink,
{
    /// Runs what must stay on one thread.
    pub(crate) context: E,
    /// Has the state.
    pub(crate) stateful: StatefulMailbox<E, Ledger<T, S>>,
    /// Has the blocks.
    pub(crate) marshal: Marshal,
    /// Blocks of an epoch.
    pub(crate) epoch_blocks: NonZeroU64,
    /// Number of the network's first block, whose height is 0.
    pub(crate) first_number: u64,
}

impl<E, T, S> Participants<E, T, S>
where
    E: Spawner + Clock + StorageContext,
    T: TransactionSource,
    S: BlockSink,
{
    async fn answer(&self, epoch: Epoch) -> Result<Set<PublicKey>, NoAnswer> {
        let Self { context, stateful, marshal, epoch_blocks, first_number } = self;
        let no_epoch = NoAnswer::Epoch(epoch.get());
        let last = |epoch: u64| epoch.checked_add(1)?.checked_mul(epoch_blocks.get())?.checked_sub(1);
        let asked = epoch.get().checked_sub(2);
        let number = |asked| last(asked)?.checked_add(*first_number);
        let Some((asked, block)) = asked.and_then(|asked| Some((asked, number(asked)?))) else {
            return Err(no_epoch);
        };
        let set_of = epoch.get().saturating_add(1);
        let database = stateful.subscribe_databases().await;
        let read = context.child("set").shared(true).spawn(move |_| async move {
            let database = database.read().await;
            let source = DatabaseState(&database);
            // No hash of a block is read.
            with_state(&source, (block, B256::ZERO), Vec::new(), move |state| {
                validators_of(state, block, set_of)
            })
            .await
        });
        // An error means that the runtime is stopping.
        let Ok(set) = read.await else { return pending().await };
        let set: Vec<Seat> = set??;
        let keys = set.iter().filter_map(|seat| PublicKey::decode_fixed(seat.key.0).ok());
        let players = Set::from_iter_dedup(keys);
        if !players.is_empty() {
            return Ok(players);
        }
        let began = asked.checked_sub(1).map_or(Some(0), last).ok_or(no_epoch)?;
        let block = marshal.get_block(Height::new(began)).await.ok_or(NoAnswer::Boundary(began))?;
        let announced = record(block.inner()).ok_or(NoAnswer::Boundary(began))?;
        Ok(announced.next_players)
    }
}

impl<E, T, S> ParticipantsProvider for Participants<E, T, S>
where
    E: Spawner + Clock + StorageContext,
    T: TransactionSource,
    S: BlockSink,
{
    type PublicKey = PublicKey;
    type Directory = Unit;

    async fn participants(&mut self, epoch: Epoch) -> Set<PublicKey> {
        self.answer(epoch).await.unwrap_or_else(|error| halt(&error))
    }

    async fn directory(&mut self, _: Epoch, _: Set<PublicKey>) -> Unit {
        Unit
    }
}

/// State after the newest block that is applied.
struct DatabaseState<'a, E: Spawner + StorageContext>(&'a StateDb<E>);

impl<E: Spawner + StorageContext> ReadState for DatabaseState<'_, E> {
    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Value>>, ReadError> {
        let keys: Vec<&Key> = keys.iter().collect();
        self.0.get_many(&keys).await.map_err(ReadError::Database)
    }
}
