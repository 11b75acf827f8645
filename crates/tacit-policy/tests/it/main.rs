//! Which of two policies accepts less, against an oracle that looks at all facts there can be.

#![expect(clippy::unwrap_used, reason = "helpers of tests stop where a test would fail")]

mod narrow;
