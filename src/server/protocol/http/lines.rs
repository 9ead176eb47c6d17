//! Questions as lines, and answers as lines while questions go: as many as a client has, in the memory of a few thousand.
//!
//! A body is read as fast as its answers are taken: who reads none is read no more, and cut off after a while.

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::Request;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::body::linger;
use super::lookup::{OneAnswer, tell_rows};
use super::problem::Problem;
use super::rows::push_hex;
use super::{Ask, NDJSON};
use crate::fingerprint::{Kind, Radii};
use crate::protocol::{ErrorCode, Failure};
use crate::server::Limits;
use crate::server::asker::{Asker, HashQuestion};

/// Lines that are asked about at once.
const LINES_AT_ONCE: usize = 4_096;

/// The longest line.
const LINE_BYTES_MAX: usize = 64 << 10;

/// One line of a question in lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    kind: Kind,
    #[serde(borrow)]
    hash: std::borrow::Cow<'a, str>,
}

/// Answers line by line, in their order. What cannot be answered says so in its line, and ends the answers if that is
/// not the line's own fault. Then the body breaks off, without the end that a whole one has: who only looks for certain
/// verdicts in it must not take the lines without an answer for ones that nobody knows.
pub(super) async fn lookup_lines(ask: Ask, request: Request) -> Result<Response, Problem> {
    let Ask { asker, limits } = ask;
    let mut input = Lines { body: request.into_body().into_data_stream(), buffer: Vec::new(), ended: false };
    // Before the answer begins: a client that waits to be told to go on (`Expect: 100-continue`) is told when its body is
    // asked for, and not any more once there is an answer.
    input.take_part(&mut Instant::now(), &limits).await?;
    let answers = futures_util::stream::unfold(Turn::Answer(Box::new(asker), input), move |turn| {
        let limits = limits.clone();
        async move {
            let (mut asker, mut input) = match turn {
                Turn::Answer(asker, input) => (asker, input),
                Turn::BreakOff(mut input) => {
                    // The problem is written while this waits, and read while the client can still write.
                    tokio::task::yield_now().await;
                    linger(&mut input.body).await;
                    return Some((Err(std::io::Error::other("not all lines were answered")), Turn::End));
                }
                Turn::End => return None,
            };
            let mut out = Vec::new();
            let more = match input.next_lines(&limits).await {
                Ok(Some(lines)) => answer_lines(&mut asker, &limits, &lines, &mut out).await,
                Ok(None) => return None,
                Err(problem) => Err(problem),
            };
            let next = match more {
                Ok(()) => Turn::Answer(asker, input),
                Err(problem) => {
                    put_problem(&asker, &mut out, &problem);
                    Turn::BreakOff(input)
                }
            };
            Some((Ok(Bytes::from(out)), next))
        }
    });
    Ok(([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(answers)).into_response())
}

/// What comes next of answers in lines.
enum Turn {
    Answer(Box<Asker>, Lines),
    /// A problem was the last that is said.
    BreakOff(Lines),
    End,
}

/// The lines of a body as it comes.
struct Lines {
    body: BodyDataStream,
    buffer: Vec<u8>,
    ended: bool,
}

impl Lines {
    /// Whole lines, as many as have come, at least one; `None` at the end.
    async fn next_lines(&mut self, limits: &Limits) -> Result<Option<Vec<u8>>, Problem> {
        // When the line began that is to come, or the wait for it.
        let mut began_at = Instant::now();
        loop {
            if let Some(end) = memchr::memrchr(b'\n', &self.buffer) {
                let rest = self.buffer.split_off(end + 1);
                return Ok(Some(std::mem::replace(&mut self.buffer, rest)));
            }
            if self.ended {
                let last = std::mem::take(&mut self.buffer);
                return Ok((!last.is_empty()).then_some(last));
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                return Err(Problem::malformed(format!(
                    "expected lines of at most {LINE_BYTES_MAX} bytes, found more"
                )));
            }
            self.take_part(&mut began_at, limits).await?;
        }
    }

    /// Takes in what comes next of the body.
    async fn take_part(&mut self, began_at: &mut Instant, limits: &Limits) -> Result<(), Problem> {
        // A line that has begun must be complete as soon as a frame must.
        let patience = if self.buffer.is_empty() { limits.idle() } else { limits.frame() };
        match timeout_at(*began_at + patience, self.body.next()).await {
            Ok(Some(Ok(part))) => {
                if self.buffer.is_empty() {
                    *began_at = Instant::now();
                }
                self.buffer.extend_from_slice(&part);
            }
            Ok(Some(Err(error))) => return Err(Problem::malformed(error.to_string())),
            Ok(None) => self.ended = true,
            Err(_) => {
                let text = format!("no whole line within {} s", patience.as_secs());
                return Err(Failure::new(ErrorCode::Timeout, text).into());
            }
        }
        Ok(())
    }
}

/// Neighbouring lines of one kind are one question.
async fn answer_lines(asker: &mut Asker, limits: &Limits, lines: &[u8], out: &mut Vec<u8>) -> Result<(), Problem> {
    let lines = lines.split(|byte| *byte == b'\n').map(|line| line.trim_ascii()).filter(|line| !line.is_empty());
    let mut pending: (Option<Kind>, Vec<u8>) = (None, Vec::new());
    for line in lines {
        let pushed = match serde_json::from_slice(line) {
            Ok(Line { kind, hash }) => {
                if pending.0 != Some(kind) {
                    flush(asker, limits, &mut pending, out).await?;
                    pending.0 = Some(kind);
                }
                push_hex(&mut pending.1, kind, &hash).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = pushed {
            flush(asker, limits, &mut pending, out).await?;
            put_problem(asker, out, &Problem::malformed(error));
        }
    }
    flush(asker, limits, &mut pending, out).await
}

async fn flush(
    asker: &mut Asker,
    limits: &Limits,
    pending: &mut (Option<Kind>, Vec<u8>),
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    let (Some(kind), values) = (pending.0.take(), std::mem::take(&mut pending.1)) else { return Ok(()) };
    let at_once = if kind.is_exact() { LINES_AT_ONCE } else { (limits.near_values as usize).max(1) };
    for part in values.chunks(at_once * kind.width()) {
        let rows = (part.len() / kind.width()) as u32;
        let question = HashQuestion { kinds: &[kind], radii: &Radii::none(), rows, values: part };
        let answers = asker.lookup(limits, &question).await?;
        let line = |answer| {
            let mut line = Vec::new();
            put_line(&mut line, &OneAnswer::of(&answers, answer));
            line
        };
        let put = |line: &[u8]| {
            out.extend_from_slice(line);
            Ok(())
        };
        tell_rows(&answers, line, put)?;
    }
    Ok(())
}

/// Writes a problem as a line; it is no response of its own, and is counted all the same.
fn put_problem(asker: &Asker, out: &mut Vec<u8>, problem: &Problem) {
    asker.told(problem.told());
    put_line(out, problem);
}

fn put_line(out: &mut Vec<u8>, line: &impl Serialize) {
    serde_json::to_writer(&mut *out, line).expect("answers are plain data with text keys");
    out.push(b'\n');
}
