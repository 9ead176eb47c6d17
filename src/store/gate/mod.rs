//! The gate: what a new version must pass before it answers.
//!
//! A list comes from others, and may be cut short, mixed up with another, or poisoned. So a version that changes its list
//! by too much, of which too much identified nothing, or that contradicts other lists too often is *held*: it is kept
//! and does not answer, the version before answers on, and an operator decides ([`crate::store::held`]). What is held says why,
//! and what contradicts other lists is told entry by entry. What an operator asks for by name (withdrawals, rollbacks,
//! removal of a list) passes no gate.
//!
//! A corpus of one's own benign files is a list of role `ignorable` like any other, and is held against what comes in the
//! same way.

mod limits;
mod overlap;

pub use limits::{BadGateLimit, GateLimits, Limit};
pub(super) use overlap::Opposition;

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::thread;

use super::StoreError;
use super::command::{Changes, HoldReason, Overlap, Publish};
use crate::fingerprint::Kind;
use crate::index::sealed::SegmentReader;
use crate::list::Role;
use overlap::{Examined, examine};

/// The `nice` value of the thread that looks up what a version holds, beside one that answers questions: that of an import
/// that builds. At the lowest of all a busy machine would hold an import up for hours.
const NICE: i32 = 10;

/// What the gate found.
pub(super) struct Findings {
    /// Why the version is held; it passes if there is no reason.
    pub(super) reasons: Vec<HoldReason>,
    /// Against the version in force.
    pub(super) changes: BTreeMap<Kind, Changes>,
    pub(super) overlap: Overlap,
}

/// Holds a new version against the one in force and against other lists. `changes` distinguish it from the one in force,
/// if there is one. `beside_questions`, it stands back.
pub(super) fn check(
    limits: &GateLimits,
    publish: &Publish,
    files: Vec<SegmentReader>,
    changes: BTreeMap<Kind, Changes>,
    replaces: bool,
    opposition: Opposition,
    beside_questions: bool,
) -> Result<Findings, StoreError> {
    let distinct = files.iter().map(SegmentReader::len).sum::<u64>();
    let examine = || examine(opposition, &publish.roles, files);
    let Examined { overlap, said, contradicted, degenerate, unchecked } =
        if beside_questions { standing_back(examine) } else { examine() }?;
    let mut reasons = if replaces { size(limits, &changes) } else { Vec::new() };
    if degenerate > 0 {
        reasons.push(HoldReason::NotDropped { count: degenerate });
    }
    let dropped = publish.counts.degenerate;
    let of = dropped.saturating_add(publish.counts.duplicates).saturating_add(distinct);
    if limits.degenerate.is_exceeded(dropped, of) {
        reasons.push(HoldReason::Degenerate { count: dropped, of, limit: limits.degenerate });
    }
    for (role, limit) in [(Role::Illegal, limits.benign_in_illegal), (Role::Ignorable, limits.illegal_in_ignorable)] {
        let count = |counts: &BTreeMap<Role, u64>| counts.get(&role).copied().unwrap_or(0);
        let (new, of) = (count(&contradicted), count(&said));
        if limit.is_exceeded(new, of) {
            reasons.push(HoldReason::Contradicts { role, new, of, limit });
        }
    }
    reasons.extend(unchecked.into_iter().map(|found| HoldReason::Unchecked { found }));
    Ok(Findings { reasons, changes, overlap })
}

/// Whether the version differs too much from the one that it is to replace.
fn size(limits: &GateLimits, changes: &BTreeMap<Kind, Changes>) -> Vec<HoldReason> {
    let was = |changes: &Changes| changes.kept + changes.removed;
    let (before, after) = changes
        .values()
        .fold((0, 0), |(before, after), changes| (before + was(changes), after + changes.kept + changes.added));
    if before > 0 && after == 0 {
        return vec![HoldReason::Emptied { of: before }];
    }
    // A kind that the list did not hold is measured by those that it did, for its entries may only have gained a value.
    let most = changes.values().map(was).max().unwrap_or(0);
    let mut reasons = Vec::new();
    for (kind, changes) in changes {
        let Changes { added, removed, .. } = *changes;
        let of = was(changes);
        if limits.shrink.is_exceeded(removed, of) {
            reasons.push(HoldReason::Shrunk { kind: *kind, removed, of, limit: limits.shrink });
        }
        let of = if of == 0 { most } else { of };
        if limits.growth.is_exceeded(added, of) {
            reasons.push(HoldReason::Grown { kind: *kind, added, of, limit: limits.growth });
        }
    }
    reasons
}

/// Does `work` at a lower priority.
fn standing_back<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let work = || {
        if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE) {
            tracing::warn!(%error, "a version is checked at ordinary priority");
        }
        work()
    };
    thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|panic| resume_unwind(panic))
}
