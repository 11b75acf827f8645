//! The decision to begin at an anchor, written down.
//!
//! # Crash
//! In this order, each durable before the next: what this module keeps, the library's record for epochs, the library's record of the floor. The last
//! decides: without it, the others are those of an attempt that was interrupted, and are thrown away or written again. Once it
//! is there, each start goes on with it, whether it is given an anchor or not.

use super::Anchor;
use crate::{
    block::{BlockHash, ChainBlock, EpochRecord, PARTICIPANTS_MAX},
    ports::BlockSink,
};
use bytes::BufMut;
use commonware_codec::{Buf, EncodeSize, Error as CodecError, Read, ReadExt as _, Write};
use commonware_consensus::{marshal::standard::Standard, simplex::scheme::ed25519::Scheme};
use commonware_cryptography::bls12381::primitives::{sharing::ModeVersion, variant::MinSig};
use commonware_glue::{
    dkg::state_sync::{Config as EpochPlanConfig, Plan, StateSync},
    stateful::SyncPlan,
};
use commonware_runtime::Clock;
use commonware_storage::{
    Context as StorageContext,
    metadata::{self, Metadata},
};
use commonware_utils::sequence::{FixedBytes, Unit};
use std::time::UNIX_EPOCH;

type StatePlan<E> = SyncPlan<E, Scheme, Standard<ChainBlock>>;
type EpochPlan = Plan<Scheme, BlockHash, MinSig, Unit>;

/// Why a validator that begins without old blocks does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeginError {
    /// What was decided cannot be read or written.
    #[error("record of the beginning")]
    Record(#[from] metadata::Error),
    /// The node's store and consensus do not belong together.
    #[error("consensus began at block {floor}, and the store of blocks ends at block {head}")]
    SinkBehind {
        /// Number of the floor.
        floor: u64,
        /// Of the newest block that the sink has.
        head: u64,
    },
}

/// What is kept of a beginning at an anchor, for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Begun {
    /// When that was, in seconds since 1970, by this validator's clock.
    pub(crate) since_s: u64,
    /// Number of the floor.
    pub(crate) floor: u64,
    /// Who keeps the floor's epoch.
    pub(crate) record: EpochRecord,
}

impl Write for Begun {
    fn write(&self, buf: &mut impl BufMut) {
        self.since_s.write(buf);
        self.floor.write(buf);
        self.record.write(buf);
    }
}

impl EncodeSize for Begun {
    fn encode_size(&self) -> usize {
        self.since_s.encode_size() + self.floor.encode_size() + self.record.encode_size()
    }
}

impl Read for Begun {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, CodecError> {
        Ok(Self {
            since_s: u64::read(buf)?,
            floor: u64::read(buf)?,
            record: EpochRecord::read_cfg(buf, &(PARTICIPANTS_MAX, ModeVersion::v0()))?,
        })
    }
}

/// How a validator begins.
pub(crate) struct Beginning<E: StorageContext> {
    /// Of the state database.
    pub(crate) state: StatePlan<E>,
    /// Of the epochs.
    pub(crate) epochs: EpochPlan,
    /// Nothing where it began with the first block.
    pub(crate) begun: Option<Begun>,
}

/// Whether a directory has a beginning, so that no anchor is needed or taken any more.
pub async fn has_begun<E: StorageContext>(context: E, partition: &str) -> bool {
    let plan = StatePlan::<E>::init(context, partition).await;
    plan.floor().is_some() || plan.completed().is_some()
}

/// Decides how to begin: as decided before, else at `anchor`, else with the first block.
///
/// # Errors
/// A store fails, or the sink does not have the floor.
pub(crate) async fn begin<E: StorageContext + Clock, S: BlockSink>(
    context: &E,
    partition: &str,
    anchor: Option<Anchor>,
    sink: &S,
) -> Result<Beginning<E>, BeginError> {
    let config = metadata::Config { partition: format!("{partition}-begun"), codec_config: () };
    let kept: Metadata<E, FixedBytes<1>, Begun> = Metadata::init(context.child("begun"), config).await?;
    let mut state = StatePlan::<E>::init(context.child("plan"), partition).await;
    let before = state.floor().is_some() || state.completed().is_some();
    let epochs = EpochPlanConfig {
        partition_prefix: partition.to_owned(),
        max_participants: PARTICIPANTS_MAX,
        max_supported_mode: ModeVersion::v0(),
    };
    let (begun, provided) = match (before, anchor) {
        (true, _) => (kept.get(&KEY).cloned(), None),
        (false, None) => (None, None),
        (false, Some(Anchor { record, floor, header })) => {
            let since_s = context.current().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let begun = Begun { since_s, floor: header.number, record: record.clone() };
            (Some(begun), Some(StateSync { info: record, floor }))
        }
    };
    let Some(begun) = begun else {
        if kept.get(&KEY).is_some() {
            let mut kept = kept;
            kept.remove(&KEY);
            kept.sync().await?;
        }
        return Ok(Beginning { state, epochs: EpochPlan::disabled(), begun: None });
    };
    let (floor, head) = (begun.floor, sink.head());
    if head < floor {
        return Err(BeginError::SinkBehind { floor, head });
    }
    if provided.is_some() {
        kept.put_sync(KEY, begun.clone()).await?;
    }
    let floor = provided.as_ref().map(|provided| provided.floor.clone());
    let epochs = EpochPlan::init(context.child("epochs"), epochs, provided).await;
    if let Some(floor) = floor {
        state = state.set_floor(floor).await;
    }
    Ok(Beginning { state, epochs, begun: Some(begun) })
}

const KEY: FixedBytes<1> = FixedBytes::new([0]);
