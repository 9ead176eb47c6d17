//! The decisions of an import: which roles its labels have, and whether what was read may be published at all.

use hashward::list::{Role, Roles};

use super::super::{Usage, print};
use super::args::ImportArgs;
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
            _ if !args.roles.is_empty() => Roles::by_category(default, args.roles.iter().cloned()),
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

/// Refuses to give one role to categories that nobody spoke of.
pub(super) fn check_categories(taken: &Taken, plan: &RolePlan) -> anyhow::Result<()> {
    if !taken.categories_refused {
        return Ok(());
    }
    let counts = taken.labels.records_by_category();
    let mut told: Vec<_> = counts
        .iter()
        .take(CATEGORIES_TOLD_MAX)
        .map(|(category, records)| match category {
            Some(category) => format!("{category} ({})", print::grouped(*records)),
            None => format!("none ({})", print::grouped(*records)),
        })
        .collect();
    if counts.len() > told.len() {
        told.push(format!("and {} more", counts.len() - told.len()));
    }
    anyhow::bail!(
        "the list has categories, and not every one of them need be {role}; it has (with their records): {}. Say which \
         are with --roles SCHEME:CODE={role},… (the others are then watch), or give all the same role with \
         --all-categories",
        told.join(", "),
        role = plan.roles.default
    )
}

/// Refuses a list that says nothing, which is rather a mistake than a wish.
pub(super) fn check_anything(counts: &Counts) -> anyhow::Result<()> {
    anyhow::ensure!(
        !counts.fingerprints.is_empty(),
        "expected fingerprints of kinds that hashward knows, found none; to empty a list, disable or remove it"
    );
    Ok(())
}
