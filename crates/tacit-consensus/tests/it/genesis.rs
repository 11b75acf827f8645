//! The first state, and a first start that is cut short.

use crate::{network::simulate, people::genesis};
use alloy_primitives::Address;
use commonware_codec::RangeCfg;
use commonware_cryptography::{Signer as _, ed25519};
use commonware_runtime::{Supervisor as _, buffer::paged::CacheRef, deterministic::Context};
use commonware_storage::{
    metadata::{self, Metadata},
    qmdb::floor::Proportional,
};
use commonware_utils::{NZU16, NZU64, NZUsize, TestRng, ordered::Set, sequence::FixedBytes};
use tacit_consensus::{
    ChainBlock, GenesisFailure, Group, StorageConfig, deal, prepare_genesis,
    state::{StateDb, Value, account_key},
};
use tacit_ledger::{Genesis, GenesisError};

pub(crate) fn storage(partition: &str) -> StorageConfig {
    let cache = CacheRef::new(NZU16!(1024), NZUsize!(16));
    StorageConfig {
        partition: partition.into(),
        state_cache: cache.clone(),
        block_cache: cache,
        state_items_per_blob: NZU64!(64),
        archive_items_per_section: NZU64!(64),
        state_blocks_kept: 1,
        archive_table_size: 64,
        buffer_bytes: NZUsize!(1 << 12),
        index_seed: Some(1),
    }
}

/// The group of one validator.
pub(crate) fn group_of(validator: u64) -> Group {
    let key = ed25519::PrivateKey::from_seed(validator).public_key();
    deal(TestRng::new(validator), &Set::from_iter_dedup([key])).unwrap().0
}

async fn prepare(
    context: &Context,
    partition: &str,
    genesis: &Genesis,
    validator: u64,
) -> Result<ChainBlock, GenesisFailure> {
    let group = group_of(validator);
    let database = storage(partition).database();
    prepare_genesis(context.child("prepare"), partition, database, genesis, &group).await
}

#[test]
fn the_first_block_is_the_same_after_a_start_that_was_cut_short() {
    simulate(51, |context| async move {
        let clean = prepare(&context, "clean", &genesis(), 0).await.unwrap();
        assert_eq!(clean.block().header.number, 0);
        assert_eq!(prepare(&context, "clean", &genesis(), 0).await.unwrap(), clean, "from its record");

        // Some of a first state, durable, without the record.
        let database = storage("torn").database();
        let database = StateDb::<Context>::init(context.child("torn"), database, None).await.unwrap();
        let batch = database.new_batch().write(account_key(Address::ZERO), Some(Value::new([1; 72])));
        let batch = batch.merkleize(&database, None, &mut Proportional).await.unwrap();
        drop(database.apply_batch(batch).await.unwrap().sync().await.unwrap());
        assert_eq!(prepare(&context, "torn", &genesis(), 0).await.unwrap(), clean);
    });
}

#[test]
fn another_first_block_in_the_same_place_is_refused() {
    simulate(52, |context| async move {
        prepare(&context, "here", &genesis(), 0).await.unwrap();
        let mut richer = genesis();
        richer.alloc.held().unwrap().first_entry().unwrap().get_mut().nonce += 1;
        let mut later = genesis();
        later.timestamp += 1;
        let mut floor = genesis();
        floor.chain.base_fee_floor += 1;
        for other in [richer, later, floor] {
            let refused = prepare(&context, "here", &other, 0).await.unwrap_err();
            assert!(matches!(refused, GenesisFailure::OtherChain), "{refused}");
        }
        let refused = prepare(&context, "here", &genesis(), 1).await.unwrap_err();
        assert!(matches!(refused, GenesisFailure::OtherChain), "other validators: {refused}");
    });
}

#[test]
fn a_first_block_that_cannot_be_is_refused() {
    simulate(53, |context| async move {
        let named = Genesis { extra_data: [1].into(), ..genesis() };
        let refused = prepare(&context, "a", &named, 0).await.unwrap_err();
        assert!(matches!(refused, GenesisFailure::ExtraData));
        let cheap = Genesis { base_fee: 0, ..genesis() };
        let refused = prepare(&context, "b", &cheap, 0).await.unwrap_err();
        assert!(matches!(refused, GenesisFailure::Invalid(GenesisError::BaseFee { .. })));
    });
}

#[test]
fn a_damaged_record_is_refused() {
    simulate(54, |context| async move {
        prepare(&context, "damaged", &genesis(), 0).await.unwrap();
        let config =
            metadata::Config { partition: "damaged-genesis".into(), codec_config: (RangeCfg::from(..), ()) };
        let mut record: Metadata<Context, FixedBytes<1>, Vec<u8>> =
            Metadata::init(context.child("record"), config).await.unwrap();
        record.get_mut(&FixedBytes::new([0])).unwrap().pop();
        drop(record.sync().await.unwrap());
        let refused = prepare(&context, "damaged", &genesis(), 0).await.unwrap_err();
        assert!(matches!(refused, GenesisFailure::Malformed(_)), "{refused}");
    });
}
