//! Random histories of proposals, compared step by step with a naive oracle; coin is counted after each step.

use super::tests::{
    ANYONE, COIN, approve, line, open, owner, policy, proposal, propose, settle, take_back, world,
};
use crate::testing::World;
use alloy_primitives::{B256, U256};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tacit_abi::{
    policies::{ADDRESS, BOND, DELAY_MIN_S, ENACT_S, NARROW_DELAY_S, QUORUM_MIN, VOTE_S},
    validators::BURNED,
};

const STAKES: [u128; 4] = [50, 40, 30, 20];
const LINES: usize = 2;

#[derive(Debug, Clone)]
enum Step {
    Propose { who: u8, line: usize, images: u8 },
    Approve { who: u8, which: usize },
    TakeBack { who: u8, which: usize },
    Settle { who: u8, which: usize },
    Wait { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let who = || prop_oneof![6 => 1_u8..=4, 1 => Just(ANYONE)];
    let which = || 0_usize..6;
    prop_oneof![
        3 => (1_u8..=ANYONE, 0..LINES, 1_u8..8)
            .prop_map(|(who, line, images)| Step::Propose { who, line, images }),
        8 => (who(), which()).prop_map(|(who, which)| Step::Approve { who, which }),
        2 => (who(), which()).prop_map(|(who, which)| Step::TakeBack { who, which }),
        5 => (who(), which()).prop_map(|(who, which)| Step::Settle { who, which }),
        3 => prop_oneof![
            Just(NARROW_DELAY_S),
            Just(DELAY_MIN_S),
            Just(VOTE_S),
            1_u64..2 * VOTE_S,
        ]
        .prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// A proposal, in the fewest words.
#[derive(Debug, Clone)]
struct Simple {
    id: B256,
    proposer: u8,
    line: usize,
    images: u8,
    follows: u64,
    narrows: bool,
    status: u8,
    until: u64,
    votes: BTreeMap<u8, bool>,
}

#[derive(Debug, Default)]
struct Model {
    /// Images, version.
    lines: [(u8, u64); LINES],
    proposals: Vec<Simple>,
    burned: u128,
    spent: BTreeMap<u8, u128>,
}

fn numbers(images: u8) -> Vec<u8> {
    (0..3).filter(|bit| images >> bit & 1 == 1).map(|bit| bit + 1).collect()
}

impl Simple {
    fn stake(&self, wanted: bool) -> u128 {
        let voted = self.votes.iter().filter(|(_, approves)| **approves == wanted);
        voted.map(|(who, _)| STAKES[usize::from(*who) - 1]).sum()
    }
}

impl Model {
    /// What the step would do, and whether it is allowed.
    fn step(&mut self, step: &Step, now: u64) -> bool {
        let total: u128 = STAKES.iter().sum();
        match *step {
            Step::Propose { line, images, .. } => self.lines[line].0 != images,
            Step::Approve { who, which } => {
                let Some(simple) = self.proposals.get_mut(which) else { return false };
                let fresh = simple.follows == self.lines[simple.line].1;
                let again = simple.votes.get(&who) == Some(&true);
                if simple.status != 1 || !fresh || now > simple.until || who == ANYONE || again {
                    return false;
                }
                simple.votes.insert(who, true);
                if simple.stake(true) * 10_000 >= total * u128::from(QUORUM_MIN) {
                    simple.status = 2;
                    simple.until = now + if simple.narrows { NARROW_DELAY_S } else { DELAY_MIN_S };
                }
                true
            }
            Step::TakeBack { who, which } => {
                let Some(simple) = self.proposals.get_mut(which) else { return false };
                let fresh = simple.follows == self.lines[simple.line].1;
                let again = simple.votes.get(&who) == Some(&false);
                if simple.status != 2 || !fresh || who == ANYONE || again {
                    return false;
                }
                simple.votes.insert(who, false);
                if simple.stake(false) * 3 >= total {
                    simple.status = 5;
                    *self.spent.entry(simple.proposer).or_default() -= BOND;
                }
                true
            }
            Step::Settle { which, .. } => {
                let Some(simple) = self.proposals.get_mut(which) else { return false };
                let line = &mut self.lines[simple.line];
                let status = match simple.status {
                    1 | 2 if simple.follows != line.1 => 6,
                    1 if now > simple.until => 4,
                    2 if now > simple.until + ENACT_S => 6,
                    2 if now >= simple.until => 3,
                    _ => return false,
                };
                simple.status = status;
                match status {
                    4 => self.burned += BOND,
                    _ => *self.spent.entry(simple.proposer).or_default() -= BOND,
                }
                if status == 3 {
                    *line = (simple.images, line.1 + 1);
                }
                true
            }
            Step::Wait { .. } => true,
        }
    }
}

fn play(world: &mut World, model: &mut Model, lines: &[B256], step: &Step) -> bool {
    let unknown = B256::repeat_byte(0xee);
    let id = |which: usize| model.proposals.get(which).map_or(unknown, |simple| simple.id);
    match *step {
        Step::Propose { who, line, images } => {
            let Ok(id) = propose(world, who, lines[line], &policy(&numbers(images))) else { return false };
            let (before, follows) = model.lines[line];
            let (narrows, until) = (images & before == images, world.now + VOTE_S);
            let (status, votes) = (1, BTreeMap::new());
            let simple = Simple { id, proposer: who, line, images, follows, narrows, status, until, votes };
            model.proposals.push(simple);
            *model.spent.entry(who).or_default() += BOND;
            true
        }
        Step::Approve { who, which } => approve(world, who, id(which)).is_ok(),
        Step::TakeBack { who, which } => take_back(world, who, id(which)).is_ok(),
        Step::Settle { who, which } => settle(world, who, id(which)).is_ok(),
        Step::Wait { seconds } => {
            world.now += seconds;
            true
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever is proposed, voted and settled, lines are what the oracle says, and every bond is in the module, at home or burned.
    #[test]
    fn lines_change_as_the_oracle_says_and_bonds_are_conserved(steps in prop::collection::vec(step(), 0..70)) {
        let mut world = world(&STAKES);
        world.gas = 30_000_000;
        let mut model = Model { lines: [(3, 1), (6, 1)], ..Model::default() };
        let mut lines = Vec::new();
        for (images, _) in model.lines {
            lines.push(open(&mut world, &policy(&numbers(images)), DELAY_MIN_S, QUORUM_MIN).unwrap());
        }
        for step in &steps {
            let expected = model.step(step, world.now);
            prop_assert_eq!(play(&mut world, &mut model, &lines, step), expected, "{:?}", step);
            for (id, (images, version)) in lines.iter().zip(model.lines) {
                let line = line(&mut world, *id);
                prop_assert_eq!((line.policy, line.version), (policy(&numbers(images)).id(), version));
            }
            let mut held = 0;
            for simple in &model.proposals {
                let found = proposal(&mut world, simple.id);
                let is = (found.status, found.until, found.narrows);
                prop_assert_eq!(is, (simple.status, simple.until, simple.narrows));
                held += if simple.status <= 2 { BOND } else { 0 };
            }
            prop_assert_eq!(world.balance(ADDRESS), U256::from(held));
            prop_assert_eq!(world.balance(BURNED), U256::from(model.burned));
            for who in 1..=ANYONE {
                let spent = model.spent.get(&who).copied().unwrap_or(0);
                prop_assert_eq!(world.balance(owner(who)), U256::from(1_000 * COIN - spent));
            }
        }
    }
}
