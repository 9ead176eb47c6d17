//! What a list holds, for those who read it out: export, comparison, backup. A version is told by the files it stands
//! in, which the reader opens itself; what may be long and stands in no file comes in pages, each small enough for any
//! answer.

use super::command::{CategoryCounts, Contents, ImportCounts, PAGE_BYTES, Page};
use super::state::State;
use super::tell::import_counts;
use super::{SEGMENTS, Store, StoreError};
use crate::catalogue::{ListRow, VersionRow, VersionState};
use crate::fingerprint::Fingerprint;
use crate::list::{Entry, ListName, ListShape, Source, VersionNumber};

/// Entries whose categories are counted before changes get a turn.
const CATEGORIES_STEP: usize = 10_000;

impl Store {
    pub(super) fn contents(&self, list: &ListName, version: Option<VersionNumber>) -> Result<Contents, StoreError> {
        let state = self.state();
        let row = state.readable_list(list)?;
        match row.shape {
            ListShape::Feed if version.is_some() => Err(StoreError::WrongShape {
                list: list.clone(),
                shape: row.shape,
                tried: "read as of an earlier version",
                remedy: "it has no versions; leave the version out",
            }),
            ListShape::Feed => state.feed_contents(row),
            _ => {
                let version = state.kept_version(&row, version)?;
                state.version_contents(&row, version)
            }
        }
    }

    pub(super) fn categories(&self, list: &ListName) -> Result<CategoryCounts, StoreError> {
        let mut counts = CategoryCounts::default();
        let mut after: Option<String> = None;
        loop {
            let state = self.state();
            let row = state.readable_list(list)?;
            if row.shape != ListShape::Feed {
                return Ok(version_categories(&state.kept_version(&row, None)?));
            }
            let step = state.catalogue.read().category_counts(row.id, after.as_deref(), CATEGORIES_STEP)?;
            if step.is_empty() {
                return Ok(counts);
            }
            for (category, entries, last) in step {
                match category {
                    Some(category) => *counts.by_category.entry(category).or_default() += entries,
                    None => counts.uncategorised += entries,
                }
                after = after.max(Some(last));
            }
        }
    }

    pub(super) fn entries_page(&self, list: &ListName, after: Option<&str>) -> Result<Page<Entry>, StoreError> {
        let state = self.state();
        let row = state.readable_list(list)?;
        if row.shape != ListShape::Feed {
            return Err(StoreError::WrongShape {
                list: list.clone(),
                shape: row.shape,
                tried: "read entry by entry",
                remedy: "read the files of its version",
            });
        }
        let mut room = Room::new();
        let (items, more) = state.catalogue.read().entries_after(row.id, after, |bytes| room.take(bytes))?;
        Ok(Page { items, more })
    }

    pub(super) fn withdrawals_page(
        &self,
        list: &ListName,
        version: VersionNumber,
        after: Option<&Fingerprint>,
    ) -> Result<Page<Fingerprint>, StoreError> {
        let state = self.state();
        let row = state.readable_list(list)?;
        if row.shape != ListShape::File {
            return Err(StoreError::WrongShape {
                list: list.clone(),
                shape: row.shape,
                tried: "asked what was withdrawn from a version",
                remedy: "read its entries, which no longer hold what was withdrawn",
            });
        }
        let version = state.kept_version(&row, Some(version))?;
        let mut room = Room::new();
        let mut page = Page { items: Vec::new(), more: false };
        let begun = after.map_or(0, |after| after.kind().code());
        for (kind, file) in version.segments.iter().filter(|(kind, _)| kind.code() >= begun) {
            let after = after.filter(|after| after.kind() == *kind).map_or(&b""[..], Fingerprint::value);
            let take = |bytes| room.take("kind:".len() + kind.name().len() + 2 * bytes);
            let (found, more) =
                state.catalogue.read().withdrawals_page(row.id, *kind, file.applied_seq, after, take)?;
            page.items.extend(found);
            if more {
                return Ok(Page { more, ..page });
            }
        }
        Ok(page)
    }
}

/// What is left of a page.
struct Room {
    bytes: usize,
    is_empty: bool,
}

impl Room {
    fn new() -> Room {
        Room { bytes: PAGE_BYTES, is_empty: true }
    }

    /// Whether an item of so many bytes still goes in; the first always does.
    fn take(&mut self, bytes: usize) -> bool {
        /// What JSON puts around an item.
        const AROUND: usize = 4;
        let fits = self.bytes.checked_sub(bytes + AROUND);
        let taken = self.is_empty || fits.is_some();
        (self.bytes, self.is_empty) = (fits.unwrap_or(0), false);
        taken
    }
}

impl State {
    /// The list of this name, unless it is part of the program: those hold next to nothing, and in no file.
    fn readable_list(&self, list: &ListName) -> Result<ListRow, StoreError> {
        self.list(list).map_err(|error| match error {
            StoreError::BuiltIn(list) => StoreError::WrongShape {
                list,
                shape: ListShape::BuiltIn,
                tried: "read out",
                remedy: "what it holds is part of hashward",
            },
            other => other,
        })
    }

    fn feed_contents(&self, row: ListRow) -> Result<Contents, StoreError> {
        let read = self.catalogue.read();
        Ok(Contents {
            source: Source { list: row.id, version: VersionNumber::LIVE },
            shape: row.shape,
            radii: self.radii(&row)?,
            roles: row.roles,
            fingerprints: read.fingerprint_counts_of(row.id)?,
            segments: Default::default(),
            records: Vec::new(),
            withdrawn: 0,
            entries: read.entry_count(row.id)?,
        })
    }

    fn version_contents(&self, row: &ListRow, version: VersionRow) -> Result<Contents, StoreError> {
        let path = |file: &str| format!("{SEGMENTS}/{file}");
        let (records, complete) = self.records_files_of(row.id, version.number)?;
        let records = if complete { records } else { Vec::new() };
        Ok(Contents {
            source: Source { list: row.id, version: version.number },
            shape: row.shape,
            radii: self.radii(row)?,
            fingerprints: version.fingerprints(),
            segments: version.segments.iter().map(|(kind, file)| (*kind, path(&file.file))).collect(),
            entries: records.iter().map(|file| file.records).sum(),
            records: records.iter().map(|file| path(&file.file)).collect(),
            withdrawn: self.count_withdrawn(&version)?,
            roles: version.roles,
        })
    }

    /// A version that is kept, published or held; the current one if none is named.
    fn kept_version(&self, row: &ListRow, wanted: Option<VersionNumber>) -> Result<VersionRow, StoreError> {
        let current = self.current_source(row).version;
        let wanted = wanted.unwrap_or(current);
        let versions = self.catalogue.read().versions_of(row.id)?;
        let is_kept = |version: &&VersionRow| version.state != VersionState::Staged || version.number == current;
        let kept: Vec<_> = versions.iter().filter(is_kept).collect();
        kept.iter().find(|version| version.number == wanted).map(|version| (*version).clone()).ok_or_else(|| {
            let numbers: Vec<_> = kept.iter().map(|version| version.number.to_string()).collect();
            let kept = format!("{} (now {current})", numbers.join(", "));
            StoreError::NoSuchVersion { list: row.name.clone(), wanted: wanted.to_string(), kept }
        })
    }
}

fn version_categories(version: &VersionRow) -> CategoryCounts {
    let ImportCounts { by_category, uncategorised, .. } = import_counts(version);
    CategoryCounts { by_category, uncategorised }
}

#[cfg(test)]
mod tests;
