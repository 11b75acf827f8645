//! Certificates of final blocks, checked by a light client that knows the network's keys and nothing else.

use crate::{
    finality::send_everything,
    network::{Network, World, simulate},
    people::{CHAIN, COIN, address, pay},
};
use alloy_primitives::{B256, FixedBytes};
use alloy_sol_types::SolEvent as _;
use commonware_codec::{Copying, Encode as _, Read as _, ReadExt as _};
use commonware_consensus::aggregation::{scheme::bls12381_threshold, types::Item};
use commonware_consensus::types::Height;
use commonware_cryptography::{
    bls12381::{
        dkg::feldman_desmedt::Output,
        primitives::{
            group::{Private, Share},
            sharing::ModeVersion,
            variant::MinSig,
        },
    },
    certificate::Scheme as _,
    ed25519, keccak256,
};
use commonware_parallel::Sequential;
use commonware_runtime::deterministic::Context;
use commonware_utils::{NZU32, Participant, non_empty, probability};
use rustix::time::{ClockId, clock_gettime};
use std::{io::Write as _, time::Duration};
use tacit_abi::IModels;
use tacit_consensus::namespace;
use tacit_light::{
    Certificate, CertificateKind, Finality, LightError, LightProof, Trust, ValidatorKey, prove_receipt,
    verify,
};

/// Knows the group key alone.
async fn group_trust(network: &Network) -> Trust {
    let genesis = network.someone().await.genesis().hash();
    Trust::new(CHAIN.chain_id, genesis).with_group(network.group().0.key())
}

/// Knows the validators alone.
async fn voter_trust(network: &Network) -> Trust {
    let genesis = network.someone().await.genesis().hash();
    let keys = network.validators();
    let keys = keys.iter().map(|key| ValidatorKey::new(B256::from_slice(key.as_ref())).unwrap());
    let namespace = namespace(&network.world.genesis, &network.validators()).unwrap();
    Trust::new(CHAIN.chain_id, genesis).with_validators(B256::from_slice(&namespace), keys)
}

/// Knows both.
async fn both_trust(network: &Network) -> Trust {
    voter_trust(network).await.with_group(network.group().0.key())
}

/// Waits until validator `i` has a threshold certificate of this very block.
pub(crate) async fn certified(network: &Network, i: usize, number: u64) {
    for tries in 0.. {
        let found = network.validator(i).await.threshold_certificate(number).await;
        if found.is_some_and(|(at, _)| at == number) {
            return;
        }
        assert!(tries < 1_000, "validator {i} has no certificate of block {number}");
        network.sleep(Duration::from_millis(20)).await;
    }
}

/// Every certificate of validator `i` is of the block it is filed under; its newest block gets one.
pub(crate) async fn check_certificates(network: &Network, i: usize) {
    let tip = network.world.journals[i].height();
    certified(network, i, tip).await;
    let trust = group_trust(network).await;
    let validator = network.validator(i).await;
    for (number, block) in network.world.chain() {
        let Some((at, _)) = validator.threshold_certificate(number).await.filter(|(at, _)| *at == number)
        else {
            continue;
        };
        let finality = validator.finality(at, Some(CertificateKind::Threshold)).await;
        // A block that is certified here may be on its way still.
        let Some(finality) = finality else { continue };
        assert_eq!(finality.headers.len(), 1);
        assert_eq!(finality.verify(&trust).unwrap().hash(), block.hash(), "{number} at validator {i}");
    }
}

async fn run(context: Context, validators: usize) {
    let network = Network::start(context, World::new(validators)).await;
    let sent = send_everything(&network.world);
    network.settle(0..validators, 5).await;
    let (group, voters) = (group_trust(&network).await, voter_trust(&network).await);
    let (_, receipts) = network.world.execute();
    let mut proved = 0;
    let mut published = 0;
    for (number, block) in network.world.chain() {
        for i in 0..validators {
            if number <= network.world.journals[i].height() {
                certified(&network, i, number).await;
            }
        }
        let validator = network.validator(0).await;
        let Some(by_group) = validator.finality(number, Some(CertificateKind::Threshold)).await else {
            continue;
        };
        assert_eq!(by_group.verify(&group).unwrap().hash(), block.hash());
        assert_eq!(by_group.verify(&voters), Err(LightError::NoGroup));
        let by_votes = validator.finality(number, Some(CertificateKind::Votes)).await.unwrap();
        assert_eq!(by_votes.verify(&voters).unwrap().hash(), block.hash());
        for (index, receipt) in receipts[&number].iter().enumerate() {
            let transactions = &block.block().body.transactions;
            for (trust, finality) in [(&group, &by_group), (&voters, &by_votes)] {
                let proof = prove_receipt(finality.clone(), &receipts[&number], index).unwrap();
                let proof = proof.with_transaction(transactions).unwrap();
                let verified = verify(trust, &LightProof::decode(&proof.encode()).unwrap()).unwrap();
                assert_eq!(verified.transaction(), Some(*transactions[index].tx_hash()));
                assert_eq!(verified.logs(), receipt.logs());
                assert!(verified.succeeded());
                assert_eq!(verified.block_hash(), block.hash());
            }
            proved += 1;
            published +=
                receipt.logs().iter().filter(|log| IModels::Published::decode_log(log).is_ok()).count();
        }
        // The same certificate says nothing in another network.
        let elsewhere = Trust::new(CHAIN.chain_id, B256::ZERO).with_group(network.group().0.key());
        assert_eq!(by_group.verify(&elsewhere), Err(LightError::GroupSignature));
    }
    assert_eq!((proved, published), (sent, 1));
}

#[test]
fn one_validator_certifies_every_block() {
    simulate(71, |context| run(context, 1));
}

#[test]
fn four_validators_certify_every_block() {
    simulate(72, |context| run(context, 4));
}

#[test]
fn certificates_appear_where_messages_are_lost() {
    simulate(73, |context| async move {
        let mut network = Network::start(context, World::new(4)).await;
        network.lose(probability!(0.8)).await;
        for nonce in 0..10 {
            network.world.pool.add(pay(1, nonce, address(2), COIN));
        }
        network.until("blocks", |world| world.height() >= 20).await;
        for i in 0..4 {
            for number in 1..=15 {
                certified(&network, i, number).await;
            }
            check_certificates(&network, i).await;
        }
    });
}

#[test]
fn a_silent_validator_holds_up_nothing() {
    simulate(74, |context| async move {
        let mut world = World::new(4);
        world.shares[2] = false;
        let network = Network::start(context, world).await;
        network.until("blocks", |world| world.height() >= 10).await;
        for i in 0..4 {
            for number in 1..=10 {
                certified(&network, i, number).await;
            }
        }
    });
}

/// Two of four without shares: no certificates, and no harm. Votes still convince. Once one is there, all blocks get theirs.
#[test]
fn too_few_shares_certify_later() {
    simulate(75, |context| async move {
        let mut world = World::new(4);
        world.shares = vec![true, true, false, false];
        let mut network = Network::start(context, world).await;
        network.until("blocks", |world| world.height() >= 80).await;
        for i in 0..4 {
            let validator = network.validator(i).await;
            assert_eq!(validator.threshold_certificate(0).await, None);
            assert!(validator.finality(3, Some(CertificateKind::Threshold)).await.is_none());
            let votes = validator.finality(3, None).await.unwrap();
            let header = votes.verify(&voter_trust(&network).await).unwrap();
            assert_eq!(header.hash(), network.world.chain()[&3].hash());
        }
        network.crash(2).await;
        network.world.shares[2] = true;
        network.boot(2).await;
        network.until("blocks", |world| world.height() >= 120).await;
        for i in [0, 1, 3] {
            for number in 1..=100 {
                certified(&network, i, number).await;
            }
        }
        check_certificates(&network, 2).await;
    });
}

/// What it had stays; what it missed comes as far as the others still sign it; votes or others' certificates do for the rest.
#[test]
fn a_validator_that_was_away_certifies_again() {
    simulate(76, |context| async move {
        let mut network = Network::start(context, World::new(4)).await;
        network.until("blocks", |world| world.height() >= 10).await;
        certified(&network, 1, 8).await;
        network.crash(1).await;
        let height = |world: &World| world.journals[0].height();
        network.until("others", |world| height(world) >= 40).await;
        network.boot(1).await;
        network.settle(0..4, 5).await;
        check_certificates(&network, 1).await;
        certified(&network, 1, 8).await;
        let trust = both_trust(&network).await;
        for number in 1..=40 {
            certified(&network, 0, number).await;
            let found = network.validator(1).await.finality(number, None).await;
            if let Some(finality) = found {
                assert_eq!(finality.verify(&trust).unwrap().hash(), network.world.chain()[&number].hash());
            }
        }
    });
}

#[test]
fn without_shares_there_are_votes() {
    simulate(77, |context| async move {
        let mut world = World::new(4);
        world.shares = vec![false; 4];
        let network = Network::start(context, world).await;
        network.until("blocks", |world| world.height() >= 5).await;
        let validator = network.validator(0).await;
        assert_eq!(validator.threshold_certificate(0).await, None);
        let finality = validator.finality(2, None).await.unwrap();
        let voters = voter_trust(&network).await;
        assert_eq!(finality.verify(&voters).unwrap().hash(), network.world.chain()[&2].hash());
        assert_eq!(finality.certificate.kind(), CertificateKind::Votes);
    });
}

/// A block that is not final, signed by fewer than a quorum of four: the library refuses to assemble, and nothing that can be
/// made of the parts convinces a light client. A quorum's signature does, so the test would notice.
#[test]
fn fewer_than_a_quorum_forge_nothing() {
    simulate(78, |context| async move {
        let network = Network::start(context, World::new(4)).await;
        network.until("blocks", |world| world.height() >= 1).await;
        let trust = group_trust(&network).await;
        let mut header = network.world.chain()[&1].block().header.clone();
        header.timestamp += 1;
        let item = Item { height: Height::new(1), digest: keccak256::Digest(header.hash_slow().0) };
        let (group, shares) = network.group();
        let bytes = alloy_primitives::hex::decode(group.to_string()).unwrap();
        let config = (NZU32!(4), ModeVersion::v0());
        let outcome = Output::<MinSig, ed25519::PublicKey>::read_cfg(&mut Copying(&bytes), &config).unwrap();
        let namespace = tacit_light::certificate_namespace(CHAIN.chain_id, trust.genesis());
        let schemes: Vec<bls12381_threshold::Scheme<ed25519::PublicKey, MinSig>> = shares
            .iter()
            .enumerate()
            .map(|(i, share)| {
                let secret = Private::read(&mut Copying(&share.bytes()[..])).unwrap();
                let share = Share::new(Participant::from_usize(i), secret);
                let public = outcome.public().clone();
                bls12381_threshold::Scheme::signer(namespace.as_slice(), network.validators(), public, share)
                    .unwrap()
            })
            .collect();
        let parts: Vec<_> =
            schemes.iter().map(|scheme| scheme.sign::<keccak256::Digest>(&item).unwrap()).collect();
        let judge = |signature: &[u8]| {
            let certificate = Certificate::Threshold(FixedBytes::from_slice(signature));
            Finality { headers: vec![header.clone()], certificate }.verify(&trust).map(|_| ())
        };
        for few in [1, 2] {
            let some = parts[..few].to_vec();
            assert!(schemes[0].assemble(non_empty![@some], &Sequential).is_err());
        }
        let alone = parts.iter().map(|part| *part.signature.get().unwrap());
        for part in alone.clone() {
            assert_eq!(judge(&part.encode()), Err(LightError::GroupSignature));
        }
        let together = alone.reduce(|sum, part| sum + &part).unwrap();
        assert_eq!(judge(&together.encode()), Err(LightError::GroupSignature));
        let three = parts[..3].to_vec();
        let quorum = schemes[0].assemble(non_empty![@three], &Sequential).unwrap();
        assert_eq!(judge(&quorum.encode()), Ok(()));
    });
}

/// Processor time of a block, all four validators together, with certificates and without:
/// `cargo test -p tacit-consensus --test it -- --ignored --nocapture cost_of_certificates`.
#[test]
#[ignore = "a measurement"]
fn cost_of_certificates() {
    for shares in [false, true, false, true] {
        let blocks = 200;
        let started = clock_gettime(ClockId::ProcessCPUTime);
        simulate(79, |context| async move {
            let mut world = World::new(4);
            world.shares = vec![shares; 4];
            let network = Network::start(context, world).await;
            network.until("blocks", |world| world.height() >= blocks).await;
        });
        let ended = clock_gettime(ClockId::ProcessCPUTime);
        let time = |at: rustix::time::Timespec| {
            Duration::new(at.tv_sec.try_into().unwrap(), at.tv_nsec.try_into().unwrap())
        };
        let per_block = (time(ended) - time(started)) / u32::try_from(blocks).unwrap();
        writeln!(std::io::stdout(), "{{\"certificates\":{shares},\"cpu_us\":{}}}", per_block.as_micros())
            .unwrap();
    }
}
