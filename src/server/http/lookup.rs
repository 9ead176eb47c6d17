//! Questions about hashes: many in one document, many as lines, or one in the path.

use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde::de::{DeserializeSeed, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::problem::Problem;
use super::{Ask, JSON, NDJSON, linger, read_body};
use crate::access::Right;
use crate::fingerprint::{Encoding, Fingerprint, Kind, Radii, ValueError};
use crate::matching::{Answer, Answers};
use crate::protocol::{ErrorCode, Failure, MAX_VALUES};
use crate::server::Limits;
use crate::server::asker::{Asker, HashQuestion};
use crate::server::json::{AnswerObject, IncompleteObject};

/// Lines that are asked about at once.
const LINES_AT_ONCE: usize = 4_096;

/// The longest line.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Questions about hashes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LookupRequest<'a> {
    /// The kinds of the hashes in each row.
    #[schema(example = json!(["md5"]))]
    kinds: Vec<Kind>,
    /// A row for each file: its hash in hex where one kind is asked, else its hashes in the order of the kinds.
    #[serde(borrow)]
    #[schema(value_type = Vec<Row>, example = json!(["d41d8cd98f00b204e9800998ecf8427e"]))]
    rows: &'a RawValue,
    /// How far to search, in bits, by kind; with the right `detail`. Else as each list says.
    #[serde(default)]
    radii: Radii,
}

/// One file: a hash, or a hash of each kind.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes what is read by hand")]
enum Row {
    One(String),
    Several(Vec<String>),
}

/// Answers, aligned to the rows.
#[derive(Serialize, ToSchema)]
pub(super) struct LookupAnswer<'a> {
    /// The generation that answered all rows.
    generation: u64,
    /// The kinds that were asked in full.
    checked: &'a [Kind],
    /// The kinds that apply and could not be asked in full.
    incomplete: Vec<IncompleteObject>,
    /// One a row.
    answers: Vec<AnswerObject<'a>>,
}

impl<'a> LookupAnswer<'a> {
    pub(super) fn new(answers: &'a Answers) -> LookupAnswer<'a> {
        LookupAnswer {
            generation: answers.generation,
            checked: &answers.checked,
            incomplete: IncompleteObject::all(answers),
            answers: answers.iter().map(|answer| AnswerObject::new(answers, answer)).collect(),
        }
    }
}

/// One answer that stands for itself.
#[derive(Serialize, ToSchema)]
pub(super) struct OneAnswer<'a> {
    /// The generation that answered.
    generation: u64,
    /// The kinds that were asked in full.
    checked: &'a [Kind],
    /// The kinds that apply and could not be asked in full.
    incomplete: Vec<IncompleteObject>,
    #[serde(flatten)]
    answer: AnswerObject<'a>,
}

impl<'a> OneAnswer<'a> {
    /// The answer to a question of one row.
    pub(super) fn new(answers: &'a Answers) -> OneAnswer<'a> {
        OneAnswer::of(answers, answers.iter().next().flatten())
    }

    fn of(answers: &'a Answers, answer: Option<&'a Answer>) -> OneAnswer<'a> {
        OneAnswer {
            generation: answers.generation,
            checked: &answers.checked,
            incomplete: IncompleteObject::all(answers),
            answer: AnswerObject::new(answers, answer),
        }
    }
}

/// Asks about many hashes. As a JSON document all answers are of one generation; as lines, `{"kind":…,"hash":…}` each,
/// answers come while questions go. A problem may stand among the answers in lines: what is wrong with one line is said
/// in its place; any other problem is the last line, and the body then breaks off without its proper end. Lines without
/// an answer are not `unknown`.
#[utoipa::path(
    post, path = "/v1/lookup", tag = "questions",
    request_body(content((LookupRequest = "application/json"), (String = "application/x-ndjson"))),
    responses(
        (status = 200, content((LookupAnswer = "application/json"), (String = "application/x-ndjson"))),
        Problem,
    ),
)]
pub(super) async fn lookup(ask: Ask, request: Request) -> Result<Response, Problem> {
    let Ask { mut asker, limits } = ask;
    // Before anything of the body is read.
    asker.need(Right::Lookup)?;
    if is_lines(request.headers()) {
        return Ok(lookup_lines(Ask { asker, limits }, request));
    }
    let body = read_body(request, &limits, &asker.shared.large_frames).await?;
    let request: LookupRequest<'_> =
        serde_json::from_slice(&body.bytes).map_err(|error| Problem::malformed(error.to_string()))?;
    if request.kinds.is_empty() {
        return Err(Problem::malformed("expected at least one kind, found none"));
    }
    let mut values = Vec::with_capacity(request.rows.get().len() / 2);
    let reader = Rows { kinds: &request.kinds, values: &mut values };
    let rows = reader.deserialize(request.rows).map_err(|error| Problem::malformed(error.to_string()))?;
    let question = HashQuestion { kinds: &request.kinds, radii: &request.radii, rows, values: &values };
    let answers = asker.lookup(&limits, &question).await?;
    let mut document = Bounded { bytes: Vec::new(), max: limits.frame_bytes as usize };
    serde_json::to_writer(&mut document, &LookupAnswer::new(&answers)).map_err(|_| {
        let text = format!("the answer has more than {} bytes; ask less", limits.frame_bytes);
        Failure::new(ErrorCode::TooLarge, text)
    })?;
    Ok(([(header::CONTENT_TYPE, JSON)], document.bytes).into_response())
}

/// A document that ends where it is longer than a client accepts.
struct Bounded {
    bytes: Vec<u8>,
    max: usize,
}

impl std::io::Write for Bounded {
    fn write(&mut self, more: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + more.len() > self.max {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Asks about one hash.
#[utoipa::path(
    get, path = "/v1/lookup/{kind}/{hash}", tag = "questions",
    params(("kind" = Kind, Path, description = "The kind"), ("hash" = String, Path, description = "The hash, in hex")),
    responses(
        (status = 200, body = OneAnswer),
        Problem,
    ),
)]
pub(super) async fn lookup_one(
    Ask { mut asker, limits }: Ask,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, Problem> {
    let Path((kind, hash)) = path?;
    let asked = fingerprint(&kind, &hash)?;
    let question = HashQuestion { kinds: &[asked.kind()], radii: &Radii::none(), rows: 1, values: asked.value() };
    let answers = asker.lookup(&limits, &question).await?;
    Ok(json(&OneAnswer::new(&answers)))
}

/// The hash that a path names.
pub(super) fn fingerprint(kind: &str, hash: &str) -> Result<Fingerprint, Problem> {
    let kind: Kind = kind.parse().map_err(|error| Problem::malformed(format!("{error}")))?;
    Fingerprint::parse(kind, hash, Encoding::Hex).map_err(|error| Problem::malformed(error.to_string()))
}

/// A document in JSON.
pub(super) fn json(document: &impl Serialize) -> Response {
    let body = serde_json::to_vec(document).expect("answers are plain data with text keys");
    ([(header::CONTENT_TYPE, JSON)], body).into_response()
}

pub(super) fn is_lines(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|found| found.as_bytes().starts_with(NDJSON.as_bytes()))
}

/// Reads the rows of a question into packed values, without anything between.
struct Rows<'a> {
    kinds: &'a [Kind],
    values: &'a mut Vec<u8>,
}

/// Appends a value in hex to packed ones. What is none appends nothing.
fn push_hex(values: &mut Vec<u8>, kind: Kind, hash: &str) -> Result<(), ValueError> {
    let start = values.len();
    values.resize(start + kind.width(), 0);
    let decoded = Encoding::Hex.decode_into(kind, hash.as_bytes(), &mut values[start..]);
    decoded.inspect_err(|_| values.truncate(start))
}

impl<'de> DeserializeSeed<'de> for Rows<'_> {
    type Value = u32;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<u32, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_> {
    type Value = u32;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("rows of hashes")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut rows: A) -> Result<u32, A::Error> {
        let mut count = 0;
        while rows.next_element_seed(OneRow(&mut self))?.is_some() {
            count += 1;
            if count as usize * self.kinds.len() > MAX_VALUES as usize {
                let text = format!("expected at most {MAX_VALUES} values (rows times kinds), found more; ask in parts");
                return Err(serde::de::Error::custom(text));
            }
        }
        Ok(count)
    }
}

struct OneRow<'a, 'b>(&'a mut Rows<'b>);

impl<'de> DeserializeSeed<'de> for OneRow<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OneRow<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.kinds {
            [_] => f.write_str("a hash"),
            kinds => write!(f, "an array of {} hashes", kinds.len()),
        }
    }

    fn visit_str<E: serde::de::Error>(self, hash: &str) -> Result<(), E> {
        match self.0.kinds {
            [kind] => push_hex(self.0.values, *kind, hash).map_err(E::custom),
            _ => Err(E::invalid_type(serde::de::Unexpected::Str(hash), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut hashes: A) -> Result<(), A::Error> {
        let kinds = self.0.kinds;
        for (at, kind) in kinds.iter().enumerate() {
            let hash: std::borrow::Cow<'de, str> =
                hashes.next_element()?.ok_or_else(|| serde::de::Error::invalid_length(at, &self))?;
            push_hex(self.0.values, *kind, &hash).map_err(serde::de::Error::custom)?;
        }
        match hashes.next_element::<serde::de::IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(serde::de::Error::invalid_length(kinds.len() + 1, &self)),
        }
    }
}

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
fn lookup_lines(ask: Ask, request: Request) -> Response {
    let Ask { asker, limits } = ask;
    let input = Lines { body: request.into_body().into_data_stream(), buffer: Vec::new(), ended: false };
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
    ([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(answers)).into_response()
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
    body: axum::body::BodyDataStream,
    buffer: Vec<u8>,
    ended: bool,
}

impl Lines {
    /// Whole lines, as many as have come, at least one; `None` at the end.
    async fn next_lines(&mut self, limits: &Limits) -> Result<Option<Vec<u8>>, Problem> {
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
            // A line that has begun must be complete as soon as a frame must.
            let patience = if self.buffer.is_empty() { limits.idle() } else { limits.frame() };
            match tokio::time::timeout(patience, self.body.next()).await {
                Ok(Some(Ok(part))) => self.buffer.extend_from_slice(&part),
                Ok(Some(Err(error))) => return Err(Problem::malformed(error.to_string())),
                Ok(None) => self.ended = true,
                Err(_) => {
                    let text = format!("no whole line within {} s", patience.as_secs());
                    return Err(Failure::new(ErrorCode::Timeout, text).into());
                }
            }
        }
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
        for answer in answers.iter() {
            put_line(out, &OneAnswer::of(&answers, answer));
        }
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
