//! Lists, their entries, and every other command that the store takes.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use super::{Ask, JSON, Whole, read_body};
use crate::access::{Right, Rights};
use crate::audit::TrailCommand;
use crate::fingerprint::Fingerprint;
use crate::list::{Entry, ListName, Role};
use crate::protocol::{ErrorCode, Failure};
use crate::server::asker::{Work, parse_long};
use crate::store::Command;

/// Entries for a list that changes entry by entry.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddRequest {
    /// The role of a list that is made by this; an existing list keeps its own.
    #[schema(value_type = Option<String>)]
    role: Option<Role>,
    /// At most one of each source id.
    #[schema(value_type = Vec<Value>)]
    entries: Vec<Entry>,
}

/// Fingerprints that a list shall say nothing of any more.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WithdrawRequest {
    /// As `md5:00…`, the kind before the hash in hex.
    #[schema(value_type = Vec<String>)]
    fingerprints: Vec<Fingerprint>,
}

/// All lists.
#[utoipa::path(
    get, path = "/v1/lists", tag = "lists",
    responses(
        (status = 200, body = Value),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn lists(ask: Ask) -> Result<Response, Problem> {
    execute(ask, Command::Lists).await
}

/// One list with its versions and its history.
#[utoipa::path(
    get, path = "/v1/lists/{list}", tag = "lists", params(("list" = String, Path, description = "The list's name")),
    responses(
        (status = 200, body = Value),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn inspect(ask: Ask, list: ListPath) -> Result<Response, Problem> {
    execute(ask, Command::Inspect { list: list_name(list)? }).await
}

/// Adds or replaces entries, by their source ids.
#[utoipa::path(
    post, path = "/v1/lists/{list}/entries", tag = "lists",
    params(("list" = String, Path, description = "The list's name")), request_body = AddRequest,
    responses(
        (status = 200, body = Value),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn add(ask: Ask, list: ListPath, request: Request) -> Result<Response, Problem> {
    let mut ask = ask;
    ask.asker.need(Right::Import)?;
    let AddRequest { role, entries } = parse(request, &ask).await?;
    execute(ask, Command::Add { list: list_name(list)?, role, entries }).await
}

/// Makes a list say nothing of some fingerprints any more.
#[utoipa::path(
    post, path = "/v1/lists/{list}/withdrawals", tag = "lists",
    params(("list" = String, Path, description = "The list's name")), request_body = WithdrawRequest,
    responses(
        (status = 200, body = Value),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn withdraw(ask: Ask, list: ListPath, request: Request) -> Result<Response, Problem> {
    let mut ask = ask;
    ask.asker.need(Right::Import)?;
    let WithdrawRequest { fingerprints } = parse(request, &ask).await?;
    execute(ask, Command::Withdraw { list: list_name(list)?, fingerprints }).await
}

/// What is read of the audit trail.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditPart {
    /// The record before the first that is wanted.
    #[serde(default)]
    after: u64,
    /// How many are wanted.
    #[serde(default = "some_records")]
    limit: u32,
}

fn some_records() -> u32 {
    1_000
}

/// Some records of the audit trail.
#[utoipa::path(
    get, path = "/v1/audit", tag = "audit", params(AuditPart),
    responses(
        (status = 200, body = serde_json::Value),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn audit(ask: Ask, part: Result<Query<AuditPart>, QueryRejection>) -> Result<Response, Problem> {
    let Query(AuditPart { after, limit }) = part?;
    execute_trail(ask, TrailCommand::AuditRead { after, limit }).await
}

/// The audit trail's last record, signed.
#[utoipa::path(
    get, path = "/v1/audit/checkpoint", tag = "audit",
    responses(
        (status = 200, body = serde_json::Value),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn audit_checkpoint(ask: Ask) -> Result<Response, Problem> {
    execute_trail(ask, TrailCommand::AuditCheckpoint).await
}

/// Carries out any command, as COMMAND of the frame protocol does.
#[utoipa::path(
    post, path = "/v1/commands", tag = "lists", request_body = Value,
    responses(
        (status = 200, body = Value),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn command(ask: Ask, request: Request) -> Result<Response, Problem> {
    let mut ask = ask;
    // Whoever may do nothing has nothing to say; what else is needed depends on the command.
    if ask.asker.rights() == Rights::NONE {
        ask.asker.need(Right::Lookup)?;
    }
    let body = read(request, &ask).await?;
    let run = ask.asker.command_json(&ask.limits, &body.bytes)?;
    // Its memory is for others from here on.
    drop(body);
    run_apart(run).await
}

async fn read(request: Request, ask: &Ask) -> Result<Whole, Problem> {
    read_body(request, &ask.limits, &ask.asker.shared.large_frames).await
}

async fn parse<T: serde::de::DeserializeOwned>(request: Request, ask: &Ask) -> Result<T, Problem> {
    let body = read(request, ask).await?;
    parse_long(&body.bytes).map_err(|error| Problem::malformed(error.to_string()))
}

/// The name of a list in a path.
type ListPath = Result<Path<String>, PathRejection>;

fn list_name(path: ListPath) -> Result<ListName, Problem> {
    let Path(name) = path?;
    name.parse().map_err(|error| Problem::malformed(format!("{error}")))
}

async fn execute(Ask { mut asker, limits }: Ask, command: Command) -> Result<Response, Problem> {
    let run = asker.command(&limits, command)?;
    run_apart(run).await
}

async fn execute_trail(Ask { mut asker, .. }: Ask, command: TrailCommand) -> Result<Response, Problem> {
    let run = asker.trail_command(command)?;
    run_apart(run).await
}

/// Runs what takes long on a thread of its own.
async fn run_apart(run: Work) -> Result<Response, Problem> {
    let gone = |error| Failure::new(ErrorCode::Internal, format!("the command was given up: {error}"));
    let outcome = tokio::task::spawn_blocking(run).await.map_err(gone)??;
    Ok(([(header::CONTENT_TYPE, JSON)], outcome).into_response())
}
