//! Questions about hashes: many in one document, many as lines, or one in the path.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeSeed;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::body::{is_of_type, need_chunks, read_body};
use super::lines::lookup_lines;
use super::problem::Problem;
use super::rows::Rows;
use super::{Ask, JSON, NDJSON};
use crate::access::Right;
use crate::fingerprint::{Encoding, Fingerprint, Kind, Radii};
use crate::matching::{Answer, Answers};
use crate::protocol::{ErrorCode, Failure};
use crate::server::asker::HashQuestion;
use crate::server::json::{AnswerObject, IncompleteObject};

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

/// The document of answers, as [`LookupAnswer`] has it.
fn document(answers: &Answers, bytes_max: usize) -> Result<Vec<u8>, Failure> {
    let (generation, checked, incomplete) = (answers.generation, &answers.checked, IncompleteObject::all(answers));
    let mut document = written(&LookupAnswer { generation, checked, incomplete, answers: Vec::new() });
    let end = document.split_off(document.len() - ANSWERS_END.len());
    debug_assert_eq!(end, ANSWERS_END);
    let begin = document.len();
    let put = |answer: &[u8]| {
        if document.len() + answer.len() + ANSWERS_END.len() > bytes_max {
            let text = format!("the answer has more than {bytes_max} bytes; ask less");
            return Err(Failure::new(ErrorCode::TooLarge, text));
        }
        if document.len() > begin {
            document.push(b',');
        }
        document.extend_from_slice(answer);
        Ok(())
    };
    tell_rows(answers, |answer| written(&AnswerObject::new(answers, answer)), put)?;
    document.extend_from_slice(ANSWERS_END);
    Ok(document)
}

/// What stands behind the last answer of a document.
const ANSWERS_END: &[u8] = b"]}";

/// Puts what is said of each row, in order. What `tell` says of rows of the same answer it is asked for once: most rows of
/// most questions are unknown.
pub(super) fn tell_rows<'a>(
    answers: &'a Answers,
    tell: impl Fn(Option<&'a Answer>) -> Vec<u8>,
    mut put: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let miss = tell(None);
    // Made when its first row comes, so that all of them together are not longer than what was put.
    let mut told: Vec<Option<Vec<u8>>> = vec![None; answers.distinct.len()];
    let mut hits = answers.hits.iter().peekable();
    for row in 0..answers.rows {
        match hits.next_if(|(hit, _)| *hit == row) {
            None => put(&miss)?,
            Some((_, number)) => {
                let number = *number as usize;
                put(told[number].get_or_insert_with(|| tell(Some(&answers.distinct[number]))))?;
            }
        }
    }
    Ok(())
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

    /// The answer to one row of several.
    pub(super) fn of(answers: &'a Answers, answer: Option<&'a Answer>) -> OneAnswer<'a> {
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
/// an answer are not `unknown`. Empty lines are passed over: they have no answer.
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
    if is_of_type(request.headers(), NDJSON) {
        need_chunks(request.version())?;
        return lookup_lines(Ask { asker, limits }, request).await;
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
    let document = document(&answers, limits.frame_bytes as usize)?;
    Ok(([(header::CONTENT_TYPE, JSON)], document).into_response())
}

/// Asks about one hash, as far as each list says; a document can say how far to search.
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
    ([(header::CONTENT_TYPE, JSON)], written(document)).into_response()
}

fn written(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("answers are plain data with text keys")
}
