//! Raw values, encoders, decoders and names, against their definitions.

use crate::support::stepped_feature;
use proptest::prelude::*;
use tacit_graph::{
    Answer, AnswerError, Decoder, Feature, Graph, LabelScores, MAX_DECIMAL_BYTES, ModelId, ModelIdError,
    Operator, RawValue, RawValueError, Score, TensorId, encode_graph, model_id,
};

fn raw(text: &str) -> Result<i64, RawValueError> {
    text.parse::<RawValue>().map(RawValue::get)
}

proptest! {
    /// A float and its exact decimal expansion are one number, read by two independent paths.
    #[test]
    fn floats_and_decimals_agree(bits in any::<u64>(), exponent in 960u64..1070) {
        let value = f64::from_bits((bits & !(0x7ff << 52)) | (exponent << 52));
        let expected = RawValue::from_f64(value);
        prop_assert_eq!(format!("{value:.150}").parse::<RawValue>(), expected);
        prop_assert_eq!(format!("{value:.150e}").parse::<RawValue>(), expected);
    }

    #[test]
    fn rounding_is_half_up(units in -(1i64 << 38)..(1i64 << 38), quarter in 0i64..4) {
        let value = (units * 4 + quarter) as f64 / f64::from(1u32 << 26);
        let expected = if quarter >= 2 { units + 1 } else { units };
        prop_assert_eq!(RawValue::from_f64(value).unwrap().get(), expected);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*") {
        let _ = raw(&text);
    }

    #[test]
    fn any_digits_are_read_or_refused(text in "-?[0-9.eE+-]{0,60}") {
        let _ = raw(&text);
    }

    /// The definition in rationals: `q` is the whole number nearest to the scaled value, cut to its bits.
    #[test]
    fn encoders_round_to_the_nearest(
        value in any::<i64>(), offset in any::<i64>(), multiplier in any::<i32>(), shift in 0u8..=96, bits in 2u8..=16,
    ) {
        let q = i128::from(Feature { name: String::new(), offset, multiplier, shift, steps: Vec::new() }.encode(value, bits));
        let scaled = (i128::from(value) + i128::from(offset)) * i128::from(multiplier);
        let (unit, half) = (1i128 << shift, 1i128 << (bits - 1));
        prop_assert!((-half..half).contains(&q));
        if q < half - 1 {
            prop_assert!(scaled * 2 < (q * 2 + 1) * unit);
        }
        if q > -half {
            prop_assert!(scaled * 2 >= (q * 2 - 1) * unit);
        }
    }
}

proptest! {
    /// The definition: how many steps the value has passed.
    #[test]
    fn steps_are_counted(
        mut steps in prop::collection::vec(-50i64..50, 1..100), value in -60i64..60, bits in 8u8..=16,
    ) {
        steps.sort_unstable();
        steps.dedup();
        let passed = steps.iter().filter(|step| **step <= value).count();
        prop_assert_eq!(usize::try_from(stepped_feature(&steps).encode(value, bits)), Ok(passed));
    }
}

#[test]
fn steps_at_the_ends_of_raw_values() {
    let feature = stepped_feature(&[i64::MIN, 0, i64::MAX]);
    let counts = [(i64::MIN, 1), (-1, 1), (0, 2), (i64::MAX - 1, 2), (i64::MAX, 3)];
    for (value, expected) in counts {
        assert_eq!(feature.encode(value, 3), expected);
    }
}

#[test]
fn decimals() {
    let one = 1i64 << 24;
    assert_eq!(raw("1"), Ok(one));
    assert_eq!(raw("-12.5e-1"), Ok(-one * 5 / 4));
    assert_eq!(raw("+0.5E1"), Ok(one * 5));
    assert_eq!(raw("-0"), Ok(0));
    assert_eq!(raw("1e-999999999999999999999"), Ok(0));
    assert_eq!(raw("0e999999999999999999999"), Ok(0));
    assert_eq!(raw("549755813887.99999997"), Ok(i64::MAX));
    assert_eq!(raw("-549755813888"), Ok(i64::MIN));
    // Half of a unit is 2^-25 = 0.0000000298023223876953125: halves go up, and what follows a half decides.
    assert_eq!(raw("0.0000000298023223876953125"), Ok(1));
    assert_eq!(raw("-0.0000000298023223876953125"), Ok(0));
    assert_eq!(raw("-0.00000002980232238769531250000000000000000001"), Ok(-1));
    assert_eq!(raw("0.00000002980232238769531249999999999999999999"), Ok(0));
}

#[test]
fn numbers_that_are_no_raw_values() {
    assert_eq!(RawValue::from_f64(f64::NAN), Err(RawValueError::NotANumber));
    assert_eq!(RawValue::from_f32(f32::NEG_INFINITY), Err(RawValueError::Infinite));
    assert_eq!(RawValue::from_f64(549_755_813_888.0), Err(RawValueError::TooLarge));
    assert_eq!(RawValue::from_f64(-549_755_813_888.0).unwrap().get(), i64::MIN);
    assert_eq!(RawValue::from_f64(f64::MAX), Err(RawValueError::TooLarge));
    assert_eq!(RawValue::from_f64(f64::from_bits(1)).unwrap().get(), 0);
    assert_eq!(raw("549755813888"), Err(RawValueError::TooLarge));
    assert_eq!(raw("1e999999999999999999999"), Err(RawValueError::TooLarge));
    for text in
        ["", "-", ".5", "5.", "1.2.3", "0x10", "1e", "1e+", "1e5.0", "NaN", "inf", " 1", "1 ", "--1", "1_0"]
    {
        assert_eq!(raw(text), Err(RawValueError::Syntax), "{text:?}");
    }
    assert_eq!(raw(&"1".repeat(MAX_DECIMAL_BYTES + 1)), Err(RawValueError::TooLong));
}

fn graph(decoder: Decoder, outputs: u32) -> Graph {
    Graph {
        features: vec![Feature {
            name: String::new(),
            offset: 0,
            multiplier: 1,
            shift: 24,
            steps: Vec::new(),
        }],
        input_axes: vec![1],
        input_bits: 8,
        nodes: vec![Operator::dense(TensorId(0), 1, outputs)],
        tables: vec![],
        decoder,
    }
}

#[test]
fn the_lowest_index_wins_ties() {
    let labels = ["a", "b", "c"].map(String::from).to_vec();
    let graph = graph(Decoder::ArgMax { labels, fraction_bits: 0 }, 3);
    for (logits, index) in [([1, 3, 3], 1), ([2, 2, 2], 0), ([i32::MIN; 3], 0), ([-3, -2, -1], 2)] {
        assert!(
            matches!(graph.decode_output(&logits).unwrap(), Answer::Label { index: got, .. } if got == index)
        );
    }
}

#[test]
fn a_threshold_is_passed_above_zero() {
    let graph = graph(Decoder::Threshold { labels: ["no".into(), "yes".into()], fraction_bits: 0 }, 1);
    for (logit, label) in [(0, "no"), (1, "yes"), (-1, "no")] {
        assert_eq!(graph.decode_output(&[logit]).unwrap().to_string(), label);
    }
}

#[test]
fn scores_are_decimals() {
    let shown = |logit, fraction_bits| Score { logit, fraction_bits }.to_string();
    assert_eq!(shown(3, 1), "1.5");
    assert_eq!(shown(-1, 2), "-0.25");
    assert_eq!(shown(5, -3), "40");
    assert_eq!(shown(1, 20), "0.000001");
    assert_eq!(shown(-1, 22), "0");
    assert_eq!(shown(i32::MIN, -60), "-2475880078570760549798248448");
    assert_eq!(shown(i32::MIN, 0), "-2147483648");
    assert_eq!(shown(7, 60), "0");
    let graph = graph(Decoder::Values { fraction_bits: 1 }, 2);
    assert_eq!(graph.decode_output(&[1, -4]).unwrap().to_string(), "0.5 -2");
}

#[test]
fn a_label_has_scores_and_a_margin() {
    let labels = ["a", "b", "c"].map(String::from).to_vec();
    let largest = graph(Decoder::ArgMax { labels, fraction_bits: 1 }, 3);
    let scores = |graph: &Graph, logits: &[i32]| {
        let LabelScores { scores, margin } = graph.label_scores(logits)?;
        let shown = scores.iter().map(|entry| format!("{} {}", entry.label, entry.score)).collect::<Vec<_>>();
        Some((shown.join(", "), margin.to_string()))
    };
    let shown = |scores: &str, margin: &str| Some((scores.to_owned(), margin.to_owned()));
    assert_eq!(scores(&largest, &[-3, 4, 1]), shown("a -1.5, b 2, c 0.5", "1.5"));
    assert_eq!(scores(&largest, &[4, 4, 1]), shown("a 2, b 2, c 0.5", "0"));
    assert_eq!(scores(&largest, &[1, 2]), None);
    let sign = graph(Decoder::Threshold { labels: ["no".into(), "yes".into()], fraction_bits: 2 }, 1);
    assert_eq!(scores(&sign, &[-3]), shown("yes -0.75", "0.75"));
    assert_eq!(scores(&sign, &[5]), shown("yes 1.25", "1.25"));
    assert_eq!(scores(&sign, &[]), None);
    assert_eq!(scores(&graph(Decoder::Values { fraction_bits: 0 }, 1), &[1]), None);
    // No model makes these: cut, not wrapped.
    assert_eq!(scores(&sign, &[i32::MIN]).unwrap().1, "536870911.75");
    assert_eq!(scores(&largest, &[i32::MIN, i32::MAX, 0]).unwrap().1, "1073741823.5");
}

#[test]
fn values_are_as_many_as_the_graph_makes() {
    // Any number of values decoded, none at all too: a worker trusted on its word was paid for an empty answer.
    let graph = graph(Decoder::Values { fraction_bits: 1 }, 2);
    for logits in [&[][..], &[1], &[1, 2, 3]] {
        let (expected, got) = (2, logits.len());
        assert_eq!(graph.decode_output(logits), Err(AnswerError::OutputLength { expected, got }));
    }
}

#[test]
fn model_ids() {
    let graph = graph(Decoder::Values { fraction_bits: 1 }, 2);
    let id = model_id(&encode_graph(&graph), &[7; 32]);
    let text = id.to_string();
    assert_eq!(text.parse::<ModelId>(), Ok(id));
    assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{text}\""));
    assert_eq!(serde_json::from_str::<ModelId>(&format!("\"{text}\"")).unwrap(), id);
    assert_ne!(id, model_id(&encode_graph(&graph), &[8; 32]));
    assert_eq!("00".parse::<ModelId>(), Err(ModelIdError::Prefix));
    assert_eq!("0x00".parse::<ModelId>(), Err(ModelIdError::Length { got: 2 }));
    assert!(text.replace(&text[4..5], "G").parse::<ModelId>().is_err());
    assert!(text.to_uppercase().replace("0X", "0x").parse::<ModelId>().is_err());
}
