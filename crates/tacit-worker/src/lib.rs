//! Serves models: engine, metering, settlement.
