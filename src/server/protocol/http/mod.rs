//! HTTP: JSON for everyone who does not speak the frame protocol, the same operations, also over a Unix socket.
//!
//! | file | what |
//! |---|---|
//! | `lookup` | questions about hashes: a document, or one in the path |
//! | `rows` | hashes in JSON, read into packed values |
//! | `lines` | questions and answers as lines |
//! | `content` | questions about a file's bytes |
//! | `lists` | lists, their states and versions |
//! | `entries` | entries of lists, in and out |
//! | `suppressions` | the operator's veto; what stands behind a match |
//! | `commands` | how a command is carried out; any command as a document; the audit trail |
//! | `events` | match events, as a stream |
//! | `health` | whether the daemon lives, whether it is ready, how it is |
//! | `problem` | failures |
//! | `schema` | what the description says that no handler can |
//!
//! The description that `/openapi.json` gives is made from the code of the handlers. What a request may do is decided by
//! [`Asker`], as for every other protocol.

mod commands;
mod content;
mod entries;
mod events;
mod health;
mod lines;
mod lists;
mod lookup;
mod problem;
mod rows;
mod schema;
mod suppressions;

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use futures_util::StreamExt;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::{Peer, Rights, Token};
use crate::protocol::{ErrorCode, Failure};
use crate::server::asker::Asker;
use crate::server::inbox::OWN_BYTES;
use crate::server::limits::{Gauge, Taken};
use crate::server::metrics::{Ended, Told};
use crate::server::stranger::Stranger;
use crate::server::{Granted, Limits, Phase, Protocol, Shared};
use problem::{PROBLEM_JSON, Problem};

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// How long the head of the next request may take to come, however slowly.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a client whose request is refused may go on sending it.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 32 << 10;

#[derive(OpenApi)]
#[openapi(info(title = "hashward", description = "Is this file already known, by which list, in which category?"))]
struct Description;

/// All paths, and their description.
pub(in crate::server) fn router() -> Router {
    let (router, mut description) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(lookup::lookup))
        .routes(routes!(lookup::lookup_one))
        .routes(routes!(content::match_content))
        .routes(routes!(suppressions::explain))
        .routes(routes!(suppressions::suppressions, suppressions::suppress))
        .routes(routes!(suppressions::lift))
        .routes(routes!(lists::lists))
        .routes(routes!(lists::inspect, lists::remove))
        .routes(routes!(lists::categories))
        .routes(routes!(lists::set_state))
        .routes(routes!(lists::set_radius))
        .routes(routes!(lists::rollback))
        .routes(routes!(lists::held))
        .routes(routes!(lists::accept))
        .routes(routes!(entries::entries, entries::add))
        .routes(routes!(entries::withdrawals, entries::withdraw))
        .routes(routes!(entries::contents))
        .routes(routes!(commands::command))
        .routes(routes!(commands::audit))
        .routes(routes!(commands::audit_checkpoint))
        .routes(routes!(events::events))
        .routes(routes!(health::status))
        .routes(routes!(health::metrics))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .split_for_parts();
    schema::complete(&mut description);
    let description = Bytes::from(schema::to_json(&description));
    router
        .route(
            "/openapi.json",
            axum::routing::get(move || async move { ([(header::CONTENT_TYPE, JSON)], description) }),
        )
        .fallback(|| async { Problem::not_found("no such path; /openapi.json lists them all") })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
}

/// What a connection is, for each of its requests.
#[derive(Clone)]
struct Connection {
    peer: Peer,
    stranger: Arc<Stranger>,
    granted: Arc<Granted>,
    shared: Arc<Shared>,
    phase: watch::Receiver<Phase>,
}

/// Whoever makes a request, and within which limits.
struct Ask {
    asker: Asker,
    limits: Arc<Limits>,
}

impl<S: Sync> FromRequestParts<S> for Ask {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Ask, Problem> {
        let connection = parts.extensions.get::<Connection>().expect("every request comes over a connection");
        let Connection { peer, stranger, granted, shared, .. } = connection.clone();
        let limits = shared.limits.load_full();
        let mut asker = Asker::new(peer, granted, shared);
        if let Some(token) = bearer(&parts.headers) {
            asker.authenticate(token)?;
        }
        if asker.rights() != Rights::NONE {
            stranger.introduce();
        }
        Ok(Ask { asker, limits })
    }
}

/// That the path has no query. What one would say in it, such as how far to search, is said elsewhere, and must not be
/// passed over in silence.
struct NoQuery;

impl<S: Sync> FromRequestParts<S> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<NoQuery, Problem> {
        match parts.uri.query() {
            None | Some("") => Ok(NoQuery),
            Some(_) => Err(Problem::malformed("expected no query behind this path; see /openapi.json")),
        }
    }
}

/// How far the listener is from its end, for answers that would go on for ever.
struct Ending(watch::Receiver<Phase>);

impl<S: Sync> FromRequestParts<S> for Ending {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Ending, Self::Rejection> {
        let connection = parts.extensions.get::<Connection>().expect("every request comes over a connection");
        Ok(Ending(connection.phase.clone()))
    }
}

impl Ending {
    /// Whether the listener is about to end.
    fn has_come(&self) -> bool {
        *self.0.borrow() != Phase::Serving
    }

    /// Waits until it is.
    async fn come(&mut self) {
        // If nobody can say any more, it has.
        let _ = self.0.wait_for(|phase| *phase != Phase::Serving).await;
    }
}

/// The token in the request's head; `Some(None)` if what stands there cannot be one.
fn bearer(headers: &HeaderMap) -> Option<Option<Token>> {
    let value = headers.get(header::AUTHORIZATION)?;
    let text = value.to_str().ok().and_then(|text| text.split_once(' '));
    Some(text.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).and_then(|(_, token)| Token::parse(token)))
}

/// All of a request's body, in memory that is accounted for as that of a frame is.
struct Whole {
    bytes: Vec<u8>,
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
async fn read_body(request: Request, limits: &Limits, large_frames: &Gauge) -> Result<Whole, Problem> {
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

/// The whole response to a connection for which there is no room, of which no request is read.
pub(in crate::server) fn busy_response(text: &str) -> Vec<u8> {
    let body = serde_json::to_string(&Problem::busy(text)).expect("a problem is plain data");
    let length = body.len();
    let head = format!("HTTP/1.1 503 Service Unavailable\r\ncontent-type: {PROBLEM_JSON}\r\nretry-after: 1");
    format!("{head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

/// Throws away for a moment what still comes of a body.
async fn linger(parts: &mut BodyDataStream) {
    let rest = async { while let Some(Ok(_)) = parts.next().await {} };
    let _ = tokio::time::timeout(LINGER, rest).await;
}

/// Serves one connection until it ends or `phase` says to end it. Returns how it ended.
pub(in crate::server) async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: Peer,
    stranger: Arc<Stranger>,
    granted: Arc<Granted>,
    shared: Arc<Shared>,
    mut phase: watch::Receiver<Phase>,
) -> Ended {
    let limits = shared.limits.load_full();
    let router = shared.http.clone();
    let connection = Connection { peer, stranger, granted, shared, phase: phase.clone() };
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        // A body of chunks ends its connection (RFC 9112 §6.1): its request may also have named a length, which whoever is in
        // between may have gone by, and then what follows was never meant as a request.
        let is_last = request.headers().contains_key(header::TRANSFER_ENCODING);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(connection.clone());
        let (router, shared) = (router.clone(), Arc::clone(&connection.shared));
        Box::pin(async move {
            let mut answered = router.oneshot(request).await;
            if let Ok(response) = &mut answered
                && is_last
            {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            if let Some(told) = answered.as_ref().ok().and_then(|response| response.extensions().get::<Told>()) {
                shared.metrics.told(Protocol::Http, *told);
            }
            answered
        })
    });
    // A client that takes no answers is cut off, as it is elsewhere.
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.write()));
    let stream = TokioIo::new(Box::pin(stream));
    let mut served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle().min(HEAD_TIMEOUT))
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(stream, service);
    let ended = loop {
        tokio::select! {
            ended = poll_fn(|context| served.poll_without_shutdown(context)) => break ended,
            _ = phase.changed() => match *phase.borrow_and_update() {
                Phase::Serving => {}
                Phase::Draining => Pin::new(&mut served).graceful_shutdown(),
                Phase::Closing => return Ended::CutOff,
            },
        }
    };
    let ended = ended.map_or_else(
        |error| {
            tracing::debug!(?peer, %error, "connection broken");
            how_it_broke(&error)
        },
        |()| Ended::Finished,
    );
    if !matches!(ended, Ended::Finished | Ended::Farewell(ErrorCode::Malformed)) {
        return ended;
    }
    // Closing with unread bytes, as of a request that was refused before its body came, would reset the connection, and
    // the answer might be lost with it.
    let mut stream = served.into_parts().io.into_inner();
    let mut waste = [0; 4_096];
    let lingered = async {
        if stream.shutdown().await.is_ok() {
            while stream.read(&mut waste).await.is_ok_and(|count| count > 0) {}
        }
    };
    let _ = tokio::time::timeout(LINGER, lingered).await;
    ended
}

/// Why a connection broke.
fn how_it_broke(error: &hyper::Error) -> Ended {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    match source {
        _ if error.is_timeout() => Ended::Farewell(ErrorCode::Timeout),
        _ if error.is_parse() => Ended::Farewell(ErrorCode::Malformed),
        Some(error) if error.kind() == std::io::ErrorKind::TimedOut => Ended::Unread,
        _ => Ended::Broken,
    }
}
