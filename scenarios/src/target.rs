//! Targets: where a bus under test is.

use squall_bus::{AckModel, Capabilities};
use std::{fmt, str::FromStr};

/// Where a run takes place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// In the simulator: `sim:kafka`.
    Sim(String),
    /// On real processes that Squall starts on loopback: `local:kafka`.
    Local(String),
}

impl Target {
    /// Every target that this build has.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let simulated = squall_sim::BUSES.into_iter().map(|bus| Self::Sim(bus.to_owned()));
        simulated.chain(local_buses().iter().map(|bus| Self::Local((*bus).to_owned()))).collect()
    }

    /// The target of this name, or the first one of the bus of this name: what becomes of a plan is the same on
    /// all targets of a bus.
    ///
    /// # Errors
    /// When there is neither in this build.
    pub fn or_bus(text: &str) -> Result<Self, TargetError> {
        let of_bus = |target: &Self| target.bus() == text;
        Self::all().into_iter().find(of_bus).map_or_else(|| text.parse(), Ok)
    }

    /// The name of its bus.
    #[must_use]
    pub fn bus(&self) -> &str {
        match self {
            Self::Sim(bus) | Self::Local(bus) => bus,
        }
    }

    /// The targets of a run that names none.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        Self::all().into_iter().filter(|target| matches!(target, Self::Sim(_))).collect()
    }

    /// What its bus and the faults on it can do.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        let known = match self {
            Self::Sim(bus) => squall_sim::capabilities(bus),
            #[cfg(feature = "local")]
            Self::Local(bus) => squall_chaos::capabilities(bus),
            #[cfg(not(feature = "local"))]
            Self::Local(_) => None,
        };
        known.unwrap_or_else(|| Capabilities::new(AckModel::Individual, false, &[]))
    }

    /// Whether runs on it are virtual, repeatable and hashed.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        matches!(self, Self::Sim(_))
    }
}

#[cfg(feature = "local")]
fn local_buses() -> &'static [&'static str] {
    squall_chaos::BUSES
}

#[cfg(not(feature = "local"))]
fn local_buses() -> &'static [&'static str] {
    &[]
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sim(bus) => write!(f, "sim:{bus}"),
            Self::Local(bus) => write!(f, "local:{bus}"),
        }
    }
}

/// A text that names no target of this build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetError(String);

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<String> = Target::all().iter().map(ToString::to_string).collect();
        write!(f, "`{}` is not a target of this build; the targets are {}", self.0, known.join(", "))
    }
}

impl std::error::Error for TargetError {}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        Self::all()
            .into_iter()
            .find(|target| target.to_string() == text)
            .ok_or_else(|| TargetError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_it_parses() {
        for target in Target::all() {
            assert_eq!(target.to_string().parse(), Ok(target));
        }
    }

    #[test]
    fn a_bus_stands_for_its_first_target() {
        assert_eq!(Target::or_bus("kafka"), Ok(Target::Sim("kafka".to_owned())));
        assert_eq!(Target::or_bus("sim:kafka"), Ok(Target::Sim("kafka".to_owned())));
        assert!(Target::or_bus("kaffka").is_err());
    }

    #[test]
    fn an_unknown_target_is_named_with_the_known_ones() {
        let error = "sim:kaffka".parse::<Target>().expect_err("there is no such bus").to_string();
        assert!(
            error.starts_with("`sim:kaffka` is not a target of this build; the targets are sim:kafka"),
            "{error}"
        );
    }
}
