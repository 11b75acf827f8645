//! Ed25519 as consensus checks it.
//!
//! Source: ZIP 215: encodings of points need not be canonical, `s` must be, and the equation is `[8][s]B = [8]R + [8][k]A`.
//! `commonware-cryptography` carries a copy of the same code on the same curve library, so that the two accept the same signatures,
//! also the odd ones; `tacit-consensus` tests it.

use alloy_primitives::{B256, b256};
use ed25519_zebra::{Signature, VerificationKey};

/// Whether `key` signed `message` under `namespace ‖ suffix`. The suffix is shorter than 96 bytes.
pub(super) fn verify(
    key: B256,
    namespace: B256,
    suffix: &[u8],
    message: &[u8],
    signature: &[u8; 64],
) -> bool {
    let Ok(key) = VerificationKey::try_from(key.0) else { return false };
    // The library writes the length as a varint, of one byte below 128.
    let Some(length) = u8::try_from(suffix.len().saturating_add(namespace.len())).ok().filter(|n| *n < 128)
    else {
        return false;
    };
    let payload = [&[length], namespace.as_slice(), suffix, message].concat();
    key.verify(&Signature::from_bytes(signature), &payload).is_ok()
}

/// Whether `key` is a point of the curve with more than eight multiples. Under the others any message has a signature that
/// anybody can make, so that a proof of possession would prove nothing. Costs one verification.
pub(super) fn is_sound(key: B256) -> bool {
    let Ok(key) = VerificationKey::try_from(key.0) else { return false };
    // With R = 0 and s = 0 the equation is 0 = [8][k]A: true of small order, and otherwise only if a hash were a multiple of the
    // group's order.
    let trivial = Signature::from_components(IDENTITY.0, [0; 32]);
    key.verify(&trivial, &[]).is_err()
}

/// Encoding of the neutral point.
const IDENTITY: B256 = b256!("0100000000000000000000000000000000000000000000000000000000000000");
