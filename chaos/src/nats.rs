//! The protocol of NATS as far as a proxy needs it. It is text: an operation is a line, and the payload that its
//! last number announces. The server speaks first; the client's `CONNECT {...}` carries its name.
//!
//! A request is a publish with a reply subject: `PUB subject reply size` or `HPUB subject reply size-of-headers
//! size`. Its response is what the server delivers to that subject: `MSG` or `HMSG`. The one kind of requests that
//! is told is [`PUBLISH`]: a record for a stream, that is, to any subject but the server's own, which begin with a
//! `$` (the API of JetStream, acks of deliveries).
//!
//! Routes between servers speak otherwise. They are followed all the same, which changes nothing: responses are only
//! ever dropped on the links of clients.

use crate::protocol::{FirstBytes, FrameFilter, Label, Pass, Protocol};
use serde::Deserialize;
use std::collections::BTreeSet;

/// The kind of publishes that ask for an ack.
pub const PUBLISH: i16 = 0;

/// The longest line that is followed, in bytes: servers take 4096.
const LONGEST: usize = 8 << 10;

/// NATS' protocol.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nats;

#[derive(Deserialize)]
struct Connect {
    #[serde(default)]
    name: String,
}

impl Protocol for Nats {
    fn opener_speaks_first(&self) -> bool {
        false
    }

    fn label(&self, first: &[u8]) -> FirstBytes {
        const CONNECT: &[u8] = b"CONNECT ";
        let known = first.len().min(CONNECT.len());
        if !first[..known].eq_ignore_ascii_case(&CONNECT[..known]) {
            return FirstBytes::Nobody;
        }
        let Some(end) = first.iter().position(|byte| *byte == b'\n') else { return FirstBytes::More };
        match serde_json::from_slice::<Connect>(first[..end].get(CONNECT.len()..).unwrap_or_default()) {
            Ok(Connect { name }) if !name.is_empty() => FirstBytes::From(Label::of_client_id(&name)),
            _ => FirstBytes::Nobody,
        }
    }

    fn filter(&self) -> Box<dyn FrameFilter> {
        Box::new(Filter::default())
    }
}

#[derive(Debug, Default)]
struct Filter {
    requests: Operations,
    responses: Operations,
    /// The reply subjects whose responses must not arrive.
    doomed: BTreeSet<Vec<u8>>,
}

impl FrameFilter for Filter {
    fn requests(&mut self, bytes: &[u8], doom: &mut dyn FnMut(i16) -> bool) {
        let doomed = &mut self.doomed;
        self.requests.feed(bytes, |operation, _| {
            if let Some(reply) = acked_publish(operation)
                && doom(PUBLISH)
            {
                doomed.insert(reply.to_vec());
            }
            true
        });
    }

    fn responses(&mut self, bytes: &[u8]) -> Pass {
        let doomed = &self.doomed;
        let mut pass = Pass::All;
        self.responses.feed(bytes, |operation, begins| {
            let swallow = match operation {
                [verb, subject, ..] => is_one_of(verb, &["MSG", "HMSG"]) && doomed.contains(*subject),
                _ => false,
            };
            if swallow {
                pass = Pass::Until(begins);
            }
            !swallow
        });
        pass
    }
}

/// The reply subject of a publish of a record that asks for an ack.
fn acked_publish<'a>(operation: &[&'a [u8]]) -> Option<&'a [u8]> {
    let (subject, reply) = match operation {
        [verb, subject, reply, _] if is_one_of(verb, &["PUB"]) => (subject, reply),
        [verb, subject, reply, _, _] if is_one_of(verb, &["HPUB"]) => (subject, reply),
        _ => return None,
    };
    (!subject.starts_with(b"$")).then_some(*reply)
}

fn is_one_of(verb: &[u8], verbs: &[&str]) -> bool {
    verbs.iter().any(|known| verb.eq_ignore_ascii_case(known.as_bytes()))
}

/// Cuts a stream into operations.
#[derive(Debug, Default)]
struct Operations {
    /// The line so far.
    line: Vec<u8>,
    /// What is left of the payload behind it, with its line end.
    rest: usize,
    /// A line was too long: nothing is followed any more.
    lost: bool,
}

impl Operations {
    /// Calls `each` with the words of every line that is complete, and the place in `bytes` where its operation
    /// begins (0 if it began before). Ends when it answers false.
    fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(&[&[u8]], usize) -> bool) {
        let mut at = 0;
        while at < bytes.len() && !self.lost {
            let skipped = self.rest.min(bytes.len() - at);
            self.rest -= skipped;
            at += skipped;
            let begins = if self.line.is_empty() { at } else { 0 };
            let Some(length) = bytes[at..].iter().position(|byte| *byte == b'\n') else {
                self.line.extend(&bytes[at..]);
                self.lost = self.line.len() > LONGEST;
                return;
            };
            self.line.extend(&bytes[at..at + length]);
            at += length + 1;
            let line = std::mem::take(&mut self.line);
            let words: Vec<&[u8]> =
                line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
            self.rest = payload(&words);
            if !each(&words, begins) {
                return;
            }
        }
    }
}

/// How many bytes follow the line of an operation: its payload and a line end.
fn payload(operation: &[&[u8]]) -> usize {
    let [verb, .., size] = operation else { return 0 };
    if !is_one_of(verb, &["PUB", "HPUB", "MSG", "HMSG"]) {
        return 0;
    }
    let size = std::str::from_utf8(size).ok().and_then(|size| size.parse::<usize>().ok());
    size.map_or(0, |size| size.saturating_add(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::testing::passes;
    use proptest::prelude::*;

    #[test]
    fn the_name_tells_whose_connection_it_is() {
        let bytes =
            b"CONNECT {\"verbose\":false,\"name\":\"reader@billing.2\",\"lang\":\"rust\"}\r\nPING\r\n";
        let end = bytes.iter().position(|byte| *byte == b'\n').expect("a line");
        for length in 0..=end {
            assert_eq!(Nats.label(&bytes[..length]), FirstBytes::More, "{length}");
        }
        let label = Label { client: "billing".to_owned(), life: Some(2) };
        assert_eq!(Nats.label(bytes), FirstBytes::From(label));
        for nobodys in [&b"CONNECT {}\r\n"[..], b"CONNECT {\"name\":\r\n", b"INFO {}\r\n", b"\x16\x03"] {
            assert_eq!(Nats.label(nobodys), FirstBytes::Nobody);
        }
    }

    fn kinds(requests: &[u8]) -> Vec<i16> {
        let mut kinds = Vec::new();
        Nats.filter().requests(requests, &mut |kind| {
            kinds.push(kind);
            false
        });
        kinds
    }

    #[test]
    fn only_records_that_ask_for_an_ack_are_told() {
        assert_eq!(kinds(b"PUB orders.0.k _INBOX.a 2\r\nhi\r\n"), [PUBLISH]);
        assert_eq!(kinds(b"hpub orders.0.k _INBOX.a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"), [PUBLISH]);
        for other in [
            &b"PUB orders.0.k 2\r\nhi\r\n"[..],
            b"HPUB orders.0.k 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
            b"PUB $JS.API.STREAM.INFO.orders _INBOX.a 0\r\n\r\n",
            b"PUB $JS.ACK.orders.g.1.1.1.1.0 _INBOX.a 4\r\n+ACK\r\n",
            b"SUB _INBOX.a 1\r\nPING\r\n",
            b"PUB orders.0.k 25\r\nPUB orders.0.k _INBOX.a 2\r\n",
        ] {
            assert!(kinds(other).is_empty(), "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn a_line_without_end_is_not_kept() {
        let mut operations = Operations::default();
        for _ in 0..100 {
            operations.feed(&[b'x'; 1_000], |_, _| true);
        }
        assert!(operations.lost && operations.line.len() <= LONGEST + 1_000);
    }

    proptest! {
        /// Whatever the pieces are, no byte of a payload and nothing behind the doomed response passes.
        #[test]
        fn the_doomed_response_is_found_in_pieces_of_any_size(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..12),
            doomed in any::<prop::sample::Index>(),
            headers in any::<bool>(),
            pieces in prop::collection::vec(1usize..60, 1..200),
        ) {
            let doomed = doomed.index(bodies.len());
            let (mut requests, mut responses, mut before, mut head) = (Vec::new(), Vec::new(), 0, 0);
            for (index, body) in bodies.iter().enumerate() {
                let subject = if index == doomed { "orders.0.k" } else { "$JS.API.X" };
                let line = format!("PUB {subject} _INBOX.{index} {}\r\n", body.len());
                requests.extend([line.as_bytes(), body, b"\r\n"].concat());
                let line = if headers {
                    format!("HMSG _INBOX.{index} 1 0 {}\r\n", body.len())
                } else {
                    format!("MSG _INBOX.{index} 1 {}\r\n", body.len())
                };
                if index == doomed { (before, head) = (responses.len(), line.len()); }
                responses.extend([line.as_bytes(), body, b"\r\n"].concat());
            }
            let passed = passes(&mut *Nats.filter(), PUBLISH, &requests, &responses, &pieces);
            // A response whose line was cut into pieces is doomed only once its line is complete: what passed of it
            // is a part of its line.
            prop_assert!(passed >= before && passed < before + head, "{passed} {before} {head}");
        }
    }
}
