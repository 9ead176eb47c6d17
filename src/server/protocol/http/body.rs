//! Bodies of requests: which are taken, and how one is read whole.
//!
//! What is answered is asked of the very bytes that come. So a body is refused that is not simply the bytes that are meant:
//! a file that comes compressed, or in a form, would be one that nobody knows.

use axum::body::BodyDataStream;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Version, header};
use futures_util::StreamExt;
use hyper::body::Body as _;

use super::LINGER;
use super::problem::Problem;
use crate::protocol::{ErrorCode, Failure};
use crate::server::Limits;
use crate::server::inbox::OWN_BYTES;
use crate::server::limits::{Gauge, Taken};

/// Refuses a request whose body would be taken for another than it is.
pub(super) fn check(Parts { method, headers, .. }: &Parts) -> Result<(), Problem> {
    let codings = |name: HeaderName| {
        let values = headers.get_all(name).into_iter();
        values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
    };
    if codings(header::CONTENT_ENCODING).any(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
        let text = "expected bytes as they are, found a content-encoding; send them without";
        return Err(Problem::of(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    // The last is `chunked`, or hyper would have refused it.
    if codings(header::TRANSFER_ENCODING).count() > 1 {
        return Err(Problem::malformed("expected no transfer-encoding but `chunked`, found more"));
    }
    if !says_its_end(method, headers) {
        let text = "expected a content-length, or a transfer-encoding, found neither";
        return Err(Problem::of(StatusCode::LENGTH_REQUIRED, text));
    }
    Ok(())
}

/// Whether a request that is to have a body says where that ends. By HTTP one that does not has none, whatever the client
/// sends and means.
pub(super) fn says_its_end(method: &Method, headers: &HeaderMap) -> bool {
    let says = headers.contains_key(header::CONTENT_LENGTH) || headers.contains_key(header::TRANSFER_ENCODING);
    says || ![Method::POST, Method::PUT].contains(method)
}

/// Whether a request says that its body is of this media type.
pub(super) fn is_of_type(headers: &HeaderMap, expected: &str) -> bool {
    let said = headers.get(header::CONTENT_TYPE).and_then(|said| said.as_bytes().split(|byte| *byte == b';').next());
    said.is_some_and(|said| said.trim_ascii().eq_ignore_ascii_case(expected.as_bytes()))
}

/// Refuses to answer bit by bit where an answer that breaks off looks like a whole one: before HTTP/1.1 a body ends when
/// the connection does.
pub(super) fn need_chunks(version: Version) -> Result<(), Problem> {
    if version < Version::HTTP_11 {
        let text =
            "expected HTTP/1.1, in which an answer that breaks off can be told from a whole one, found an earlier one";
        return Err(Problem::of(StatusCode::HTTP_VERSION_NOT_SUPPORTED, text));
    }
    Ok(())
}

/// All of a request's body, in memory that is accounted for as that of a frame is.
pub(super) struct Whole {
    pub(super) bytes: Vec<u8>,
    room: Taken,
}

impl Whole {
    /// Takes the next part of a body; `length` is that of all of it, where the client says so.
    fn take(&mut self, part: &[u8], length: Option<u64>, limits: &Limits) -> Result<(), Problem> {
        let max = limits.frame_bytes as usize;
        let needed = self.bytes.len() + part.len();
        if needed > max {
            let text = format!("expected a body of at most {max} bytes, found more; ask in parts");
            return Err(Failure::new(ErrorCode::TooLarge, text).into());
        }
        let before = self.bytes.capacity();
        if needed > before {
            let length = length.and_then(|length| usize::try_from(length).ok());
            let capacity = length.unwrap_or(before * 2).clamp(needed, max);
            // Up to there it is a connection's own.
            let (counted, counts) = (if before > OWN_BYTES { before } else { 0 }, capacity > OWN_BYTES);
            if counts && !self.room.grow((capacity - counted) as u64, limits.large_frame_bytes) {
                return Err(Problem::busy("no memory for a body of this size now"));
            }
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(part);
        Ok(())
    }
}

/// All of a request's body, as long as a frame may be. What comes beyond that, or finds no room, is thrown away for a
/// moment, so that the client, which is still sending, gets to read why.
pub(super) async fn read_body(request: Request, limits: &Limits, large_frames: &Gauge) -> Result<Whole, Problem> {
    let length = request.body().size_hint().exact();
    let mut parts = request.into_body().into_data_stream();
    let mut body = Whole { bytes: Vec::new(), room: large_frames.take_nothing() };
    let read = async {
        while let Some(part) = parts.next().await {
            body.take(&part.map_err(|error| Problem::malformed(error.to_string()))?, length, limits)?;
        }
        Ok(())
    };
    let read = tokio::time::timeout(limits.frame(), read).await;
    if let Ok(Err(_)) = &read {
        // Whoever is refused keeps no room meanwhile.
        body.bytes = Vec::new();
        body.room = large_frames.take_nothing();
        linger(&mut parts).await;
    }
    let late = format!("the request was not complete within {} s", limits.frame_s);
    read.unwrap_or_else(|_| Err(Failure::new(ErrorCode::Timeout, late).into())).map(|()| body)
}

/// Throws away for a moment what still comes of a body.
pub(super) async fn linger(parts: &mut BodyDataStream) {
    let rest = async { while let Some(Ok(_)) = parts.next().await {} };
    let _ = tokio::time::timeout(LINGER, rest).await;
}
