//! What a block may carry for the key to change hands, and where: everything else is refused before anybody votes.

use crate::network::{TIMING, simulate};
use alloy_consensus::{
    BlockBody, Header,
    constants::{EMPTY_ROOT_HASH, EMPTY_WITHDRAWALS},
};
use alloy_primitives::B256;
use commonware_actor::mailbox;
use commonware_consensus::{
    Application, Heightable as _,
    marshal::ancestry::{self, Ancestry},
    simplex::{scheme::ed25519::Scheme, types::Context as Position},
    types::{Epoch, Height, Round, View},
};
use commonware_cryptography::{
    Digested, Digestible as _, Signer as _,
    bls12381::{
        dkg::feldman_desmedt::{self, Dealer, Info, Reveal},
        primitives::{sharing::Mode, variant::MinSig},
    },
    ed25519::PrivateKey,
    keccak256,
};
use commonware_glue::dkg::{
    reshare::{self, EpochInfoResponse, Message},
    types::EpochOutcome,
};
use commonware_macros::select;
use commonware_runtime::{Clock as _, Spawner as _, Supervisor as _, deterministic::Context};
use commonware_storage::mmr::Location;
use commonware_utils::{N3f1, NZU64, NZUsize, TestRng, ordered::Set, range::NonEmptyRange, sequence::Unit};
use tacit_consensus::{ChainBlock, ConsensusContext, EpochRecord, Payload, ProposalInput, Seal};
use tacit_ledger::Block;

/// A ledger that has nothing against any block.
#[derive(Clone)]
struct Lenient;

impl Application<Context> for Lenient {
    type SigningScheme = Scheme;
    type Context = ConsensusContext;
    type Block = ChainBlock;
    type Input = ProposalInput;

    async fn propose(
        &mut self,
        _: (Context, ConsensusContext),
        _: impl Ancestry<ChainBlock>,
        _: ProposalInput,
    ) -> Option<Digested<ChainBlock>> {
        None
    }

    async fn verify(&mut self, _: (Context, ConsensusContext), _: impl Ancestry<ChainBlock>) -> bool {
        true
    }
}

fn position() -> ConsensusContext {
    Position {
        round: Round::new(Epoch::zero(), View::new(9)),
        leader: PrivateKey::from_seed(0).public_key(),
        parent: (View::new(8), keccak256::Digest([1; 32])),
    }
}

fn block(height: u64, payload: Option<Payload>) -> ChainBlock {
    let seal = Seal {
        context: position(),
        height: Height::new(height),
        range: NonEmptyRange::new(Location::new(0)..Location::new(1)).unwrap(),
        payload,
    };
    let header = Header {
        parent_hash: B256::new([1; 32]),
        extra_data: seal.commitment().to_vec().into(),
        transactions_root: EMPTY_ROOT_HASH,
        withdrawals_root: Some(EMPTY_WITHDRAWALS),
        ..Header::default()
    };
    let body = BlockBody { withdrawals: Some(Vec::new().into()), ..BlockBody::default() };
    ChainBlock::new(seal, Block { header, body }).unwrap()
}

fn record(epoch: u64, members: u64) -> Payload {
    let keys = Set::from_iter_dedup((0..members).map(|seed| PrivateKey::from_seed(seed).public_key()));
    let dealt = feldman_desmedt::deal::<MinSig, _, N3f1>(TestRng::new(1), Mode::NonZeroCounter, keys.clone());
    Payload::EpochInfo(EpochRecord {
        outcome: EpochOutcome::Success,
        epoch: Epoch::new(epoch),
        output: dealt.unwrap().0,
        players: keys.clone(),
        next_players: keys,
        directory: Unit,
    })
}

fn log() -> Payload {
    let (me, mode) = (PrivateKey::from_seed(0), Mode::NonZeroCounter);
    let keys = Set::from_iter_dedup([me.public_key()]);
    let info = Info::new::<N3f1>(b"t", 0, None, mode, Reveal::V1, keys.clone(), keys).unwrap();
    Payload::DealerLog(Dealer::start::<N3f1>(TestRng::new(2), info, me, None).unwrap().0.finalize::<N3f1>())
}

/// Epochs of eight blocks: heights 0 to 7, the second half from 4 on.
#[test]
fn a_payload_in_the_wrong_place_or_of_another_epoch_is_refused() {
    simulate(121, |context| async move {
        let (sender, mut inbox) = mailbox::new(context.child("mailbox"), NZUsize!(8));
        // Answers as the one who knows how the dealing went.
        context.child("answers").spawn(|_| async move {
            while let Some(message) = inbox.recv().await {
                if let Message::EpochInfo { response, .. } = message {
                    let _ = response.send(EpochInfoResponse::Available(Some(record(1, 4))));
                }
            }
        });
        let mailbox = reshare::Mailbox::<ChainBlock, MinSig, PrivateKey>::new(sender);
        let mut application = reshare::Application::new(Lenient, mailbox, NZU64!(8));
        let mut judge = async |height: u64, payload: Option<Payload>| {
            let block = block(height, payload);
            assert_eq!(block.height().get(), height);
            let ancestry = ancestry::from_iter([Digested::precomputed(block.clone(), block.digest())]);
            let verdict = application.verify((context.child("verify"), position()), ancestry);
            let verdict = select! {
                verdict = verdict => Some(verdict),
                () = context.sleep(TIMING.leader_timeout) => None,
            };
            verdict.unwrap()
        };
        for height in [1, 2, 3] {
            assert!(judge(height, None).await);
            assert!(!judge(height, Some(log())).await, "a log in the first half, at {height}");
            assert!(!judge(height, Some(record(1, 4))).await, "an epoch that begins at {height}");
        }
        for height in [4, 5, 6] {
            assert!(judge(height, None).await);
            assert!(judge(height, Some(log())).await);
            assert!(!judge(height, Some(record(1, 4))).await, "an epoch that begins at {height}");
        }
        assert!(judge(7, Some(record(1, 4))).await);
        assert!(!judge(7, None).await, "the last block says nothing");
        assert!(!judge(7, Some(log())).await, "a log in the last block");
        assert!(!judge(7, Some(record(1, 3))).await, "another committee");
        assert!(!judge(7, Some(record(2, 4))).await, "another epoch");
    });
}
