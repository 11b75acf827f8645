//! A chain in memory that verifies every block it builds.

use alloy_consensus::{
    Header, Sealed, SignableTransaction, TxEip1559, TxEnvelope,
    crypto::secp256k1::{recover_signer_unchecked, sign_message},
    transaction::Recovered,
};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, hex};
use alloy_sol_types::SolCall;
use tacit_ledger::{
    Attributes, BlockContext, Built, CallOutcome, CallRequest, Chain, Genesis, GenesisAccount, LtHash,
    MemoryState, Outcome, Overrides, StateCommitment, build, call, verify,
};

pub(crate) const COIN: u128 = 1_000_000_000_000_000_000;
pub(crate) const CHAIN_ID: u64 = 1337;
pub(crate) const PEOPLE: u8 = 4;

/// Key and address of person `n`.
pub(crate) fn key(n: u8) -> (B256, Address) {
    let secret = B256::with_last_byte(n);
    (secret, recover_signer_unchecked(&sign_message(secret, B256::ZERO).unwrap(), B256::ZERO).unwrap())
}

pub(crate) fn address(n: u8) -> Address {
    key(n).1
}

pub(crate) fn genesis() -> Genesis {
    let account = GenesisAccount { balance: U256::from(1_000 * COIN), ..GenesisAccount::default() };
    Genesis {
        chain: Chain { chain_id: CHAIN_ID, gas_limit: 60_000_000, base_fee_floor: 7, certifier: None },
        timestamp: 1_800_000_000,
        base_fee: 1_000,
        extra_data: Bytes::new(),
        alloc: (1..=PEOPLE).map(|n| (address(n), account.clone())).collect(),
        first_state: None,
        origin: None,
        staking: tacit_ledger::Staking::default(),
    }
}

/// A chain with its whole state in memory.
pub(crate) struct Net {
    pub(crate) chain: Chain,
    pub(crate) state: MemoryState,
    pub(crate) commitment: LtHash,
    pub(crate) head: Sealed<Header>,
}

impl Net {
    pub(crate) fn new() -> Self {
        Self::from(&genesis())
    }

    pub(crate) fn from(genesis: &Genesis) -> Self {
        let first = genesis.build(LtHash::default()).unwrap();
        let mut state = MemoryState::default();
        state.apply(&first.changes);
        let head = Sealed::new_unchecked(first.block.header.clone(), first.block.hash());
        state.block_hashes.insert(0, head.hash());
        Self { chain: genesis.chain, state, commitment: first.commitment, head }
    }

    pub(crate) fn attributes(&self) -> Attributes {
        Attributes {
            timestamp: self.head.timestamp + 1,
            beneficiary: Address::repeat_byte(0xfe),
            ..Attributes::default()
        }
    }

    /// Builds, verifies and adopts a block.
    pub(crate) fn mine_with(
        &mut self,
        attributes: &Attributes,
        candidates: Vec<Recovered<TxEnvelope>>,
    ) -> Built<LtHash> {
        let built =
            build(&self.chain, &self.head, attributes, &self.state, &self.commitment, candidates).unwrap();
        let again = verify(&self.chain, &self.head, &built.block, &self.state, &self.commitment).unwrap();
        assert_eq!(again.block.hash(), built.block.hash());
        assert_eq!(again.executed.changes, built.executed.changes);
        assert_eq!(again.executed.outcomes, built.executed.outcomes);
        self.adopt(&built);
        built
    }

    pub(crate) fn mine(&mut self, candidates: Vec<Recovered<TxEnvelope>>) -> Built<LtHash> {
        self.mine_with(&self.attributes(), candidates)
    }

    fn adopt(&mut self, built: &Built<LtHash>) {
        self.state.apply(&built.executed.changes);
        self.commitment = built.commitment.clone();
        self.head = Sealed::new_unchecked(built.block.header.clone(), built.block.hash());
        self.state.block_hashes.insert(self.head.number, self.head.hash());
        assert_eq!(self.head.state_root, self.commitment.root());
    }

    pub(crate) fn nonce(&self, n: u8) -> u64 {
        self.state.accounts.get(&address(n)).map_or(0, |account| account.nonce)
    }

    pub(crate) fn balance(&self, address: Address) -> U256 {
        self.state.accounts.get(&address).map_or(U256::ZERO, |account| account.balance)
    }

    /// One transaction in a block of its own.
    pub(crate) fn send(&mut self, from: u8, to: Address, value: u128, input: impl Into<Bytes>) -> Outcome {
        let transaction =
            Draft { to: TxKind::Call(to), value, input: input.into(), ..Draft::new(from, self.nonce(from)) };
        let built = self.mine(vec![transaction.sign()]);
        assert!(built.executed.rejected.is_empty(), "{:?}", built.executed.rejected);
        built.executed.outcomes[0].clone()
    }

    pub(crate) fn deploy(&mut self, from: u8, code: &[u8]) -> Address {
        let transaction = Draft {
            to: TxKind::Create,
            input: Bytes::copy_from_slice(code),
            gas: 5_000_000,
            ..Draft::new(from, self.nonce(from))
        };
        let built = self.mine(vec![transaction.sign()]);
        built.executed.outcomes[0].created.expect("the contract is deployed")
    }

    pub(crate) fn view<C: SolCall>(&self, to: Address, request: &C) -> C::Return {
        let outcome = self.call(to, request.abi_encode());
        assert_eq!(outcome.status, tacit_ledger::CallStatus::Success, "{}", outcome.output);
        C::abi_decode_returns_validate(&outcome.output).unwrap()
    }

    pub(crate) fn call(&self, to: Address, input: Vec<u8>) -> CallOutcome {
        let request =
            CallRequest { from: address(1), to: Some(to), input: input.into(), ..CallRequest::default() };
        self.request(&request)
    }

    pub(crate) fn request(&self, request: &CallRequest) -> CallOutcome {
        let context = BlockContext::of(&self.head);
        call(&self.chain, &context, &self.state, request, &Overrides::new()).unwrap()
    }
}

/// An unsigned type 2 transaction with defaults.
pub(crate) struct Draft {
    pub(crate) from: u8,
    pub(crate) chain_id: u64,
    pub(crate) nonce: u64,
    pub(crate) gas: u64,
    pub(crate) fee: u128,
    pub(crate) tip: u128,
    pub(crate) to: TxKind,
    pub(crate) value: u128,
    pub(crate) input: Bytes,
}

impl Draft {
    pub(crate) fn new(from: u8, nonce: u64) -> Self {
        Self {
            from,
            chain_id: CHAIN_ID,
            nonce,
            gas: 2_000_000,
            fee: 1_000_000,
            tip: 5,
            to: TxKind::Call(Address::repeat_byte(0xab)),
            value: 0,
            input: Bytes::new(),
        }
    }

    pub(crate) fn sign(self) -> Recovered<TxEnvelope> {
        let transaction = TxEip1559 {
            chain_id: self.chain_id,
            nonce: self.nonce,
            gas_limit: self.gas,
            max_fee_per_gas: self.fee,
            max_priority_fee_per_gas: self.tip,
            to: self.to,
            value: U256::from(self.value),
            access_list: Default::default(),
            input: self.input,
        };
        sign(self.from, transaction)
    }
}

/// Signs any transaction type.
pub(crate) fn sign<T>(from: u8, transaction: T) -> Recovered<TxEnvelope>
where
    T: SignableTransaction<Signature>,
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    let signature = sign_message(key(from).0, transaction.signature_hash()).unwrap();
    Recovered::new_unchecked(transaction.into_signed(signature).into(), address(from))
}

/// Creation code of a contract that solc compiled (`tacit-abi/solidity/compile.js`).
pub(crate) fn bytecode(contract: &str) -> Vec<u8> {
    let document: serde_json::Value =
        serde_json::from_str(include_str!("../../../tacit-abi/solidity/fixtures/artifacts.json")).unwrap();
    hex::decode(document["contracts"][contract]["bytecode"].as_str().unwrap()).unwrap()
}
