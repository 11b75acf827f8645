//! Commitments to weights, word by word.

use alloy_primitives::{Address, B256, U256, keccak256};
use tacit_abi::subnets::Commitment;

/// What Solidity's `abi.encode(uint256, uint64, uint64, address, bytes32, uint16[])` gives, written out: six words of head, of which the last says where the list begins, then the list.
#[test]
fn a_commitment_is_abi_encoded() {
    let (validator, salt) = (Address::repeat_byte(0x11), B256::repeat_byte(0x22));
    let said = Commitment { chain_id: 1337, id: 3, epoch: 4, validator, salt, weights: &[5, 65_535] };
    let number = |number: u64| U256::from(number).to_be_bytes::<32>();
    let words = [
        number(1337),
        number(3),
        number(4),
        validator.into_word().0,
        salt.0,
        number(6 * 32),
        number(2),
        number(5),
        number(65_535),
    ];
    assert_eq!(said.preimage(), words.concat());
    assert_eq!(said.hash(), keccak256(words.concat()));
    let empty = Commitment { weights: &[], ..said };
    assert_eq!(empty.preimage(), [&words[..6].concat()[..], &number(0)].concat());
}
