//! HTTP: JSON for everyone who does not speak the frame protocol, the same operations, also over a Unix socket.
//!
//! | file | what |
//! |---|---|
//! | `body` | bodies of requests: which are taken, and how they are read |
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

mod body;
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

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::{Peer, Rights, Token};
use crate::protocol::ErrorCode;
use crate::server::asker::Asker;
use crate::server::metrics::{Ended, Told};
use crate::server::stranger::Stranger;
use crate::server::{Granted, Limits, Phase, Protocol, Shared};
use problem::{PROBLEM_JSON, Problem};

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// Nobody in between may keep an answer and give it again: lists change, and what was unknown becomes known.
const NO_STORE: &str = "no-store";

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
        .fallback(|| async { Problem::of(StatusCode::NOT_FOUND, "no such path; /openapi.json lists them all") })
        .method_not_allowed_fallback(|| async {
            Problem::of(StatusCode::METHOD_NOT_ALLOWED, "see /openapi.json for this path's methods")
        })
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

/// Whoever makes a request, and within which limits. Nothing stands behind the `?` of its path, or it is refused: a question
/// of which something is not heeded is another than the one that was meant.
struct Ask {
    asker: Asker,
    limits: Arc<Limits>,
}

/// The same, with what stands behind the `?`.
struct Asked<T>(Ask, T);

impl<S: Send + Sync> FromRequestParts<S> for Ask {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Ask, Problem> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}
        let Asked(ask, Nothing {}) = Asked::from_request_parts(parts, state).await?;
        Ok(ask)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Asked<T>, Problem> {
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
        body::check(parts)?;
        let Query(asked) = Query::from_request_parts(parts, state).await?;
        Ok(Asked(Ask { asker, limits }, asked))
    }
}

/// How far the listener is from its end, for answers that would go on for ever.
struct Ending(watch::Receiver<Phase>);

impl<S: Sync> FromRequestParts<S> for Ending {
    type Rejection = Infallible;

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

/// The whole response to a connection for which there is no room, of which no request is read.
pub(in crate::server) fn busy_response(text: &str) -> Vec<u8> {
    let body = serde_json::to_string(&Problem::busy(text)).expect("a problem is plain data");
    let length = body.len();
    let head = format!("HTTP/1.1 503 Service Unavailable\r\ncontent-type: {PROBLEM_JSON}\r\nretry-after: 1");
    let head = format!("{head}\r\ncache-control: {NO_STORE}");
    format!("{head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
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
        // between may have gone by, and then what follows was never meant as a request. Nor was what follows a request
        // that does not say where its body ends: most likely it is that body.
        let headers = request.headers();
        let is_last = headers.contains_key(header::TRANSFER_ENCODING) || !body::says_its_end(request.method(), headers);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(connection.clone());
        let (router, shared) = (router.clone(), Arc::clone(&connection.shared));
        Box::pin(async move {
            let Ok(mut response) = router.oneshot(request).await;
            if let Some(told) = response.extensions().get::<Told>() {
                shared.metrics.told(Protocol::Http, *told);
            }
            let headers = response.headers_mut();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(NO_STORE));
            if is_last {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
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
