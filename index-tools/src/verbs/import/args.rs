//! The options of `import`, and how those that are no plain words are read.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser};
use hashward::fingerprint::{Kind, KindRadius, Radii};
use hashward::index::sealed::LocatorKind;
use hashward::list::{CategoryRole, ListName, Role, Roles};

use super::super::Place;
use super::super::print::ReportFormat;
use super::roles::{self, NamedRoles};
use crate::formats::Format;

#[derive(Debug, Args)]
pub(in crate::verbs) struct ImportArgs {
    /// The list; made if it does not exist
    pub(super) list: ListName,
    /// List files: plain, .gz, .zst or .zip
    #[arg(required = true)]
    pub(super) files: Vec<PathBuf>,
    /// The files' format
    #[arg(long, help = format!("The files' format: {} [default: recognised by their content]", Format::names()))]
    pub(super) format: Option<Format>,
    /// The kind of hashes in formats that do not name it [default: as the file's name says: x.md5, SHA256SUMS]
    #[arg(long)]
    pub(super) kind: Option<Kind>,
    /// What a match means: illegal, ignorable or watch; needed for a new list
    #[arg(long)]
    pub(super) role: Option<Role>,
    /// The roles of categories; those not named are `watch`
    #[arg(
        long,
        value_name = "SCHEME:CODE=ROLE|NAME",
        value_delimiter = ',',
        conflicts_with = "all_categories",
        value_parser = roles::parse,
        help = format!(
            "The roles of categories, one by one or as a mapping with a name has them ({}); those not named are watch",
            roles::names().join(", ")
        )
    )]
    roles: Vec<NamedRoles>,
    /// Give all categories the one role
    #[arg(long)]
    pub(super) all_categories: bool,
    /// Within how many bits the list's perceptual hashes match, as pdq=40; other kinds keep their radius
    #[arg(long = "radius", value_name = "KIND=BITS", value_delimiter = ',')]
    pub(super) radii: Vec<KindRadius>,
    /// For CSV and TSV: which header holds a field (md5, sha1, …, name, size, category, scheme)
    #[arg(long = "column", value_name = "FIELD=HEADER", value_parser = column)]
    pub(super) columns: Vec<(String, String)>,
    /// For NSRL deltas: the set that the delta changes; what results is the list's new version
    #[arg(long, value_name = "FILE", conflicts_with = "add")]
    pub(super) base: Option<PathBuf>,
    /// Add to the list instead of replacing what it says
    #[arg(long)]
    pub(super) add: bool,
    /// How much memory sorting may take; what does not fit is sorted on disk
    #[arg(long, value_name = "BYTES", default_value = "1G", value_parser = memory)]
    pub(super) memory: u64,
    /// How the segments find digests: fst (takes 32 bytes of memory a digest beyond --memory) or bucket [default: by size]
    #[arg(long)]
    pub(super) locator: Option<LocatorKind>,
    /// Read, sort and report, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Bad records that are skipped before the import is refused [default: one in a thousand, and at least 10]
    #[arg(long, value_name = "N")]
    pub(super) max_bad: Option<u64>,
    /// How to report
    #[arg(long, value_enum, default_value = "text")]
    pub(super) report: ReportFormat,
    #[command(flatten)]
    pub(super) place: Place,
}

impl ImportArgs {
    /// The roles that were named; of a category that was named twice, the last counts.
    pub(super) fn roles(&self) -> impl Iterator<Item = CategoryRole> {
        self.roles.iter().flat_map(|named| named.0.iter().cloned())
    }

    /// The radii that were named; of a kind that was named twice, the last.
    pub(super) fn radii(&self) -> Radii {
        self.radii.iter().copied().collect()
    }
}

/// What a feed of files says to `import`.
pub(in crate::verbs) struct FeedImport<'a> {
    pub(in crate::verbs) list: &'a ListName,
    pub(in crate::verbs) files: Vec<PathBuf>,
    pub(in crate::verbs) format: Option<Format>,
    pub(in crate::verbs) kind: Option<Kind>,
    pub(in crate::verbs) roles: Option<&'a Roles>,
    pub(in crate::verbs) place: Place,
}

impl From<FeedImport<'_>> for ImportArgs {
    /// What is not said has the value that it has on the command line.
    fn from(said: FeedImport<'_>) -> ImportArgs {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            args: ImportArgs,
        }
        let words = ["import", said.list.as_str(), "--"].map(OsString::from).into_iter();
        let args = Line::parse_from(words.chain(said.files.into_iter().map(OsString::from))).args;
        let named = said.roles.map(|roles| &roles.by_category).into_iter().flatten();
        let named = named.map(|(category, role)| CategoryRole { category: category.clone(), role: *role });
        ImportArgs {
            format: said.format,
            kind: said.kind,
            role: said.roles.map(|roles| roles.default),
            roles: vec![NamedRoles(named.collect())],
            all_categories: said.roles.is_some_and(|roles| *roles == Roles::uniform(roles.default)),
            place: said.place,
            ..args
        }
    }
}

/// The least that sorting can do with.
const MEMORY_BYTES_MIN: u64 = 16 << 20;

/// Reads `512M`, `1G` and the like: powers of 1024.
fn memory(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        "T" | "TB" | "TIB" => 1 << 40,
        unit => return Err(format!("expected a unit of K, M, G or T, found `{unit}`")),
    };
    let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    match bytes {
        None => Err("expected a whole number with a unit, as 512M or 2G".to_owned()),
        Some(bytes) if bytes < MEMORY_BYTES_MIN => Err(format!("expected at least 16M, found {bytes} bytes")),
        Some(bytes) => Ok(bytes),
    }
}

/// Reads `md5=HASH`.
fn column(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((field, header)) if !field.is_empty() && !header.is_empty() => Ok((field.to_owned(), header.to_owned())),
        _ => Err("expected FIELD=HEADER, as md5=HASH".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_a_number_with_a_unit() {
        assert_eq!(memory("1G"), Ok(1 << 30));
        assert_eq!(memory("64m"), Ok(64 << 20));
        assert_eq!(memory("20000000"), Ok(20_000_000));
        for bad in ["", "G", "1.5G", "1X", "1K", "99999999999999T"] {
            assert!(memory(bad).is_err(), "{bad:?}");
        }
    }
}
