//! Every rule has a test, and every test that names a rule names one that there is.
//!
//! The rules are the rows of `rule_ids.txt`; a test names rules by the words that its name begins with
//! (`g12_a2_a_quick_restart...` names A2, and the golden case G12).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

const TABLE: &str = include_str!("../rule_ids.txt");
/// How many rules there are of each letter.
const RULES: [(char, usize); 5] = [('A', 6), ('B', 14), ('C', 5), ('D', 7), ('E', 8)];

struct Row<'a> {
    id: &'a str,
    modelled: bool,
}

fn rows() -> Vec<Row<'static>> {
    let lines = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let columns: Vec<&str> = line.split(" | ").collect();
            let [id, state, rule, source, version] = columns[..] else {
                panic!("a row has five columns: {line}")
            };
            for column in [rule, source, version] {
                assert!(!column.trim().is_empty(), "a column is empty: {line}");
            }
            let modelled = match state {
                "modelled" => true,
                "later" => false,
                other => panic!("a rule is `modelled` or `later`, not `{other}`: {line}"),
            };
            Row { id, modelled }
        })
        .collect()
}

/// The ids that the name of a test begins with, golden cases left out.
fn ids_of(name: &str) -> Vec<String> {
    let is_id = |word: &&str| {
        let mut letters = word.chars();
        letters.next().is_some_and(|first| ('a'..='g').contains(&first))
            && word.len() > 1
            && letters.all(|digit| digit.is_ascii_digit())
    };
    let ids = name.split('_').take_while(is_id).filter(|word| !word.starts_with('g'));
    ids.map(str::to_uppercase).collect()
}

/// The names of the test functions in a source file.
fn tests_of(source: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut marked = false;
    for line in source.lines().map(str::trim_start) {
        if line.starts_with("#[test]") {
            marked = true;
        } else if let Some(rest) = line.strip_prefix("fn ").or_else(|| line.strip_prefix("async fn "))
            && std::mem::take(&mut marked)
        {
            names.extend(rest.split(['(', '<']).next());
        }
    }
    names
}

/// The ids that tests below this folder name, each with one of those tests.
fn tested(folder: &Path, into: &mut BTreeMap<String, String>) {
    let entries = fs::read_dir(folder).expect("the crate's own sources are there");
    for path in entries.map(|entry| entry.expect("a folder can be read").path()) {
        if path.is_dir() {
            tested(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).expect("a source is text");
            for name in tests_of(&source) {
                for id in ids_of(name) {
                    into.insert(id, name.to_owned());
                }
            }
        }
    }
}

/// What does not fit together.
fn misfits(rows: &[Row<'_>], tests: &BTreeMap<String, String>) -> Vec<String> {
    let of_row = |row: &Row<'_>| match (row.modelled, tests.get(row.id)) {
        (true, None) => Some(format!("{} is modelled, but no test names it", row.id)),
        (false, Some(test)) => Some(format!("{} has a test ({test}), but its row says `later`", row.id)),
        _ => None,
    };
    let mut found: Vec<String> = rows.iter().filter_map(of_row).collect();
    for (id, test) in tests {
        if rows.iter().all(|row| row.id != id) {
            found.push(format!("{test} names {id}, which has no row"));
        }
    }
    found
}

#[test]
fn rules_and_tests_fit_together() {
    let mut tests = BTreeMap::new();
    tested(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kafka"), &mut tests);
    let misfits = misfits(&rows(), &tests);
    assert!(misfits.is_empty(), "{}", misfits.join("\n"));
}

#[test]
fn every_rule_of_the_reference_has_one_row() {
    let rows = rows();
    let ids: BTreeSet<String> = rows.iter().map(|row| row.id.to_owned()).collect();
    assert_eq!(ids.len(), rows.len(), "an id stands twice");
    let expected: BTreeSet<String> = RULES
        .iter()
        .flat_map(|(letter, count)| (1..=*count).map(move |number| format!("{letter}{number}")))
        .collect();
    assert_eq!(ids, expected);
}

#[test]
fn a_missing_test_a_missing_row_and_a_wrong_state_are_found() {
    let rows = [
        Row { id: "A1", modelled: true },
        Row { id: "A2", modelled: true },
        Row { id: "B6", modelled: false },
    ];
    let tests = [("A1", "a1_x"), ("B6", "b6_y"), ("C9", "c9_z")];
    let tests = tests.map(|(id, test)| (id.to_owned(), test.to_owned())).into();
    assert_eq!(
        misfits(&rows, &tests),
        [
            "A2 is modelled, but no test names it",
            "B6 has a test (b6_y), but its row says `later`",
            "c9_z names C9, which has no row",
        ]
    );
}

#[test]
fn names_are_read_as_they_are_written() {
    assert_eq!(ids_of("g6_b4_b8_below_the_minimum"), ["B4", "B8"]);
    assert_eq!(ids_of("a_broker_whose_disk_fails"), Vec::<String>::new());
    assert_eq!(ids_of("b13_the_first_batch"), ["B13"]);
    let source = "#[test]\nfn a1_x() {\n    fn b1_helper() {}\n}\n/// #[test]\nfn b2_not_a_test() {}\n";
    assert_eq!(tests_of(source), ["a1_x"]);
}
