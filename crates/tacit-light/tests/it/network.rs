//! A network whose keys are known: blocks of as many transactions as wanted, and certificates for them.

use alloy_consensus::{
    Header, Receipt, ReceiptEnvelope, SignableTransaction as _, TxEip1559, TxEnvelope, TxLegacy, TxType,
    proofs::{calculate_receipt_root, calculate_transaction_root},
};
use alloy_eips::eip2718::Typed2718 as _;
use alloy_primitives::{Address, B256, Bytes, FixedBytes, Log, Signature, TxKind, U256};
use alloy_sol_types::SolEvent as _;
use commonware_codec::{Encode as _, varint::UInt};
use commonware_cryptography::{
    Signer as _,
    bls12381::primitives::{
        group::{G2, Private},
        ops::{keypair, sign_message},
        variant::MinSig,
    },
    ed25519,
};
use commonware_utils::TestRng;
use tacit_abi::{IReceipts, receipts};
use tacit_light::{
    Certificate, Finality, GroupKey, LightProof, Trust, ValidatorKey, Votes, certificate_namespace,
    prove_receipt,
};

/// What votes are bound to; any 32 bytes do.
pub(crate) const NAMESPACE: B256 = B256::repeat_byte(0x5a);
pub(crate) const CHAIN_ID: u64 = 1337;

/// Everybody's keys.
pub(crate) struct Network {
    pub(crate) genesis: B256,
    pub(crate) secret: Private,
    pub(crate) group: G2,
    pub(crate) validators: Vec<ed25519::PrivateKey>,
}

/// A block with all that was done in it.
pub(crate) struct Block {
    pub(crate) header: Header,
    pub(crate) transactions: Vec<TxEnvelope>,
    pub(crate) receipts: Vec<ReceiptEnvelope>,
}

impl Network {
    pub(crate) fn new(seed: u64, validators: u64) -> Self {
        let (secret, group) = keypair::<_, MinSig>(&mut TestRng::new(seed));
        let mut validators: Vec<_> =
            (0..validators).map(|i| ed25519::PrivateKey::from_seed(seed * 1_000 + i)).collect();
        validators.sort_by_key(ed25519::PrivateKey::public_key);
        Self { genesis: B256::repeat_byte(u8::try_from(seed).unwrap()), secret, group, validators }
    }

    pub(crate) fn group(&self) -> GroupKey {
        GroupKey::new(FixedBytes::from_slice(&self.group.encode())).unwrap()
    }

    pub(crate) fn keys(&self) -> Vec<ValidatorKey> {
        let public = self.validators.iter().map(|key| B256::from_slice(&key.public_key().encode()));
        public.map(|bytes| ValidatorKey::new(bytes).unwrap()).collect()
    }

    /// Knows both kinds of signers.
    pub(crate) fn trust(&self) -> Trust {
        Trust::new(CHAIN_ID, self.genesis).with_group(self.group()).with_validators(NAMESPACE, self.keys())
    }

    pub(crate) fn threshold(&self, header: &Header) -> Certificate {
        let namespace = [certificate_namespace(CHAIN_ID, self.genesis).as_slice(), b"_AGG_ACK"].concat();
        let message = [UInt(header.number).encode().as_ref(), header.hash_slow().as_slice()].concat();
        let signature = sign_message::<MinSig>(&self.secret, &namespace, &message);
        Certificate::Threshold(FixedBytes::from_slice(&signature.encode()))
    }

    /// Votes of those in `who`.
    pub(crate) fn votes(&self, header: &Header, who: impl IntoIterator<Item = usize>) -> Votes {
        let keys = self.keys();
        let namespace = [NAMESPACE.as_slice(), b"_FINALIZE"].concat();
        let message = [&[0, 9, 8], header.hash_slow().as_slice()].concat();
        let signed = who.into_iter().map(|i| {
            let signature = self.validators[i].sign(&namespace, &message);
            (i, FixedBytes::from_slice(&signature.encode()))
        });
        Votes::new((0, 9, 8), keys.len(), signed)
    }

    /// Final by a threshold certificate of its own.
    pub(crate) fn finality(&self, block: &Block) -> Finality {
        Finality { headers: vec![block.header.clone()], certificate: self.threshold(&block.header) }
    }

    /// Final by votes of all.
    pub(crate) fn voted(&self, block: &Block) -> Finality {
        let votes = self.votes(&block.header, 0..self.validators.len());
        Finality { headers: vec![block.header.clone()], certificate: Certificate::Votes(votes) }
    }

    pub(crate) fn prove(&self, block: &Block, index: usize) -> LightProof {
        prove_receipt(self.finality(block), &block.receipts, index).unwrap()
    }
}

impl Block {
    /// `transactions` of two types, of which every third fails, and the others anchor a batch each.
    pub(crate) fn new(number: u64, parent_hash: B256, transactions: usize) -> Self {
        let sent: Vec<TxEnvelope> = (0..transactions).map(transaction).collect();
        let receipts: Vec<ReceiptEnvelope> =
            sent.iter().enumerate().map(|(i, sent)| receipt(i, sent)).collect();
        let header = Header {
            parent_hash,
            number,
            beneficiary: Address::repeat_byte(0xfe),
            state_root: B256::repeat_byte(0x57),
            transactions_root: calculate_transaction_root(&sent),
            receipts_root: calculate_receipt_root(&receipts),
            logs_bloom: receipts
                .iter()
                .fold(Default::default(), |bloom, receipt| bloom | *receipt.logs_bloom()),
            gas_limit: 60_000_000,
            gas_used: 21_000 * u64::try_from(transactions).unwrap(),
            timestamp: 1_800_000_000 + number,
            extra_data: Bytes::copy_from_slice(&[0xee; 32]),
            base_fee_per_gas: Some(1_000),
            withdrawals_root: Some(B256::repeat_byte(1)),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::ZERO),
            requests_hash: Some(B256::repeat_byte(2)),
            ..Header::default()
        };
        Self { header, transactions: sent, receipts }
    }
}

/// Root of the batch that transaction `i` anchors: that of four leaves.
pub(crate) fn batch(i: usize) -> Vec<B256> {
    let job = |j: u8| receipts::leaf(&job(i, j), CHAIN_ID);
    (0..4).map(job).collect()
}

/// Job receipt `j` of the batch that transaction `i` anchors.
pub(crate) fn job(i: usize, j: u8) -> receipts::Receipt {
    receipts::Receipt {
        jobId: B256::from(U256::from(i)),
        modelId: B256::repeat_byte(j),
        channelId: B256::ZERO,
        client: Address::repeat_byte(1),
        worker: Address::repeat_byte(2),
        privacy: 1,
        evidence: 3,
        inputCommitment: B256::repeat_byte(3),
        outputCommitment: B256::repeat_byte(4),
        evidenceHash: B256::repeat_byte(5),
        price: 200,
        cumulative: 400,
        completedAt: 1_800_000_000,
    }
}

fn transaction(i: usize) -> TxEnvelope {
    let nonce = u64::try_from(i).unwrap();
    let signature = Signature::new(U256::from(i + 1), U256::from(i + 2), i.is_multiple_of(2));
    let to = TxKind::Call(receipts::ADDRESS);
    if i.is_multiple_of(2) {
        let draft = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit: 60_000,
            max_fee_per_gas: 100_000,
            to,
            input: vec![0xab; 68].into(),
            ..TxEip1559::default()
        };
        draft.into_signed(signature).into()
    } else {
        let draft = TxLegacy {
            chain_id: Some(CHAIN_ID),
            nonce,
            gas_price: 1_000,
            gas_limit: 21_000,
            to,
            ..TxLegacy::default()
        };
        draft.into_signed(signature).into()
    }
}

fn receipt(i: usize, sent: &TxEnvelope) -> ReceiptEnvelope {
    let event = IReceipts::Anchored {
        root: receipts::root(&batch(i)).unwrap(),
        worker: Address::repeat_byte(2),
        count: 4,
    };
    let log = Log { address: receipts::ADDRESS, data: event.encode_log_data() };
    let succeeded = i % 3 != 2;
    let receipt = Receipt {
        status: succeeded.into(),
        cumulative_gas_used: 21_000 * u64::try_from(i + 1).unwrap(),
        logs: if succeeded { vec![log] } else { Vec::new() },
    };
    ReceiptEnvelope::from_typed(TxType::try_from(sent.ty()).unwrap(), receipt.with_bloom())
}
