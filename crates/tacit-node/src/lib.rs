//! The ledger as a process: store, pool, JSON-RPC, development mode.
