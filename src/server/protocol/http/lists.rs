//! Lists: what there are, what state each is in, and which of its versions answers.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request};
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Ask;
use super::commands::{List, execute, parse};
use super::problem::Problem;
use super::schema::{
    AcceptedOutcome, AcknowledgedOutcome, CategoriesOutcome, HeldOutcome, InspectedOutcome, ListsOutcome,
    RadiusSetOutcome, RemovedOutcome, RolledBackOutcome, StateSetOutcome,
};
use crate::access::Right;
use crate::fingerprint::{Kind, Radius};
use crate::list::{ListName, ListState, VersionNumber};
use crate::store::Command;

/// All lists.
#[utoipa::path(get, path = "/v1/lists", tag = "lists", responses((status = 200, body = ListsOutcome), Problem))]
pub(super) async fn lists(ask: Ask) -> Result<Response, Problem> {
    execute(ask, Command::Lists).await
}

/// One list with its versions and its history.
#[utoipa::path(
    get, path = "/v1/lists/{list}", tag = "lists", params(List),
    responses((status = 200, body = InspectedOutcome), Problem),
)]
pub(super) async fn inspect(ask: Ask, List(list): List) -> Result<Response, Problem> {
    execute(ask, Command::Inspect { list }).await
}

/// Removes a list with all its versions and entries.
#[utoipa::path(
    delete, path = "/v1/lists/{list}", tag = "lists", params(List),
    responses((status = 200, body = RemovedOutcome), Problem),
)]
pub(super) async fn remove(ask: Ask, List(list): List) -> Result<Response, Problem> {
    execute(ask, Command::Remove { list }).await
}

/// How many entries a list has in each category.
#[utoipa::path(
    get, path = "/v1/lists/{list}/categories", tag = "lists", params(List),
    responses((status = 200, body = CategoriesOutcome), Problem),
)]
pub(super) async fn categories(ask: Ask, List(list): List) -> Result<Response, Problem> {
    execute(ask, Command::Categories { list }).await
}

/// The state that a list is to have.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StateRequest {
    state: ListState,
}

/// Enables, shadows or disables a list.
#[utoipa::path(
    put, path = "/v1/lists/{list}/state", tag = "lists", params(List),
    request_body = StateRequest, responses((status = 200, body = StateSetOutcome), Problem),
)]
pub(super) async fn set_state(mut ask: Ask, List(list): List, request: Request) -> Result<Response, Problem> {
    let StateRequest { state } = parse(&mut ask, Right::Admin, request).await?;
    execute(ask, Command::SetState { list, state }).await
}

/// The radius that a list is to have.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RadiusRequest {
    /// In bits; without one, the kind's own.
    radius: Option<Radius>,
}

/// Gives a list a radius of its own for a perceptual kind.
#[utoipa::path(
    put, path = "/v1/lists/{list}/radii/{kind}", tag = "lists",
    params(List, ("kind" = Kind, Path, description = "A perceptual kind")),
    request_body = RadiusRequest, responses((status = 200, body = RadiusSetOutcome), Problem),
)]
pub(super) async fn set_radius(
    mut ask: Ask,
    path: Result<Path<(ListName, Kind)>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let Path((list, kind)) = path?;
    let RadiusRequest { radius } = parse(&mut ask, Right::Admin, request).await?;
    execute(ask, Command::SetRadius { list, kind, radius }).await
}

/// The version that is to answer again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RollbackRequest {
    /// The newest that is older than the one that answers, if none is named.
    to: Option<VersionNumber>,
}

/// Returns a list to a version that is still kept.
#[utoipa::path(
    post, path = "/v1/lists/{list}/rollback", tag = "lists", params(List),
    request_body = RollbackRequest, responses((status = 200, body = RolledBackOutcome), Problem),
)]
pub(super) async fn rollback(mut ask: Ask, List(list): List, request: Request) -> Result<Response, Problem> {
    let RollbackRequest { to } = parse(&mut ask, Right::Admin, request).await?;
    execute(ask, Command::Rollback { list, to }).await
}

/// The version of a list that is held, with all that the gate says of it.
#[utoipa::path(
    get, path = "/v1/lists/{list}/held", tag = "lists", params(List),
    responses((status = 200, body = HeldOutcome), Problem),
)]
pub(super) async fn held(ask: Ask, List(list): List) -> Result<Response, Problem> {
    execute(ask, Command::TellHeld { list }).await
}

/// What is accepted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AcceptRequest {
    /// The version, which must be the one that is held. Without it, alarms alone are acknowledged.
    version: Option<VersionNumber>,
    /// Why, for the history: one line.
    reason: String,
}

/// A held version that answers now, or alarms that are acknowledged.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes what others write")]
enum AcceptAnswer {
    Accepted(AcceptedOutcome),
    Acknowledged(AcknowledgedOutcome),
}

/// Puts a held version into force, or acknowledges what alarms a list has raised.
#[utoipa::path(
    post, path = "/v1/lists/{list}/accept", tag = "lists", params(List),
    request_body = AcceptRequest, responses((status = 200, body = AcceptAnswer), Problem),
)]
pub(super) async fn accept(mut ask: Ask, List(list): List, request: Request) -> Result<Response, Problem> {
    let AcceptRequest { version, reason } = parse(&mut ask, Right::Admin, request).await?;
    execute(ask, Command::Accept { list, version, reason }).await
}
