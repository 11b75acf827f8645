//! The module `policies`: lines, what is proposed for them, and what policies say.

use alloy_primitives::{B256, Bytes};
use alloy_sol_types::SolCall;
use tacit_abi::{
    IPolicies,
    policies::{self, BOND},
};

use super::{LedgerClient, LedgerError, Mined};
use crate::{Amount, Wallet};

impl LedgerClient {
    /// A line as it stands.
    ///
    /// # Errors
    /// [`LedgerError::Reverted`] with `UnknownLine` when there is none.
    pub async fn policy_line(&self, line: B256) -> Result<IPolicies::Line, LedgerError> {
        self.call(policies::ADDRESS, &IPolicies::lineOfCall { line }).await
    }

    /// Bytes of a policy. The caller compares their hash with the id.
    ///
    /// # Errors
    /// [`LedgerError::Reverted`] with `UnknownPolicy` when the ledger does not keep it.
    pub async fn policy_bytes(&self, policy: B256) -> Result<Bytes, LedgerError> {
        self.call(policies::ADDRESS, &IPolicies::policyOfCall { policy }).await
    }

    /// A proposal as it stands, and the stake behind it.
    ///
    /// # Errors
    /// [`LedgerError::Reverted`] with `UnknownProposal` when there is none.
    pub async fn policy_proposal(
        &self,
        proposal: B256,
    ) -> Result<(IPolicies::Proposal, IPolicies::Tally), LedgerError> {
        let found = self.call(policies::ADDRESS, &IPolicies::proposalOfCall { proposal }).await?;
        let tally = self.call(policies::ADDRESS, &IPolicies::tallyOfCall { proposal }).await?;
        Ok((found, tally))
    }

    /// Opens a line with its first policy.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn open_policy_line(
        &self,
        wallet: &Wallet,
        policy: Bytes,
        delay: u64,
        quorum: u16,
    ) -> Result<Mined, LedgerError> {
        let call = IPolicies::openCall { policy, delay, quorum };
        self.send(wallet, policies::ADDRESS, Amount::ZERO, call.abi_encode()).await
    }

    /// Proposes a line's next policy, with the bond.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn propose_policy(
        &self,
        wallet: &Wallet,
        line: B256,
        policy: Bytes,
    ) -> Result<Mined, LedgerError> {
        let call = IPolicies::proposeCall { line, policy };
        self.send(wallet, policies::ADDRESS, Amount(BOND), call.abi_encode()).await
    }

    /// Approves a proposal as this wallet's validator.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn approve_policy(&self, wallet: &Wallet, proposal: B256) -> Result<Mined, LedgerError> {
        let call = IPolicies::approveCall { proposal };
        self.send(wallet, policies::ADDRESS, Amount::ZERO, call.abi_encode()).await
    }

    /// Wants taken back what was accepted, as this wallet's validator.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn take_back_policy(&self, wallet: &Wallet, proposal: B256) -> Result<Mined, LedgerError> {
        let call = IPolicies::takeBackCall { proposal };
        self.send(wallet, policies::ADDRESS, Amount::ZERO, call.abi_encode()).await
    }

    /// Puts into force what has waited, or closes what cannot come into force any more.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn settle_policy(&self, wallet: &Wallet, proposal: B256) -> Result<Mined, LedgerError> {
        let call = IPolicies::settleCall { proposal };
        self.send(wallet, policies::ADDRESS, Amount::ZERO, call.abi_encode()).await
    }
}
