//! What a run leaves, to be compared with another run of the same plan: its hash, the hash at every checkpoint, and on
//! request the events behind one checkpoint. As text it goes from one process to another, one fact a line.

use crate::{
    kernel::{Trace, TraceEvent, mix},
    runtime::ambient::Ambient,
};
use squall_bus::Time;
use std::{fmt, str::FromStr};

/// What the text begins with.
const HEAD: &str = "squall footprint 1";
/// A word of so many bytes is not long yet.
const LONG: usize = 48;

/// One event, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its how-manieth, from 0.
    pub index: u64,
    /// When.
    pub at: Time,
    /// Whose, and what, on one line.
    pub what: String,
    /// The rolling hash after it.
    pub hash: u64,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.at, self.what)
    }
}

/// A text on one line, with each long word of it (a payload) cut, and told from others by its length and a hash.
fn in_short(text: &str) -> String {
    let mut short = String::with_capacity(text.len().min(1_024));
    for word in text.split_inclusive(char::is_whitespace) {
        if word.len() <= LONG {
            short.push_str(word);
            continue;
        }
        let hash = word.bytes().fold(0, |hash, byte| mix(hash, u64::from(byte)));
        short.extend(word.chars().take(LONG / 2));
        short.push_str(&format!("…<{} bytes, {:08x}> ", word.len(), hash as u32));
    }
    short.replace('\n', " ")
}

/// What a run leaves. Two runs of one plan leave equal ones, apart from `ambient` and `steps`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// The rolling hash of all kernel events.
    pub hash: u64,
    /// How many kernel events there were.
    pub events: u64,
    /// The hash at every checkpoint.
    pub checkpoints: Vec<u64>,
    /// What the run took from its surroundings.
    pub ambient: Ambient,
    /// The events behind the checkpoint that was asked for.
    pub steps: Vec<Step>,
}

impl Footprint {
    /// Of a run with this trace.
    pub(crate) fn of(trace: &Trace, ambient: Ambient) -> Self {
        let first = trace.recorded_from();
        let step = |(index, event): (u64, &TraceEvent)| {
            let who = event.node.map_or_else(|| "-".to_owned(), |node| node.to_string());
            Step { index, at: event.at, what: format!("{who} {}", in_short(&event.text)), hash: event.hash }
        };
        Self {
            hash: trace.hash(),
            events: trace.events(),
            checkpoints: trace.checkpoints().to_vec(),
            ambient,
            steps: (first..).zip(trace.recorded()).map(step).collect(),
        }
    }

    /// The last checkpoint, counted from 0 (the beginning), up to which two runs are equal; `None` if all of it is.
    #[must_use]
    pub fn parts_from(&self, other: &Self) -> Option<u64> {
        if (self.hash, self.events) == (other.hash, other.events) {
            return None;
        }
        Some(self.checkpoints.iter().zip(&other.checkpoints).take_while(|(a, b)| a == b).count() as u64)
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ambient { pinned, entropy, threads } = self.ambient;
        writeln!(f, "{HEAD}")?;
        writeln!(f, "run {:016x} {}", self.hash, self.events)?;
        writeln!(f, "ambient {pinned} {entropy} {threads}")?;
        for checkpoint in &self.checkpoints {
            writeln!(f, "checkpoint {checkpoint:016x}")?;
        }
        for Step { index, at, what, hash } in &self.steps {
            writeln!(f, "step {index} {} {hash:016x} {what}", at.0)?;
        }
        Ok(())
    }
}

/// A text that is no footprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoFootprint {
    line: usize,
}

impl fmt::Display for NoFootprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} is not one of a footprint of this version of squall", self.line)
    }
}

impl std::error::Error for NoFootprint {}

impl FromStr for Footprint {
    type Err = NoFootprint;

    fn from_str(text: &str) -> Result<Self, NoFootprint> {
        let mut lines = (1..).zip(text.lines());
        if lines.next().is_none_or(|(_, head)| head != HEAD) {
            return Err(NoFootprint { line: 1 });
        }
        let mut footprint = Self::default();
        for (line, text) in lines {
            footprint.read(text).ok_or(NoFootprint { line })?;
        }
        Ok(footprint)
    }
}

impl Footprint {
    fn read(&mut self, line: &str) -> Option<()> {
        let hex = |text: &str| u64::from_str_radix(text, 16).ok();
        let (key, rest) = line.split_once(' ')?;
        let mut words = rest.split(' ');
        let mut word = || words.next();
        match key {
            "run" => (self.hash, self.events) = (hex(word()?)?, word()?.parse().ok()?),
            "ambient" => {
                self.ambient = Ambient {
                    pinned: word()?.parse().ok()?,
                    entropy: word()?.parse().ok()?,
                    threads: word()?.parse().ok()?,
                };
            }
            "checkpoint" => self.checkpoints.push(hex(word()?)?),
            "step" => {
                let mut parts = rest.splitn(4, ' ');
                let index = parts.next()?.parse().ok()?;
                let at = Time(parts.next()?.parse().ok()?);
                let hash = hex(parts.next()?)?;
                self.steps.push(Step { index, at, what: parts.next()?.to_owned(), hash });
            }
            _ => return None,
        }
        Some(())
    }
}
