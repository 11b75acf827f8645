//! The way to the ledger, with errors a person can act on.

use crate::failure::Failure;
use tacit_abi::{
    IAsks::IAsksErrors, IChannels::IChannelsErrors, IModels::IModelsErrors, IModule::IModuleErrors,
    IPolicies::IPoliciesErrors, IStakes::IStakesErrors, ISubnets::ISubnetsErrors,
    IValidators::IValidatorsErrors,
};
use tacit_wire::{LedgerClient, LedgerError, Revert};

/// Connects to a ledger's JSON-RPC.
pub(crate) async fn ledger(url: &str) -> Result<LedgerClient, Failure> {
    LedgerClient::connect(url).await.map_err(|error| {
        let mut failure = failure(error);
        failure.message = format!("no ledger at {url}: {}", failure.message);
        failure
    })
}

/// A ledger's refusal in the shape of every other one.
pub(crate) fn failure(error: LedgerError) -> Failure {
    let (code, hint) = match &error {
        LedgerError::Http(_) => {
            ("ledger_unreachable", "start one with `tacit up` or `tacit node dev`, or name one with --ledger")
        }
        LedgerError::InsufficientFunds { .. } => {
            ("no_funds", "send coins to this address: tacit wallet send")
        }
        LedgerError::Reverted(revert) => ("ledger_refused", next_step(revert)),
        LedgerError::NotMined { .. } => {
            ("not_mined", "look again in a while: the transaction may still get in")
        }
        LedgerError::Displaced { .. } => {
            ("displaced", "nothing was sent by this one: look at the account, then try again")
        }
        _ => ("ledger_failed", ""),
    };
    Failure::new(code, &error, hint)
}

/// What a person whom a module refused can do; empty where the reason says it.
fn next_step(revert: &Revert) -> &'static str {
    match revert {
        Revert::Models(error) => match error {
            IModelsErrors::AlreadyPublished(_) => "nothing is left to do: `tacit model list` shows it",
            IModelsErrors::NameTaken(_) | IModelsErrors::BadName(_) => "choose another with --name",
            IModelsErrors::UnknownModel(_) => "`tacit model list` shows what is published on this ledger",
            IModelsErrors::NotOwner(_) => "use the key that published it",
            _ => "",
        },
        Revert::Channels(IChannelsErrors::GraceRunning(_) | IChannelsErrors::CloseAlreadyRequested(_)) => {
            "run `tacit wallet reclaim` again after that time"
        }
        Revert::Stakes(error) => match error {
            IStakesErrors::StakeTooSmall(_) => "`tacit wallet stake` shows what is bonded: take home no more",
            IStakesErrors::StillBonded(_) => {
                "until then it answers for what was served: withdraw it afterwards"
            }
            IStakesErrors::NothingUnbonding(_) => "begin with `tacit wallet stake KEY --unbond COINS`",
            _ => "",
        },
        Revert::Asks(error) => match error {
            IAsksErrors::TooLittleStake(_) => "bond more: `tacit wallet stake KEY --add COINS`",
            IAsksErrors::UnknownModel(_) => "publish it first: `tacit model publish`",
            _ => "",
        },
        Revert::Validators(error) => match error {
            IValidatorsErrors::NotOwner(_) => "use the key of the account that staked",
            IValidatorsErrors::KeyBarred(_) => "make a new key: this one is of no more use",
            IValidatorsErrors::StillUnbonding(_) => "try again then",
            _ => "",
        },
        Revert::Policies(error) => match error {
            IPoliciesErrors::UnknownLine(_) | IPoliciesErrors::UnknownPolicy(_) => {
                "open a line with `tacit policy open`, or check the name and --ledger"
            }
            IPoliciesErrors::NoVote(_) => "use the key of an owner whose validator votes now",
            IPoliciesErrors::Outdated(_) => "propose it anew, after what is in force now",
            IPoliciesErrors::StillWaiting(_) => "run `tacit policy settle` after that time",
            _ => "",
        },
        Revert::Subnets(error) => match error {
            ISubnetsErrors::UnknownSubnet(_) => "`tacit subnet list` shows those of this ledger",
            ISubnetsErrors::NotRegistered(_) => "take a seat first: `tacit subnet register`",
            ISubnetsErrors::NotValidator(_) | ISubnetsErrors::TooLittleStake(_) => {
                "put up stake first: `tacit subnet bond`"
            }
            ISubnetsErrors::NoCommitment(_) => "score first: `tacit subnet score`",
            ISubnetsErrors::BadReveal(_) => {
                "reveal from the folder in which this epoch was scored (--scores)"
            }
            ISubnetsErrors::NotInWindow(_) | ISubnetsErrors::WrongEpoch(_) => {
                "`tacit subnet show` tells what it is time for"
            }
            _ => "",
        },
        Revert::Module(IModuleErrors::UnknownSelector(_)) => {
            "this program and the ledger are of different versions: update the older one"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_sol_types::SolError as _;
    use tacit_abi::{IAsks, asks};

    #[test]
    fn a_refusal_says_what_to_do() {
        let data = IAsks::TooLittleStake { bonded: 0, needed: 10_u128.pow(16) }.abi_encode();
        let revert = Revert::decode(Some(asks::ADDRESS), &data.into());
        let said = failure(LedgerError::Reverted(revert));
        assert_eq!(said.code, "ledger_refused");
        assert_eq!(said.hint, "bond more: `tacit wallet stake KEY --add COINS`");
    }
}
