//! People with coins, and what they sign.

use alloy_consensus::{
    SignableTransaction as _, TxEip1559, TxEnvelope,
    crypto::secp256k1::{recover_signer_unchecked, sign_message},
    transaction::Recovered,
};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex};
use tacit_ledger::{Chain, Genesis, GenesisAccount};

pub(crate) const COIN: u128 = 1_000_000_000_000_000_000;
pub(crate) const CHAIN: Chain =
    Chain { chain_id: 1337, gas_limit: 60_000_000, base_fee_floor: 7, certifier: None };
pub(crate) const START_S: u64 = 1_800_000_000;
pub(crate) const PEOPLE: u8 = 4;

/// When deployed and called, it stores the hashes of two earlier blocks: `sstore(0, blockhash(number - 1))` and
/// `sstore(1, blockhash(number - 5))`.
pub(crate) const HISTORIAN: &[u8] = &hex!("6011806009" "5f395ff3" "60014303406000556005430340600155" "00");

pub(crate) fn address(person: u8) -> Address {
    let signature = sign_message(B256::with_last_byte(person), B256::ZERO).unwrap();
    recover_signer_unchecked(&signature, B256::ZERO).unwrap()
}

/// Who owns validator `i`.
pub(crate) fn owner(i: usize) -> u8 {
    100 + u8::try_from(i).unwrap()
}

pub(crate) fn genesis() -> Genesis {
    let account = GenesisAccount { balance: U256::from(1_000 * COIN), ..GenesisAccount::default() };
    Genesis {
        chain: CHAIN,
        timestamp: START_S,
        base_fee: 1_000,
        extra_data: Bytes::new(),
        alloc: (1..=PEOPLE).map(|person| (address(person), account.clone())).collect(),
        first_state: None,
        origin: None,
        staking: tacit_ledger::Staking::default(),
    }
}

pub(crate) fn sign(
    person: u8,
    nonce: u64,
    to: TxKind,
    value: u128,
    input: impl Into<Bytes>,
) -> Recovered<TxEnvelope> {
    let draft = TxEip1559 {
        chain_id: CHAIN.chain_id,
        nonce,
        gas_limit: 1_000_000,
        max_fee_per_gas: 100_000,
        max_priority_fee_per_gas: 10,
        to,
        value: U256::from(value),
        input: input.into(),
        ..TxEip1559::default()
    };
    let signature = sign_message(B256::with_last_byte(person), draft.signature_hash()).unwrap();
    Recovered::new_unchecked(draft.into_signed(signature).into(), address(person))
}

/// A transfer to whoever stands at `to`.
pub(crate) fn pay(person: u8, nonce: u64, to: Address, value: u128) -> Recovered<TxEnvelope> {
    sign(person, nonce, TxKind::Call(to), value, Bytes::new())
}
