//! Kafka's protocol as far as a proxy needs it: a request is `size: i32, api key: i16, api version: i16,
//! correlation id: i32, client id: i16 + bytes, ...`, a response is `size: i32, correlation id: i32, ...`. The
//! kind of a request is its api key. A Produce request with acks=0 has no response; one that was to lose its
//! response then breaks nothing.

use crate::protocol::{FirstBytes, FrameFilter, Label, Pass, Protocol};
use std::collections::BTreeSet;

/// The kind of Produce requests.
pub const PRODUCE: i16 = 0;

/// Kafka's protocol.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kafka;

impl Protocol for Kafka {
    fn opener_speaks_first(&self) -> bool {
        true
    }

    fn label(&self, first: &[u8]) -> FirstBytes {
        let Some((head, rest)) = first.split_at_checked(14) else { return FirstBytes::More };
        let Ok(length) = usize::try_from(i16::from_be_bytes([head[12], head[13]])) else {
            return FirstBytes::Nobody;
        };
        let Some(id) = rest.get(..length) else { return FirstBytes::More };
        FirstBytes::From(Label::of_client_id(&String::from_utf8_lossy(id)))
    }

    fn filter(&self) -> Box<dyn FrameFilter> {
        Box::new(Filter::default())
    }
}

#[derive(Debug, Default)]
struct Filter {
    requests: Frames<12>,
    responses: Frames<8>,
    doomed: BTreeSet<i32>,
}

impl FrameFilter for Filter {
    fn requests(&mut self, bytes: &[u8], doom: &mut dyn FnMut(i16) -> bool) {
        let doomed = &mut self.doomed;
        self.requests.feed(bytes, |head, _| {
            if doom(i16::from_be_bytes([head[4], head[5]])) {
                doomed.insert(i32::from_be_bytes([head[8], head[9], head[10], head[11]]));
            }
            true
        });
    }

    fn responses(&mut self, bytes: &[u8]) -> Pass {
        let doomed = &self.doomed;
        if doomed.is_empty() {
            self.responses.feed(bytes, |_, _| true);
            return Pass::All;
        }
        let mut pass = Pass::All;
        self.responses.feed(bytes, |head, begins| {
            let swallow = doomed.contains(&i32::from_be_bytes([head[4], head[5], head[6], head[7]]));
            if swallow {
                pass = Pass::Until(begins);
            }
            !swallow
        });
        pass
    }
}

/// Cuts a stream into frames of `size: i32` and so many bytes; looks at the first `HEAD` bytes of each, the
/// size among them.
#[derive(Debug)]
struct Frames<const HEAD: usize> {
    head: [u8; HEAD],
    filled: usize,
    /// What is left of the frame behind its head.
    rest: usize,
}

impl<const HEAD: usize> Default for Frames<HEAD> {
    fn default() -> Self {
        Self { head: [0; HEAD], filled: 0, rest: 0 }
    }
}

impl<const HEAD: usize> Frames<HEAD> {
    /// Calls `head` for each head that is complete, with the place in `bytes` where its frame begins (0 if it
    /// began before). Ends when it answers false. A frame without room for a head is passed over.
    fn feed(&mut self, mut bytes: &[u8], mut head: impl FnMut(&[u8; HEAD], usize) -> bool) {
        let total = bytes.len();
        let mut begins = 0;
        while !bytes.is_empty() {
            if self.rest > 0 {
                let skip = self.rest.min(bytes.len());
                self.rest -= skip;
                bytes = &bytes[skip..];
                continue;
            }
            if self.filled == 0 {
                begins = total - bytes.len();
            }
            let wanted = if self.filled < 4 { 4 } else { self.frame().min(HEAD) };
            let taken = (wanted - self.filled).min(bytes.len());
            self.head[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled < 4 || self.filled < self.frame().min(HEAD) {
                continue;
            }
            let whole = self.filled == HEAD;
            self.rest = self.frame() - self.filled;
            self.filled = 0;
            if whole && !head(&self.head, begins) {
                return;
            }
        }
    }

    /// The length of the frame with its size field; the size has been read.
    fn frame(&self) -> usize {
        let size = i32::from_be_bytes([self.head[0], self.head[1], self.head[2], self.head[3]]);
        4 + usize::try_from(size).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::testing::passes;
    use proptest::prelude::*;

    fn request(key: i16, correlation: i32, client: &str, body: usize) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        bytes.extend(key.to_be_bytes());
        bytes.extend([0, 9]);
        bytes.extend(correlation.to_be_bytes());
        bytes.extend((client.len() as i16).to_be_bytes());
        bytes.extend(client.as_bytes());
        bytes.resize(bytes.len() + body, 7);
        sized(bytes)
    }

    fn response(correlation: i32, body: usize) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        bytes.extend(correlation.to_be_bytes());
        bytes.resize(bytes.len() + body, 7);
        sized(bytes)
    }

    fn sized(mut frame: Vec<u8>) -> Vec<u8> {
        let size = (frame.len() as i32 - 4).to_be_bytes();
        frame[..4].copy_from_slice(&size);
        frame
    }

    #[test]
    fn the_client_id_tells_whose_connection_it_is() {
        let bytes = request(18, 1, "reader@billing.2", 30);
        for length in 0..30 {
            assert_eq!(Kafka.label(&bytes[..length]), FirstBytes::More, "{length}");
        }
        let label = Label { client: "billing".to_owned(), life: Some(2) };
        assert_eq!(Kafka.label(&bytes), FirstBytes::From(label));
        let mut absent = request(18, 1, "", 0);
        absent[12..14].copy_from_slice(&(-1i16).to_be_bytes());
        assert_eq!(Kafka.label(&absent), FirstBytes::Nobody);
    }

    proptest! {
        /// Whatever the pieces are, exactly the bytes before the doomed response pass.
        #[test]
        fn the_doomed_response_is_found_in_pieces_of_any_size(
            bodies in prop::collection::vec(0usize..40, 1..12),
            doomed in any::<prop::sample::Index>(),
            pieces in prop::collection::vec(1usize..60, 1..200),
        ) {
            let doomed = doomed.index(bodies.len());
            let (mut requests, mut responses, mut before) = (Vec::new(), Vec::new(), 0);
            for (index, body) in bodies.iter().enumerate() {
                let key = if index == doomed { PRODUCE } else { 1 };
                requests.extend(request(key, index as i32, "c", *body));
                if index == doomed { before = responses.len(); }
                responses.extend(response(index as i32, *body));
            }
            let passed = passes(&mut *Kafka.filter(), PRODUCE, &requests, &responses, &pieces);
            // A response whose head was cut into pieces is doomed only once its head is complete: what passed
            // of it is a part of its head.
            prop_assert!(passed >= before && passed < before + 8, "{passed} {before}");
        }
    }
}
