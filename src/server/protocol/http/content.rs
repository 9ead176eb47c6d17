//! Questions about a file's content: its bytes come as the request's body, and are hashed as they come.

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};
use utoipa::IntoParams;

use super::body::is_of_type;
use super::lookup::{OneAnswer, json};
use super::problem::Problem;
use super::schema::Bytes;
use super::{Ask, Asked};
use crate::fingerprint::{KindRadius, Radii};
use crate::protocol::{ContentOptions, ErrorCode, Failure, RequestId};
use crate::server::content::Incoming;

/// How a file is asked about.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct MatchOptions {
    /// Whether the picture is also looked up turned and mirrored.
    #[serde(default)]
    dihedral: bool,
    /// How far to search, as `pdq=20,phash64=4`, in bits; with the right `detail`. Else as each list says.
    #[serde(default)]
    #[param(pattern = r"^((pdq=[1-5]?[0-9]|(phash64|dhash64|blockhash64)=(1[0-6]|[0-9]))(,|$))*$")]
    radii: Option<String>,
}

/// Refuses a body that is anything but the bytes of one file: hashes of its wrapping, or of a part, are those of no file
/// that a list knows.
fn is_the_file(headers: &HeaderMap) -> Result<(), Problem> {
    if is_of_type(headers, "multipart/form-data") {
        let text =
            "expected the bytes of one file, found a form; send the file alone, as `curl --data-binary @FILE` does";
        return Err(Problem::of(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    if headers.contains_key(header::CONTENT_RANGE) {
        return Err(Problem::malformed("expected the bytes of one file, found a part of it"));
    }
    Ok(())
}

/// Asks about a file's content: by its digests, and if it is a picture, by its perceptual hashes. The body is the file,
/// whole and as it is: one that is coded, a form, or a range is refused.
#[utoipa::path(
    post, path = "/v1/match", tag = "questions", params(MatchOptions),
    request_body(content = Option<Bytes>, content_type = "application/octet-stream"),
    responses(
        (status = 200, body = OneAnswer),
        Problem,
    ),
)]
pub(super) async fn match_content(
    Asked(Ask { mut asker, limits }, options): Asked<MatchOptions>,
    request: Request,
) -> Result<Response, Problem> {
    is_the_file(request.headers())?;
    let radii = options.radii.as_deref().unwrap_or_default().split(',').filter(|one| !one.is_empty());
    let radii = radii.map(str::parse::<KindRadius>).collect::<Result<Radii, _>>();
    let radii = radii.map_err(|error| Problem::malformed(error.to_string()))?;
    let options = ContentOptions { dihedral: options.dihedral, radii };
    let mut incoming = asker.begin_content(&limits, RequestId::NONE, options)?;
    let mut body = request.into_body().into_data_stream();
    loop {
        let next_by = Instant::now() + limits.frame();
        match timeout_at(next_by.min(incoming.due_at(&limits)), body.next()).await {
            Ok(Some(Ok(part))) => incoming.take(&part, &limits, &asker.shared).await?,
            Ok(Some(Err(error))) => return Err(Problem::malformed(error.to_string())),
            Ok(None) => break,
            Err(_) if incoming.due_at(&limits) < next_by => return Err(Incoming::too_slow().into()),
            Err(_) => {
                let text = format!("no more of the content within {} s", limits.frame_s);
                return Err(Failure::new(ErrorCode::Timeout, text).into());
            }
        }
    }
    let answers = asker.answer_content(&limits, incoming).await?;
    Ok(json(&OneAnswer::new(&answers)))
}
