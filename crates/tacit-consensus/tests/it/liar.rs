//! A validator that deals badly: what it sends to others as their shares is not.

use commonware_actor::{Feedback, Unreliable};
use commonware_p2p::{CheckedSender, LimitedSender, Recipients};
use commonware_runtime::{IoBuf, IoBufs};
use std::time::SystemTime;

/// A way to others on which dealings are changed, or nothing is.
#[derive(Debug, Clone)]
pub(crate) struct Liar<S> {
    pub(crate) inner: S,
    pub(crate) lies: bool,
}

impl<S: LimitedSender> LimitedSender for Liar<S> {
    type PublicKey = S::PublicKey;
    type Checked<'a> = Checked<S::Checked<'a>>;

    fn check(&mut self, recipients: Recipients<S::PublicKey>) -> Result<Self::Checked<'_>, SystemTime> {
        let lies = self.lies;
        self.inner.check(recipients).map(|inner| Checked { inner, lies })
    }
}

#[derive(Debug)]
pub(crate) struct Checked<C> {
    inner: C,
    lies: bool,
}

impl<C: CheckedSender> CheckedSender for Checked<C> {
    type PublicKey = C::PublicKey;

    fn recipients(&self) -> Vec<C::PublicKey> {
        self.inner.recipients()
    }

    fn send(self, message: impl Into<IoBufs> + Send, priority: bool) -> Unreliable<Feedback> {
        let message: IoBuf = message.into().coalesce();
        let mut bytes = message.as_ref().to_vec();
        // The number of an early epoch, then the kind: a dealing, whose end is the share.
        if let [_, 0, .., share] = &mut bytes[..]
            && self.lies
        {
            *share ^= 1;
        }
        self.inner.send(IoBuf::from(bytes), priority)
    }
}
