//! One attack per test.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod committed;
mod dense;
mod operators;
mod secrecy;
#[path = "../support/mod.rs"]
mod support;
mod transcript;
mod zero_knowledge;

use p3_field::{PrimeCharacteristicRing, PrimeField32};
use tacit_prove::{CommittedModel, Run};
use tacit_verify::{
    Reject,
    context::{Context, Value},
    field::{Ef, Fp},
    protocol::{self, Public, Rows},
};

/// The integer that a small element stands for.
fn signed(value: Fp) -> i32 {
    let value = i64::from(value.as_canonical_u32());
    let order = i64::from(Fp::ORDER_U32);
    i32::try_from(if value > order / 2 { value - order } else { value }).unwrap()
}

fn is_lookup(reject: &Reject) -> bool {
    matches!(reject, Reject::LookupSum | Reject::LookupNumerators | Reject::LookupDenominators)
}

/// The name of the variant.
fn reason(reject: &Reject) -> String {
    format!("{reject:?}").split([' ', '(']).next().unwrap().to_owned()
}

/// Bytes before the openings: header, roots and the messages of the argument.
fn message_bytes(model: &CommittedModel, run: &Run) -> usize {
    let mut counter = Counter { received: 0 };
    let Run { plan, statement, .. } = run;
    let graph = model.model().graph();
    let encoded: Vec<Vec<i16>> =
        statement.inputs.iter().map(|row| graph.encode_input(row).unwrap()).collect();
    let rows = if plan.salts.is_empty() {
        Rows::Public { inputs: &encoded, outputs: &statement.outputs }
    } else {
        Rows::Committed
    };
    let _openings = protocol::verify(Public { graph, plan, rows }, &mut counter).unwrap();
    3 + run.salts.len() * 32 + 32 + 20 * counter.received
}

/// A context that believes everything and counts what it receives, as a prover of masked messages would first do.
struct Counter {
    received: usize,
}

/// A message nobody looks at.
#[derive(Clone)]
struct Unseen;

impl Value for Unseen {
    fn constant(_: Ef) -> Self {
        Self
    }
    fn plus(&self, _: &Self) -> Self {
        Self
    }
    fn minus(&self, _: &Self) -> Self {
        Self
    }
    fn scale(&self, _: Ef) -> Self {
        Self
    }
}

impl Context for Counter {
    type Value = Unseen;

    fn receive(&mut self) -> Result<Unseen, Reject> {
        self.received += 1;
        Ok(Unseen)
    }
    fn receive_public(&mut self) -> Result<Ef, Reject> {
        self.received += 1;
        Ok(Ef::ONE)
    }
    fn challenge(&mut self) -> Ef {
        Ef::TWO
    }
    fn multiply(&mut self, _: &Unseen, _: &Unseen) -> Unseen {
        Unseen
    }
    fn assert_zero(&mut self, _: &Unseen, _: Reject) -> Result<(), Reject> {
        Ok(())
    }
}
