//! Errors of the JetStream API, by NATS' own numbers and sentences (`server/errors.json`).

use std::fmt;

macro_rules! api_errors {
    ($($(#[$doc:meta])* $variant:ident = $err_code:literal, $status:literal, $description:literal;)*) => {
        /// An error of the JetStream API. `Display` prints NATS' description.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum ApiError {
            $($(#[$doc])* $variant = $err_code,)*
        }

        impl ApiError {
            /// Every error that the model knows.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The status class: 400, 404, 409, 429, 500, 503.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// NATS' description.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => $description,)* }
            }
        }
    };
}

api_errors! {
    /// The meta group has no leader.
    ClusterNotAvailable = 10008, 503, "JetStream system temporarily unavailable";
    /// Fewer servers are alive than the stream asks replicas.
    NoPeers = 10005, 400, "no suitable peers for placement";
    /// The consumer is not there.
    ConsumerNotFound = 10014, 404, "consumer not found";
    /// The server's store cannot take more.
    InsufficientResources = 10023, 503, "insufficient resources";
    /// The stream has no such message, or no longer.
    MessageNotFound = 10037, 404, "no message found";
    /// The message is larger than the stream takes.
    MessageTooLarge = 10054, 400, "message size exceeds maximum allowed";
    /// A stream of this name has another configuration.
    StreamNameExists = 10058, 400, "stream name already in use with a different configuration";
    /// The stream is not there.
    StreamNotFound = 10059, 404, "stream not found";
    /// A limit of the stream, or its log, refuses the message.
    StreamStoreFailed = 10077, 503, "maximum messages exceeded";
    /// A consumer of this name has another configuration.
    ConsumerExists = 10148, 400, "consumer already exists";
    /// A message with this id is being stored right now.
    DuplicateInFlight = 10158, 409, "duplicate message id is in process";
    /// The stream's queue of incoming messages is full; the message was dropped.
    TooManyRequests = 10167, 429, "too many requests";
}

impl ApiError {
    /// NATS' own number of the error (`err_code`).
    #[must_use]
    pub const fn err_code(self) -> u16 {
        self as u16
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description())
    }
}
