//! What the owner said last.

use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use tacit_wire::Amount;

use super::{ACCOUNTS, AccountRecord, Store, StoreError, runs};

/// When the last order was signed, in milliseconds since 1970, and since when the worker is drained, in seconds (0: it is not).
const ORDERS: TableDefinition<'_, (), (u64, u64)> = TableDefinition::new("orders");

pub(super) fn prepare(write: &WriteTransaction) -> Result<(), StoreError> {
    write.open_table(ORDERS)?;
    Ok(())
}

impl Store {
    /// Since when the worker is drained, if it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn drained_since_s(&self) -> Result<Option<u64>, StoreError> {
        let read = self.database.begin_read()?;
        let order = read.open_table(ORDERS)?.get(())?.map(|order| order.value().1);
        Ok(order.filter(|since| *since > 0))
    }

    /// Keeps an order, unless it is no later than the last one: then nothing is written, and `false` said.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_order(&self, issued_at_ms: u64, drained_since_s: Option<u64>) -> Result<bool, StoreError> {
        let write = self.database.begin_write()?;
        {
            let mut orders = write.open_table(ORDERS)?;
            let last = orders.get(())?.map(|order| order.value().0);
            if last.is_some_and(|last| last >= issued_at_ms) {
                return Ok(false);
            }
            orders.insert((), (issued_at_ms, drained_since_s.unwrap_or_default()))?;
        }
        write.commit()?;
        Ok(true)
    }

    /// What was given on accounts and is promised by nobody.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn unpromised(&self) -> Result<Amount, StoreError> {
        let read = self.database.begin_read()?;
        let mut sum = Amount::ZERO;
        for entry in read.open_table(ACCOUNTS)?.iter()? {
            let account: AccountRecord = serde_json::from_slice(entry?.1.value())?;
            let more = account.owed.checked_sub(account.promised()).unwrap_or_default();
            sum = sum.checked_add(more).ok_or(StoreError::Overflow)?;
        }
        Ok(sum)
    }

    /// Until when any answer may be disputed, as was written when it was given.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn runs_until(&self) -> Result<Option<u64>, StoreError> {
        let read = self.database.begin_read()?;
        Ok(read.open_table(runs::RUN_ENDS)?.last()?.map(|(end, _)| end.value().0))
    }
}
