//! One connection to one node: a request, then its response.

use super::codec::{Reader, Writer};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// The largest response that is accepted, in bytes.
const LARGEST: usize = 16 << 20;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The node cannot be reached, or was silent too long.
    #[error("the node at {node} did not answer: {source}")]
    Io {
        /// The node's address.
        node: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The node refused.
    #[error("the broker answered {}", crate::wire::codes::error(*code, message.as_str()))]
    Broker {
        /// Kafka's error code.
        code: i32,
        /// What the broker said about it.
        message: String,
    },
    /// The response is not what the protocol says.
    #[error("a response could not be understood: its length or its structure is wrong")]
    Malformed,
}

impl WireError {
    /// An error code of a response, unless it is zero.
    pub(super) fn check(code: i16, message: impl Into<String>) -> Result<(), Self> {
        if code == 0 { Ok(()) } else { Err(Self::Broker { code: code.into(), message: message.into() }) }
    }
}

impl From<WireError> for squall_bus::Error {
    fn from(error: WireError) -> Self {
        let retriable = squall_bus::ErrorClass::Retriable;
        match error {
            WireError::Broker { code, message } => crate::wire::codes::error(code, message),
            WireError::Io { .. } => Self::new(retriable, "_TRANSPORT", error.to_string()),
            WireError::Malformed => Self::new(retriable, "CORRUPT_MESSAGE", error.to_string()),
        }
    }
}

/// A connection to one node.
#[derive(Debug)]
pub struct Connection {
    node: SocketAddr,
    stream: TcpStream,
    correlation: i32,
}

impl Connection {
    /// Connects. `timeout` bounds this and every later wait for the node.
    pub fn open(node: SocketAddr, timeout: Duration) -> Result<Self, WireError> {
        let open = || {
            let stream = TcpStream::connect_timeout(&node, timeout)?;
            stream.set_read_timeout(Some(timeout))?;
            stream.set_write_timeout(Some(timeout))?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let stream = open().map_err(|source| WireError::Io { node, source })?;
        Ok(Self { node, stream, correlation: 0 })
    }

    /// Sends a request with the plain header (`flexible`: with the header that has tags) and reads the
    /// response; `parse` gets its body.
    pub(super) fn request<T>(
        &mut self,
        (key, version, flexible): (i16, i16, bool),
        body: &Writer,
        parse: impl FnOnce(&mut Reader<'_>) -> Result<T, WireError>,
    ) -> Result<T, WireError> {
        self.correlation += 1;
        let mut message = Writer::default();
        message.i32(0).i16(key).i16(version).i32(self.correlation).string("squall-admin");
        if flexible {
            message.varint(0);
        }
        message.0.extend(&body.0);
        let size = i32::try_from(message.0.len() - 4).map_err(|_| WireError::Malformed)?;
        message.0[..4].copy_from_slice(&size.to_be_bytes());
        let bytes = self.exchange(&message.0)?;
        let mut reader = Reader(&bytes);
        if reader.i32()? != self.correlation {
            return Err(WireError::Malformed);
        }
        if flexible {
            reader.varint()?;
        }
        parse(&mut reader)
    }

    fn exchange(&mut self, message: &[u8]) -> Result<Vec<u8>, WireError> {
        let node = self.node;
        let failed = |source| WireError::Io { node, source };
        self.stream.write_all(message).map_err(failed)?;
        let mut size = [0; 4];
        self.stream.read_exact(&mut size).map_err(failed)?;
        let size = usize::try_from(i32::from_be_bytes(size)).map_err(|_| WireError::Malformed)?;
        if size > LARGEST {
            return Err(WireError::Malformed);
        }
        let mut response = vec![0; size];
        self.stream.read_exact(&mut response).map_err(failed)?;
        Ok(response)
    }
}
