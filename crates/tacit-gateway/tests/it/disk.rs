//! A disk that dies on purpose: at a chosen synchronisation, before or after it took effect.
//!
//! What was written but not synchronised is lost, as it may be when power fails.

use std::{
    io,
    sync::{Arc, Mutex},
};

use redb::StorageBackend;

/// When to die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// At this synchronisation, which does not take effect.
    Before(u64),
    /// Right after this synchronisation took effect.
    After(u64),
}

#[derive(Debug, Default)]
struct State {
    synced: Vec<u8>,
    working: Vec<u8>,
    syncs: u64,
    death: Option<Death>,
    dead: bool,
    generation: u64,
}

/// The disk. It outlives the process that uses it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

/// A process's handle; useless once the disk died or was opened again.
#[derive(Debug)]
pub(crate) struct Medium {
    disk: Disk,
    generation: u64,
}

impl Disk {
    /// Starts the next process on what was synchronised.
    pub(crate) fn open(&self) -> Medium {
        let mut state = self.0.lock().unwrap();
        state.working = state.synced.clone();
        state.dead = false;
        state.generation += 1;
        Medium { disk: self.clone(), generation: state.generation }
    }

    /// Another disk with what was synchronised.
    pub(crate) fn copy(&self) -> Self {
        let synced = self.0.lock().unwrap().synced.clone();
        Self(Arc::new(Mutex::new(State { synced, ..State::default() })))
    }

    /// Chooses when to die, counted from now.
    pub(crate) fn die(&self, death: Option<Death>) {
        let mut state = self.0.lock().unwrap();
        let now = state.syncs;
        state.death = death.map(|death| match death {
            Death::Before(at) => Death::Before(now + at),
            Death::After(at) => Death::After(now + at),
        });
    }

    /// Whether it is dead.
    pub(crate) fn is_dead(&self) -> bool {
        self.0.lock().unwrap().dead
    }

    /// Synchronisations so far.
    pub(crate) fn syncs(&self) -> u64 {
        self.0.lock().unwrap().syncs
    }
}

impl Medium {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.0.lock().unwrap();
        if state.dead || state.generation != self.generation {
            return Err(io::Error::other("the disk is dead"));
        }
        act(&mut state)
    }
}

impl StorageBackend for Medium {
    fn len(&self) -> io::Result<u64> {
        self.with(|state| Ok(state.working.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|state| {
            let offset = usize::try_from(offset).map_err(io::Error::other)?;
            let from = state.working.get(offset..offset + out.len());
            out.copy_from_slice(from.ok_or_else(|| io::Error::other("read past the end"))?);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|state| {
            state.working.resize(usize::try_from(len).map_err(io::Error::other)?, 0);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|state| {
            state.syncs += 1;
            let now = state.syncs;
            if state.death == Some(Death::Before(now)) {
                state.dead = true;
                return Err(io::Error::other("the disk died before it synchronised"));
            }
            state.synced = state.working.clone();
            if state.death == Some(Death::After(now)) {
                state.dead = true;
                return Err(io::Error::other("the disk died after it synchronised"));
            }
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|state| {
            let offset = usize::try_from(offset).map_err(io::Error::other)?;
            let into = state.working.get_mut(offset..offset + data.len());
            into.ok_or_else(|| io::Error::other("write past the end"))?.copy_from_slice(data);
            Ok(())
        })
    }
}
