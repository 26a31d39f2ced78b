//! Holds what the tutorial quotes to what the tests print, numbers apart: they change with every refinement of the
//! models, the words are what readers see.

use std::fs;

const TUTORIAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/tutorial.md");

/// Asserts that the tutorial quotes this output.
pub(crate) fn holds(output: &str) {
    let tutorial = fs::read_to_string(TUTORIAL).expect("the tutorial");
    let (quoted, printed) = (shape(&tutorial), shape(output));
    assert!(quoted.contains(&printed), "docs/tutorial.md does not quote this, numbers apart:\n{output}");
}

/// The text without its numbers, and without the place of cargo's target directory.
fn shape(text: &str) -> String {
    let mut shape = String::new();
    for word in text.split_inclusive([' ', '\n', '=']) {
        let word = word.find("/squall/").map_or(word.to_owned(), |at| format!("target{}", &word[at..]));
        for c in word.chars() {
            match c {
                '0'..='9' if shape.ends_with('#') => {}
                '0'..='9' => shape.push('#'),
                c => shape.push(c),
            }
        }
    }
    shape
}
