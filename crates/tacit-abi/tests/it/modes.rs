//! Codes and names of modes round-trip and agree with what the ledger accepts.

use tacit_abi::{Evidence, Privacy};

#[test]
fn codes_round_trip() {
    for code in 0..=u8::MAX {
        assert_eq!(Privacy::from_u8(code).map(|mode| mode as u8), (code <= 4).then_some(code));
        assert_eq!(Evidence::from_u8(code).map(|mode| mode as u8), (code <= 3).then_some(code));
    }
}

#[test]
fn names_round_trip() {
    for code in 0..=4 {
        let mode = Privacy::from_u8(code).unwrap();
        assert_eq!(mode.to_string().parse::<Privacy>().unwrap(), mode);
    }
    for code in 0..=3 {
        let mode = Evidence::from_u8(code).unwrap();
        assert_eq!(mode.to_string().parse::<Evidence>().unwrap(), mode);
    }
    assert!("open".parse::<Privacy>().is_err());
}
