//! Whatever is done, in whatever order: the coin that lies here is what is owed.

use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Deposit(u128),
    Register(u8),
    Resign(u8),
    Bond(u8, u128),
    Unbond(u8, u128),
    Withdraw(u8),
    Commit(u8, Vec<u16>),
    Reveal(u8, Vec<u16>),
    Close,
    Claim(u8),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0_u8..5;
    let row = prop::sample::select(vec![vec![1, 0, 0], vec![1, 1], vec![0, 5, 1], vec![]]);
    let step = prop_oneof![
        (1_u128..1_000_000).prop_map(Step::Deposit),
        who.clone().prop_map(Step::Register),
        who.clone().prop_map(Step::Resign),
        (who.clone(), 50_u128..500).prop_map(|(who, amount)| Step::Bond(who, amount)),
        (who.clone(), 1_u128..500).prop_map(|(who, amount)| Step::Unbond(who, amount)),
        who.clone().prop_map(Step::Withdraw),
        (who.clone(), row.clone()).prop_map(|(who, row)| Step::Commit(who, row)),
        (who.clone(), row).prop_map(|(who, row)| Step::Reveal(who, row)),
        Just(Step::Close),
        who.prop_map(Step::Claim),
        prop::sample::select(vec![5_u64, 40, 60, 100]).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..120)
}

/// Pools, stakes, what is leaving and what was earned.
fn owed(world: &mut World, accounts: &[Address]) -> u128 {
    let stakes: u128 = validators(world).iter().map(|validator| validator.stake).sum();
    let rest: u128 =
        accounts.iter().map(|account| leaving(world, *account).amount + credit(world, *account)).sum();
    subnet(world).pool + stakes + rest
}

fn take(world: &mut World, step: Step) -> Result<(), Failure> {
    let epoch = subnet(world).epoch;
    let account = |who: u8| Address::repeat_byte(0x40 + who);
    match step {
        Step::Deposit(amount) => deposit(world, amount),
        Step::Register(who) => register(world, account(who)).map(|_| ())?,
        Step::Resign(who) => {
            world.call(SUBNETS, account(who), &ISubnets::resignCall { id: 0 }).map(|_| ())?
        }
        Step::Bond(who, amount) => bond(world, account(who), amount)?,
        Step::Unbond(who, amount) => {
            world.call(SUBNETS, account(who), &ISubnets::unbondCall { id: 0, amount }).map(|_| ())?;
        }
        Step::Withdraw(who) => {
            world.call(SUBNETS, account(who), &ISubnets::withdrawCall { id: 0 }).map(|_| ())?;
        }
        Step::Commit(who, row) => commit(world, account(who), epoch, &row)?,
        Step::Reveal(who, row) => reveal(world, account(who), epoch.saturating_sub(1), &row)?,
        Step::Close => {
            let next = subnet(world).next;
            close(world, next)?;
        }
        Step::Claim(who) => world.call(SUBNETS, account(who), &ISubnets::claimCall {}).map(|_| ())?,
        Step::Wait(seconds) => world.now += seconds,
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_lies_here_is_what_is_owed(steps in steps()) {
        let mut world = World::new();
        create(&mut world, terms()).unwrap();
        let accounts: Vec<Address> = (0..5).map(|who| Address::repeat_byte(0x40 + who)).collect();
        let mut paid = 0_u128;
        for step in steps {
            let (pool, next) = (subnet(&mut world).pool, subnet(&mut world).next);
            let closing = matches!(step, Step::Close);
            if take(&mut world, step).is_ok() && closing {
                let after = subnet(&mut world);
                prop_assert!(after.next > next);
                prop_assert_eq!(after.pool + after.paid, pool);
                prop_assert!(after.paid <= pool / 10);
                paid += after.paid;
            }
            let balance = world.balance(SUBNETS.address);
            prop_assert_eq!(balance, U256::from(owed(&mut world, &accounts)));
        }
        // Seats and their holders point at each other, in both lists.
        let workers = workers(&mut world);
        let distinct: std::collections::BTreeSet<Address> = workers.iter().map(|worker| worker.account).collect();
        prop_assert_eq!(distinct.len(), workers.len());
        let credits: u128 = accounts.iter().map(|account| credit(&mut world, *account)).sum();
        prop_assert!(credits <= paid);
    }

    /// An honest course through all epochs pays, so that the test above is about something.
    #[test]
    fn an_honest_course_pays(rows in prop::collection::vec((1_u16.., 1_u16..), 1..8)) {
        let mut world = running(&[600, 400], 2);
        for (epoch, (one, other)) in (1..).zip(rows) {
            let row = [one, other];
            round(&mut world, epoch, &[&row, &row]);
            prop_assert!(subnet(&mut world).paid > 0);
        }
    }
}
