//! One lie per block: a validator accepts the honest block and refuses every other.

use crate::{
    genesis::{group_of, storage},
    network::{RULES, TIMING, simulate},
    people::{COIN, address, genesis, pay},
    pool::{Journal, Pool, Source},
};
use alloy_consensus::{Header, proofs::calculate_transaction_root};
use alloy_primitives::{Address, B256, Bloom, U256};
use commonware_consensus::{
    marshal::ancestry,
    simplex::types::Context as Position,
    types::{Epoch, Round, View},
};
use commonware_cryptography::{Digested, Digestible as _, Signer as _, ed25519};
use commonware_glue::stateful::{
    Application, Finality, Input,
    db::{DatabaseSet, Shared},
};
use commonware_runtime::{Clock as _, Supervisor as _, deterministic::Context};
use commonware_storage::mmr::Location;
use commonware_utils::range::NonEmptyRange;
use futures::future::{Either, select};
use std::{num::NonZeroU64, sync::Arc, time::Duration};
use tacit_consensus::{ChainBlock, Ledger, ProposalInput, Rules, Seal, prepare_genesis, state::StateDb};
use tacit_ledger::{Block, LtHash, StateCommitment as _};
use tacit_light::Checkpoint;

type Database = Shared<StateDb<Context>>;

fn digested(block: &ChainBlock) -> Digested<ChainBlock> {
    Digested::precomputed(block.clone(), block.digest())
}

/// The block with something changed, and everything that a decoder checks put right again.
pub(crate) fn lie(honest: &ChainBlock, change: impl FnOnce(&mut Seal, &mut Block)) -> ChainBlock {
    let (mut seal, mut block) = (honest.seal().clone(), honest.block().clone());
    change(&mut seal, &mut block);
    block.header.extra_data = seal.commitment().to_vec().into();
    block.header.transactions_root = calculate_transaction_root(&block.body.transactions);
    ChainBlock::new(seal, block).unwrap()
}

#[test]
fn every_lie_about_a_block_is_refused() {
    judge(61, RULES, |honest| {
        assert_eq!(honest.seal().checkpoint, None);
        let early = Checkpoint { number: 0, root: B256::ZERO };
        vec![("a checkpoint too many", lie(honest, |seal, _| seal.checkpoint = Some(early)))]
    });
}

#[test]
fn every_lie_about_a_checkpoint_is_refused() {
    let rules = Rules { checkpoint_blocks: NonZeroU64::MIN, ..RULES };
    judge(62, rules, |honest| {
        let due = honest.seal().checkpoint.unwrap();
        let root = genesis().build(LtHash::default()).unwrap().commitment.root();
        assert_eq!(due, Checkpoint { number: 0, root });
        let with = |checkpoint| lie(honest, |seal, _| seal.checkpoint = Some(checkpoint));
        vec![
            ("another root", with(Checkpoint { root: B256::ZERO, ..due })),
            ("another block", with(Checkpoint { number: 1, ..due })),
        ]
    });
}

/// Tells an honest block from others that differ in one thing each, `more` beside those of any block.
fn judge(seed: u64, rules: Rules, more: impl FnOnce(&ChainBlock) -> Vec<(&'static str, ChainBlock)>) {
    simulate(seed, |context| async move {
        let leader = ed25519::PrivateKey::from_seed(0).public_key();
        let config = storage("check").database();
        let genesis = genesis();
        let group = group_of(0);
        let first = prepare_genesis(context.child("genesis"), "check", config.clone(), &genesis, &group);
        let first = first.await.unwrap();
        let database =
            <Database as DatabaseSet<Context>>::init(context.child("database"), config, None).await;
        let pool = Pool::default();
        for nonce in 0..3 {
            pool.add(pay(1, nonce, address(2), COIN));
        }
        let source = Source { pool: pool.clone(), checked: Arc::default(), forged: None };
        let beneficiary = Address::repeat_byte(0xb0);
        let journal = Journal::new(pool).begun(&genesis);
        let mut ledger =
            Ledger::new(rules, TIMING.pace, beneficiary, Arc::new(first.clone()), source, journal);
        let position = Position {
            round: Round::new(Epoch::zero(), View::new(1)),
            leader,
            parent: (View::zero(), first.digest()),
        };
        let batches = || <Database as DatabaseSet<Context>>::new_batches(&database);
        let upstream = ProposalInput { upstream: (), payload: None };
        let input = Input { upstream, provider: () };
        let parents = ancestry::from_iter([digested(&first)]);
        let proposed = Application::<Context>::propose(
            &mut ledger,
            (context.child("propose"), position.clone()),
            parents,
            batches().await,
            input,
        );
        let honest = proposed.await.unwrap().block;
        assert_eq!(honest.block().body.transactions.len(), 3);

        let header = |change: fn(&mut Header)| lie(&honest, |_, block| change(&mut block.header));
        let mut lies = vec![
            ("state root", header(|header| header.state_root.0[0] ^= 1)),
            ("receipts root", header(|header| header.receipts_root.0[0] ^= 1)),
            ("bloom", header(|header| header.logs_bloom = Bloom::repeat_byte(1))),
            ("gas used", header(|header| header.gas_used -= 1)),
            ("beneficiary", header(|header| header.beneficiary = Address::ZERO)),
            ("base fee", header(|header| header.base_fee_per_gas = Some(7))),
            ("difficulty", header(|header| header.difficulty = U256::ONE)),
            ("requests", header(|header| header.requests_hash = None)),
            ("beacon root", header(|header| header.parent_beacon_block_root = Some(B256::repeat_byte(1)))),
            ("future", header(|header| header.timestamp += 31)),
            ("a transaction left out", lie(&honest, |_, block| drop(block.body.transactions.pop()))),
            (
                "one twice",
                lie(&honest, |_, block| {
                    let again = block.body.transactions[0].clone();
                    block.body.transactions.push(again);
                }),
            ),
            ("order", lie(&honest, |_, block| block.body.transactions.reverse())),
            (
                "range",
                lie(&honest, |seal, _| {
                    let (start, end) = (Location::new(*seal.range.start() + 1), seal.range.end());
                    seal.range = NonEmptyRange::new(start..end).unwrap();
                }),
            ),
        ];
        lies.extend(more(&honest));
        for finality in [Finality::Candidate, Finality::Finalized] {
            let mut judge = async |block: &ChainBlock| {
                let parents = ancestry::from_iter([digested(block), digested(&first)]);
                let context = (context.child("process"), position.clone());
                let verdict =
                    Application::<Context>::process(&mut ledger, context, parents, batches().await, finality);
                verdict.await.is_some()
            };
            assert!(judge(&honest).await, "the honest block is refused");
            for (name, block) in &lies {
                assert!(!judge(block).await, "{name}: a lie is accepted");
            }
        }
        // A sink that is behind holds up a judgement on what it must know, and nothing else.
        let late = Journal::new(Pool::default());
        let source = Source { pool: Pool::default(), checked: Arc::default(), forged: None };
        let genesis_block = Arc::new(first.clone());
        let mut ledger = Ledger::new(rules, TIMING.pace, beneficiary, genesis_block, source, late.clone());
        let verdict = Application::<Context>::process(
            &mut ledger,
            (context.child("late"), position.clone()),
            ancestry::from_iter([digested(&honest), digested(&first)]),
            batches().await,
            Finality::Candidate,
        );
        let time = context.sleep(Duration::from_secs(60));
        let verdict = match select(Box::pin(verdict), Box::pin(time)).await {
            Either::Left((verdict, _)) => {
                assert_eq!(honest.seal().checkpoint, None, "judged without the state");
                verdict
            }
            Either::Right(((), verdict)) => {
                assert!(honest.seal().checkpoint.is_some(), "never judged");
                let _ = late.begun(&genesis);
                verdict.await
            }
        };
        assert!(verdict.is_some());
    });
}
