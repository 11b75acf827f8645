//! Pure executor: blocks in, changes, receipts and roots out.
