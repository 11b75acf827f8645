//! Who keeps the ledger, as its state says.

use crate::state::StateReader;
use tacit_modules::validators::{ADDRESS, Seat, SetError, validator_set};

/// The set of validators of `epoch`, most stake first, from the state after block `block`: the same for every block from the last
/// one of epoch `epoch - `[`DELAY_EPOCHS`](crate::DELAY_EPOCHS) to the last one of `epoch`.
///
/// # Errors
/// The state cannot be read, or is not of those blocks.
pub fn validators_of<R: StateReader>(
    reader: &R,
    block: u64,
    epoch: u64,
) -> Result<Vec<Seat>, SetError<R::Error>> {
    validator_set(block, epoch, |slot| reader.storage(ADDRESS, slot))
}
