//! The signatures that CPUs and their makers make: ECDSA on P-384 with SHA-384, RSA-PSS with SHA-384, and what the library for
//! Intel's needs.
//!
//! In pure Rust, or with the feature `aws-lc` by AWS-LC; both take the same signatures.

/// Bytes of a point of P-384, written in full.
pub(crate) const POINT_BYTES: usize = 97;

pub(crate) use library::{Intel, RsaKey, is_point, p384_signed};

#[cfg(not(feature = "aws-lc"))]
mod library {
    use super::POINT_BYTES;
    use p384::ecdsa::{Signature, VerifyingKey, signature::hazmat::PrehashVerifier as _};
    use rsa::{BoxedUint, PublicKey, pss};
    use sha2::{Digest as _, Sha384};
    use x509_cert::der::{
        Decode as _, Reader as _, SliceReader,
        asn1::{AnyRef, UintRef},
    };

    pub(crate) use dcap_qvl::configs::DefaultConfig as Intel;

    pub(crate) fn is_point(point: &[u8; POINT_BYTES]) -> bool {
        VerifyingKey::from_sec1_bytes(point).is_ok()
    }

    /// Whether `r ‖ s` signs the message.
    pub(crate) fn p384_signed(point: &[u8; POINT_BYTES], message: &[u8], signature: &[u8; 96]) -> bool {
        let (key, signature) = (VerifyingKey::from_sec1_bytes(point), Signature::from_slice(signature));
        let (Ok(key), Ok(signature)) = (key, signature) else { return false };
        key.verify_prehash(&Sha384::digest(message), &signature).is_ok()
    }

    /// A public key of RSA.
    #[derive(Debug, Clone)]
    pub(crate) struct RsaKey(PublicKey);

    impl RsaKey {
        /// From `RSAPublicKey` of RFC 8017.
        pub(crate) fn new(der: &[u8]) -> Option<Self> {
            let mut reader = SliceReader::new(AnyRef::from_der(der).ok()?.value()).ok()?;
            let mut integer =
                || UintRef::decode(&mut reader).map(|it| BoxedUint::from_be_slice_vartime(it.as_bytes()));
            let (modulus, exponent) = (integer().ok()?, integer().ok()?);
            reader.finish().ok()?;
            PublicKey::new(modulus, exponent).ok().map(Self)
        }

        /// Whether a signature by RSA-PSS, with as much salt as SHA-384 has, signs the message.
        pub(crate) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
            let Ok(signature) = pss::Signature::try_from(signature) else { return false };
            let key = pss::VerifyingKey::<Sha384>::new(self.0.clone());
            rsa::signature::hazmat::PrehashVerifier::verify_prehash(
                &key,
                &Sha384::digest(message),
                &signature,
            )
            .is_ok()
        }
    }
}

#[cfg(feature = "aws-lc")]
mod library {
    use super::POINT_BYTES;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_FIXED, ParsedPublicKey, RSA_PSS_2048_8192_SHA384,
        UnparsedPublicKey,
    };
    use dcap_qvl::config::{Config, CryptoProvider};
    use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
    use sha2::{Digest as _, Sha256, Sha384};

    pub(crate) fn is_point(point: &[u8; POINT_BYTES]) -> bool {
        ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).is_ok()
    }

    /// Whether `r ‖ s` signs the message.
    pub(crate) fn p384_signed(point: &[u8; POINT_BYTES], message: &[u8], signature: &[u8; 96]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(message, signature).is_ok()
    }

    /// A public key of RSA, as `RSAPublicKey` of RFC 8017.
    #[derive(Debug, Clone)]
    pub(crate) struct RsaKey(Vec<u8>);

    impl RsaKey {
        pub(crate) fn new(der: &[u8]) -> Option<Self> {
            ParsedPublicKey::new(&RSA_PSS_2048_8192_SHA384, der).ok().map(|_| Self(der.to_vec()))
        }

        /// Whether a signature by RSA-PSS, with as much salt as SHA-384 has, signs the message.
        pub(crate) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
            UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA384, &self.0).verify(message, signature).is_ok()
        }
    }

    /// What the library for Intel's evidence takes its arithmetic from.
    pub(crate) struct Intel;

    impl Config for Intel {
        type X509 = dcap_qvl::x509::X509CertBackend;
        type SigEncoder = dcap_qvl::signature::DerSigEncoder;
        type Crypto = Self;
    }

    impl CryptoProvider for Intel {
        fn sig_algo() -> &'static dyn SignatureVerificationAlgorithm {
            &P256
        }

        fn sha256(data: &[u8]) -> [u8; 32] {
            Sha256::digest(data).into()
        }

        fn sha384(data: &[u8]) -> [u8; 48] {
            Sha384::digest(data).into()
        }
    }

    /// ECDSA on P-256 with SHA-256.
    #[derive(Debug)]
    struct P256;

    impl SignatureVerificationAlgorithm for P256 {
        fn verify_signature(
            &self,
            key: &[u8],
            message: &[u8],
            signature: &[u8],
        ) -> Result<(), InvalidSignature> {
            let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key);
            key.verify(message, signature).map_err(|_| InvalidSignature)
        }

        fn public_key_alg_id(&self) -> AlgorithmIdentifier {
            alg_id::ECDSA_P256
        }

        fn signature_alg_id(&self) -> AlgorithmIdentifier {
            alg_id::ECDSA_SHA256
        }
    }
}
