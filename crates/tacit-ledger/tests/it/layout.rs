//! Storage of the modules compared, slot by slot, with contracts that solc laid out.

use crate::{
    support::{CHAIN_ID, COIN, Draft, Net, address, bytecode, key},
    validators::{RULES, founders, voter_key},
};
use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256, uint};
use alloy_sol_types::{SolCall, SolStruct};
use std::collections::BTreeMap;
use tacit_abi::{
    Evidence, IAsks, IAudits, IBeacons, IChannels, IModels, IPolicies, IProofs, IReceipts, IStakes, ISubnets,
    IValidators, Privacy, Receipt, Verdict,
    asks::{self, ASK_STAKE, HOUR_S, TOKENS_KEPT_S},
    audits::{self, CHALLENGE_BOND, PERIOD_S, STEP_S},
    beacons,
    channels::{self, channel_id},
    models,
    policies::{self, BOND, DELAY_MIN_S, QUORUM_MIN, VOTE_S, line_id, proposal_id},
    proofs, receipts,
    stakes::{self, UNBONDING_S},
    subnets::{self, Commitment},
    validators,
};
use tacit_graph::trace::{Kind, evidence_commitment};
use tacit_policy::{ImageId, Policy};

alloy_sol_types::sol! {
    interface IModelsLayout {
        function seed(bytes32 id, bytes32 root, string calldata name) external;
    }
    interface IStakesLayout {
        struct Record {
            uint128 bonded;
            uint128 unbonding;
            uint64 releaseAt;
        }
        function seed(Record calldata record) external;
    }
    interface IAsksLayout {
        struct AskRecord {
            address worker;
            uint8 privacy;
            uint8 evidence;
            uint64 validUntil;
            uint128 price;
            uint128 promptPrice;
            uint128 completionPrice;
            uint32 capacity;
            bytes32 sealingKey;
            string endpoint;
        }
        struct TokensRecord {
            bytes32 keyHash;
            uint128 price;
            uint64 since;
            bytes32 previousKeyHash;
            uint128 previousPrice;
            uint64 previousUntil;
        }
        struct BeatsRecord {
            uint64 last;
            uint32 firstHour;
            uint160 beaten;
        }
        function seed(bytes32 id, AskRecord calldata record, BeatsRecord calldata beat) external;
        function seedTokens(address worker, TokensRecord calldata record) external;
    }
    interface IAuditsLayout {
        struct ChallengeRecord {
            address challenger;
            uint64 deadline;
            uint8 turn;
            uint8 level;
            address worker;
            uint32 index;
            uint32 leaves;
            bytes32 receiptHash;
            bytes32 node;
        }
        function seed(bytes32 model, bytes32 root, bytes32 id, ChallengeRecord calldata record) external;
        function seedCover(address worker, bytes32 channel, uint64 period, uint128 amount) external;
        function seedPassed(bytes32 receiptHash, address worker) external;
        function seedConvicted(bytes32 receiptHash, address worker) external;
    }
    interface IBeaconsLayout {
        function seed(uint64 number, bytes32 beacon) external;
    }
    interface IPoliciesLayout {
        struct Line {
            bytes32 policy;
            uint64 delay;
            uint16 quorum;
            uint64 version;
            uint48 since;
            uint32 proposals;
            bytes32 first;
        }
        struct Proposal {
            address proposer;
            uint64 until;
            uint8 status;
            bool narrows;
            bytes32 line;
            bytes32 policy;
            uint64 version;
        }
        function seed(bytes32 id, Line calldata line, bytes32 proposal, Proposal calldata record, bytes32 key, uint8 vote) external;
    }
    interface IChannelsLayout {
        struct Record {
            address client;
            uint64 closeAt;
            bool open;
            address worker;
            address signer;
            uint128 deposit;
            uint128 settled;
        }
        function seed(bytes32 id, Record calldata record) external;
    }
    interface IProofsLayout {
        function seed(bytes32 id, bytes32 root, bytes32[] calldata parts) external;
    }
    interface IValidatorsLayout {
        struct Parameters {
            uint64 epochBlocks;
            uint64 unbondingSeconds;
            uint32 unbondingEpochs;
            uint16 seats;
            uint16 candidates;
            uint64 firstBlock;
            uint128 stakeMin;
        }
        struct Record {
            address owner;
            uint64 epoch;
            uint16 place;
            uint8 status;
            uint128[4] weights;
            uint128 stake;
            uint40 exitEpoch;
            uint40 exitFailures;
            uint48 releaseAt;
        }
        function seed(bytes32 name, Parameters calldata rules, uint16 count, bytes32 key, Record calldata record) external;
    }
    interface IReceiptsLayout {
        function seed(bytes32 root, uint32 count) external;
    }
    interface ISubnetsLayout {
        struct Subnet {
            bytes32 task;
            uint16 kappa;
            uint16 bondsPenalty;
            uint32 bondsAverage;
            uint8 rule;
            uint16 alphaLow;
            uint16 alphaHigh;
            uint16 alphaSteepness;
            uint16 quorum;
            uint16 workersMax;
            uint16 validatorsMax;
            uint32 epochSeconds;
            uint32 revealSeconds;
            uint128 fee;
            uint128 stakeMin;
            uint128 pool;
            uint64 start;
            uint32 payout;
            uint128 paid;
            uint64 next;
            string text;
        }
        struct Worker {
            address account;
            uint64 since;
            uint64 consensus;
            uint64 rank;
            uint64 trust;
            uint64 incentive;
            uint128 reward;
        }
        struct Committed {
            bytes32 commitment;
            uint128 stake;
            uint64 epoch;
            bool revealed;
            uint16[64] weights;
        }
        struct Validator {
            address account;
            uint64 since;
            uint128 stake;
            uint128 reward;
            uint64 trust;
            uint64 dividends;
            Committed[3] committed;
            uint16[64] bonds;
        }
        struct Leaving {
            uint128 amount;
            uint64 releaseAt;
        }
        function seed(Subnet calldata subnet, uint16 worker, Worker calldata record) external;
        function seedValidator(uint16 seat, Validator calldata record, Leaving calldata rest) external;
    }
}

fn slots(net: &Net, of: Address) -> BTreeMap<U256, U256> {
    net.state
        .storage
        .iter()
        .filter(|((address, _), _)| *address == of)
        .map(|((_, slot), value)| (*slot, *value))
        .collect()
}

/// Sends messages of one person in one block, so that block number and sender agree. Gas that the last one used.
fn together(net: &mut Net, from: u8, messages: Vec<(Address, u128, Vec<u8>)>) -> u64 {
    let first = net.nonce(from);
    let candidates = messages.into_iter().zip(first..).map(|((to, value, input), nonce)| {
        Draft { to: TxKind::Call(to), value, input: input.into(), ..Draft::new(from, nonce) }.sign()
    });
    let built = net.mine(candidates.collect());
    assert!(built.executed.rejected.is_empty());
    for outcome in &built.executed.outcomes {
        assert!(alloy_consensus::TxReceipt::status(&outcome.receipt), "{}", outcome.output);
    }
    built.executed.outcomes.last().unwrap().gas_used
}

#[test]
fn models_are_laid_out_as_solc_does() {
    for name in ["digits", "a-name-of-exactly-31-characters", "a-name-of-exactly-32-characters."] {
        let mut net = Net::new();
        let twin = net.deploy(1, &bytecode("ModelsLayout"));
        let (id, root) = (B256::repeat_byte(0xd1), B256::repeat_byte(2));
        let seed = IModelsLayout::seedCall { id, root, name: name.into() };
        let publish = IModels::publishCall { modelId: id, weightRoot: root, name: name.into() };
        together(&mut net, 2, vec![(twin, 0, seed.abi_encode()), (models::ADDRESS, 0, publish.abi_encode())]);
        let expected = slots(&net, twin);
        assert!(expected.len() >= 6);
        assert_eq!(slots(&net, models::ADDRESS), expected, "{name}");
    }
}

#[test]
fn stakes_are_laid_out_as_solc_does() {
    let mut net = Net::new();
    let twin = net.deploy(1, &bytecode("StakesLayout"));
    let release_at = net.head.timestamp + 1 + UNBONDING_S;
    let record = IStakesLayout::Record { bonded: 60, unbonding: 40, releaseAt: release_at };
    together(
        &mut net,
        2,
        vec![
            (twin, 0, IStakesLayout::seedCall { record }.abi_encode()),
            (stakes::ADDRESS, 100, IStakes::bondCall {}.abi_encode()),
            (stakes::ADDRESS, 0, IStakes::unbondCall { amount: 40 }.abi_encode()),
        ],
    );
    let expected = slots(&net, twin);
    assert_eq!(expected.len(), 2);
    assert_eq!(slots(&net, stakes::ADDRESS), expected);
}

#[test]
fn audits_are_laid_out_as_solc_does() {
    let mut net = Net::new();
    let twin = net.deploy(1, &bytecode("AuditsLayout"));
    let (model, root) = (B256::repeat_byte(0xd1), B256::repeat_byte(2));
    let ((secret, worker), challenger) = (key(2), address(3));
    let (leaves, top, salt) = (70_000, B256::repeat_byte(3), B256::repeat_byte(4));
    let trace = Kind::Trace.root(u64::from(leaves), &top.0);
    let receipt = Receipt {
        jobId: B256::ZERO,
        modelId: model,
        channelId: B256::ZERO,
        client: challenger,
        worker,
        privacy: Privacy::Clear as u8,
        evidence: Evidence::Audited as u8,
        inputCommitment: B256::ZERO,
        outputCommitment: B256::ZERO,
        evidenceHash: evidence_commitment(&salt.0, &trace).into(),
        price: 0,
        cumulative: 0,
        completedAt: net.head.timestamp,
    };
    let digest = receipt.eip712_signing_hash(&receipts::domain(CHAIN_ID));
    let signature = sign_message(secret, digest).unwrap().as_bytes().into();
    let signed = IAudits::SignedReceipt { receipt: receipt.into(), signature, evidenceSalt: salt };
    let publish = IModels::publishCall { modelId: model, weightRoot: root, name: "m".into() };
    net.send(3, models::ADDRESS, 0, publish.abi_encode());
    net.send(2, stakes::ADDRESS, 1, IStakes::bondCall {}.abi_encode());

    let record = IAuditsLayout::ChallengeRecord {
        challenger,
        deadline: net.head.timestamp + 1 + STEP_S,
        turn: 1,
        level: 17,
        worker,
        index: 0,
        leaves,
        receiptHash: digest,
        node: top,
    };
    let id = keccak256([digest.0, challenger.into_word().0].concat());
    together(
        &mut net,
        3,
        vec![
            (twin, 0, IAuditsLayout::seedCall { model, root, id, record: record.clone() }.abi_encode()),
            (audits::ADDRESS, 0, IAudits::registerWeightsCall { modelId: model, root }.abi_encode()),
            (audits::ADDRESS, CHALLENGE_BOND, IAudits::challengeCall { signed, leaves, top }.abi_encode()),
        ],
    );
    let expected = slots(&net, twin);
    assert_eq!(expected.len(), 6);
    assert_eq!(slots(&net, audits::ADDRESS), expected);

    // The worker says nothing, and loses.
    let mut attributes = net.attributes();
    attributes.timestamp += STEP_S;
    let _ = net.mine_with(&attributes, Vec::new());
    let record = IAuditsLayout::ChallengeRecord { turn: 4, ..record };
    together(
        &mut net,
        3,
        vec![
            (twin, 0, IAuditsLayout::seedCall { model, root, id, record }.abi_encode()),
            (twin, 0, IAuditsLayout::seedConvictedCall { receiptHash: digest, worker }.abi_encode()),
            (audits::ADDRESS, 0, IAudits::settleCall { id }.abi_encode()),
        ],
    );
    let expected = slots(&net, twin);
    assert_eq!(expected.len(), 7);
    assert_eq!(slots(&net, audits::ADDRESS), expected);
}

#[test]
fn passed_audits_are_laid_out_as_solc_does() {
    let mut net = Net::new();
    let twin = net.deploy(1, &bytecode("AuditsLayout"));
    let (model, (secret, worker), (auditing, auditor)) = (B256::repeat_byte(0xd1), key(2), key(4));
    let receipt = Receipt {
        jobId: B256::ZERO,
        modelId: model,
        channelId: B256::ZERO,
        client: address(3),
        worker,
        privacy: Privacy::Clear as u8,
        evidence: Evidence::Audited as u8,
        inputCommitment: B256::ZERO,
        outputCommitment: B256::ZERO,
        evidenceHash: B256::ZERO,
        // So dear that every beacon selects it.
        price: ASK_STAKE,
        cumulative: ASK_STAKE,
        completedAt: net.head.timestamp,
    };
    let publish = IModels::publishCall { modelId: model, weightRoot: model, name: "m".into() };
    net.send(3, models::ADDRESS, 0, publish.abi_encode());
    for person in [2, 4] {
        net.send(person, stakes::ADDRESS, ASK_STAKE, IStakes::bondCall {}.abi_encode());
    }
    let terms = IAsks::Terms {
        privacy: Privacy::Clear as u8,
        evidence: Evidence::Audited as u8,
        price: 1,
        promptPrice: 0,
        completionPrice: 0,
        capacity: 1,
        validUntil: net.head.timestamp + 1_000,
        sealingKey: B256::ZERO,
        endpoint: "http://127.0.0.1:9".into(),
    };
    net.send(4, asks::ADDRESS, 0, IAsks::setCall { modelId: model, terms }.abi_encode());
    let other = B256::repeat_byte(9);
    let leaves = [receipts::leaf(&receipt, CHAIN_ID), other];
    let root = receipts::root(&leaves).unwrap();
    net.send(2, receipts::ADDRESS, 0, IReceipts::anchorCall { root, count: 2 }.abi_encode());
    let post =
        IBeacons::postCall { number: net.head.number, blockHash: net.head.hash(), signature: Bytes::new() };
    net.send(3, beacons::ADDRESS, 0, post.abi_encode());

    let digest = receipt.eip712_signing_hash(&receipts::domain(CHAIN_ID));
    let verdict = Verdict { receipt: digest, own: other };
    let said = verdict.eip712_signing_hash(&audits::domain(CHAIN_ID));
    let sign = |secret, digest| Bytes::from(sign_message(secret, digest).unwrap().as_bytes());
    let pass = IAudits::passCall {
        receipt: receipt.into(),
        signature: sign(secret, digest),
        root,
        siblings: vec![other],
        verdict: IAudits::SignedVerdict { auditor, own: other, signature: sign(auditing, said) },
    };
    let gas_used = together(
        &mut net,
        3,
        vec![
            (twin, 0, IAuditsLayout::seedPassedCall { receiptHash: digest, worker }.abi_encode()),
            (audits::ADDRESS, 0, pass.abi_encode()),
        ],
    );
    let expected = slots(&net, twin);
    assert_eq!(expected.len(), 2);
    assert_eq!(slots(&net, audits::ADDRESS), expected);
    println!("a passed audit, in a batch of two: {gas_used} gas");
}

#[test]
fn beacons_are_laid_out_as_solc_does() {
    let mut net = Net::new();
    let twin = net.deploy(1, &bytecode("BeaconsLayout"));
    let (number, hash) = (net.head.number, net.head.hash());
    let post = IBeacons::postCall { number, blockHash: hash, signature: Bytes::new() };
    let seed = IBeaconsLayout::seedCall { number, beacon: beacons::of_development(hash) };
    together(&mut net, 2, vec![(twin, 0, seed.abi_encode()), (beacons::ADDRESS, 0, post.abi_encode())]);
    let expected = slots(&net, twin);
    assert_eq!(expected.len(), 1);
    assert_eq!(slots(&net, beacons::ADDRESS), expected);
}

#[test]
fn covers_are_laid_out_as_solc_does() {
    let mut net = Net::new();
    let twin = net.deploy(1, &bytecode("AuditsLayout"));
    let worker = address(2);
    net.send(2, stakes::ADDRESS, 160, IStakes::bondCall {}.abi_encode());
    let (salt, signer) = (B256::ZERO, address(3));
    let open = IChannels::openCall { worker, signer, salt };
    net.send(3, channels::ADDRESS, 100, open.abi_encode());
    let channel = channel_id(CHAIN_ID, address(3), worker, signer, salt);
    let period = (net.head.timestamp + 1) / PERIOD_S;
    let seed = IAuditsLayout::seedCoverCall { worker, channel, period, amount: 30 };
    let cover = IAudits::coverCall { channelId: channel, amount: 30 };
    together(&mut net, 2, vec![(twin, 0, seed.abi_encode()), (audits::ADDRESS, 0, cover.abi_encode())]);
    let expected = slots(&net, twin);
    assert_eq!(expected.len(), 2);
    assert_eq!(slots(&net, audits::ADDRESS), expected);
}

#[test]
fn asks_are_laid_out_as_solc_does() {
    for endpoint in [
        "http://127.0.0.1:9",
        "https://an-endpoint-of-31-chars",
        "https://an-endpoint-that-fills-more-than-two-words.example:65535/v1",
    ] {
        let mut net = Net::new();
        let twin = net.deploy(1, &bytecode("AsksLayout"));
        let (id, key) = (B256::repeat_byte(0xd1), B256::repeat_byte(3));
        let publish = IModels::publishCall { modelId: id, weightRoot: key, name: "digits".into() };
        let terms = IAsks::Terms {
            privacy: 1,
            evidence: 3,
            price: u128::MAX - 5,
            promptPrice: u128::MAX - 6,
            completionPrice: u128::MAX - 7,
            capacity: u32::MAX - 8,
            validUntil: net.head.timestamp + 1_000,
            sealingKey: key,
            endpoint: endpoint.into(),
        };
        let record = IAsksLayout::AskRecord {
            worker: address(2),
            privacy: 1,
            evidence: 3,
            validUntil: terms.validUntil,
            price: terms.price,
            promptPrice: terms.promptPrice,
            completionPrice: terms.completionPrice,
            capacity: terms.capacity,
            sealingKey: key,
            endpoint: endpoint.into(),
        };
        // The ask is a beat, and there is another one five hours later.
        let (first, gap) = (net.head.timestamp + 1, 5 * HOUR_S);
        let beat = IAsksLayout::BeatsRecord {
            last: first + gap,
            firstHour: u32::try_from(first / HOUR_S).unwrap(),
            beaten: uint!(0b10_0001_U160),
        };
        together(
            &mut net,
            2,
            vec![
                (models::ADDRESS, 0, publish.abi_encode()),
                (stakes::ADDRESS, ASK_STAKE, IStakes::bondCall {}.abi_encode()),
                (twin, 0, IAsksLayout::seedCall { id, record, beat }.abi_encode()),
                (asks::ADDRESS, 0, IAsks::setCall { modelId: id, terms }.abi_encode()),
            ],
        );
        assert_eq!(net.head.timestamp, first);
        let mut attributes = net.attributes();
        attributes.timestamp = first + gap - 1;
        let _ = net.mine_with(&attributes, Vec::new());
        assert!(net.send(2, asks::ADDRESS, 0, IAsks::beatCall {}.abi_encode()).receipt.status());
        let expected = slots(&net, twin);
        assert!(expected.len() >= 9);
        assert_eq!(slots(&net, asks::ADDRESS), expected, "{endpoint}");
    }
}

#[test]
fn tokens_are_laid_out_as_solc_does() {
    let mut net = Net::new();
    let twin = net.deploy(1, &bytecode("AsksLayout"));
    let (first, second) = (B256::repeat_byte(0xa1), B256::repeat_byte(0xa2));
    let now = net.head.timestamp + 1;
    let record = IAsksLayout::TokensRecord {
        keyHash: second,
        price: u128::MAX - 9,
        since: now,
        previousKeyHash: first,
        previousPrice: u128::MAX - 8,
        previousUntil: now + TOKENS_KEPT_S,
    };
    together(
        &mut net,
        2,
        vec![
            (twin, 0, IAsksLayout::seedTokensCall { worker: address(2), record }.abi_encode()),
            (asks::ADDRESS, 0, IAsks::setTokensCall { keyHash: first, price: u128::MAX - 8 }.abi_encode()),
            (asks::ADDRESS, 0, IAsks::setTokensCall { keyHash: second, price: u128::MAX - 9 }.abi_encode()),
        ],
    );
    let expected = slots(&net, twin);
    assert_eq!(expected.len(), 4);
    assert_eq!(slots(&net, asks::ADDRESS), expected);
}

#[test]
fn channels_are_laid_out_as_solc_does() {
    let mut net = Net::new();
    let twin = net.deploy(1, &bytecode("ChannelsLayout"));
    let salt = B256::repeat_byte(7);
    let id = channel_id(crate::support::CHAIN_ID, address(2), address(3), address(4), salt);
    let close_at = net.head.timestamp + 1 + channels::GRACE_S;
    let seed = IChannelsLayout::seedCall {
        id,
        record: IChannelsLayout::Record {
            client: address(2),
            closeAt: close_at,
            open: true,
            worker: address(3),
            signer: address(4),
            deposit: COIN,
            settled: 0,
        },
    };
    let open = IChannels::openCall { worker: address(3), signer: address(4), salt };
    together(
        &mut net,
        2,
        vec![
            (twin, 0, seed.abi_encode()),
            (channels::ADDRESS, COIN, open.abi_encode()),
            (channels::ADDRESS, 0, IChannels::requestCloseCall { channelId: id }.abi_encode()),
        ],
    );
    assert_eq!(slots(&net, channels::ADDRESS), slots(&net, twin));

    // With a settled amount, too: both halves of the packed slot.
    let digest = alloy_sol_types::SolStruct::eip712_signing_hash(
        &tacit_abi::Voucher { channelId: id, cumulative: 5 },
        &channels::domain(crate::support::CHAIN_ID),
    );
    let signature =
        alloy_consensus::crypto::secp256k1::sign_message(crate::support::key(4).0, digest).unwrap();
    let signature = Bytes::from(signature.as_bytes());
    let seed = IChannelsLayout::seedCall {
        id,
        record: IChannelsLayout::Record {
            client: address(2),
            closeAt: close_at,
            open: true,
            worker: address(3),
            signer: address(4),
            deposit: COIN,
            settled: 5,
        },
    };
    together(
        &mut net,
        2,
        vec![
            (twin, 0, seed.abi_encode()),
            (
                channels::ADDRESS,
                0,
                IChannels::settleCall { channelId: id, cumulative: 5, signature }.abi_encode(),
            ),
        ],
    );
    assert_eq!(slots(&net, channels::ADDRESS), slots(&net, twin));
}

#[test]
fn policies_are_laid_out_as_solc_does() {
    let mut net = Net::from(&founders(&[(2, 300), (3, 300)]));
    let twin = net.deploy(1, &bytecode("PoliciesLayout"));
    let policy = |images: &[u8]| {
        let images = images.iter().map(|image| ImageId(B256::repeat_byte(*image)));
        Policy::new(images, [B256::repeat_byte(7)]).unwrap()
    };
    let (first, next) = (policy(&[1, 2]), policy(&[2]));
    let line = line_id(first.id(), DELAY_MIN_S, QUORUM_MIN);
    let proposal = proposal_id(line, 0);
    let now = net.head.timestamp + 1;
    let seed = IPoliciesLayout::seedCall {
        id: line,
        line: IPoliciesLayout::Line {
            policy: first.id(),
            delay: DELAY_MIN_S,
            quorum: QUORUM_MIN,
            version: 1,
            since: alloy_primitives::Uint::from(now),
            proposals: 1,
            first: first.id(),
        },
        proposal,
        record: IPoliciesLayout::Proposal {
            proposer: address(2),
            until: now + VOTE_S,
            status: 1,
            narrows: true,
            line,
            policy: next.id(),
            version: 1,
        },
        key: voter_key(2),
        vote: 1,
    };
    let bytes = first.encode().into();
    let open = IPolicies::openCall { policy: bytes, delay: DELAY_MIN_S, quorum: QUORUM_MIN };
    let propose = IPolicies::proposeCall { line, policy: next.encode().into() };
    together(
        &mut net,
        2,
        vec![
            (twin, 0, seed.abi_encode()),
            (policies::ADDRESS, 0, open.abi_encode()),
            (policies::ADDRESS, BOND, propose.abi_encode()),
            (policies::ADDRESS, 0, IPolicies::approveCall { proposal }.abi_encode()),
        ],
    );
    let expected = slots(&net, twin);
    assert_eq!(expected.len(), 3 + 4 + 1);
    assert_eq!(slots(&net, policies::ADDRESS), expected);
}

#[test]
fn receipts_are_laid_out_as_solc_does() {
    let mut net = Net::new();
    let twin = net.deploy(1, &bytecode("ReceiptsLayout"));
    let root = B256::repeat_byte(8);
    together(
        &mut net,
        2,
        vec![
            (twin, 0, IReceiptsLayout::seedCall { root, count: u32::MAX }.abi_encode()),
            (receipts::ADDRESS, 0, IReceipts::anchorCall { root, count: u32::MAX }.abi_encode()),
        ],
    );
    let expected = slots(&net, twin);
    assert_eq!(expected.len(), 1);
    assert_eq!(slots(&net, receipts::ADDRESS), expected);
}

#[test]
fn proofs_are_laid_out_as_solc_does() {
    let mut net = Net::new();
    let twin = net.deploy(1, &bytecode("ProofsLayout"));
    let graph = tacit_graph::encode_graph(tacit_graph::synthetic_mlp(&[2, 2], 1).unwrap().graph());
    let (head, tail) = graph.split_at(10);
    let root = B256::repeat_byte(4);
    let part = |part: &[u8]| {
        let code = [&[0][..], part].concat();
        (IProofs::storeCall { part: Bytes::copy_from_slice(part) }.abi_encode(), keccak256(code))
    };
    let ((head, head_id), (tail, tail_id)) = (part(head), part(tail));
    let parts = vec![head_id, tail_id];
    let id = B256::from(*tacit_graph::model_id(&graph, &root.0).as_bytes());
    together(
        &mut net,
        2,
        vec![
            (proofs::ADDRESS, 0, head),
            (proofs::ADDRESS, 0, tail),
            (
                proofs::ADDRESS,
                0,
                IProofs::registerCall { parts: parts.clone(), weightRoot: root }.abi_encode(),
            ),
            (twin, 0, IProofsLayout::seedCall { id, root, parts }.abi_encode()),
        ],
    );
    let expected = slots(&net, twin);
    assert_eq!(expected.len(), 4);
    assert_eq!(slots(&net, proofs::ADDRESS), expected);
}

#[test]
fn validators_are_laid_out_as_solc_does() {
    let genesis = founders(&[(1, 300), (2, 200)]);
    let mut net = Net::from(&genesis);
    let twin = net.deploy(1, &bytecode("ValidatorsLayout"));
    for _ in 0..RULES.epoch_blocks {
        let _ = net.mine(Vec::new());
    }
    let epoch = (net.head.number + 1) / RULES.epoch_blocks;
    assert!(epoch > 0);
    let rules = IValidatorsLayout::Parameters {
        epochBlocks: RULES.epoch_blocks,
        unbondingSeconds: RULES.unbonding_seconds,
        unbondingEpochs: RULES.unbonding_epochs,
        seats: RULES.seats,
        candidates: RULES.candidates,
        firstBlock: 0,
        stakeMin: RULES.stake_min,
    };
    let mut keys = [1, 2].map(|n| (voter_key(n), n));
    keys.sort();
    let mut messages = Vec::new();
    for ((key, n), place) in keys.into_iter().zip(1..) {
        let leaves = n == 2;
        let stake = if leaves { 200 * COIN } else { 300 * COIN };
        let release_at = if leaves { net.head.timestamp + 1 + RULES.unbonding_seconds } else { 0 };
        let record = IValidatorsLayout::Record {
            owner: address(n),
            epoch: if leaves { epoch } else { 0 },
            place,
            status: if leaves { 2 } else { 1 },
            weights: [stake; 4],
            stake,
            exitEpoch: alloy_primitives::Uint::from(if leaves { epoch + 4 } else { 0 }),
            exitFailures: alloy_primitives::Uint::ZERO,
            releaseAt: alloy_primitives::Uint::from(release_at),
        };
        let name = genesis.namespace().unwrap();
        let seed = IValidatorsLayout::seedCall { name, rules: rules.clone(), count: 1, key, record };
        messages.push((twin, 0, seed.abi_encode()));
    }
    messages.push((validators::ADDRESS, 0, IValidators::leaveCall {}.abi_encode()));
    together(&mut net, 2, messages);
    let expected = slots(&net, twin);
    assert_eq!(expected.len(), 4 + 1 + 2 + 2 * 4 + 2);
    assert_eq!(slots(&net, validators::ADDRESS), expected);
}

/// A subnet of seventeen seats, so that rows fill more than a slot, whose first worker came second.
fn subnet_terms() -> ISubnets::Terms {
    ISubnets::Terms {
        task: B256::repeat_byte(0xd1),
        text: "held-out rows whose description fills more than one slot".into(),
        kappa: 32_767,
        bondsPenalty: 65_535,
        bondsAverage: 900_000,
        rule: 2,
        alphaLow: 6_553,
        alphaHigh: 19_660,
        alphaSteepness: 1_000,
        quorum: 40_000,
        workersMax: 17,
        validatorsMax: 2,
        epochSeconds: 4,
        revealSeconds: 4,
        payout: 100_000,
        fee: 7,
        stakeMin: 100,
    }
}

#[test]
fn subnets_are_laid_out_as_solc_does() {
    let mut net = Net::new();
    let twin = net.deploy(1, &bytecode("SubnetsLayout"));
    let (terms, id) = (subnet_terms(), 0);
    let start = net.head.timestamp + 1;
    together(
        &mut net,
        2,
        vec![
            (subnets::ADDRESS, 0, ISubnets::createCall { terms: terms.clone() }.abi_encode()),
            (subnets::ADDRESS, 1_000_000, ISubnets::depositCall { id }.abi_encode()),
            (subnets::ADDRESS, 1_000, ISubnets::bondCall { id }.abi_encode()),
        ],
    );
    net.send(3, subnets::ADDRESS, 7, ISubnets::registerCall { id }.abi_encode());
    let wait = |net: &mut Net, until: u64| {
        while net.head.timestamp + 1 < until {
            let _ = net.mine(Vec::new());
        }
    };
    let (salt, validator) = (B256::repeat_byte(5), address(2));
    let weights: Vec<u16> = (1..=17).collect();
    let said = Commitment { chain_id: CHAIN_ID, id, epoch: 1, validator, salt, weights: &weights };
    let commitment = said.hash();
    wait(&mut net, start + 4);
    net.send(2, subnets::ADDRESS, 0, ISubnets::commitCall { id, epoch: 1, commitment }.abi_encode());
    wait(&mut net, start + 8);
    let reveal = ISubnets::revealCall { id, epoch: 1, salt, weights: weights.clone() };
    net.send(2, subnets::ADDRESS, 0, reveal.abi_encode());
    wait(&mut net, start + 12);
    net.send(3, subnets::ADDRESS, 0, ISubnets::closeCall { id, epoch: 1 }.abi_encode());
    net.send(2, subnets::ADDRESS, 0, ISubnets::unbondCall { id, amount: 100 }.abi_encode());

    let whole = 1 << 32;
    let mut row = [0_u16; 64];
    row[..17].copy_from_slice(&weights);
    // One worker is registered: what was said of free seats does not count.
    let mut bonds = [0_u16; 64];
    // A tenth, and of two tenths what the sigmoid gives a weight that consensus shares: 0.1013, as in upstream's scenarios.
    bonds[0] = 6_640;
    let nothing = || ISubnetsLayout::Committed {
        commitment: B256::ZERO,
        stake: 0,
        epoch: 0,
        revealed: false,
        weights: [0; 64],
    };
    let committed =
        ISubnetsLayout::Committed { commitment, stake: 1_000, epoch: 1, revealed: true, weights: row };
    let listed = net.view(subnets::ADDRESS, &ISubnets::validatorsCall { id });
    let subnet = ISubnetsLayout::Subnet {
        task: terms.task,
        kappa: terms.kappa,
        bondsPenalty: terms.bondsPenalty,
        bondsAverage: terms.bondsAverage,
        rule: terms.rule,
        alphaLow: terms.alphaLow,
        alphaHigh: terms.alphaHigh,
        alphaSteepness: terms.alphaSteepness,
        quorum: terms.quorum,
        workersMax: terms.workersMax,
        validatorsMax: terms.validatorsMax,
        epochSeconds: terms.epochSeconds,
        revealSeconds: terms.revealSeconds,
        fee: terms.fee,
        stakeMin: terms.stakeMin,
        pool: 900_007,
        start,
        payout: terms.payout,
        paid: 100_000,
        next: 2,
        text: terms.text.clone(),
    };
    let record = ISubnetsLayout::Worker {
        account: address(3),
        since: 0,
        consensus: whole,
        rank: whole,
        trust: whole,
        incentive: whole,
        reward: 50_000,
    };
    net.send(1, twin, 0, ISubnetsLayout::seedCall { subnet, worker: 0, record }.abi_encode());
    let record = ISubnetsLayout::Validator {
        account: validator,
        since: 0,
        stake: 900,
        reward: listed[0].reward,
        trust: whole,
        dividends: whole,
        committed: [nothing(), committed, nothing()],
        bonds,
    };
    let rest = ISubnetsLayout::Leaving { amount: 100, releaseAt: start + 20 };
    net.send(1, twin, 0, ISubnetsLayout::seedValidatorCall { seat: 0, record, rest }.abi_encode());

    let expected = slots(&net, twin);
    assert_eq!(listed[0].reward, 50_000);
    assert_eq!(slots(&net, subnets::ADDRESS), expected);
}
