//! How a command is carried out for a request; any command as a document; the audit trail.
//!
//! Commands that people and their programs give have paths. The document is for tools: steps of an import, of a feed, of
//! a backup make sense only together with the data folder, and it takes every other command as well, as a frame does.

use axum::body::Bytes;
use axum::extract::{FromRequestParts, Path, Request};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::body::{Whole, read_body};
use super::problem::Problem;
use super::schema::{AuditCheckpointOutcome, AuditRecordsOutcome};
use super::{Ask, Asked, JSON};
use crate::access::Right;
use crate::audit::{TrailCommand, TrailOutcome};
use crate::events::{EventLine, EventsCommand, EventsOutcome};
use crate::list::ListName;
use crate::protocol::{ErrorCode, Failure};
use crate::server::asker::{Work, parse_long};
use crate::store::Command;
use crate::store::command::Outcome;

/// The list that a path names.
#[derive(IntoParams)]
#[into_params(names("list"), parameter_in = Path)]
pub(super) struct List(pub(super) ListName);

impl<S: Send + Sync> FromRequestParts<S> for List {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<List, Problem> {
        let Path(name) = Path::<String>::from_request_parts(parts, state).await?;
        name.parse().map(List).map_err(|error| Problem::malformed(format!("{error}")))
    }
}

/// What is read of the audit trail.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
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
    get, path = "/v1/audit", tag = "audit", params(AuditPart), responses((status = 200, body = AuditRecordsOutcome), Problem),
)]
pub(super) async fn audit(Asked(ask, AuditPart { after, limit }): Asked<AuditPart>) -> Result<Response, Problem> {
    execute_trail(ask, TrailCommand::AuditRead { after, limit }).await
}

/// The audit trail's last record, signed.
#[utoipa::path(get, path = "/v1/audit/checkpoint", tag = "audit", responses((status = 200, body = AuditCheckpointOutcome), Problem))]
pub(super) async fn audit_checkpoint(ask: Ask) -> Result<Response, Problem> {
    execute_trail(ask, TrailCommand::AuditCheckpoint).await
}

/// Carries out any command, as COMMAND of the frame protocol does.
#[utoipa::path(
    post, path = "/v1/commands", tag = "commands", request_body = AnyCommand,
    responses((status = 200, body = AnyOutcome), Problem),
)]
pub(super) async fn command(ask: Ask, request: Request) -> Result<Response, Problem> {
    let mut ask = ask;
    // Whoever may do nothing has nothing to say; what else is needed depends on the command.
    ask.asker.need_any()?;
    let body = read(request, &ask).await?;
    let run = ask.asker.command_json(&ask.limits, &body.bytes)?;
    // Its memory is for others from here on.
    drop(body);
    run_apart(run).await
}

/// A command to the store, to the audit trail or to the match events.
#[derive(utoipa::ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes what is told apart by hand")]
enum AnyCommand {
    Store(Box<Command>),
    Trail(TrailCommand),
    Events(EventsCommand),
}

/// What became of it.
#[derive(utoipa::ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes what others write")]
enum AnyOutcome {
    Store(Outcome),
    Trail(TrailOutcome),
    Events(EventsOutcome<EventLine<'static>>),
}

async fn read(request: Request, ask: &Ask) -> Result<Whole, Problem> {
    read_body(request, &ask.limits, &ask.asker.shared.large_frames).await
}

/// Reads the document of a request. Those who lack `right` are refused before anything of it is read.
pub(super) async fn parse<T: DeserializeOwned>(ask: &mut Ask, right: Right, request: Request) -> Result<T, Problem> {
    ask.asker.need(right)?;
    let body = read(request, ask).await?;
    parse_long(&body.bytes).map_err(|error| Problem::malformed(error.to_string()))
}

/// Carries out a command to the store.
pub(super) async fn execute(Ask { mut asker, limits }: Ask, command: Command) -> Result<Response, Problem> {
    let run = asker.command(&limits, command)?;
    run_apart(run).await
}

async fn execute_trail(Ask { mut asker, limits }: Ask, command: TrailCommand) -> Result<Response, Problem> {
    let run = asker.trail_command(&limits, command)?;
    run_apart(run).await
}

/// Runs what takes long on a thread of its own.
async fn run_apart(run: Work) -> Result<Response, Problem> {
    let gone = |error| Failure::new(ErrorCode::Internal, format!("the command was given up: {error}"));
    let outcome = tokio::task::spawn_blocking(run).await.map_err(gone)??;
    Ok(([(header::CONTENT_TYPE, JSON)], Bytes::from(outcome)).into_response())
}
