//! Checkpoints in seals. That consensus writes such seals is tested where it does.

use alloy_consensus::Header;
use alloy_primitives::B256;
use commonware_codec::{Encode as _, varint::UInt};
use commonware_cryptography::{Hasher as _, Sha256};
use tacit_light::{Checkpoint, SEAL_BYTES_MAX, SealError, checkpoint};

fn seal(found: Option<Checkpoint>) -> Vec<u8> {
    let integer = |value: u64| UInt(value).encode().to_vec();
    let parts = [
        integer(1),
        integer(300),
        vec![4; 32],
        integer(299),
        vec![5; 32],
        integer(1 << 40),
        integer(2),
        integer(u64::MAX),
        found.encode().to_vec(),
    ];
    parts.concat()
}

fn header(seal: &[u8]) -> Header {
    let commitment = Sha256::hash(&[b"tacit/seal/2", seal]).0;
    Header { number: 9, extra_data: commitment.to_vec().into(), ..Header::default() }
}

const CHECKPOINT: Checkpoint = Checkpoint { number: 8, root: B256::repeat_byte(6) };

#[test]
fn a_seal_gives_its_checkpoint_and_no_byte_of_it_can_be_changed() {
    for found in [None, Some(CHECKPOINT)] {
        let bytes = seal(found);
        let header = header(&bytes);
        assert_eq!(checkpoint(&header, &bytes), Ok(found));
        for at in 0..bytes.len() {
            assert_eq!(checkpoint(&header, &bytes[..at]), Err(SealError::Commitment), "cut off at {at}");
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            assert_eq!(checkpoint(&header, &changed), Err(SealError::Commitment), "byte {at}");
        }
        assert_eq!(checkpoint(&header, &[&bytes[..], &[0]].concat()), Err(SealError::Commitment));
    }
}

/// Under a header that commits to it, every cut is malformed, and what follows the checkpoint is consensus' own.
#[test]
fn a_seal_that_is_none_is_refused_though_its_header_names_it() {
    let bytes = seal(Some(CHECKPOINT));
    for at in 0..bytes.len() {
        let cut = &bytes[..at];
        assert_eq!(checkpoint(&header(cut), cut), Err(SealError::Malformed), "cut off at {at}");
    }
    let longer = [&bytes[..], &[0, 1, 2]].concat();
    assert_eq!(checkpoint(&header(&longer), &longer), Ok(Some(CHECKPOINT)));
    let got = SEAL_BYTES_MAX + 1;
    let long = vec![0; got];
    let refused = SealError::Length { limit: SEAL_BYTES_MAX, got };
    assert_eq!(checkpoint(&header(&long), &long), Err(refused));
    for got in [9, 10, u64::MAX] {
        let later = seal(Some(Checkpoint { number: got, ..CHECKPOINT }));
        assert_eq!(checkpoint(&header(&later), &later), Err(SealError::Number { block: 9, got }));
    }
    let mut other = header(&bytes);
    other.extra_data = Default::default();
    assert_eq!(checkpoint(&other, &bytes), Err(SealError::Commitment));
}
