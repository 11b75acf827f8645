//! Bytes of stored values.
//!
//! Fixed-width fields are big-endian, lists are RLP. A decoder refuses what the encoder could not have written,
//! so that a damaged file gives [`StoreError::Corrupt`] rather than a wrong answer.

use alloy_consensus::{Header, TxEnvelope, transaction::Recovered};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Log, U256};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use tacit_ledger::{Account, Chain};
use tacit_light::{Certificate, Certifier, GroupKey};

use super::{MadeBy, StoreError, StoredReceipt};

/// Nonce, balance, code hash.
pub(super) const ACCOUNT_BYTES: usize = 8 + 32 + 32;

pub(super) fn encode_account(account: &Account) -> [u8; ACCOUNT_BYTES] {
    let mut bytes = [0; ACCOUNT_BYTES];
    let (nonce, rest) = bytes.split_at_mut(8);
    let (balance, code_hash) = rest.split_at_mut(32);
    nonce.copy_from_slice(&account.nonce.to_be_bytes());
    balance.copy_from_slice(&account.balance.to_be_bytes::<32>());
    code_hash.copy_from_slice(account.code_hash.as_slice());
    bytes
}

pub(super) fn decode_account(bytes: &[u8]) -> Result<Account, StoreError> {
    let corrupt = || StoreError::Corrupt("account");
    let (nonce, rest) = bytes.split_first_chunk::<8>().ok_or_else(corrupt)?;
    let (balance, rest) = rest.split_first_chunk::<32>().ok_or_else(corrupt)?;
    let code_hash: [u8; 32] = rest.try_into().map_err(|_| corrupt())?;
    Ok(Account {
        nonce: u64::from_be_bytes(*nonce),
        balance: U256::from_be_bytes(*balance),
        code_hash: B256::from(code_hash),
    })
}

/// Chain id, gas limit, floor of the base fee; then 0, or where validators certify blocks 1, number and hash of their first one, and their group's key.
pub(super) fn encode_chain(chain: &Chain) -> Vec<u8> {
    let numbers = [chain.chain_id, chain.gas_limit, chain.base_fee_floor];
    let mut bytes: Vec<u8> = numbers.into_iter().flat_map(u64::to_be_bytes).collect();
    bytes.push(u8::from(chain.certifier.is_some()));
    if let Some(Certifier { first, genesis, group, .. }) = &chain.certifier {
        bytes.extend_from_slice(&first.to_be_bytes());
        bytes.extend_from_slice(genesis.as_slice());
        bytes.extend_from_slice(group.bytes().as_slice());
    }
    bytes
}

pub(super) fn decode_chain(bytes: &[u8]) -> Result<Chain, StoreError> {
    let corrupt = || StoreError::Corrupt("chain");
    let (numbers, rest) = bytes.split_first_chunk::<24>().ok_or_else(corrupt)?;
    let ([chain_id, gas_limit, base_fee_floor], []) = numbers.as_chunks::<8>() else { return Err(corrupt()) };
    let chain_id = u64::from_be_bytes(*chain_id);
    let certifier = match rest {
        [0] => None,
        [1, rest @ ..] => {
            let (first, rest) = rest.split_first_chunk::<8>().ok_or_else(corrupt)?;
            let (genesis, group) = rest.split_first_chunk::<32>().ok_or_else(corrupt)?;
            let group = <[u8; 96]>::try_from(group).map_err(|_| corrupt())?;
            let group = GroupKey::new(group.into()).map_err(|_| corrupt())?;
            let (genesis, first) = (B256::from(*genesis), u64::from_be_bytes(*first));
            Some(Certifier { chain_id, genesis, first, group })
        }
        _ => return Err(corrupt()),
    };
    Ok(Chain {
        chain_id,
        gas_limit: u64::from_be_bytes(*gas_limit),
        base_fee_floor: u64::from_be_bytes(*base_fee_floor),
        certifier,
    })
}

pub(super) const fn encode_made_by(made_by: MadeBy) -> [u8; 1] {
    match made_by {
        MadeBy::Development => [0],
        MadeBy::Validators => [1],
    }
}

pub(super) fn decode_made_by(bytes: &[u8]) -> Result<MadeBy, StoreError> {
    match bytes {
        [0] => Ok(MadeBy::Development),
        [1] => Ok(MadeBy::Validators),
        _ => Err(StoreError::Corrupt("head")),
    }
}

/// The block hash, then the header.
pub(super) fn encode_header(hash: B256, header: &Header) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32_usize.saturating_add(header.length()));
    bytes.extend_from_slice(hash.as_slice());
    header.encode(&mut bytes);
    bytes
}

pub(super) fn decode_header(bytes: &[u8]) -> Result<(B256, Header), StoreError> {
    let corrupt = || StoreError::Corrupt("header");
    let (hash, mut rest) = bytes.split_first_chunk::<32>().ok_or_else(corrupt)?;
    let header = Header::decode(&mut rest).map_err(|_| corrupt())?;
    if rest.is_empty() { Ok((B256::from(*hash), header)) } else { Err(corrupt()) }
}

/// The sender, then the transaction as it was signed.
pub(super) fn encode_transaction(transaction: &Recovered<TxEnvelope>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(20_usize.saturating_add(transaction.encode_2718_len()));
    bytes.extend_from_slice(transaction.signer_ref().as_slice());
    transaction.encode_2718(&mut bytes);
    bytes
}

pub(super) fn decode_transaction(bytes: &[u8]) -> Result<Recovered<TxEnvelope>, StoreError> {
    let corrupt = || StoreError::Corrupt("transaction");
    let (sender, mut rest) = bytes.split_first_chunk::<20>().ok_or_else(corrupt)?;
    let transaction = TxEnvelope::decode_2718(&mut rest).map_err(|_| corrupt())?;
    if !rest.is_empty() {
        return Err(corrupt());
    }
    Ok(Recovered::new_unchecked(transaction, Address::from(*sender)))
}

#[derive(RlpEncodable, RlpDecodable)]
struct ReceiptFields {
    succeeded: bool,
    gas_used: u64,
    cumulative_gas_used: u64,
    first_log_index: u64,
    logs: Vec<Log>,
}

pub(super) fn encode_receipt(receipt: &StoredReceipt) -> Vec<u8> {
    let mut bytes = Vec::new();
    ReceiptFields {
        succeeded: receipt.succeeded,
        gas_used: receipt.gas_used,
        cumulative_gas_used: receipt.cumulative_gas_used,
        first_log_index: receipt.first_log_index,
        logs: receipt.logs.clone(),
    }
    .encode(&mut bytes);
    bytes
}

pub(super) fn decode_receipt(mut bytes: &[u8]) -> Result<StoredReceipt, StoreError> {
    let fields = ReceiptFields::decode(&mut bytes).map_err(|_| StoreError::Corrupt("receipt"))?;
    if !bytes.is_empty() {
        return Err(StoreError::Corrupt("receipt"));
    }
    Ok(StoredReceipt {
        succeeded: fields.succeeded,
        gas_used: fields.gas_used,
        cumulative_gas_used: fields.cumulative_gas_used,
        first_log_index: fields.first_log_index,
        logs: fields.logs,
    })
}

/// A certificate as proofs have it.
pub(super) fn decode_certificate(mut bytes: &[u8]) -> Result<Certificate, StoreError> {
    let certificate = Certificate::decode(&mut bytes).map_err(|_| StoreError::Corrupt("certificate"))?;
    if bytes.is_empty() { Ok(certificate) } else { Err(StoreError::Corrupt("certificate")) }
}

pub(super) fn decode_u64(bytes: &[u8]) -> Result<u64, StoreError> {
    bytes.try_into().map(u64::from_be_bytes).map_err(|_| StoreError::Corrupt("number"))
}

pub(super) fn decode_b256(bytes: &[u8]) -> Result<B256, StoreError> {
    B256::try_from(bytes).map_err(|_| StoreError::Corrupt("hash"))
}

#[cfg(test)]
mod tests {
    use alloy_consensus::{Signed, TxLegacy};
    use alloy_primitives::{Bytes, LogData, Signature};

    use super::*;

    /// Decodes what was encoded, and refuses it with a byte less, a byte more, or nothing of it.
    fn law<T: PartialEq + std::fmt::Debug>(
        value: &T,
        bytes: &[u8],
        decode: impl Fn(&[u8]) -> Result<T, StoreError>,
    ) {
        assert_eq!(&decode(bytes).unwrap(), value);
        for length in 0..bytes.len() {
            assert!(matches!(decode(&bytes[..length]), Err(StoreError::Corrupt(_))), "{length}");
        }
        assert!(matches!(decode(&[bytes, &[0]].concat()), Err(StoreError::Corrupt(_))));
    }

    #[test]
    fn values_come_back_and_damage_is_noticed() {
        let account = Account { nonce: 7, balance: U256::MAX, code_hash: B256::repeat_byte(3) };
        law(&account, &encode_account(&account), decode_account);

        let header = Header { number: 9, base_fee_per_gas: Some(1), ..Header::default() };
        let sealed = (header.hash_slow(), header);
        law(&sealed, &encode_header(sealed.0, &sealed.1), decode_header);

        let signed = Signed::new_unhashed(TxLegacy::default(), Signature::test_signature());
        let transaction = Recovered::new_unchecked(signed.into(), Address::repeat_byte(1));
        law(&transaction, &encode_transaction(&transaction), decode_transaction);

        let data = LogData::new_unchecked(vec![B256::repeat_byte(4)], Bytes::from_static(b"data"));
        let receipt = StoredReceipt {
            succeeded: true,
            gas_used: 21_000,
            cumulative_gas_used: 42_000,
            first_log_index: 3,
            logs: vec![Log { address: Address::repeat_byte(2), data }],
        };
        law(&receipt, &encode_receipt(&receipt), decode_receipt);
        let certificate = Certificate::Threshold([6; 48].into());
        law(&certificate, &alloy_rlp::encode(&certificate), decode_certificate);
        let chain = Chain { chain_id: 7, gas_limit: 8, base_fee_floor: 9, certifier: None };
        law(&chain, &encode_chain(&chain), decode_chain);
        // The generator of G2.
        let group = "93e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e\
                     024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8";
        let (group, genesis) = (group.parse().unwrap(), B256::repeat_byte(6));
        let certifier = Some(Certifier { chain_id: 7, genesis, first: 10, group });
        let chain = Chain { certifier, ..chain };
        law(&chain, &encode_chain(&chain), decode_chain);
        law(&B256::repeat_byte(5), &[5; 32], decode_b256);
        law(&77, &77_u64.to_be_bytes(), decode_u64);
    }
}
