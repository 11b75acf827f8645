//! Reading the database file.

use alloy_consensus::{Header, TxEnvelope, transaction::Recovered};
use alloy_primitives::{Address, B256, Bytes, U256};
use redb::{Key, ReadOnlyTable, ReadTransaction, ReadableDatabase, TableDefinition, Value};
use tacit_ledger::{Account, AccountsError, Change, Entries, LtHash, StateChanges, StateCommitment};
use tacit_light::Certificate;

use super::{
    At, FlatSlot, Location, LogKey, MadeBy, StoreError, StoredReceipt, View, codec, file::failed, flat,
    tables,
};

/// A read transaction. Tables are opened when first needed, as most requests touch one or two.
pub(super) struct RedbView {
    transaction: ReadTransaction,
    accounts: ReadOnlyTable<[u8; 20], &'static [u8]>,
    storage: ReadOnlyTable<([u8; 20], [u8; 32]), [u8; 32]>,
}

impl RedbView {
    pub(super) fn new(database: &redb::Database) -> Result<Self, StoreError> {
        let transaction = database.begin_read().map_err(failed)?;
        let accounts = transaction.open_table(tables::ACCOUNTS).map_err(failed)?;
        let storage = transaction.open_table(tables::STORAGE).map_err(failed)?;
        Ok(Self { transaction, accounts, storage })
    }

    fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<'_, K, V>,
    ) -> Result<ReadOnlyTable<K, V>, StoreError> {
        self.transaction.open_table(definition).map_err(failed)
    }

    /// Who made the head.
    pub(super) fn made_by(&self) -> Result<MadeBy, StoreError> {
        codec::decode_made_by(&self.meta(tables::MADE_BY)?)
    }

    fn meta(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let value = self.table(tables::META)?.get(name).map_err(failed)?;
        value.map(|value| value.value().to_vec()).ok_or(StoreError::Corrupt("head"))
    }

    /// All slots of an account after the head block.
    pub(super) fn slots_of(&self, address: Address) -> Result<Vec<(U256, U256)>, StoreError> {
        let address = address.into_array();
        let slots = self.storage.range((address, [0; 32])..=(address, [u8::MAX; 32])).map_err(failed)?;
        slots
            .map(|entry| {
                let (key, value) = entry.map_err(failed)?;
                Ok((U256::from_be_bytes(key.value().1), U256::from_be_bytes(value.value())))
            })
            .collect()
    }

    /// The state root of what the tables hold.
    pub(super) fn recomputed_root(&self) -> Result<B256, StoreError> {
        let mut sum = LtHash::default();
        for entry in self.accounts.range::<[u8; 20]>(..).map_err(failed)? {
            let (address, account) = entry.map_err(failed)?;
            let after = Some(codec::decode_account(account.value())?);
            let mut one = StateChanges::default();
            one.accounts.insert(address.value().into(), Change { before: None, after });
            sum.apply(&one);
        }
        for entry in self.storage.range::<([u8; 20], [u8; 32])>(..).map_err(failed)? {
            let (key, value) = entry.map_err(failed)?;
            let (address, slot) = key.value();
            let change = Change { before: U256::ZERO, after: U256::from_be_bytes(value.value()) };
            let mut one = StateChanges::default();
            one.storage.insert((address.into(), U256::from_be_bytes(slot)), change);
            sum.apply(&one);
        }
        Ok(sum.root())
    }

    /// What the account was after block `height`: what the first later block that changed it found.
    fn account_after(&self, address: [u8; 20], height: u64) -> Result<Option<Option<Account>>, StoreError> {
        let Some(next) = height.checked_add(1) else { return Ok(None) };
        let table = self.table(tables::ACCOUNTS_BEFORE)?;
        let mut later = table.range((address, next)..=(address, u64::MAX)).map_err(failed)?;
        let Some(entry) = later.next() else { return Ok(None) };
        let (_, before) = entry.map_err(failed)?;
        let before = before.value();
        if before.is_empty() {
            Ok(Some(None))
        } else {
            codec::decode_account(before).map(|account| Some(Some(account)))
        }
    }

    fn slot_after(&self, address: [u8; 20], slot: [u8; 32], height: u64) -> Result<Option<U256>, StoreError> {
        let Some(next) = height.checked_add(1) else { return Ok(None) };
        let table = self.table(tables::STORAGE_BEFORE)?;
        let mut later = table.range((address, slot, next)..=(address, slot, u64::MAX)).map_err(failed)?;
        let Some(entry) = later.next() else { return Ok(None) };
        let (_, before) = entry.map_err(failed)?;
        Ok(Some(U256::from_be_bytes(before.value())))
    }
}

impl View for RedbView {
    fn head(&self) -> Result<(B256, Header), StoreError> {
        let height = codec::decode_u64(&self.meta(tables::HEAD)?)?;
        self.any_header(height)?.ok_or(StoreError::Corrupt("head"))
    }

    fn began(&self) -> Result<Option<u64>, StoreError> {
        let value = self.table(tables::META)?.get(tables::BEGAN).map_err(failed)?;
        value.map(|value| codec::decode_u64(value.value())).transpose()
    }

    fn any_header(&self, height: u64) -> Result<Option<(B256, Header)>, StoreError> {
        if let Some(found) = self.header(height)? {
            return Ok(Some(found));
        }
        let header = self.table(tables::EARLIER_HEADERS)?.get(height).map_err(failed)?;
        header.map(|header| codec::decode_header(header.value())).transpose()
    }

    fn root(&self, height: u64) -> Result<Option<B256>, StoreError> {
        let root = self.table(tables::ROOTS)?.get(height).map_err(failed)?;
        Ok(root.map(|root| root.value().into()))
    }

    fn seal(&self, height: u64) -> Result<Option<Bytes>, StoreError> {
        let seal = self.table(tables::SEALS)?.get(height).map_err(failed)?;
        Ok(seal.map(|seal| Bytes::copy_from_slice(seal.value())))
    }

    fn checkpoint_below(&self, height: u64) -> Result<Option<(u64, u64)>, StoreError> {
        let table = self.table(tables::CHECKPOINTS)?;
        let newest = table.range(..height).map_err(failed)?.next_back();
        newest.map(|entry| entry.map(|(block, of)| (block.value(), of.value())).map_err(failed)).transpose()
    }

    fn certificate(&self, from: u64, to: u64) -> Result<Option<(u64, Certificate)>, StoreError> {
        if from > to {
            return Ok(None);
        }
        let table = self.table(tables::CERTIFICATES)?;
        let Some(entry) = table.range(from..=to).map_err(failed)?.next() else { return Ok(None) };
        let (height, certificate) = entry.map_err(failed)?;
        Ok(Some((height.value(), codec::decode_certificate(certificate.value())?)))
    }

    fn codes(&self, after: Option<B256>, bytes_max: usize) -> Result<Vec<(B256, Bytes)>, StoreError> {
        flat::codes(&self.table(tables::CODE)?, after, bytes_max)
    }

    fn accounts(
        &self,
        after: Option<Address>,
        height: u64,
        limit: usize,
    ) -> Result<Vec<(Address, Account)>, StoreError> {
        flat::accounts(&self.accounts, &self.table(tables::ACCOUNTS_BEFORE)?, after, height, limit)
    }

    fn slots(
        &self,
        after: Option<(Address, U256)>,
        height: u64,
        limit: usize,
    ) -> Result<Vec<FlatSlot>, StoreError> {
        flat::slots(&self.storage, &self.table(tables::STORAGE_BEFORE)?, after, height, limit)
    }

    fn accumulator(&self) -> Result<LtHash, StoreError> {
        let bytes = self.meta(tables::ACCUMULATOR)?;
        let bytes = bytes.as_slice().try_into().map_err(|_| StoreError::Corrupt("accumulator"))?;
        Ok(LtHash::from_bytes(bytes))
    }

    fn waiting(&self) -> Result<Vec<Recovered<TxEnvelope>>, StoreError> {
        let table = self.table(tables::WAITING)?;
        let entries = table.range::<[u8; 32]>(..).map_err(failed)?;
        entries.map(|entry| codec::decode_transaction(entry.map_err(failed)?.1.value())).collect()
    }

    fn entries(&self) -> Result<Entries<'static>, StoreError> {
        let entries = flat::everything(&self.accounts, &self.storage, self.table(tables::CODE)?)?;
        Ok(Box::new(entries.map(|entry| entry.map_err(AccountsError::new))))
    }

    fn block_hash(&self, height: u64) -> Result<Option<B256>, StoreError> {
        if let Some((hash, _)) = self.header(height)? {
            return Ok(Some(hash));
        }
        let hash = self.table(tables::EARLIER)?.get(height).map_err(failed)?;
        Ok(hash.map(|hash| hash.value().into()))
    }

    fn account(&self, address: Address, at: At) -> Result<Option<Account>, StoreError> {
        let address = address.into_array();
        if let At::Height(height) = at
            && let Some(account) = self.account_after(address, height)?
        {
            return Ok(account);
        }
        let account = self.accounts.get(address).map_err(failed)?;
        account.map(|account| codec::decode_account(account.value())).transpose()
    }

    fn storage(&self, address: Address, slot: U256, at: At) -> Result<U256, StoreError> {
        let (address, slot) = (address.into_array(), slot.to_be_bytes::<32>());
        if let At::Height(height) = at
            && let Some(value) = self.slot_after(address, slot, height)?
        {
            return Ok(value);
        }
        let value = self.storage.get((address, slot)).map_err(failed)?;
        Ok(value.map_or(U256::ZERO, |value| U256::from_be_bytes(value.value())))
    }

    fn code(&self, hash: B256) -> Result<Option<Bytes>, StoreError> {
        let code = self.table(tables::CODE)?.get(hash.0).map_err(failed)?;
        Ok(code.map(|code| Bytes::copy_from_slice(code.value())))
    }

    fn header(&self, height: u64) -> Result<Option<(B256, Header)>, StoreError> {
        let header = self.table(tables::HEADERS)?.get(height).map_err(failed)?;
        header.map(|header| codec::decode_header(header.value())).transpose()
    }

    fn height(&self, hash: B256) -> Result<Option<u64>, StoreError> {
        let height = self.table(tables::HEIGHTS)?.get(hash.0).map_err(failed)?;
        Ok(height.map(|height| height.value()))
    }

    fn location(&self, transaction: B256) -> Result<Option<Location>, StoreError> {
        let location = self.table(tables::LOCATIONS)?.get(transaction.0).map_err(failed)?;
        Ok(location.map(|location| {
            let (height, index) = location.value();
            Location { height, index }
        }))
    }

    fn transaction(&self, location: Location) -> Result<Option<Recovered<TxEnvelope>>, StoreError> {
        let table = self.table(tables::TRANSACTIONS)?;
        let transaction = table.get((location.height, location.index)).map_err(failed)?;
        transaction.map(|transaction| codec::decode_transaction(transaction.value())).transpose()
    }

    fn transactions(&self, height: u64) -> Result<Vec<Recovered<TxEnvelope>>, StoreError> {
        let table = self.table(tables::TRANSACTIONS)?;
        let entries = table.range((height, 0)..=(height, u32::MAX)).map_err(failed)?;
        entries.map(|entry| codec::decode_transaction(entry.map_err(failed)?.1.value())).collect()
    }

    fn receipt(&self, location: Location) -> Result<Option<StoredReceipt>, StoreError> {
        let receipt = self.table(tables::RECEIPTS)?.get((location.height, location.index)).map_err(failed)?;
        receipt.map(|receipt| codec::decode_receipt(receipt.value())).transpose()
    }

    fn receipts(&self, height: u64) -> Result<Vec<StoredReceipt>, StoreError> {
        let table = self.table(tables::RECEIPTS)?;
        let entries = table.range((height, 0)..=(height, u32::MAX)).map_err(failed)?;
        entries.map(|entry| codec::decode_receipt(entry.map_err(failed)?.1.value())).collect()
    }

    fn logged(&self, key: LogKey, from: u64, to: u64, limit: usize) -> Result<Vec<Location>, StoreError> {
        if from > to {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        match key {
            LogKey::Address(address) => {
                let address = address.into_array();
                let table = self.table(tables::LOGS_BY_ADDRESS)?;
                for entry in
                    table.range((address, from, 0)..=(address, to, u32::MAX)).map_err(failed)?.take(limit)
                {
                    let (_, height, index) = entry.map_err(failed)?.0.value();
                    found.push(Location { height, index });
                }
            }
            LogKey::Topic(topic) => {
                let table = self.table(tables::LOGS_BY_TOPIC)?;
                for entry in
                    table.range((topic.0, from, 0)..=(topic.0, to, u32::MAX)).map_err(failed)?.take(limit)
                {
                    let (_, height, index) = entry.map_err(failed)?.0.value();
                    found.push(Location { height, index });
                }
            }
        }
        Ok(found)
    }
}
