//! Signatures as wallets make them.

use crate::host::{Host, HostError};
use alloy_primitives::{Address, B256, U256, uint};

/// Who made this signature, `r || s || v` with `v` 27 or 28, over `digest`. `None` for anything else, the mirrored twin of a valid signature included.
pub(crate) fn signer(
    host: &mut dyn Host,
    digest: B256,
    signature: &[u8],
) -> Result<Option<Address>, HostError> {
    let Ok(signature) = <&[u8; 65]>::try_from(signature) else { return Ok(None) };
    let (r, rest) = signature.split_at(32);
    let (s, v) = rest.split_at(32);
    let (r, s) = (U256::from_be_slice(r), U256::from_be_slice(s));
    let odd_y = match v {
        [27] => false,
        [28] => true,
        _ => return Ok(None),
    };
    if s > HALF_CURVE_ORDER {
        return Ok(None);
    }
    host.recover(digest, r, s, odd_y)
}

/// Half of secp256k1's order, rounded down: a larger `s` is the mirrored twin of a valid signature (EIP-2).
const HALF_CURVE_ORDER: U256 = uint!(0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0_U256);
