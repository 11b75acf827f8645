//! Transfers of coin as logs among those of contracts, for `eth_simulateV1`.
//!
//! A transfer looks like that of an ERC-20 token whose contract is at [`TRANSFER_LOG_EMITTER`]. What happens in a call that fails
//! did not happen: neither its own logs nor the transfer that began it are told.

use alloy_evm::revm::{
    Inspector,
    context_interface::{ContextTr, JournalTr},
    interpreter::{CallInputs, CallOutcome, CreateInputs, CreateOutcome},
};
use alloy_primitives::{Address, Log, LogData, U256};
use revm_inspectors::transfer::{TRANSFER_EVENT_TOPIC, TRANSFER_LOG_EMITTER};

/// Logs of one transaction at a time.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    logs: Vec<Log>,
    /// How many logs there were when each call that has not ended began, outermost first.
    open: Vec<usize>,
}

impl Transfers {
    /// Logs of the transaction that ended; the next one begins without any.
    pub(super) fn take(&mut self) -> Vec<Log> {
        self.open.clear();
        core::mem::take(&mut self.logs)
    }

    fn begin(&mut self) {
        self.open.push(self.logs.len());
    }

    fn end(&mut self, succeeded: bool) {
        let start = self.open.pop().unwrap_or_default();
        if !succeeded {
            self.logs.truncate(start);
        }
    }

    fn transferred(&mut self, from: Address, to: Address, value: U256) {
        if !value.is_zero() {
            let topics = vec![TRANSFER_EVENT_TOPIC, from.into_word(), to.into_word()];
            let data = LogData::new_unchecked(topics, value.to_be_bytes::<32>().into());
            self.logs.push(Log { address: TRANSFER_LOG_EMITTER, data });
        }
    }
}

impl<C: ContextTr> Inspector<C> for Transfers {
    fn log(&mut self, _: &mut C, log: Log) {
        self.logs.push(log);
    }

    fn call(&mut self, _: &mut C, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.begin();
        if let Some(value) = inputs.transfer_value() {
            self.transferred(inputs.transfer_from(), inputs.transfer_to(), value);
        }
        None
    }

    fn call_end(&mut self, _: &mut C, _: &CallInputs, outcome: &mut CallOutcome) {
        self.end(outcome.result.result.is_ok());
    }

    fn create(&mut self, context: &mut C, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.begin();
        if !inputs.value().is_zero()
            && let Ok(creator) = context.journal_mut().load_account(inputs.caller())
        {
            let created = inputs.created_address(creator.data.info.nonce);
            self.transferred(inputs.caller(), created, inputs.value());
        }
        None
    }

    fn create_end(&mut self, _: &mut C, _: &CreateInputs, outcome: &mut CreateOutcome) {
        self.end(outcome.result.result.is_ok());
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        self.transferred(contract, target, value);
    }
}
