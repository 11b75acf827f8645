//! From bytes to a method and back, with the refusals that all modules share.

use crate::host::{Host, HostError, words};
use alloy_primitives::{Bytes, FixedBytes};
use alloy_sol_types::{SolError, SolInterface};
use tacit_abi::IModule;

/// Gas for each 32-byte word of input: decoding and the copies it makes.
pub const INPUT_WORD_GAS: u64 = 6;

/// How a call fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Refused with an ABI-encoded error; gas that is left goes back to the caller.
    Revert(Bytes),
    /// Stopped by the host; all gas of the call is gone.
    Halt(HostError),
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        Self::Halt(error)
    }
}

/// What a method may be called with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reads only: allowed in static calls.
    View,
    /// Writes, and takes no coin.
    Write,
    /// Writes, and may take coin.
    Payable,
}

/// A refusal with a typed Solidity error.
pub(crate) fn revert(error: impl SolError) -> Failure {
    Failure::Revert(error.abi_encode().into())
}

/// The name of the check that refused: the variant's own.
pub(crate) fn check_name(reject: &impl core::fmt::Debug) -> String {
    let text = format!("{reject:?}");
    let end = text.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(text.len());
    text.get(..end).unwrap_or_default().to_owned()
}

/// Charges for the input, decodes it to one of the interface's calls and checks it against what the method allows.
pub(crate) fn decode<C: SolInterface>(
    host: &mut dyn Host,
    input: &[u8],
    access: impl FnOnce(&C) -> Access,
) -> Result<C, Failure> {
    host.charge(INPUT_WORD_GAS.saturating_mul(words(input.len())))?;
    let context = host.context();
    if context.is_borrowed {
        return Err(revert(IModule::DelegateCall {}));
    }
    let Some((selector, arguments)) = input.split_first_chunk::<4>() else {
        let mut selector = [0; 4];
        for (to, from) in selector.iter_mut().zip(input) {
            *to = *from;
        }
        return Err(revert(IModule::UnknownSelector { selector: FixedBytes(selector) }));
    };
    let selector = *selector;
    if !C::valid_selector(selector) {
        return Err(revert(IModule::UnknownSelector { selector: FixedBytes(selector) }));
    }
    let call = C::abi_decode_raw_validate(selector, arguments)
        .map_err(|_| revert(IModule::MalformedInput { selector: FixedBytes(selector) }))?;
    let access = access(&call);
    if context.is_static && access != Access::View {
        return Err(revert(IModule::StaticCall {}));
    }
    if !context.value.is_zero() && access != Access::Payable {
        return Err(revert(IModule::NotPayable {}));
    }
    Ok(call)
}
