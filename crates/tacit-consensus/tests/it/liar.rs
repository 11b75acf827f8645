//! A validator that lies: what it sends to others as their shares is not, or what it serves as state.

use commonware_actor::{Feedback, Unreliable};
use commonware_p2p::{CheckedSender, LimitedSender, Recipients};
use commonware_runtime::{IoBuf, IoBufs};
use std::time::SystemTime;

/// Changes a message.
pub(crate) type Lie = fn(&mut [u8]);

/// A dealing's share. The number of an early epoch comes first, then the kind; the share is the end.
pub(crate) fn share(message: &mut [u8]) {
    if let [_, 0, .., share] = message {
        *share ^= 1;
    }
}

/// An answer with operations: a byte in the middle of them. A number comes first, then the kind.
pub(crate) fn state(message: &mut [u8]) {
    let middle = message.len() / 2;
    if message.get(8) == Some(&1) && middle > 16 {
        message[middle] ^= 1;
    }
}

/// A way to others on which messages are changed, or none is.
#[derive(Debug, Clone)]
pub(crate) struct Liar<S> {
    pub(crate) inner: S,
    pub(crate) lie: Option<Lie>,
}

impl<S: LimitedSender> LimitedSender for Liar<S> {
    type PublicKey = S::PublicKey;
    type Checked<'a> = Checked<S::Checked<'a>>;

    fn check(&mut self, recipients: Recipients<S::PublicKey>) -> Result<Self::Checked<'_>, SystemTime> {
        let lie = self.lie;
        self.inner.check(recipients).map(|inner| Checked { inner, lie })
    }
}

#[derive(Debug)]
pub(crate) struct Checked<C> {
    inner: C,
    lie: Option<Lie>,
}

impl<C: CheckedSender> CheckedSender for Checked<C> {
    type PublicKey = C::PublicKey;

    fn recipients(&self) -> Vec<C::PublicKey> {
        self.inner.recipients()
    }

    fn send(self, message: impl Into<IoBufs> + Send, priority: bool) -> Unreliable<Feedback> {
        let message: IoBuf = message.into().coalesce();
        let mut bytes = message.as_ref().to_vec();
        if let Some(lie) = self.lie {
            lie(&mut bytes);
        }
        self.inner.send(IoBuf::from(bytes), priority)
    }
}
