//! Finding digests by equality in the bytes of a segment: is this digest in it, and where?
//!
//! Two locators stand behind one trait and always give the same answers:
//!
//! * `fst`: a transducer from prefixes to ordinals, with a filter in front that answers most misses alone. Holds any
//!   set of digests.
//! * `bucket`: no directory; a digest's leading bits name the 64-byte line it stands in. One or two cache lines a
//!   lookup, and the fewest bytes; but digests must be spread evenly, as those of real files are.
//!
//! Lookups come in batches, because a lookup is a few cache misses and little else: in a batch the misses of many
//! digests are under way at once.

pub(in crate::index) mod bucket;
pub(crate) mod filter;
pub(in crate::index) mod fst;
mod simd;
pub(in crate::index) mod transducer;

pub use simd::prefetch;

use super::sealed::{Found, Place};
use crate::segment::LabelSetId;

/// Digests that a batch lookup works on at once. Enough that a core's outstanding cache misses are all in use, few
/// enough that what was prefetched is still in the nearest cache when it is read.
pub(in crate::index) const GROUP: usize = 64;

/// Finds digests in a segment's bytes. Digests come packed, each as wide as the segment's kind.
pub(in crate::index) trait Locator {
    /// Where the digests of a group are to be looked for.
    type Plan: Copy;

    /// The place and label set of one digest.
    fn find(&self, digest: &[u8]) -> Option<(Place, LabelSetId)>;

    /// Finds out where to look first for each of at most [`GROUP`] digests, and sends for the bytes there.
    fn plan(&self, digests: &[u8]) -> Self::Plan;

    /// Looks there. Appends a [`Found`] for each of the digests that is in the segment; the first has row
    /// `first_row`.
    fn find_group(&self, digests: &[u8], plan: &Self::Plan, first_row: u32, found: &mut Vec<Found>);
}

/// Works through a batch in groups. While one is looked up, the first bytes of the next are on their way.
pub(in crate::index) fn in_groups(locator: &impl Locator, width: usize, digests: &[u8], found: &mut Vec<Found>) {
    assert_eq!(digests.len() % width, 0, "packed values of {width} bytes");
    let mut groups = digests.chunks(GROUP * width);
    let Some(mut group) = groups.next() else { return };
    let (mut plan, mut first_row) = (locator.plan(group), 0);
    for next in groups {
        let next_plan = locator.plan(next);
        locator.find_group(group, &plan, first_row, found);
        (group, plan) = (next, next_plan);
        first_row = first_row.checked_add(GROUP as u32).expect("a batch of fewer than 2³² rows");
    }
    locator.find_group(group, &plan, first_row, found);
}
