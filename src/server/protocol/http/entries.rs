//! Entries of lists, in and out. Who gets them out gets hashes of the list, so that needs the right `admin`.

use axum::extract::Request;
use axum::response::Response;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::commands::{List, execute, parse};
use super::problem::Problem;
use super::schema::{AddedOutcome, ContentsOutcome, EntriesOutcome, WithdrawalsOutcome, WithdrawnOutcome};
use super::{Ask, Asked};
use crate::access::Right;
use crate::fingerprint::Fingerprint;
use crate::list::{Entry, Role, VersionNumber};
use crate::store::Command;

/// Entries for a list that changes entry by entry.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddRequest {
    /// The role of a list that is made by this; an existing list keeps its own.
    role: Option<Role>,
    /// At most one of each source id.
    entries: Vec<Entry>,
}

/// Adds or replaces entries, by their source ids.
#[utoipa::path(
    post, path = "/v1/lists/{list}/entries", tag = "entries", params(List), request_body = AddRequest,
    responses((status = 200, body = AddedOutcome), Problem),
)]
pub(super) async fn add(mut ask: Ask, List(list): List, request: Request) -> Result<Response, Problem> {
    let AddRequest { role, entries } = parse(&mut ask, Right::Import, request).await?;
    execute(ask, Command::Add { list, role, entries }).await
}

/// Where a page of entries begins.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct EntriesPart {
    /// The last source id of the page before.
    after: Option<String>,
}

/// A page of the entries of a list that changes entry by entry, ascending by source id.
#[utoipa::path(
    get, path = "/v1/lists/{list}/entries", tag = "entries", params(List, EntriesPart),
    responses((status = 200, body = EntriesOutcome), Problem),
)]
pub(super) async fn entries(
    Asked(ask, EntriesPart { after }): Asked<EntriesPart>,
    List(list): List,
) -> Result<Response, Problem> {
    execute(ask, Command::Entries { list, after }).await
}

/// Fingerprints that a list shall say nothing of any more.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WithdrawRequest {
    fingerprints: Vec<Fingerprint>,
}

/// Makes a list say nothing of some fingerprints any more.
#[utoipa::path(
    post, path = "/v1/lists/{list}/withdrawals", tag = "entries", params(List), request_body = WithdrawRequest,
    responses((status = 200, body = WithdrawnOutcome), Problem),
)]
pub(super) async fn withdraw(mut ask: Ask, List(list): List, request: Request) -> Result<Response, Problem> {
    let WithdrawRequest { fingerprints } = parse(&mut ask, Right::Import, request).await?;
    execute(ask, Command::Withdraw { list, fingerprints }).await
}

/// Where a page of withdrawals begins.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct WithdrawalsPart {
    /// The version, as the list's contents name it.
    version: VersionNumber,
    /// The last fingerprint of the page before.
    after: Option<Fingerprint>,
}

/// A page of what was withdrawn from a version since it was built, ascending by kind and value.
#[utoipa::path(
    get, path = "/v1/lists/{list}/withdrawals", tag = "entries", params(List, WithdrawalsPart),
    responses((status = 200, body = WithdrawalsOutcome), Problem),
)]
pub(super) async fn withdrawals(
    Asked(ask, WithdrawalsPart { version, after }): Asked<WithdrawalsPart>,
    List(list): List,
) -> Result<Response, Problem> {
    execute(ask, Command::Withdrawals { list, version, after }).await
}

/// Which contents are told.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ContentsPart {
    /// A version that is kept; the one that answers if none is named. A list of entries has none.
    version: Option<VersionNumber>,
}

/// What a list holds, and in which files of the data folder.
#[utoipa::path(
    get, path = "/v1/lists/{list}/contents", tag = "entries", params(List, ContentsPart),
    responses((status = 200, body = ContentsOutcome), Problem),
)]
pub(super) async fn contents(
    Asked(ask, ContentsPart { version }): Asked<ContentsPart>,
    List(list): List,
) -> Result<Response, Problem> {
    execute(ask, Command::Contents { list, version }).await
}
