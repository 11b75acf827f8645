//! Who has what. Coins move and are burnt; they are never made.

use anyhow::{Context, Result, ensure};

/// Smallest units in a coin.
pub(crate) const COIN: u128 = 1_000_000_000_000_000_000;

/// An account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    /// All who ask.
    Clients,
    /// What pays auditors.
    Fund,
    /// What nobody has any more.
    Burnt,
    Wallet(usize),
    Stake(usize),
}

/// All accounts.
#[derive(Debug)]
pub(crate) struct Money {
    clients: u128,
    fund: u128,
    burnt: u128,
    wallets: Vec<u128>,
    stakes: Vec<u128>,
    supply: u128,
}

impl Money {
    pub(crate) fn new(clients: u128, fund: u128, wallets: Vec<u128>, stakes: Vec<u128>) -> Self {
        let mut money = Self { clients, fund, burnt: 0, wallets, stakes, supply: 0 };
        money.supply = money.total();
        money
    }

    pub(crate) fn of(&self, account: Account) -> u128 {
        match account {
            Account::Clients => self.clients,
            Account::Fund => self.fund,
            Account::Burnt => self.burnt,
            Account::Wallet(worker) => self.wallets[worker],
            Account::Stake(worker) => self.stakes[worker],
        }
    }

    pub(crate) fn pay(&mut self, from: Account, to: Account, amount: u128) -> Result<()> {
        let left = self.of(from).checked_sub(amount).with_context(|| format!("{from:?} lacks {amount}"))?;
        *self.place(from) = left;
        let more = self.of(to).checked_add(amount).context("more than all coins")?;
        *self.place(to) = more;
        Ok(())
    }

    /// Nothing was made and nothing was lost.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(self.total() == self.supply, "{} coins of {}", self.total(), self.supply);
        Ok(())
    }

    fn total(&self) -> u128 {
        let all = self.wallets.iter().chain(&self.stakes).sum::<u128>();
        all + self.clients + self.fund + self.burnt
    }

    fn place(&mut self, account: Account) -> &mut u128 {
        match account {
            Account::Clients => &mut self.clients,
            Account::Fund => &mut self.fund,
            Account::Burnt => &mut self.burnt,
            Account::Wallet(worker) => &mut self.wallets[worker],
            Account::Stake(worker) => &mut self.stakes[worker],
        }
    }
}
