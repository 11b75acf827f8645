//! The store on a disk that fails: at every single operation, in three ways.
//!
//! *Killed*: the process ends, all it wrote before is there. *Torn*: the same, and of the last write only half arrived.
//! *Power lost*: of what was written since the last synchronisation each operation arrived or did not, some of them half.
//! The first block is stored on a sound disk: a new file takes its name only when it is whole (see `restart`).
//! Afterwards the store must open, be the state after some block, and hold every block that was acknowledged.

use std::{
    io,
    sync::{Arc, Mutex},
};

use alloy_consensus::{TxEnvelope, transaction::SignerRecoverable};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::hex;
use redb::StorageBackend;
use tacit_node::{
    Node, NodeConfig, NodeError,
    store::{At, First, Identity, MadeBy, RedbStore, Store, StoreError},
};

use crate::support::{address, config, deployment, message, sign, transfer};

#[derive(Debug, Clone)]
enum Operation {
    Write(u64, Vec<u8>),
    Length(u64),
}

impl Operation {
    fn apply(&self, image: &mut Vec<u8>, torn: bool) {
        match self {
            Self::Write(offset, data) => {
                let data = if torn { &data[..data.len() / 2] } else { data };
                let offset = usize::try_from(*offset).unwrap();
                image[offset..offset + data.len()].copy_from_slice(data);
            }
            Self::Length(length) => image.resize(usize::try_from(*length).unwrap(), 0),
        }
    }
}

#[derive(Debug, Default)]
struct Disk {
    image: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Operation>,
    operations: u64,
    fails_at: Option<u64>,
    tears: bool,
    dead: bool,
}

impl Disk {
    fn step(&mut self, operation: Option<Operation>) -> io::Result<()> {
        if self.dead {
            return Err(io::Error::other("the disk is gone"));
        }
        self.operations += 1;
        let fails = self.fails_at == Some(self.operations);
        match operation {
            Some(operation) if !fails => {
                operation.apply(&mut self.image, false);
                self.unsynced.push(operation);
            }
            Some(operation) if self.tears => operation.apply(&mut self.image, true),
            None if !fails => {
                self.synced.clone_from(&self.image);
                self.unsynced.clear();
            }
            _ => {}
        }
        self.dead = fails;
        if fails { Err(io::Error::other("the disk fails")) } else { Ok(()) }
    }

    /// What is left after power was lost, by a fixed pseudo-random choice.
    fn after_power_loss(&self, seed: u64) -> Vec<u8> {
        let mut image = self.synced.clone();
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        for operation in &self.unsynced {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            match (operation, random % 3) {
                (Operation::Length(_), _) => operation.apply(&mut image, false),
                (_, 0) => {}
                (_, choice) => operation.apply(&mut image, choice == 1),
            }
        }
        image
    }
}

#[derive(Debug, Clone, Default)]
struct Backend(Arc<Mutex<Disk>>);

impl Backend {
    fn on(image: Vec<u8>) -> Self {
        let disk = Disk { synced: image.clone(), image, ..Disk::default() };
        Self(Arc::new(Mutex::new(disk)))
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().image.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.0.lock().unwrap();
        let start = usize::try_from(offset).unwrap();
        let data = disk.image.get(start..start + out.len()).filter(|_| !disk.dead);
        out.copy_from_slice(data.ok_or_else(|| io::Error::other("cannot read"))?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.lock().unwrap().step(Some(Operation::Length(length)))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.lock().unwrap().step(None)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().step(Some(Operation::Write(offset, data.to_vec())))
    }
}

fn open_store(config: &NodeConfig, backend: Backend) -> Result<RedbStore, StoreError> {
    let genesis = &config.genesis;
    let block = genesis.found().finish().unwrap().block;
    let identity = Identity { chain: genesis.chain, genesis: block.hash(), made_by: MadeBy::Development };
    let first = First { genesis, hash: block.hash(), header: &block.header };
    RedbStore::with_backend(backend, identity, &first)
}

fn open(backend: Backend) -> Result<Node, NodeError> {
    let config = config(None);
    let store = open_store(&config, backend)?;
    Node::with_store(Box::new(store), &config)
}

/// Transactions of one account: transfers, a contract, calls of it.
fn workload() -> Vec<String> {
    let contract = address(0).create(1);
    vec![
        sign(transfer(0), 0),
        sign(deployment(1), 0),
        sign(message(2, contract, &[]), 0),
        sign(message(3, contract, &[9]), 0),
        sign(transfer(4), 0),
    ]
}

/// Sends the workload, one block each; tells how many blocks were acknowledged, none if the node did not open.
async fn run(backend: Backend, workload: &[String]) -> Option<u64> {
    let node = open(backend).ok()?;
    let mut acknowledged = 0;
    for raw in workload {
        let envelope = TxEnvelope::decode_2718(&mut hex::decode(raw).unwrap().as_slice()).unwrap();
        if node.submit(envelope.try_into_recovered().unwrap()).await.is_err() {
            break;
        }
        acknowledged += 1;
    }
    Some(acknowledged)
}

/// Checks what is left on `image`, given how many blocks were acknowledged.
async fn check(image: Vec<u8>, acknowledged: Option<u64>, workload: &[String], case: &str) {
    let backend = Backend::on(image);
    let store = open_store(&config(None), backend.clone()).unwrap_or_else(|why| panic!("{case}: {why}"));
    store.audit().unwrap_or_else(|why| panic!("{case}: {why}"));
    let view = store.view().unwrap();
    let height = view.head().unwrap().1.number;
    let least = acknowledged.unwrap_or(0);
    assert!((least..=least + 1).contains(&height), "{case}: at {height} with {least} acknowledged");
    let nonce = view.account(address(0), At::Head).unwrap().unwrap().nonce;
    assert_eq!(nonce, height, "{case}: state and blocks are of different heights");
    for (raw, block) in workload.iter().zip(1..=height) {
        let location = view.location(crate::support::hash_of(raw)).unwrap().expect("a mined transaction");
        assert_eq!(location.height, block, "{case}");
        assert!(view.receipt(location).unwrap().is_some(), "{case}");
    }
    drop(view);
    drop(store);
    // And the chain goes on.
    let rest = &workload[usize::try_from(height).unwrap()..];
    assert_eq!(run(backend, rest).await, Some(rest.len() as u64), "{case}");
}

#[tokio::test]
async fn every_operation_may_be_the_last() {
    let workload = workload();
    let fresh = Backend::default();
    drop(open(fresh.clone()).unwrap());
    let fresh = fresh.0.lock().unwrap().image.clone();
    let whole = Backend::on(fresh.clone());
    assert_eq!(run(whole.clone(), &workload).await, Some(5));
    let operations = whole.0.lock().unwrap().operations;
    assert!(operations > 50, "{operations}");
    for at in 1..=operations {
        for tears in [false, true] {
            let backend = Backend::on(fresh.clone());
            {
                let mut disk = backend.0.lock().unwrap();
                disk.fails_at = Some(at);
                disk.tears = tears;
            }
            let acknowledged = run(backend.clone(), &workload).await;
            let (killed, lost) = {
                let disk = backend.0.lock().unwrap();
                (disk.image.clone(), disk.after_power_loss(at))
            };
            check(killed, acknowledged, &workload, &format!("killed at {at} of {operations}, torn: {tears}"))
                .await;
            if !tears {
                check(lost, acknowledged, &workload, &format!("power lost at {at} of {operations}")).await;
            }
        }
    }
}

#[tokio::test]
async fn a_failed_disk_is_reported_and_nothing_more_is_acknowledged() {
    let backend = Backend::default();
    let node = open(backend.clone()).unwrap();
    backend.0.lock().unwrap().dead = true;
    for raw in workload() {
        let envelope = TxEnvelope::decode_2718(&mut hex::decode(raw).unwrap().as_slice()).unwrap();
        assert!(node.submit(envelope.try_into_recovered().unwrap()).await.is_err());
    }
    assert_eq!(node.head().number, 0);
}
