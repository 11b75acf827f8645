//! ECDSA on P-384 with SHA-384, the one algorithm that NVIDIA signs with.
//!
//! In pure Rust, or with the feature `aws-lc` by AWS-LC; both take the same signatures.

/// A public key on P-384: a point of the curve, written in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key([u8; POINT_BYTES]);

const POINT_BYTES: usize = 97;
/// Bytes of a signature as two integers of the field's size.
pub(crate) const SIGNATURE_BYTES: usize = 96;

impl Key {
    /// From a point, as certificates have it.
    pub(crate) fn from_point(bytes: &[u8]) -> Option<Self> {
        let point: &[u8; POINT_BYTES] = bytes.try_into().ok()?;
        library::is_point(point).then_some(Self(*point))
    }

    /// Whether `r ‖ s` signs the message.
    pub(crate) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        library::fixed(&self.0, message, signature)
    }

    /// Whether the signature, encoded as certificates have it, signs the message.
    pub(crate) fn signed_der(&self, message: &[u8], signature: &[u8]) -> bool {
        library::der(&self.0, message, signature)
    }
}

#[cfg(not(feature = "aws-lc"))]
mod library {
    use p384::ecdsa::{Signature, VerifyingKey, signature::hazmat::PrehashVerifier as _};
    use sha2::{Digest as _, Sha384};

    pub(super) fn is_point(point: &[u8]) -> bool {
        VerifyingKey::from_sec1_bytes(point).is_ok()
    }

    pub(super) fn fixed(point: &[u8], message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| holds(point, message, &signature))
    }

    pub(super) fn der(point: &[u8], message: &[u8], signature: &[u8]) -> bool {
        Signature::from_der(signature).is_ok_and(|signature| holds(point, message, &signature))
    }

    fn holds(point: &[u8], message: &[u8], signature: &Signature) -> bool {
        VerifyingKey::from_sec1_bytes(point)
            .is_ok_and(|key| key.verify_prehash(&Sha384::digest(message), signature).is_ok())
    }
}

#[cfg(feature = "aws-lc")]
mod library {
    use aws_lc_rs::signature::{
        ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED, ParsedPublicKey, UnparsedPublicKey,
    };

    pub(super) fn is_point(point: &[u8]) -> bool {
        ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).is_ok()
    }

    pub(super) fn fixed(point: &[u8], message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(message, signature).is_ok()
    }

    pub(super) fn der(point: &[u8], message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, point).verify(message, signature).is_ok()
    }
}
