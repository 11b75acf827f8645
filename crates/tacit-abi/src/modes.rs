//! The two axes of a request: who can see the input, and why the answer is believed.

use serde::{Deserialize, Serialize};

/// Who can see the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Privacy {
    /// Anyone on the path.
    Clear = 0,
    /// Only the worker.
    Sealed = 1,
    /// Sealed to a key inside attested hardware.
    Enclave = 2,
    /// No one of three parties.
    Shared = 3,
    /// Nobody but the user.
    Encrypted = 4,
}

/// Why the answer is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Evidence {
    /// The worker said so.
    Signed = 0,
    /// Sampled re-execution, slashed when wrong.
    Audited = 1,
    /// Hardware quote over image, model and key.
    Attested = 2,
    /// Proof that this committed model gave this output.
    Proved = 3,
}

macro_rules! mode {
    ($name:ident { $($variant:ident = $text:literal),+ }) => {
        impl $name {
            /// The mode with this number on the ledger.
            #[must_use]
            pub fn from_u8(number: u8) -> Option<Self> {
                [$(Self::$variant),+].into_iter().find(|mode| *mode as u8 == number)
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(match self { $(Self::$variant => $text),+ })
            }
        }

        impl core::str::FromStr for $name {
            type Err = UnknownMode;
            fn from_str(text: &str) -> Result<Self, UnknownMode> {
                match text { $($text => Ok(Self::$variant),)+ _ => Err(UnknownMode) }
            }
        }
    };
}

mode!(Privacy { Clear = "clear", Sealed = "sealed", Enclave = "enclave", Shared = "shared", Encrypted = "encrypted" });
mode!(Evidence { Signed = "signed", Audited = "audited", Attested = "attested", Proved = "proved" });

/// Not the name of a mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown mode")]
pub struct UnknownMode;
