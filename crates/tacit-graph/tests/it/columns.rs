//! Rows with names, against the plain reading of the names.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tacit_graph::{
    Feature, RawValue, RawValueError,
    columns::{Columns, Content, RowError, SHOWN_BYTES_MAX},
};

fn features(names: &[impl AsRef<str>]) -> Vec<Feature> {
    let feature = |name: &str| Feature {
        name: name.to_owned(),
        offset: 0,
        multiplier: 1,
        shift: 24,
        steps: Vec::new(),
    };
    names.iter().map(|name| feature(name.as_ref())).collect()
}

const LOAN: [&str; 6] = ["age", "purpose=car", "months", "purpose=furniture", "purpose=new roof", "flag=a=b"];

fn loan(row: &[(&str, &str)]) -> Result<Vec<i64>, RowError> {
    let features = features(&LOAN);
    Ok(Columns::new(&features)?.row(row)?.iter().map(|value| value.get() >> 24).collect())
}

const ASKED: [(&str, &str); 4] = [("flag", "a=b"), ("months", "24"), ("age", "35"), ("purpose", "furniture")];

/// `ASKED` with one cell changed.
fn with(name: &str, text: &'static str) -> Result<Vec<i64>, RowError> {
    loan(&ASKED.map(|(column, given)| (column, if column == name { text } else { given })))
}

fn message(refused: Result<Vec<i64>, RowError>) -> String {
    let error = refused.unwrap_err();
    format!("{error}\nhint: {}", error.hint())
}

#[test]
fn a_row_sets_numbers_and_one_kind_of_each_column() {
    assert_eq!(loan(&ASKED), Ok(vec![35, 0, 24, 1, 0, 1]));
    let features = features(&LOAN);
    let columns = Columns::new(&features).unwrap();
    let names: Vec<&str> = columns.as_slice().iter().map(|column| column.name).collect();
    assert_eq!(names, ["age", "purpose", "months", "flag"]);
    let kinds = vec![("car", 1), ("furniture", 3), ("new roof", 4)];
    assert_eq!(columns.as_slice()[1].content, Content::Kinds(kinds));
}

#[test]
fn numbers_are_read_exactly() {
    let features = features(&["x"]);
    let columns = Columns::new(&features).unwrap();
    let read = |text: &str| columns.row(&[("x", text)]).map(|row| row[0]);
    // A float in between would round twice.
    assert_eq!(read("549755813887.99999997"), Ok(RawValue::from_raw(i64::MAX)));
    assert_eq!(read("-12.5e-1"), Ok("-1.25".parse().unwrap()));
    let refused = |text: &str| matches!(read(text), Err(RowError::Number { .. }));
    assert!(["", " 1", "1,5", "NaN", "1e999", "0x1", "true"].into_iter().all(refused));
}

#[test]
fn errors_say_what_is_wrong_and_what_to_do() {
    assert_eq!(
        message(loan(&ASKED[..2])),
        "the row lacks \"age\" and \"purpose\"\nhint: give every column of the model by its name"
    );
    assert_eq!(
        message(loan(&[("age", "35"), ("Purposes", "car")])),
        "there is no column \"Purposes\": is it \"purpose\"?\nhint: give every column of the model by its name"
    );
    assert_eq!(
        message(loan(&[("salary", "35")])),
        "there is no column \"salary\", the model has \"age\", \"purpose\", \"months\" and \"flag\"\nhint: give every column of the model by its name"
    );
    // A kind is no column of its own.
    assert_eq!(
        message(loan(&[("purpose=car", "1")])),
        "there is no column \"purpose=car\": is it \"purpose\"?\nhint: give every column of the model by its name"
    );
    assert_eq!(
        message(with("purpose", "new_roofs")),
        "\"purpose\" is \"new_roofs\", which is none of \"new roof\", \"car\" and \"furniture\"\nhint: write the kind as the model does"
    );
    assert_eq!(
        message(with("age", "thirty")),
        "\"age\" is \"thirty\": the text is not a decimal number\nhint: write digits with a point, such as 12.5"
    );
    assert_eq!(
        message(loan(&[("age", "1"), ("age", "1")])),
        "the row gives \"age\" twice\nhint: give every column once"
    );
}

#[test]
fn a_graph_without_clear_names_takes_no_rows_with_names() {
    let refused = |names: &[&str]| Columns::new(&features(names)).map(|_| ()).unwrap_err();
    assert_eq!(refused(&["a", ""]), RowError::Unnamed);
    for names in [["a", "a"], ["a", "a=b"], ["a=b", "a"], ["a=b", "a=b"]] {
        assert_eq!(refused(&names), RowError::Ambiguous { column: "a".to_owned() }, "{names:?}");
    }
    // Not a kind of anything: one side is missing.
    let features = features(&["=b", "a="]);
    assert_eq!(Columns::new(&features).unwrap().as_slice().len(), 2);
}

#[test]
fn errors_stay_short_whatever_is_given() {
    let names: Vec<String> = (0..40).map(|index| format!("{index}{}", "ä".repeat(90))).collect();
    let features = features(&names);
    let columns = Columns::new(&features).unwrap();
    let none: [(&str, &str); 0] = [];
    let RowError::Missing { columns: listed, count } = columns.row(&none).unwrap_err() else { panic!() };
    assert_eq!((listed.len(), count), (24, 40));
    assert!(listed.iter().all(|name| name.len() <= SHOWN_BYTES_MAX + '…'.len_utf8()));
    let long = "z".repeat(1 << 20);
    assert!(columns.row(&[(&long, "1")]).unwrap_err().to_string().len() < 26 * (SHOWN_BYTES_MAX + 8));
    // Nothing of what is given can steer a terminal.
    assert!(!columns.row(&[("\u{1b}[2J", "1")]).unwrap_err().to_string().contains('\u{1b}'));
}

#[test]
fn reasons_come_in_order() {
    let wrong = [("agee", "x"), ("purpose", "x")];
    assert!(matches!(loan(&wrong), Err(RowError::Unknown { .. })));
    assert!(matches!(loan(&wrong[1..]), Err(RowError::Missing { count: 3, .. })));
    assert!(matches!(with("age", ""), Err(RowError::Number { reason: RawValueError::Syntax, .. })));
}

/// Columns by name: none for a number, or its kinds.
fn tables() -> impl Strategy<Value = BTreeMap<String, Vec<String>>> {
    let kinds = proptest::collection::btree_set("[a-c=]{1,3}", 0..4);
    proptest::collection::btree_map("[a-d ]{1,4}", kinds.prop_map(|kinds| kinds.into_iter().collect()), 1..6)
}

proptest! {
    /// Feature by feature: its number, or whether the row names its kind. Neither the order of features nor that of cells matters.
    #[test]
    fn a_row_is_what_its_names_say(
        (names, given) in tables().prop_flat_map(|table| {
            let names: Vec<String> = table.iter().flat_map(|(column, kinds)| {
                let kinds = kinds.iter().map(move |kind| format!("{column}={kind}"));
                let number = kinds.len() == 0;
                kinds.chain(number.then(|| column.clone()))
            }).collect();
            let cells: Vec<_> = table.into_iter().map(|(column, kinds)| {
                let text = if kinds.is_empty() { "-?[0-9]{1,6}".prop_map(String::from).boxed() } else {
                    proptest::sample::select(kinds).boxed()
                };
                text.prop_map(move |text| (column.clone(), text))
            }).collect();
            (Just(names).prop_shuffle(), cells.prop_shuffle())
        }),
    ) {
        let features = features(&names);
        let row = Columns::new(&features).unwrap().row(&given).unwrap();
        let given: BTreeMap<String, String> = given.into_iter().collect();
        for (name, value) in names.iter().zip(row) {
            let expected = match name.split_once('=') {
                Some((column, kind)) => RawValue::from(i32::from(given[column] == kind)),
                None => given[name].parse().unwrap(),
            };
            prop_assert_eq!(value, expected, "{}", name);
        }
    }

    /// A row with a cell less, one more or one twice is refused, and says which.
    #[test]
    fn every_column_is_given_once(which in 0usize..4, other in "[a-z]{1,9}") {
        let (name, text) = ASKED[which];
        let rest: Vec<_> = ASKED.into_iter().filter(|(column, _)| *column != name).collect();
        let lacking = RowError::Missing { columns: vec![name.to_owned()], count: 1 };
        prop_assert_eq!(loan(&rest), Err(lacking));
        let twice = [&ASKED[..], &[(name, text)]].concat();
        prop_assert_eq!(loan(&twice), Err(RowError::Twice { column: name.to_owned() }));
        prop_assume!(ASKED.iter().all(|(column, _)| *column != other));
        let more = [&ASKED[..], &[(other.as_str(), "1")]].concat();
        let named = |error| matches!(error, RowError::Unknown { column, .. } if column == other);
        prop_assert!(loan(&more).is_err_and(named));
    }

    #[test]
    fn anything_is_read_or_refused(names in proptest::collection::vec("\\PC{0,6}", 0..5), cells in proptest::collection::vec(("\\PC{0,6}", "\\PC{0,6}"), 0..5)) {
        let features = features(&names);
        if let Ok(columns) = Columns::new(&features) {
            let _ = columns.row(&cells);
        }
    }
}
