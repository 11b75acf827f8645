//! The local door: look-up, privacy, evidence checks, payment.
