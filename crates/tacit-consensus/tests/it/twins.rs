//! One key on two machines: both believe that they are the validator, and each sees a part of the others, which changes.

use crate::{
    network::{Network, World, simulate},
    people::{COIN, address, pay},
};
use alloy_primitives::B256;
use commonware_runtime::deterministic::Context;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{collections::BTreeSet, time::Duration};
use tacit_consensus::namespace;

/// The machines with the key of validator 0.
const TWINS: [usize; 2] = [0, 4];
const HONEST: [usize; 3] = [1, 2, 3];

/// So many phases, in each of which every honest validator sees one of the twins, or both. Says whether they were found out.
pub(crate) async fn run(context: Context, seed: u64, phases: u64, cut_off: bool) -> bool {
    let world = World { shares: vec![false; 5], cut_off, ..World::with_twins(4, &[TWINS[0]]) };
    let mut rng = StdRng::seed_from_u64(seed);
    let network = Network::start(context, world).await;
    for phase in 0..phases {
        let sees = |rng: &mut StdRng| rng.random_range(0..3);
        let sides: Vec<(usize, u8)> = HONEST.into_iter().map(|i| (i, sees(&mut rng))).collect();
        for (twin, other) in [(TWINS[0], 0), (TWINS[1], 1)] {
            let seen: BTreeSet<usize> =
                sides.iter().filter(|(_, side)| *side != other).map(|(i, _)| *i).collect();
            network.world.sight.lock().unwrap().insert(twin, seen);
        }
        network.world.pool.add(pay(1, phase, address(2), COIN));
        network.sleep(Duration::from_millis(rng.random_range(300..2_500))).await;
    }
    network.world.sight.lock().unwrap().clear();
    network.settle(HONEST, 6).await;
    let state = network.world.replay();
    assert_eq!(state.accounts[&address(1)].nonce, phases);
    let keys = network.validators();
    let (key, namespace) =
        (B256::from_slice(keys.get(0).unwrap()), namespace(&network.world.genesis, &keys).unwrap());
    let mut found = false;
    for i in HONEST {
        network.check_database(i, &state).await;
        let court = &network.world.courts[i];
        assert!(court.holds(namespace));
        assert!(court.accused().iter().all(|accused| *accused == key), "an honest validator is accused");
        found |= !court.accused().is_empty();
    }
    found
}

#[test]
fn twins_fork_nothing_and_are_found_out() {
    for seed in 300..304 {
        let found = simulate(seed, |context| run(context, seed, 6, true));
        assert!(found, "seed {seed}: nobody has both votes");
    }
}

/// Whoever is caught is not cut off, and goes on for as long as the test.
#[test]
fn twins_that_are_not_cut_off_fork_nothing() {
    for seed in 310..313 {
        let found = simulate(seed, |context| run(context, seed, 8, false));
        assert!(found, "seed {seed}: nobody has both votes");
    }
}
