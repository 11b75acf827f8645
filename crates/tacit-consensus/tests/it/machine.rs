//! The machine that a validator runs on, with a clock that may be wrong and a disk that may fail: the simulated runtime, wrapped.

use commonware_runtime::{
    Blob, BlobVersion, Clock, Error, Handle, IoBufs, IoBufsMut, Metrics, Network, ReadOptions, SinkOf,
    Spawner, Storage, StreamOf, Supervisor, WriteOptions,
    deterministic::Context,
    signal,
    telemetry::metrics::{Metric, Registered},
};
use governor::clock::{Clock as Governor, ReasonablyRealtime};
use rand_core::{TryCryptoRng, TryRng};
use std::{
    future::{Future, pending},
    net::SocketAddr,
    ops::RangeInclusive,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// What a disk does from its `k`-th change on, counted from 1: a write, a resize, a sync, a file removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// That change and all later ones never happen, nor do they return: the machine is dead.
    Dies,
    /// The same, but half of the bytes of that write are on the disk.
    Tears,
    /// That change and all later ones fail.
    Fails,
    /// From then on it takes no more bytes; syncs go on.
    Fills,
}

#[derive(Debug, Default)]
struct State {
    /// What happens, and at which change.
    plan: Option<(Fault, u64)>,
    changes: u64,
    /// The plan was carried out.
    struck: bool,
}

/// A disk as a test sees it. Clones are one disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

/// What is to become of a change.
enum Fate {
    Done,
    Never,
    Half,
    Failed,
}

impl Disk {
    /// Counts changes from now on, and does this at the `k`-th.
    pub(crate) fn plan(&self, fault: Fault, k: u64) {
        *self.0.lock().unwrap() = State { plan: Some((fault, k)), changes: 0, struck: false };
    }

    /// From now on it works.
    pub(crate) fn mend(&self) {
        *self.0.lock().unwrap() = State::default();
    }

    /// Whether the plan was carried out.
    pub(crate) fn struck(&self) -> bool {
        self.0.lock().unwrap().struck
    }

    fn fate(&self, grows: bool) -> Fate {
        let mut state = self.0.lock().unwrap();
        state.changes += 1;
        let Some((fault, k)) = state.plan.filter(|(_, k)| state.changes >= *k) else { return Fate::Done };
        let first = !state.struck;
        let fate = match fault {
            Fault::Dies => Fate::Never,
            Fault::Tears if first && state.changes == k && grows => Fate::Half,
            Fault::Tears => Fate::Never,
            Fault::Fails => Fate::Failed,
            Fault::Fills if grows => Fate::Failed,
            Fault::Fills => return Fate::Done,
        };
        state.struck = true;
        fate
    }
}

/// The runtime of one validator.
pub(crate) struct Machine {
    context: Context,
    /// Milliseconds by which its clock is ahead; negative ones in two's complement.
    ahead_ms: Arc<AtomicU64>,
    disk: Disk,
}

impl Machine {
    /// `ahead_ms` may change while it runs.
    pub(crate) fn new(context: Context, ahead_ms: Arc<AtomicU64>, disk: Disk) -> Self {
        Self { context, ahead_ms, disk }
    }

    fn with(&self, context: Context) -> Self {
        Self { context, ahead_ms: Arc::clone(&self.ahead_ms), disk: self.disk.clone() }
    }

    fn ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::Relaxed).cast_signed()
    }

    fn shift(&self, time: SystemTime, ahead_ms: i64) -> SystemTime {
        let by = Duration::from_millis(ahead_ms.unsigned_abs());
        if ahead_ms < 0 { time - by } else { time + by }
    }
}

impl Supervisor for Machine {
    fn name(&self) -> commonware_runtime::Name {
        self.context.name()
    }

    fn child(&self, label: &'static str) -> Self {
        self.with(self.context.child(label))
    }

    fn with_attribute(self, key: &'static str, value: impl std::fmt::Display) -> Self {
        let Self { context, ahead_ms, disk } = self;
        Self { context: context.with_attribute(key, value), ahead_ms, disk }
    }
}

impl Spawner for Machine {
    fn shared(self, blocking: bool) -> Self {
        let Self { context, ahead_ms, disk } = self;
        Self { context: context.shared(blocking), ahead_ms, disk }
    }

    fn dedicated(self) -> Self {
        let Self { context, ahead_ms, disk } = self;
        Self { context: context.dedicated(), ahead_ms, disk }
    }

    fn spawn<F, Fut, T>(self, f: F) -> Handle<T>
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let Self { context, ahead_ms, disk } = self;
        context.spawn(move |context| f(Self { context, ahead_ms, disk }))
    }

    async fn stop(self, value: i32, timeout: Option<Duration>) -> Result<(), Error> {
        self.context.stop(value, timeout).await
    }

    fn stopped(&self) -> signal::Signal {
        self.context.stopped()
    }
}

impl Metrics for Machine {
    fn register<N: Into<String>, H: Into<String>, M: Metric>(
        &self,
        name: N,
        help: H,
        metric: M,
    ) -> Registered<M> {
        self.context.register(name, help, metric)
    }

    fn encode(&self) -> String {
        self.context.encode()
    }
}

impl Governor for Machine {
    type Instant = SystemTime;

    fn now(&self) -> SystemTime {
        self.current()
    }
}

impl ReasonablyRealtime for Machine {}

impl Clock for Machine {
    fn current(&self) -> SystemTime {
        self.shift(self.context.current(), self.ahead_ms())
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.context.sleep(duration)
    }

    fn sleep_until(&self, deadline: SystemTime) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.context.sleep_until(self.shift(deadline, self.ahead_ms().wrapping_neg()))
    }
}

impl Network for Machine {
    type Listener = <Context as Network>::Listener;

    async fn bind(&self, socket: SocketAddr) -> Result<Self::Listener, Error> {
        self.context.bind(socket).await
    }

    async fn dial(&self, socket: SocketAddr) -> Result<(SinkOf<Self>, StreamOf<Self>), Error> {
        self.context.dial(socket).await
    }
}

impl TryRng for Machine {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.context.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.context.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.context.try_fill_bytes(bytes)
    }
}

impl TryCryptoRng for Machine {}

impl Storage for Machine {
    type Blob = File;

    async fn open_versioned(
        &self,
        partition: &str,
        name: &[u8],
        versions: RangeInclusive<BlobVersion>,
    ) -> Result<(File, u64, BlobVersion), Error> {
        let (inner, size, version) = self.context.open_versioned(partition, name, versions).await?;
        Ok((File { inner, disk: self.disk.clone() }, size, version))
    }

    async fn remove(&self, partition: &str, name: Option<&[u8]>) -> Result<(), Error> {
        match self.disk.fate(false) {
            Fate::Done => self.context.remove(partition, name).await,
            Fate::Failed => Err(Error::WriteFailed),
            Fate::Never | Fate::Half => pending().await,
        }
    }

    async fn scan(&self, partition: &str) -> Result<Vec<Vec<u8>>, Error> {
        self.context.scan(partition).await
    }
}

/// A file on such a disk.
pub(crate) struct File {
    inner: <Context as Storage>::Blob,
    disk: Disk,
}

impl Blob for File {
    async fn read_at_buf(
        &self,
        offset: u64,
        len: usize,
        bufs: impl Into<IoBufsMut> + Send,
        options: ReadOptions,
    ) -> Result<IoBufsMut, Error> {
        self.inner.read_at_buf(offset, len, bufs, options).await
    }

    async fn read_at(&self, offset: u64, len: usize, options: ReadOptions) -> Result<IoBufsMut, Error> {
        self.inner.read_at(offset, len, options).await
    }

    async fn write_at(
        &self,
        offset: u64,
        bufs: impl Into<IoBufs> + Send,
        options: WriteOptions,
    ) -> Result<(), Error> {
        match self.disk.fate(true) {
            Fate::Done => self.inner.write_at(offset, bufs, options).await,
            Fate::Failed => Err(Error::WriteFailed),
            Fate::Never => pending().await,
            Fate::Half => {
                let bytes = bufs.into().coalesce();
                let half = bytes.as_ref()[..bytes.len() / 2].to_vec();
                self.inner.write_at(offset, half, options).await?;
                pending().await
            }
        }
    }

    async fn resize(&self, len: u64) -> Result<(), Error> {
        match self.disk.fate(true) {
            Fate::Done => self.inner.resize(len).await,
            Fate::Failed => Err(Error::WriteFailed),
            Fate::Never | Fate::Half => pending().await,
        }
    }

    async fn sync(&self) -> Result<(), Error> {
        match self.disk.fate(false) {
            Fate::Done => self.inner.sync().await,
            Fate::Failed => Err(Error::WriteFailed),
            Fate::Never | Fate::Half => pending().await,
        }
    }

    async fn start_sync(&self) -> Handle<()> {
        match self.disk.fate(false) {
            Fate::Done => self.inner.start_sync().await,
            Fate::Failed => Handle::ready(Err(Error::WriteFailed)),
            Fate::Never | Fate::Half => Handle::from_future(pending()),
        }
    }
}
