//! The command line.

/// What to measure.
#[derive(Debug)]
pub struct Arguments {
    /// Processes of each side and row.
    pub runs: usize,
    /// Messages in a run of them.
    pub messages: u64,
    /// Seeds in a run of those.
    pub seeds: u64,
    /// Only the row of this name, or those whose name has this in it.
    pub row: String,
    /// Runs the rows of this side in this process, and prints the seconds of each.
    pub once: Option<String>,
}

/// The sides by name.
pub const SIDES: [&str; 2] = ["madsim", "squall"];

const USAGE: &str =
    "usage: [--runs N] [--messages N] [--seeds N] [--row NAME-OR-PART-OF-IT] [--once madsim|squall]";

impl Arguments {
    /// Reads them; an error is a sentence.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self { runs: 5, messages: 200_000, seeds: 1_000, row: String::new(), once: None };
        while let Some(option) = words.next() {
            let value = words.next().ok_or_else(|| format!("{option} needs a value; {USAGE}"))?;
            match option.as_str() {
                "--runs" => arguments.runs = positive(&option, &value)?,
                "--messages" => arguments.messages = positive(&option, &value)?,
                "--seeds" => arguments.seeds = positive(&option, &value)?,
                "--row" => arguments.row = value,
                "--once" if SIDES.contains(&value.as_str()) => arguments.once = Some(value),
                "--once" => return Err(format!("there is no side {value}: {}", SIDES.join(" or "))),
                _ => return Err(format!("there is no option {option}; {USAGE}")),
            }
        }
        Ok(arguments)
    }
}

fn positive<T: std::str::FromStr + PartialOrd + From<u8>>(option: &str, value: &str) -> Result<T, String> {
    value
        .parse()
        .ok()
        .filter(|number| *number >= T::from(1))
        .ok_or_else(|| format!("{option} takes a number of at least 1, not {value}"))
}
