//! Keys of a network as text.

use crate::network::{CHAIN_ID, Network};
use alloy_primitives::{B256, FixedBytes};
use tacit_light::{GroupKey, KeyError, Trust, ValidatorKey};

#[test]
fn keys_survive_as_text() {
    let network = Network::new(21, 2);
    let group = network.group();
    assert_eq!(group.to_string().parse(), Ok(group));
    assert_eq!(format!("{group:?}"), format!("GroupKey({group})"));
    assert_eq!(GroupKey::new(*group.bytes()), Ok(group));
    for key in network.keys() {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
}

#[test]
fn what_is_no_key_is_refused() {
    assert_eq!("00".parse::<GroupKey>(), Err(KeyError::Hex { digits: 192 }));
    assert_eq!("zz".repeat(32).parse::<ValidatorKey>(), Err(KeyError::Hex { digits: 64 }));
    // The point at infinity would verify nothing, or everything.
    let mut infinity = FixedBytes::<96>::ZERO;
    infinity[0] = 0xc0;
    for bytes in [FixedBytes::ZERO, infinity, FixedBytes::repeat_byte(0x81)] {
        assert_eq!(GroupKey::new(bytes), Err(KeyError::Point));
    }
    // No point has this height.
    let mut two = B256::ZERO;
    two[0] = 2;
    assert_eq!(ValidatorKey::new(two), Err(KeyError::Point));
}

#[test]
fn validators_have_one_order() {
    let keys = Network::new(22, 4).keys();
    let twice = keys.iter().rev().chain(&keys).cloned();
    let trust = Trust::new(CHAIN_ID, B256::ZERO).with_first_number(5).with_validators(B256::ZERO, twice);
    assert_eq!(trust.validators(), keys);
    assert_eq!((trust.first_number(), trust.namespace()), (5, B256::ZERO));
    assert_eq!((trust.chain_id(), trust.genesis(), trust.group()), (CHAIN_ID, B256::ZERO, None));
}
