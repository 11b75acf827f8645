//! What is refused, each for its own reason, and that nothing else happens to bytes that were tampered with.

use tacit_graph::{Agreement, synthetic_mlp};

use super::{Keys, trees::Forest};
use crate::{
    Seed,
    circuit::{
        CircuitModel, EncryptReject, EvaluationKeys, KeyReject, Offer, OfferReject, SETS, Variant,
        WireReject, check_keys, encrypt, key_bytes, wire,
    },
};

fn forest() -> Forest {
    Forest { features: 5, levels: 9, trees: 1, depth: 2, leaf: 2 }
}

fn server() -> CircuitModel {
    CircuitModel::new(&forest().model(1), Variant::Fast).unwrap()
}

#[test]
fn keys_of_another_version_parameters_or_length() {
    let set = &SETS[0];
    let bytes = &Keys::of(set).bytes;
    let refused = |bytes: &[u8]| {
        let reject = check_keys(bytes).unwrap_err();
        assert_eq!(EvaluationKeys::decode(bytes, Variant::Fast).unwrap_err(), reject);
        reject
    };
    let expected = key_bytes(set);
    assert_eq!(refused(&[]), KeyReject::Length { expected: 34, got: 0 });
    assert_eq!(refused(&[1]), KeyReject::Length { expected: 34, got: 1 });
    assert_eq!(refused(&[2, 1]), KeyReject::Version { got: 2 });
    assert_eq!(refused(&[1, 77]), KeyReject::Parameters { got: 77 });
    assert_eq!(refused(&bytes[..2]), KeyReject::Length { expected, got: 2 });
    assert_eq!(refused(&bytes[..expected - 1]), KeyReject::Length { expected, got: expected - 1 });
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(refused(&longer), KeyReject::Length { expected, got: expected + 1 });
    assert_eq!(check_keys(bytes).unwrap().id, set.id);
}

/// A query that names these keys instead of its own.
pub(super) fn under(query: &[u8], keys: &EvaluationKeys) -> Vec<u8> {
    [&query[..3], &keys.id().0, &query[35..]].concat()
}

/// Keys that were changed are keys, of another name, that compute something else or the same.
#[test]
fn keys_that_were_tampered_with_have_another_name() {
    let server = server();
    let keys = Keys::of(server.offer().parameters());
    let row = vec![0; 5];
    let (secret, query) = encrypt(server.offer(), &row, &Seed::new([1; 32]), &keys.client).unwrap();
    for at in [2, 33, 34, keys.bytes.len() / 2, keys.bytes.len() - 1] {
        let mut bytes = keys.bytes.clone();
        bytes[at] ^= 0x40;
        let evaluation = EvaluationKeys::decode(&bytes, Variant::Fast).unwrap();
        assert_ne!(evaluation.id(), keys.fast.id());
        let query = under(&query, &evaluation);
        let answer = server.answer(&query, &evaluation, &Seed::new([1; 32])).unwrap();
        assert_eq!(secret.decrypt(&answer).unwrap().len(), 1);
    }
}

#[test]
fn offers_of_another_shape() {
    let model = forest().model(1);
    let graph = model.graph();
    let bytes = server().offer().encode();
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        Offer::decode(graph, &bytes).unwrap_err()
    };
    let expected = bytes.len();
    assert_eq!(refused(&|bytes| bytes.clear()), OfferReject::Length { expected, got: 0 });
    assert_eq!(refused(&|bytes| bytes.push(0)), OfferReject::Length { expected, got: expected + 1 });
    assert_eq!(refused(&|bytes| bytes[0] = 9), OfferReject::Version { version: 9, tier: 2 });
    assert_eq!(refused(&|bytes| bytes[1] = 1), OfferReject::Version { version: 1, tier: 1 });
    assert_eq!(refused(&|bytes| bytes[2] = 6), OfferReject::Sizes { expected: 5, got: 6 });
    assert_eq!(refused(&|bytes| bytes[6] = 0), OfferReject::Sizes { expected: 1, got: 0 });
    assert_eq!(refused(&|bytes| bytes[10] = 200), OfferReject::Parameters { got: 200 });
    assert_eq!(refused(&|bytes| bytes[11] = 2), OfferReject::Byte { at: 11 });
    assert_eq!(refused(&|bytes| bytes[12] = 41), OfferReject::Byte { at: 12 });
    assert_eq!(refused(&|bytes| bytes[12] = 7), OfferReject::Byte { at: 12 });
    assert_eq!(refused(&|bytes| bytes[21..29].fill(0)), OfferReject::Byte { at: 21 });
    // Exact, and yet measured; approximate, and not measured; more rows that agree than there are.
    assert_eq!(refused(&|bytes| bytes[37] = 1), OfferReject::Byte { at: 37 });
    assert_eq!(refused(&|bytes| bytes[33] = 1), OfferReject::Unmeasured);
    let more = |bytes: &mut Vec<u8>| [33, 37, 42].into_iter().for_each(|at| bytes[at] = 1);
    assert_eq!(refused(&more), OfferReject::Byte { at: 41 });
    // Two bits for each of five inputs: six bits are left over.
    assert_eq!(refused(&|bytes| *bytes.last_mut().unwrap() |= 4), OfferReject::Byte { at: expected - 1 });

    let wide = synthetic_mlp(&[100, 2, 1], 1).unwrap();
    let measured = Agreement { rows: 1, agreed: 1 };
    let wide_server = CircuitModel::new(&wide, Variant::Fast).unwrap().measured(measured);
    let mut offer = wide_server.offer().encode();
    offer[45..].fill(0xff);
    assert_eq!(Offer::decode(wide.graph(), &offer).unwrap_err(), OfferReject::Slots { got: 100 * 256 });
    let many = synthetic_mlp(&[2, 300], 1).unwrap();
    let mut offer = bytes[..46].to_vec();
    offer[2] = 2;
    offer[6..8].copy_from_slice(&300u16.to_le_bytes());
    assert_eq!(Offer::decode(many.graph(), &offer).unwrap_err(), OfferReject::Outputs { got: 300 });
    let mut broken = graph.clone();
    broken.nodes.reverse();
    assert_eq!(Offer::decode(&broken, &bytes).unwrap_err(), OfferReject::Graph);
}

/// Whatever is read back is written the same way again.
#[test]
fn offers_that_were_tampered_with_are_refused_or_other_offers() {
    let model = forest().model(1);
    let offer = server().offer().clone();
    let bytes = offer.encode();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            if let Ok(other) = Offer::decode(model.graph(), &bytes) {
                assert!(other != offer && other.encode() == bytes, "{at} {bit}");
                let keys = Keys::of(other.parameters());
                let (_, query) = encrypt(&other, &[0; 5], &Seed::new([1; 32]), &keys.client).unwrap();
                wire::Query::decode(&other, &query).unwrap();
            }
        }
    }
}

#[test]
fn queries_of_another_shape() {
    let server = server();
    let keys = Keys::of(server.offer().parameters());
    let (_, query) = encrypt(server.offer(), &[1; 5], &Seed::new([1; 32]), &keys.client).unwrap();
    let refused = |query: &[u8]| server.answer(query, &keys.fast, &Seed::new([1; 32])).unwrap_err();
    let expected = query.len();
    assert_eq!(refused(&[]), WireReject::Length { expected, got: 0 });
    assert_eq!(refused(&[2]), WireReject::Version { got: 2 });
    assert_eq!(refused(&query[..expected - 1]), WireReject::Length { expected, got: expected - 1 });
    let longer = [query.as_slice(), &[0]].concat();
    assert_eq!(refused(&longer), WireReject::Length { expected, got: expected + 1 });
    let mut other = query.clone();
    other[1] = 9;
    assert_eq!(refused(&other), WireReject::Parameters { expected: 1, got: 9 });
    let mut other = query.clone();
    other[2] = 1;
    assert_eq!(refused(&other), WireReject::Variant);
    let mut other = query.clone();
    other[3] ^= 1;
    assert!(matches!(refused(&other), WireReject::OtherKeys { .. }));
    // Any other change makes another query, which is answered.
    for at in [35, 66, 67, expected - 1] {
        let mut other = query.clone();
        other[at] ^= 1;
        assert!(server.answer(&other, &keys.fast, &Seed::new([1; 32])).is_ok());
    }
}

#[test]
fn keys_that_are_not_for_the_offer() {
    let server = server();
    let keys = Keys::of(server.offer().parameters());
    let (_, query) = encrypt(server.offer(), &[1; 5], &Seed::new([1; 32]), &keys.client).unwrap();
    let answer = |evaluation| server.answer(&query, evaluation, &Seed::new([1; 32])).unwrap_err();
    let other = Keys::of(&SETS[2]);
    assert_eq!(answer(&other.fast), WireReject::Keys { expected: 1, got: 3 });
    assert_eq!(answer(keys.evaluation(Variant::Reproducible)), WireReject::Variant);
    let refused = encrypt(server.offer(), &[1; 5], &Seed::new([1; 32]), &other.client).unwrap_err();
    assert_eq!(refused, EncryptReject::Keys { expected: 1, got: 3 });
}

#[test]
fn rows_that_no_encoder_gives() {
    let server = server();
    let keys = Keys::of(server.offer().parameters());
    let refused = |row: &[i16]| encrypt(server.offer(), row, &Seed::new([1; 32]), &keys.client).unwrap_err();
    assert_eq!(refused(&[0; 4]), EncryptReject::Length { expected: 5, got: 4 });
    assert_eq!(refused(&[0, 0, 0, 10, 0]), EncryptReject::Range { index: 3 });
    assert_eq!(refused(&[-1, 0, 0, 0, 0]), EncryptReject::Range { index: 0 });
}

#[test]
fn answers_of_another_shape() {
    let server = server();
    let keys = Keys::of(server.offer().parameters());
    let (secret, query) = encrypt(server.offer(), &[1; 5], &Seed::new([1; 32]), &keys.client).unwrap();
    let answer = server.answer(&query, &keys.fast, &Seed::new([1; 32])).unwrap();
    let expected = answer.len();
    assert_eq!(secret.decrypt(&[]).unwrap_err(), WireReject::Length { expected, got: 0 });
    assert_eq!(secret.decrypt(&[3]).unwrap_err(), WireReject::Version { got: 3 });
    let short = WireReject::Length { expected, got: expected - 1 };
    assert_eq!(secret.decrypt(&answer[..expected - 1]).unwrap_err(), short);
    let bits = (keys.client.large().len() + 1) * server.offer().reading.bits as usize;
    assert_ne!(bits % 8, 0, "this answer has bits to fill");
    let mut filled = answer.clone();
    *filled.last_mut().unwrap() |= 0x80;
    assert_eq!(secret.decrypt(&filled).unwrap_err(), WireReject::Filling);
    // Any other change decrypts to something.
    for at in (1..expected - 1).step_by(97) {
        let mut other = answer.clone();
        other[at] ^= 0x10;
        assert_eq!(secret.decrypt(&other).unwrap().len(), 1);
    }
}
