//! Match events as a stream of lines, which may go on for as long as there are new ones.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Version, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::body::need_chunks;
use super::problem::Problem;
use super::{Ask, Asked, Ending, NDJSON};
use crate::events::{EVENTS_MAX, EventLine, Page};
use crate::server::events::Delivery;

/// How often a stream that waits says that it still does: with an empty line, so that a client that is gone is noticed.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// Which match events are wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsPart {
    /// The last event that was dealt with; without it, all that are kept are given.
    after: Option<u64>,
    /// How many are wanted at most; without it, all.
    limit: Option<u64>,
    /// Whether to wait for new ones where those that there are end.
    #[serde(default)]
    follow: bool,
}

/// Match events, each a line, in order. Whoever has dealt with one asks for those after it the next time, and so gets each
/// at least once. A number of which the next event is no longer kept is refused with 410, which names the oldest that is.
/// A line with `missing` stands where events could not be recorded, and has a number as events have.
/// An empty line says that the stream is alive. A stream that follows ends in good order when the daemon does; where it
/// cannot go on, a problem is the last line, and the body breaks off without its proper end.
#[utoipa::path(
    get, path = "/v1/events", tag = "audit", params(EventsPart),
    responses((status = 200, body = EventLine, content_type = "application/x-ndjson"), Problem),
)]
pub(super) async fn events(
    Asked(Ask { asker, limits }, EventsPart { after, limit, follow }): Asked<EventsPart>,
    ending: Ending,
    version: Version,
) -> Result<Response, Problem> {
    need_chunks(version)?;
    let mut delivery = Delivery::new(asker, &limits, after)?;
    let left = limit.unwrap_or(u64::MAX);
    // What is wrong with the question is said before the answer begins.
    let first = delivery.next_page(at_once(left)).await?;
    let stream = Box::new(Stream { delivery, ending, left, follow, page: Some(first) });
    let lines = futures_util::stream::unfold(Turn::Go(stream), |turn| async {
        match turn {
            Turn::Go(stream) => stream.next_lines().await,
            Turn::BreakOff => {
                // The problem is written while this waits.
                tokio::task::yield_now().await;
                Some((Err(std::io::Error::other("the events cannot be given any further")), Turn::End))
            }
            Turn::End => None,
        }
    });
    Ok(([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response())
}

fn at_once(left: u64) -> u32 {
    left.min(EVENTS_MAX.into()) as u32
}

struct Stream {
    delivery: Delivery,
    ending: Ending,
    /// How many are still wanted.
    left: u64,
    follow: bool,
    /// What was read already.
    page: Option<Page>,
}

/// What comes next of a stream.
enum Turn {
    Go(Box<Stream>),
    /// A problem was the last that is said.
    BreakOff,
    End,
}

impl Stream {
    async fn next_lines(mut self: Box<Self>) -> Option<(std::io::Result<Bytes>, Turn)> {
        loop {
            if self.left == 0 || (self.follow && self.ending.has_come()) {
                return None;
            }
            let page = match self.page.take() {
                Some(page) => Ok(page),
                None => self.delivery.next_page(at_once(self.left)).await,
            };
            let page = match page {
                Ok(page) => page,
                Err(failure) => {
                    self.delivery.told(&failure);
                    let mut line = serde_json::to_vec(&Problem::from(failure)).expect("a problem is plain data");
                    line.push(b'\n');
                    return Some((Ok(line.into()), Turn::BreakOff));
                }
            };
            if !page.events.is_empty() {
                self.left -= page.events.len() as u64;
                let mut lines = Vec::with_capacity(page.events.iter().map(|event| event.get().len() + 1).sum());
                for event in &page.events {
                    lines.extend_from_slice(event.get().as_bytes());
                    lines.push(b'\n');
                }
                return Some((Ok(lines.into()), Turn::Go(self)));
            }
            if !self.follow {
                return None;
            }
            tokio::select! {
                () = self.delivery.more() => {}
                () = self.ending.come() => return None,
                () = tokio::time::sleep(HEARTBEAT) => return Some((Ok(Bytes::from_static(b"\n")), Turn::Go(self))),
            }
        }
    }
}
