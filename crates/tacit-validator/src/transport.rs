//! How validators connect: mutually authenticated and encrypted, with the keys that vote.

use crate::{
    key::ValidatorKey,
    run::{Peer, Reach},
};
use commonware_cryptography::{
    ChaCha20Poly1305,
    ed25519::{PrivateKey, PublicKey},
};
use commonware_p2p::{Ingress, authenticated::discovery};
use commonware_stream::{
    cups::{self, Cups},
    sake::{self, Sake},
};
use commonware_utils::NZUsize;
use core::{net::SocketAddr, num::NonZeroUsize, time::Duration};

/// One validator's way to others.
pub(crate) struct Line<'a> {
    /// Its key.
    pub(crate) key: &'a ValidatorKey,
    /// Whom to call first; this validator may be among them.
    pub(crate) peers: &'a [Peer],
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// Where others reach it. It tells them.
    pub(crate) reached: SocketAddr,
    /// Where the others are.
    pub(crate) reach: Reach,
    /// What connections are for: nobody is let in for anything else.
    pub(crate) namespace: Vec<u8>,
    /// Most peers at a time.
    pub(crate) peers_max: NonZeroUsize,
    /// Longest message.
    pub(crate) message_bytes_max: u32,
}

impl Line<'_> {
    pub(crate) fn config(self) -> discovery::Config<Cups<Sake<PrivateKey>, ChaCha20Poly1305>> {
        let handshake = Cups::<_, ChaCha20Poly1305>::new(
            Sake {
                signer: self.key.secret.clone(),
                synchrony_bound: SYNCHRONY_BOUND,
                max_handshake_age: HANDSHAKE_AGE_MAX,
                version: sake::Version::V1,
            },
            cups::Version::V1,
        );
        let me = self.key.address();
        let others = self.peers.iter().filter(|peer| peer.key != me);
        let bootstrappers: Vec<(PublicKey, Ingress)> =
            others.map(|peer| (peer.key.0.clone(), peer.address.into())).collect();
        let make = match self.reach {
            Reach::Local => discovery::Config::local,
            Reach::Public => discovery::Config::recommended,
        };
        let Self { namespace, listen, reached, peers_max, message_bytes_max, .. } = self;
        make(handshake, &namespace, listen, reached, bootstrappers, peers_max, message_bytes_max, MAILBOX)
    }
}

const SYNCHRONY_BOUND: Duration = Duration::from_secs(5);
const HANDSHAKE_AGE_MAX: Duration = Duration::from_secs(10);
const MAILBOX: NonZeroUsize = NZUsize!(1024);
