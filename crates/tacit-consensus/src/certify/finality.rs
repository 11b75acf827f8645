//! What a validator gives to light clients.

use crate::{
    block::BlockHash,
    engine::Validator,
    ports::{BlockSink, TransactionSource},
};
use commonware_consensus::simplex::{scheme::ed25519::Scheme, types::Finalization};
use commonware_runtime::{Clock, Metrics, Network, Spawner, Storage};
use rand_core::CryptoRng;
use tacit_light::{
    Certificate, CertificateKind, Finality, GroupSignature, HEADERS_MAX, VoteSignature, Votes,
};

impl<E, T, S> Validator<E, T, S>
where
    E: Spawner + Clock + Metrics + Storage + Network + CryptoRng,
    T: TransactionSource,
    S: BlockSink,
{
    /// The threshold signature of the first block from `number` on that has one here, and that block's number.
    ///
    /// It comes within a network delay or two of a block's being final. A validator that was away may have none of blocks
    /// of that time.
    pub async fn threshold_certificate(&self, number: u64) -> Option<(u64, GroupSignature)> {
        let first = self.genesis().block().header.number;
        let height = number.checked_sub(first)?;
        let (certified, signature) = self.certifier.next(height).await?;
        Some((certified.checked_add(first)?, signature))
    }

    /// What proves to a light client that a block is final, with a certificate of the wanted kind, or of any; `None` when
    /// there is none here, for the block or for one of the next [`HEADERS_MAX`]` - 1`.
    pub async fn finality(&self, number: u64, kind: Option<CertificateKind>) -> Option<Finality> {
        let wanted = |one| kind.is_none_or(|kind| kind == one);
        let threshold = match wanted(CertificateKind::Threshold) {
            true => self.threshold_certificate(number).await,
            false => None,
        };
        let mut headers = Vec::with_capacity(1);
        for at in (number..).take(HEADERS_MAX) {
            headers.push(self.block(at).await?.block().header.clone());
            if let Some((_, signature)) = threshold.filter(|(certified, _)| *certified == at) {
                return Some(Finality { headers, certificate: Certificate::Threshold(signature) });
            }
            if wanted(CertificateKind::Votes)
                && let Some(votes) = self.certificate(at).await
            {
                return Some(Finality { headers, certificate: Certificate::Votes(light_votes(&votes)?) });
            }
        }
        None
    }
}

/// Votes as light clients read them.
fn light_votes(finalization: &Finalization<Scheme, BlockHash>) -> Option<Votes> {
    let Finalization { proposal, certificate } = finalization;
    let signatures: Option<Vec<VoteSignature>> = certificate
        .signatures
        .iter()
        .map(|signature| signature.get().map(|signature| VoteSignature::from_slice(signature)))
        .collect();
    let signers = certificate.signers.iter().map(usize::from);
    let round = (proposal.round.epoch().get(), proposal.round.view().get(), proposal.parent.get());
    Some(Votes::new(round, certificate.signers.len(), signers.zip(signatures?)))
}
