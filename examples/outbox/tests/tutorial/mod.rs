//! Holds what the tutorial quotes to what the tests print, numbers apart: they change with every refinement of the
//! models, the words are what readers see.

#[path = "../../../../tests/shape/mod.rs"]
mod shape;

use shape::shape;
use std::fs;

const TUTORIAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/tutorial.md");

/// Asserts that the tutorial quotes this output.
pub(crate) fn holds(output: &str) {
    let tutorial = fs::read_to_string(TUTORIAL).expect("the tutorial");
    let (quoted, printed) = (shape(&tutorial), shape(output));
    assert!(quoted.contains(&printed), "docs/tutorial.md does not quote this, numbers apart:\n{output}");
}
