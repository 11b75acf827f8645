//! Messages between gateway and worker: sealing, jobs, vouchers, receipts, ledger client.
