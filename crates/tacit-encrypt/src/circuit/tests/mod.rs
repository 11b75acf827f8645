//! The circuit from inside: noise against its formulas, circuits and programs against the executor, questions from end to end.

#[cfg(feature = "client")]
mod asked;
mod compile;
#[cfg(feature = "client")]
mod noise;
mod programs;
#[cfg(feature = "client")]
mod refused;
mod trees;

#[cfg(feature = "client")]
use {
    super::{ClientKeys, EvaluationKeys, Parameters, SETS, Variant},
    crate::Seed,
    std::sync::OnceLock,
};

/// Keys of one client, made once for all tests.
#[cfg(feature = "client")]
struct Keys {
    client: ClientKeys,
    bytes: Vec<u8>,
    fast: EvaluationKeys,
    reproducible: OnceLock<EvaluationKeys>,
}

#[cfg(feature = "client")]
impl Keys {
    fn of(parameters: &Parameters) -> &'static Self {
        static KEYS: [OnceLock<Keys>; 3] = [const { OnceLock::new() }; 3];
        let place = SETS.iter().position(|set| set.id == parameters.id).unwrap();
        KEYS[place].get_or_init(|| {
            let (client, bytes) = ClientKeys::generate(&SETS[place], &Seed::new([parameters.id; 32]));
            let fast = EvaluationKeys::decode(&bytes, Variant::Fast).unwrap();
            Self { client, bytes, fast, reproducible: OnceLock::new() }
        })
    }

    fn evaluation(&'static self, variant: Variant) -> &'static EvaluationKeys {
        match variant {
            Variant::Fast => &self.fast,
            Variant::Reproducible => {
                self.reproducible.get_or_init(|| EvaluationKeys::decode(&self.bytes, variant).unwrap())
            }
        }
    }
}
