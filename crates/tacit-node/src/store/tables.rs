//! The tables of the database file.

use redb::TableDefinition;

type Bytes20 = [u8; 20];
type Bytes32 = [u8; 32];

/// Facts about the file and the head, by name.
pub(super) const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
/// Accounts by address.
pub(super) const ACCOUNTS: TableDefinition<'static, Bytes20, &[u8]> = TableDefinition::new("accounts");
/// Storage by address and slot; zero is absent.
pub(super) const STORAGE: TableDefinition<'static, (Bytes20, Bytes32), Bytes32> =
    TableDefinition::new("storage");
/// Code by hash.
pub(super) const CODE: TableDefinition<'static, Bytes32, &[u8]> = TableDefinition::new("code");
/// What an account was before the block of this height changed it; empty for absent.
pub(super) const ACCOUNTS_BEFORE: TableDefinition<'static, (Bytes20, u64), &[u8]> =
    TableDefinition::new("accounts_before");
/// What a slot was before the block of this height changed it.
pub(super) const STORAGE_BEFORE: TableDefinition<'static, (Bytes20, Bytes32, u64), Bytes32> =
    TableDefinition::new("storage_before");
/// Hash and header by height.
pub(super) const HEADERS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("headers");
/// Height by block hash.
pub(super) const HEIGHTS: TableDefinition<'static, Bytes32, u64> = TableDefinition::new("heights");
/// Hashes of blocks from before the first, by height.
pub(super) const EARLIER: TableDefinition<'static, u64, Bytes32> = TableDefinition::new("earlier");
/// Hash and header, by height, of blocks that lead to the checkpoint which this store began with, and of that block itself.
pub(super) const EARLIER_HEADERS: TableDefinition<'static, u64, &[u8]> =
    TableDefinition::new("earlier_headers");
/// Root of the state accumulator by height.
pub(super) const ROOTS: TableDefinition<'static, u64, Bytes32> = TableDefinition::new("roots");
/// What consensus binds to a block beside its header, by height.
pub(super) const SEALS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("seals");
/// By the height of a block whose seal has a checkpoint: the height that it is of.
pub(super) const CHECKPOINTS: TableDefinition<'static, u64, u64> = TableDefinition::new("checkpoints");
/// Certificates by height, RLP.
pub(super) const CERTIFICATES: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("certificates");
/// Sender and transaction, by hash, of what waits for a block.
pub(super) const WAITING: TableDefinition<'static, Bytes32, &[u8]> = TableDefinition::new("waiting");
/// Sender and transaction by height and index.
pub(super) const TRANSACTIONS: TableDefinition<'static, (u64, u32), &[u8]> =
    TableDefinition::new("transactions");
/// Receipts by height and index.
pub(super) const RECEIPTS: TableDefinition<'static, (u64, u32), &[u8]> = TableDefinition::new("receipts");
/// Height and index by transaction hash.
pub(super) const LOCATIONS: TableDefinition<'static, Bytes32, (u64, u32)> = TableDefinition::new("locations");
/// Transactions by the address of a log.
pub(super) const LOGS_BY_ADDRESS: TableDefinition<'static, (Bytes20, u64, u32), ()> =
    TableDefinition::new("logs_by_address");
/// Transactions by the first topic of a log.
pub(super) const LOGS_BY_TOPIC: TableDefinition<'static, (Bytes32, u64, u32), ()> =
    TableDefinition::new("logs_by_topic");

/// In [`META`]: format version, 4 bytes big-endian.
pub(super) const FORMAT: &str = "format";
/// In [`META`]: chain id, gas limit, floor of the base fee, 8 bytes big-endian each.
pub(super) const CHAIN: &str = "chain";
/// In [`META`]: who made the head, one byte: 0 development, 1 validators.
pub(super) const MADE_BY: &str = "made_by";
/// In [`META`]: hash of the first block.
pub(super) const GENESIS: &str = "genesis";
/// In [`META`]: height of the checkpoint that the store began with, 8 bytes big-endian; absent where it began with a first block.
pub(super) const BEGAN: &str = "began";
/// In [`META`]: height of the head, 8 bytes big-endian.
pub(super) const HEAD: &str = "head";
/// In [`META`]: the state accumulator of the head.
pub(super) const ACCUMULATOR: &str = "accumulator";
