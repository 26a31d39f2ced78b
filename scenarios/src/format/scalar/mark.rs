//! Marks by their names, as a scenario requires them.

use super::{ScalarError, text_scalar};
use crate::format::suggest;
use squall_sim::kernel::Mark;
use std::{fmt, str::FromStr};

/// A rare situation that a sweep must pass through, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MarkName(pub Mark);

impl FromStr for MarkName {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        Mark::named(text.trim()).map(Self).ok_or_else(|| {
            let names = Mark::ALL.iter().map(|mark| mark.name());
            ScalarError::new(
                format!("`{}` is not a mark", crate::format::tree::shorten(text)),
                suggest::or_list(text, names, "the marks are"),
            )
        })
    }
}

impl fmt::Display for MarkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_scalar!(
    MarkName,
    "the name of a mark such as `leader-changed`",
    bare: |number| ScalarError::new(format!("the number `{number}` is not a mark"), "write a name such as leader-changed"),
    pattern: r"^\s*[a-z][a-z-]*\s*$",
    example: "leader-changed"
);
