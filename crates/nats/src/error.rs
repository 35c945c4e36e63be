//! What async-nats and the server say, as core's failures.
//!
//! Their texts hold addresses, subjects and numbers, never credentials or payloads, so they are
//! passed on as the field `cause`.

use std::{error::Error as StdError, fmt::Write as _};

use async_nats::{
    ConnectErrorKind,
    error::Error as NatsError,
    jetstream::{
        Error as ServerError, ErrorCode,
        context::{PublishError, PublishErrorKind},
    },
};
use mailbridge_core::{Code, Error};

/// The first connection could not be made.
pub(crate) fn connect(error: &NatsError<ConnectErrorKind>) -> Error {
    let (code, detail) = match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            (Code::BusUnauthorized, "the server refuses the credentials")
        }
        ConnectErrorKind::Tls => (Code::BusUnreachable, "no TLS connection can be made"),
        ConnectErrorKind::Dns => (Code::BusUnreachable, "the server's name cannot be resolved"),
        ConnectErrorKind::TimedOut => (Code::BusUnreachable, "the server did not answer in time"),
        ConnectErrorKind::ServerParse => (Code::ConfigInvalid, "a server address cannot be read"),
        ConnectErrorKind::Io | ConnectErrorKind::MaxReconnects => {
            (Code::BusUnreachable, "no connection to the server can be made")
        }
    };
    Error::blocked(code, detail).with("cause", chain(error))
}

/// The server said no to something that was asked of it.
pub(crate) fn refused(what: &'static str, error: &ServerError) -> Error {
    Error::blocked(Code::BusMismatch, what)
        .with("server_error", error.error_code().0)
        .with("cause", error)
}

/// Something that should work did not.
pub(crate) fn failed(what: &'static str, error: &(dyn StdError + 'static)) -> Error {
    Error::transient(Code::BusLost, what).with("cause", chain(error))
}

/// A message was not confirmed. It may have been stored all the same.
pub(crate) fn publish(error: &PublishError) -> Error {
    let server = error.source().and_then(|source| source.downcast_ref::<ServerError>());
    let too_large = matches!(
        server.map(ServerError::error_code),
        Some(ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM)
    );
    let error = match error.kind() {
        _ if too_large => return payload_too_large().with("cause", chain(error)),
        PublishErrorKind::MaxPayloadExceeded => {
            return payload_too_large().with("cause", chain(error));
        }
        PublishErrorKind::TimedOut => {
            Error::transient(Code::BusPublishFailed, "the server did not confirm in time")
        }
        PublishErrorKind::BrokenPipe => {
            Error::transient(Code::BusPublishFailed, "the connection broke before the confirmation")
        }
        PublishErrorKind::StreamNotFound
        | PublishErrorKind::WrongLastMessageId
        | PublishErrorKind::WrongLastSequence
        | PublishErrorKind::MaxAckPending
        | PublishErrorKind::Other => {
            Error::transient(Code::BusPublishFailed, "the server did not store the message")
                .with("cause", chain(error))
        }
    };
    match server {
        Some(server) => error.with("server_error", server.error_code().0),
        None => error,
    }
}

fn payload_too_large() -> Error {
    Error::permanent(Code::BusPayloadTooLarge, "the message is larger than the server takes")
}

/// An error with all that is behind it.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            // Writing to a String cannot fail.
            write!(text, ": {more}").ok();
        }
        next = source.source();
    }
    text
}
