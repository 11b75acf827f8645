//! Native ledger modules: models, channels, receipts.
