//! Who comes next: the ledger's own answer.
//!
//! # Formal definition
//! The players of epoch `p` are the set of epoch `p + 1` in the `validators` module: those who would keep it if the dealing succeeds.
//! They are asked for in the last block of epoch `p - 2`, and are the same in every state from the last block of epoch `p - 3` to
//! that one. Keys that are no key to the engine are left out. If nobody is left, those announced last stay. Where that last block is final
//! already, it says who they are.

use crate::{
    application::{Ledger, halt},
    block::EpochRecord,
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
use commonware_macros::select;
use commonware_runtime::{Clock, Spawner};
use commonware_storage::Context as StorageContext;
use commonware_utils::{ordered::Set, sequence::Unit};
use core::{future::pending, num::NonZeroU64, time::Duration};
use futures::pin_mut;
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
    /// The record of the epoch that a state sync began in: its block may not be here.
    pub(crate) begun: Option<EpochRecord>,
}

impl<E, T, S> Participants<E, T, S>
where
    E: Spawner + Clock + StorageContext,
    T: TransactionSource,
    S: BlockSink,
{
    async fn answer(&self, epoch: Epoch) -> Result<Set<PublicKey>, NoAnswer> {
        let Self { context, stateful, marshal, epoch_blocks, first_number, begun } = self;
        let no_epoch = NoAnswer::Epoch(epoch.get());
        let last = |epoch: u64| epoch.checked_add(1)?.checked_mul(epoch_blocks.get())?.checked_sub(1);
        let asked = epoch.get().checked_sub(2);
        let place = |asked| Some((asked, last(asked)?, last(asked)?.checked_add(*first_number)?));
        let Some((asked, height, number)) = asked.and_then(place) else { return Err(no_epoch) };
        let set_of = epoch.get().saturating_add(1);
        let databases = stateful.subscribe_databases();
        pin_mut!(databases);
        let database = loop {
            // A final block says it for everybody, and so may one that comes while state is still on its way from others: it may
            // come only after the blocks that wait for this answer.
            if let Some(named) = marshal.get_block(Height::new(height)).await {
                return Ok(record(named.inner()).ok_or(NoAnswer::Boundary(height))?.next_players);
            }
            select! {
                database = &mut databases => break database,
                () = context.sleep(POLL) => {},
            }
        };
        let read = context.child("set").shared(true).spawn(move |_| async move {
            let database = database.read().await;
            let source = DatabaseState(&database);
            // No hash of a block is read.
            with_state(&source, (number, B256::ZERO), Vec::new(), move |state| {
                validators_of(state, number, set_of)
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
        if let Some(begun) = begun.as_ref().filter(|begun| begun.epoch.get() == asked) {
            return Ok(begun.next_players.clone());
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

/// How often a validator whose state is on its way looks whether the answer is final.
const POLL: Duration = Duration::from_millis(500);
