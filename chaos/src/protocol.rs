//! What a proxy has to know of the protocol that travels through it: whose connection it is, and where
//! requests and responses begin. Both are pluggable; [`Opaque`] knows nothing.

use std::fmt;

/// Whose connection it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Label {
    /// The client process.
    pub client: String,
    /// Which life of the process, where the connection says so.
    pub life: Option<u32>,
}

impl Label {
    /// The client process of the harness itself: faults aimed at everyone spare it.
    pub const HARNESS: &'static str = "squall";

    /// The label of a client id. Squall's own clients are called `name@process.life`; any other id is the
    /// name of the process.
    #[must_use]
    pub fn of_client_id(id: &str) -> Self {
        let own = id.rsplit_once('@').and_then(|(_, process)| process.rsplit_once('.'));
        match own.and_then(|(process, life)| Some((process, life.parse().ok()?))) {
            Some((process, life)) => Self { client: process.to_owned(), life: Some(life) },
            None => Self { client: id.to_owned(), life: None },
        }
    }

    /// The client id that is read back as this label.
    #[must_use]
    pub fn client_id(name: &str, process: &str, life: u32) -> String {
        format!("{name}@{process}.{life}")
    }

    /// Whether it is the harness' own.
    #[must_use]
    pub fn is_harness(&self) -> bool {
        self.client == Self::HARNESS
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.client)?;
        self.life.map_or(Ok(()), |life| write!(f, ".{life}"))
    }
}

/// What the first bytes of a connection tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstBytes {
    /// Whose it is.
    From(Label),
    /// Nobody's in particular.
    Nobody,
    /// Too few to tell.
    More,
}

/// A protocol.
pub trait Protocol: Send + Sync + 'static {
    /// Whether whoever opens a connection also speaks first. Then a connection is told by its first bytes
    /// before anything is done with it.
    fn opener_speaks_first(&self) -> bool;
    /// Tells whose connection it is; `first` is all that its opener said so far.
    fn label(&self, first: &[u8]) -> FirstBytes;
    /// Follows requests and responses on a connection.
    fn filter(&self) -> Box<dyn FrameFilter>;
}

/// How much of some response bytes may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// All.
    All,
    /// So many; behind them begins a response that must never arrive.
    Until(usize),
}

/// Follows the requests and responses on one connection. It gets every byte of either direction once and in
/// order, in pieces of any size.
pub trait FrameFilter: Send {
    /// Request bytes. Calls `doom` with the kind of each request that begins; the response to a request for
    /// which it answers true must not arrive.
    fn requests(&mut self, bytes: &[u8], doom: &mut dyn FnMut(i16) -> bool);
    /// Response bytes. After [`Pass::Until`] the connection is broken.
    fn responses(&mut self, bytes: &[u8]) -> Pass;
}

/// A protocol of which nothing is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Opaque;

impl Protocol for Opaque {
    fn opener_speaks_first(&self) -> bool {
        false
    }

    fn label(&self, _first: &[u8]) -> FirstBytes {
        FirstBytes::Nobody
    }

    fn filter(&self) -> Box<dyn FrameFilter> {
        Box::new(Self)
    }
}

impl FrameFilter for Opaque {
    fn requests(&mut self, _bytes: &[u8], _doom: &mut dyn FnMut(i16) -> bool) {}

    fn responses(&mut self, _bytes: &[u8]) -> Pass {
        Pass::All
    }
}

/// For the tests of protocols.
#[cfg(test)]
pub(crate) mod testing {
    use super::{FrameFilter, Pass};

    /// How many of the response bytes pass when both directions come in pieces of these sizes, over and over, and
    /// the response to every request of this kind is doomed.
    pub(crate) fn passes(
        filter: &mut dyn FrameFilter,
        kind: i16,
        requests: &[u8],
        responses: &[u8],
        pieces: &[usize],
    ) -> usize {
        let mut sizes = pieces.iter().cycle();
        let mut size = |left: usize| (*sizes.next().unwrap_or(&1)).min(left);
        let mut left = requests;
        while !left.is_empty() {
            let (piece, rest) = left.split_at(size(left.len()));
            filter.requests(piece, &mut |seen| seen == kind);
            left = rest;
        }
        let mut passed = 0;
        while passed < responses.len() {
            let piece = size(responses.len() - passed);
            match filter.responses(&responses[passed..passed + piece]) {
                Pass::All => passed += piece,
                Pass::Until(some) => return passed + some,
            }
        }
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_of_ours_names_process_and_life() {
        let label = Label::of_client_id(&Label::client_id("producer-2", "shop.api", 3));
        assert_eq!(label, Label { client: "shop.api".to_owned(), life: Some(3) });
        assert_eq!(label.to_string(), "shop.api.3");
    }

    #[test]
    fn any_other_client_id_is_a_name() {
        for id in ["rdkafka", "a@b", "a@b.c", "a.1", ""] {
            assert_eq!(Label::of_client_id(id), Label { client: id.to_owned(), life: None }, "{id}");
        }
    }
}
