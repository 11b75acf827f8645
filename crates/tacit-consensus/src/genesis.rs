//! The first block: its state is put into the database before consensus starts.
//!
//! It is that of [`tacit_ledger::Genesis`] but for `stateRoot`, which is the database's, and `extraData`, which commits to
//! a seal like any block's, whose payload says who keeps epoch 0. Its number is 0, or follows the block where an earlier chain was left. Each
//! part of the state ([`tacit_ledger::Founding`]) is one batch of writes, in the order of [`writes`](crate::state::writes); hashes of earlier
//! blocks are the last batch. The root depends on all of that.
//!
//! A validator that has begun reads no accounts any more: the record says which genesis it began with.
//!
//! # Crash
//! A record is written after the state is durable. Without the record, whatever the partition holds is half of a genesis, since
//! nothing else runs before, and is thrown away.

use crate::{
    block::{BlockError, ChainBlock, EpochRecord, Payload, Seal},
    certify::{Group, GroupError},
    state::{Key, StateDb, Value, block_hash_key, encode_block_hash, writes},
};
use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes};
use commonware_codec::{DecodeExt as _, Encode as _, RangeCfg};
use commonware_consensus::{
    simplex::types::Context,
    types::{Epoch, Height, Round, View},
};
use commonware_cryptography::{Hasher as _, Sha256, ed25519, keccak256, sha256};
use commonware_glue::stateful::db::ManagedDb;
use commonware_parallel::Sequential;
use commonware_runtime::Spawner;
use commonware_storage::{
    Context as StorageContext,
    merkle::mmr,
    metadata::{self, Metadata},
    qmdb::{self, any::FixedConfig, floor::Proportional, sync::Target},
    translator::{EightCap, Hashed},
};
use commonware_utils::sequence::FixedBytes;
use tacit_ledger::{Founded, Genesis, GenesisError, Origin};

/// Why the first block could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisFailure {
    /// The ledger refuses it.
    #[error("invalid genesis")]
    Invalid(#[from] GenesisError),
    /// `extraData` is taken by the commitment to the seal.
    #[error("genesis of many validators has no extraData of its own")]
    ExtraData,
    /// The stored chain began otherwise.
    #[error("the data directory is of another chain")]
    OtherChain,
    /// The stored first block does not decode.
    #[error("stored genesis is malformed")]
    Malformed(#[source] commonware_codec::Error),
    /// The group has no members.
    #[error("group")]
    Group(#[from] GroupError),
    /// The parts do not fit together.
    #[error("genesis block")]
    Block(#[from] BlockError),
    /// The state database failed.
    #[error("state database")]
    Database(#[from] qmdb::Error<mmr::Family>),
    /// The record could not be read or written.
    #[error("genesis record")]
    Record(#[from] metadata::Error),
}

/// The first block; its state is in the database when this returns. The validators of epoch 0 are those of `group`; the first of them
/// stands in the seal, where a proposer would.
///
/// # Errors
/// The genesis is refused, differs from the stored one, or a store fails.
pub async fn prepare<E: Spawner + StorageContext>(
    context: E,
    partition: &str,
    database: FixedConfig<Hashed<EightCap>, Sequential>,
    genesis: &Genesis,
    group: &Group,
) -> Result<ChainBlock, GenesisFailure> {
    if !genesis.extra_data.is_empty() {
        return Err(GenesisFailure::ExtraData);
    }
    let record = group.first_epoch();
    let leader = record.players.iter().next().ok_or(GroupError::Size { got: 0 })?.clone();
    let id = identity(genesis, &record)?;
    let config = metadata::Config {
        partition: format!("{partition}-genesis"),
        codec_config: (RangeCfg::from(..=RECORD_BYTES_MAX), ()),
    };
    let kept: Metadata<E, FixedBytes<1>, Vec<u8>> = Metadata::init(context.child("record"), config).await?;
    if let Some(stored) = kept.get(&RECORD_KEY) {
        let Some(block) = stored.strip_prefix(&id[..]) else { return Err(GenesisFailure::OtherChain) };
        return ChainBlock::decode(Bytes::copy_from_slice(block).0).map_err(GenesisFailure::Malformed);
    }
    let (first, target) = fill(&context, database, genesis).await?;
    let block = first_block(first, target, leader, record)?;
    let stored = [&id[..], &block.encode()].concat();
    kept.put_sync(RECORD_KEY, stored).await?;
    Ok(block)
}

/// What makes two genesis the same: everything that the namespace binds, validators and their group. The parent's hash stands for the
/// blocks before it.
fn identity(genesis: &Genesis, record: &EpochRecord) -> Result<sha256::Digest, GenesisError> {
    let namespace = genesis.namespace()?;
    Ok(Sha256::hash(&[b"tacit/genesis/3", namespace.as_slice(), &record.encode()]))
}

/// Puts the first state into an empty database; what half of an earlier attempt left is removed.
async fn fill<E: Spawner + StorageContext>(
    context: &E,
    config: FixedConfig<Hashed<EightCap>, Sequential>,
    genesis: &Genesis,
) -> Result<(Founded, Target<mmr::Family, sha256::Digest>), GenesisFailure> {
    let mut database = StateDb::<E>::init(context.child("leftover"), config.clone(), None).await?;
    if database.bounds().end > 1 {
        database.destroy().await?;
        database = StateDb::<E>::init(context.child("fresh"), config, None).await?;
    }
    let mut founding = genesis.found();
    while let Some(part) = founding.next_part()? {
        database = apply(database, writes(&part, None)).await?;
    }
    let earlier = genesis.origin.iter().flat_map(Origin::blocks);
    let earlier: Vec<_> = earlier
        .map(|(number, hash)| (block_hash_key(number), Some(encode_block_hash(number, hash))))
        .collect();
    if !earlier.is_empty() {
        database = apply(database, earlier).await?;
    }
    let database = database.sync().await?;
    Ok((founding.finish()?, <StateDb<E> as ManagedDb<E>>::sync_target(&database)))
}

/// Writes one batch.
async fn apply<E: Spawner + StorageContext>(
    database: StateDb<E>,
    writes: Vec<(Key, Option<Value>)>,
) -> Result<StateDb<E>, qmdb::Error<mmr::Family>> {
    let batch = writes.into_iter().fold(database.new_batch(), |batch, (key, value)| batch.write(key, value));
    let batch = batch.merkleize(&database, None, &mut Proportional).await?;
    database.apply_batch(batch).await
}

fn first_block(
    first: Founded,
    target: Target<mmr::Family, sha256::Digest>,
    leader: ed25519::PublicKey,
    record: EpochRecord,
) -> Result<ChainBlock, BlockError> {
    let context = Context {
        round: Round::new(Epoch::zero(), View::zero()),
        leader,
        parent: (View::zero(), keccak256::Digest(first.block.header.parent_hash.0)),
    };
    let payload = Some(Payload::EpochInfo(record));
    let seal = Seal { context, height: Height::zero(), range: target.range, checkpoint: None, payload };
    let mut block = first.block.into_inner();
    block.header = Header {
        state_root: B256::new(target.root.0),
        extra_data: Bytes::copy_from_slice(seal.commitment().as_slice()),
        ..block.header
    };
    ChainBlock::new(seal, block)
}

const RECORD_KEY: FixedBytes<1> = FixedBytes::new([0]);
const RECORD_BYTES_MAX: usize = 1 << 17;
