//! The `validators` module, as far as a client of the ledger needs it: whether a key is barred, and evidence against it.

use alloy_primitives::{B256, Bytes};
use alloy_sol_types::SolCall as _;
use tacit_abi::{
    IValidators::{self, IValidatorsErrors},
    validators,
};

use crate::{Amount, LedgerClient, LedgerError, Revert, Wallet, ledger::Mined};

impl LedgerClient {
    /// Whether a key was caught and can never vote again. False for a key that nobody has staked.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn is_barred(&self, key: B256) -> Result<bool, LedgerError> {
        match self.call(validators::ADDRESS, &IValidators::validatorCall { key }).await {
            Ok(validator) => Ok(validator.status == BARRED),
            Err(LedgerError::Reverted(Revert::Validators(IValidatorsErrors::UnknownValidator(_)))) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Burns the stake of a key that signed two votes that contradict each other, and bars it.
    ///
    /// # Errors
    /// [`LedgerError::Reverted`] when the module does not take the evidence.
    pub async fn slash(&self, wallet: &Wallet, key: B256, evidence: Bytes) -> Result<Mined, LedgerError> {
        let call = IValidators::slashCall { key, evidence };
        self.send(wallet, validators::ADDRESS, Amount::ZERO, call.abi_encode()).await
    }
}

/// `status` of a barred key.
const BARRED: u8 = 4;
