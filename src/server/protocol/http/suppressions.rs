//! The operator's veto, and what stands behind a match.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request};
use axum::response::Response;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::commands::{execute, parse};
use super::lookup::fingerprint;
use super::problem::Problem;
use super::schema::{ExplainedOutcome, LiftedOutcome, SuppressedOutcome, SuppressionsOutcome};
use super::{Ask, Asked};
use crate::access::Right;
use crate::fingerprint::{Fingerprint, Kind, Radius};
use crate::list::SuppressionScope;
use crate::store::Command;
use crate::store::command::Lifting;

/// How a hash is explained.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainPart {
    /// Of a perceptual kind: how far to search, in bits. Else as each list says.
    radius: Option<Radius>,
}

/// Everything behind a match: lists, entries, what was withdrawn, and what is suppressed.
#[utoipa::path(
    get, path = "/v1/explain/{kind}/{hash}", tag = "questions",
    params(
        ("kind" = Kind, Path, description = "The kind"), ("hash" = String, Path, description = "The hash, in hex"),
        ExplainPart,
    ),
    responses((status = 200, body = ExplainedOutcome), Problem),
)]
pub(super) async fn explain(
    Asked(ask, ExplainPart { radius }): Asked<ExplainPart>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, Problem> {
    let Path((kind, hash)) = path?;
    execute(ask, Command::Explain { fingerprint: fingerprint(&kind, &hash)?, radius }).await
}

/// Which suppressions are told.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SuppressionsPart {
    /// Only those of a smaller number: the last of the answer before, to go on.
    before: Option<u64>,
    /// Whether to tell those that were lifted, too.
    #[serde(default)]
    lifted: bool,
}

/// Suppressions, newest first.
#[utoipa::path(
    get, path = "/v1/suppressions", tag = "suppressions", params(SuppressionsPart),
    responses((status = 200, body = SuppressionsOutcome), Problem),
)]
pub(super) async fn suppressions(
    Asked(ask, SuppressionsPart { before, lifted }): Asked<SuppressionsPart>,
) -> Result<Response, Problem> {
    execute(ask, Command::Suppressions { before, lifted }).await
}

/// What is to be suppressed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SuppressRequest {
    /// The hash; a list need not hold it.
    fingerprint: Fingerprint,
    /// What is covered with it.
    scope: SuppressionScope,
    /// Who wants it: one line.
    author: String,
    /// Why: one line.
    reason: String,
}

/// Lets what lists say of a hash decide nothing, until that is lifted.
#[utoipa::path(
    post, path = "/v1/suppressions", tag = "suppressions", request_body = SuppressRequest,
    responses((status = 200, body = SuppressedOutcome), Problem),
)]
pub(super) async fn suppress(mut ask: Ask, request: Request) -> Result<Response, Problem> {
    let SuppressRequest { fingerprint, scope, author, reason } = parse(&mut ask, Right::Suppress, request).await?;
    execute(ask, Command::Suppress { fingerprint, scope, author, reason }).await
}

/// Which suppressions are to end.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LiftRequest {
    of: Lifting,
    /// Who wants it: one line.
    author: String,
    /// Why: one line.
    reason: String,
}

/// Ends suppressions, which are kept with both authors and reasons.
#[utoipa::path(
    post, path = "/v1/suppressions/lift", tag = "suppressions", request_body = LiftRequest,
    responses((status = 200, body = LiftedOutcome), Problem),
)]
pub(super) async fn lift(mut ask: Ask, request: Request) -> Result<Response, Problem> {
    let LiftRequest { of, author, reason } = parse(&mut ask, Right::Suppress, request).await?;
    execute(ask, Command::Lift { of, author, reason }).await
}
