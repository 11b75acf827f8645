//! Certificates by themselves, for those who follow the blocks: one encoding, and no byte of it can be changed.

use crate::network::{Block, Network};
use alloy_primitives::B256;
use tacit_light::{Certificate, DecodeError, FINALITY_BYTES_MAX, Finality, HEADERS_MAX};

fn network() -> Network {
    Network::new(41, 4)
}

fn block() -> Block {
    Block::new(20, B256::repeat_byte(7), 3)
}

fn flip_everything(finality: &Finality) {
    let (bytes, trust) = (finality.encode(), network().trust());
    assert_eq!(Finality::decode(&bytes).as_ref(), Ok(finality));
    let hash = finality.verify(&trust).unwrap().hash();
    assert_eq!(hash, block().header.hash_slow());
    let accepted =
        |bytes: &[u8]| Finality::decode(bytes).is_ok_and(|finality| finality.verify(&trust).is_ok());
    for at in 0..bytes.len() {
        assert!(!accepted(&bytes[..at]), "cut off at {at}");
        for mask in [1 << (at % 8), 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= mask;
            assert!(!accepted(&changed), "byte {at} ^ {mask}");
        }
    }
    for more in [&[0][..], &[0x80], &[0xc0], &bytes[1..]] {
        assert!(!accepted(&[&bytes, more].concat()), "more bytes");
    }
}

#[test]
fn no_byte_of_a_certificate_can_be_changed() {
    flip_everything(&network().finality(&block()));
    let votes = Certificate::Votes(network().votes(&block().header, [0, 2, 3]));
    flip_everything(&Finality { headers: vec![block().header], certificate: votes });
    let child = Block::new(21, block().header.hash_slow(), 0).header;
    let certificate = network().threshold(&child);
    flip_everything(&Finality { headers: vec![block().header, child], certificate });
}

#[test]
fn what_is_none_is_refused() {
    let decode = |bytes: &[u8]| Finality::decode(bytes).unwrap_err();
    assert_eq!(decode(&[]), DecodeError::Format { expected: 1, got: None });
    assert_eq!(decode(&[2]), DecodeError::Format { expected: 1, got: Some(2) });
    let got = FINALITY_BYTES_MAX + 1;
    assert_eq!(decode(&vec![1; got]), DecodeError::Length { limit: FINALITY_BYTES_MAX, got });
    assert!(matches!(decode(&[1, 0x80]), DecodeError::Rlp(_)));
    let trailing = [network().finality(&block()).encode(), vec![0x80]].concat();
    assert_eq!(decode(&trailing), DecodeError::NotCanonical);
}

/// As many headers and votes as there can be.
#[test]
fn the_longest_fits_its_bound() {
    let network = Network::new(42, 128);
    let mut headers = vec![block().header];
    while headers.len() < HEADERS_MAX {
        let last = headers.last().unwrap();
        headers.push(Block::new(last.number + 1, last.hash_slow(), 1).header);
    }
    let certificate = Certificate::Votes(network.votes(headers.last().unwrap(), 0..128));
    let finality = Finality { headers, certificate };
    let bytes = finality.encode();
    assert!(bytes.len() <= FINALITY_BYTES_MAX / 2, "{}", bytes.len());
    assert_eq!(Finality::decode(&bytes), Ok(finality));
}
