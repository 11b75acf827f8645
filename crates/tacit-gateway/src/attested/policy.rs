//! The policy in force: by its hash, or by the line that it is in.

use std::sync::{Arc, PoisonError};

use alloy_primitives::B256;
use tacit_abi::{IPolicies::IPoliciesErrors, policies::line_id};
use tacit_attest::Policy;
use tacit_wire::{LedgerError, Revert};

use super::Attesting;
use crate::{error::GatewayError, gateway::Gateway};

impl Gateway {
    /// The policy that evidence is judged by now.
    pub(super) async fn policy_in_force(&self, attesting: &Attesting) -> Result<Arc<Policy>, GatewayError> {
        let name = attesting.config.policy;
        match self.policy_of(attesting, name).await {
            Err(GatewayError::UnknownPolicy { .. }) => {}
            found => return found,
        }
        let line = match self.ledger.policy_line(name).await {
            Ok(line) => line,
            Err(LedgerError::Reverted(Revert::Policies(IPoliciesErrors::UnknownLine(_)))) => {
                return Err(GatewayError::UnknownPolicy { policy: name });
            }
            Err(error) => return Err(error.into()),
        };
        // A policy's own hash is no line's: whoever named it so is not given a line's policy instead.
        if line_id(line.first, line.delay, line.quorum) != name {
            return Err(GatewayError::FalsePolicy { policy: name });
        }
        self.policy_of(attesting, line.policy).await
    }

    /// The policy of an id: from memory, or from the ledger, in which case its id is recomputed.
    async fn policy_of(&self, attesting: &Attesting, id: B256) -> Result<Arc<Policy>, GatewayError> {
        let kept = attesting.policies.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if let Some(policy) = kept {
            return Ok(policy);
        }
        let bytes = match self.ledger.policy_bytes(id).await {
            Ok(bytes) => bytes,
            Err(LedgerError::Reverted(Revert::Policies(IPoliciesErrors::UnknownPolicy(_)))) => {
                return Err(GatewayError::UnknownPolicy { policy: id });
            }
            Err(error) => return Err(error.into()),
        };
        let policy = Policy::decode(&bytes).ok().filter(|policy| policy.id() == id);
        let policy = Arc::new(policy.ok_or(GatewayError::FalsePolicy { policy: id })?);
        let mut policies = attesting.policies.lock().unwrap_or_else(PoisonError::into_inner);
        if policies.len() >= super::KEPT_MAX {
            policies.clear();
        }
        policies.insert(id, Arc::clone(&policy));
        Ok(policy)
    }
}
