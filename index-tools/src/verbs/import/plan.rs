//! The decisions of an import: which roles its labels have, and whether what was read may be published at all.

use std::collections::BTreeMap;

use hashward::list::{Category, Role, Roles};

use super::super::{Usage, print};
use super::args::ImportArgs;
use super::roles;
use crate::build::{Categories, Counts, Taken};

/// Bad records that never refuse an import, where no limit is named.
const REJECTED_ALLOWED_MIN: u64 = 10;
/// Above that, one bad record in this many.
const RECORDS_A_REJECTED: u64 = 1_000;
/// Categories that a refusal tells one by one.
const CATEGORIES_TOLD_MAX: usize = 50;

/// Which roles the version has, and what its categories may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RolePlan {
    pub(super) roles: Roles,
    pub(super) categories: Categories,
}

impl RolePlan {
    /// What the options say goes before what the list has.
    pub(super) fn decide(args: &ImportArgs, current: Option<&Roles>) -> anyhow::Result<RolePlan> {
        let Some(default) = args.role.or(current.map(|roles| roles.default)) else {
            let text = format!(
                "{} is a new list: say with --role what a match means (illegal, ignorable or watch)",
                args.list
            );
            return Err(Usage(text).into());
        };
        let roles = match current {
            _ if args.all_categories => Roles::uniform(default),
            _ if args.roles().next().is_some() => Roles::by_category(default, args.roles()),
            Some(current) if current.default == default => current.clone(),
            // A new default leaves the named categories as they are, and says nothing of the others.
            Some(current) => Roles { default, unnamed: Role::Watch, by_category: current.by_category.clone() },
            None => Roles::by_category(default, []),
        };
        // Nobody has said yet what categories mean here.
        let open = roles.by_category.is_empty() && roles.unnamed != roles.default;
        let categories = if open { Categories::NeedRoles } else { Categories::Allowed };
        Ok(RolePlan { roles, categories })
    }
}

/// Refuses a list with too many bad records.
pub(super) fn check_rejected(counts: &Counts, max_bad: Option<u64>) -> anyhow::Result<()> {
    let records = counts.records_read();
    let allowed = max_bad.unwrap_or(REJECTED_ALLOWED_MIN.max(records / RECORDS_A_REJECTED));
    anyhow::ensure!(
        counts.rejected <= allowed,
        "expected at most {}, found {} among {}; nothing was imported: mend the list, or allow more with --max-bad",
        print::counted(allowed, "bad record", "bad records"),
        print::grouped(counts.rejected),
        print::counted(records, "record", "records")
    );
    Ok(())
}

/// Refuses to give one role to categories that nobody spoke of, and roles that speak of none which the list has: they
/// are meant for another issuer's codes, and all would silently be `watch`.
pub(super) fn check_categories(args: &ImportArgs, taken: &Taken, plan: &RolePlan) -> anyhow::Result<()> {
    let counts = taken.labels.records_by_category();
    let found = || counts.keys().flatten();
    let role = plan.roles.default;
    let fitting = if role == Role::Illegal { roles::fitting(found()) } else { Vec::new() };
    let or_fitting: String = fitting.iter().map(|fitting| format!(", or with {fitting}")).collect();
    anyhow::ensure!(
        !taken.categories_refused,
        "the list has categories, and not every one of them need be {role}; it has (with their records): {}. Say which \
         are with --roles SCHEME:CODE={role},…{or_fitting} (the others are then watch), or give all the same role with \
         --all-categories",
        told(&counts)
    );
    let speaks_of_others = args.roles().next().is_some()
        && found().next().is_some()
        && !found().any(|category| plan.roles.by_category.contains_key(category));
    anyhow::ensure!(
        !speaks_of_others,
        "expected --roles to name categories that the list has, found none of them there; it has (with their records): \
         {}. Say what these mean with --roles SCHEME:CODE={role},…{or_fitting}",
        told(&counts)
    );
    Ok(())
}

/// Categories with their records, for a refusal.
fn told(counts: &BTreeMap<Option<Category>, u64>) -> String {
    let name = |category: &Option<Category>| category.as_ref().map_or_else(|| "none".to_owned(), Category::to_string);
    let each = counts.iter().take(CATEGORIES_TOLD_MAX);
    let mut told: Vec<_> =
        each.map(|(category, records)| format!("{} ({})", name(category), print::grouped(*records))).collect();
    if counts.len() > told.len() {
        told.push(format!("and {} more", counts.len() - told.len()));
    }
    told.join(", ")
}

/// Refuses a list that says nothing, which is rather a mistake than a wish.
pub(super) fn check_anything(counts: &Counts) -> anyhow::Result<()> {
    anyhow::ensure!(
        !counts.fingerprints.is_empty(),
        "expected fingerprints of kinds that hashward knows, found none; to empty a list, disable or remove it"
    );
    Ok(())
}
