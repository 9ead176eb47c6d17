//! What an import did: one object for programs, a summary to file for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use hashward::fingerprint::{Kind, Radii};
use hashward::list::{ListName, Role, Roles, VersionNumber};
use hashward::store::command::{Changes, Held, Overlap};
use serde::Serialize;

use super::super::held::{overlap, told};
use super::super::print::{self, by_kind, counted, grouped, moment, plain};
use super::args::ImportArgs;
use super::read::Read;
use crate::build::BuiltKind;
use crate::formats::Rejected;

/// What stands for "no category" in the report.
const UNCATEGORISED: &str = "";

/// The report. Counts are of fingerprints, except where records are said.
#[derive(Debug, Serialize)]
pub(in crate::verbs) struct Report {
    list: ListName,
    /// The version that answers now; none if nothing was published yet.
    version: Option<VersionNumber>,
    /// Whether the list said just this already, so that nothing was done beyond its `radii`.
    unchanged: bool,
    dry_run: bool,
    /// Why the version waits for `accept`; `version` answers on.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<Held>,
    /// What the version and other lists say the opposite of, if it answers all the same.
    #[serde(skip_serializing_if = "Overlap::is_empty")]
    overlap: Overlap,
    /// A version that was held until this one came, and is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped_version: Option<VersionNumber>,
    /// Radii that the import gives the list, and that it did not have.
    #[serde(skip_serializing_if = "Radii::is_empty")]
    radii: Radii,
    /// Why nothing was imported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<String>,
    /// The files' format, where all have the same.
    format: Option<&'static str>,
    /// The kind that was named, or taken from the files' names, where all have the same.
    kind: Option<Kind>,
    files: Vec<super::read::FileRead>,
    /// Well-formed records.
    records: u64,
    /// Distinct fingerprints in the files.
    accepted: BTreeMap<Kind, u64>,
    /// Records of each category, and the role of its labels; `""` stands for none.
    categories: BTreeMap<String, CategoryReport>,
    added: BTreeMap<Kind, u64>,
    removed: BTreeMap<Kind, u64>,
    kept: BTreeMap<Kind, u64>,
    duplicates: u64,
    dropped: u64,
    unsupported: BTreeMap<String, u64>,
    /// The first rejected records.
    rejected: Vec<RejectedReport>,
    /// All rejected records.
    rejected_total: u64,
    /// The same by reason.
    rejected_by_reason: BTreeMap<&'static str, u64>,
    /// When the import ended, in seconds since 1970-01-01 UTC.
    finished_at: u64,
    pub(super) seconds: f64,
    /// Records a second, from the start to the answer.
    rows_per_s: f64,
    #[serde(skip)]
    started: Instant,
    #[serde(skip)]
    compared: bool,
}

#[derive(Debug, Serialize)]
struct CategoryReport {
    count: u64,
    role: Role,
}

#[derive(Debug, Serialize)]
struct RejectedReport {
    file: PathBuf,
    record: u64,
    line: Option<u64>,
    reason: &'static str,
    detail: String,
}

/// The first line about a held version, and why it is.
fn held_text(list: &ListName, held: &Held) -> String {
    let version = held.version;
    let first = match held.already {
        true => format!("{list}: version {version} says just this and is held already\n"),
        false => format!("{list}: version {version} is held\n"),
    };
    let show = match held.overlap.entries.len() {
        0 => String::new(),
        count => format!(
            "  entry by entry  hashward-index held {list} shows {}\n",
            counted(count as u64, "entry", "entries")
        ),
    };
    first + &told(list, held) + &show
}

/// The detail, where it repeats the reason in words, from there on.
fn without_reason(rejected: &Rejected) -> String {
    let words = rejected.reason.replace('-', " ");
    let detail = rejected.detail.strip_prefix(&*words).and_then(|rest| rest.strip_prefix(": "));
    detail.unwrap_or(&rejected.detail).to_owned()
}

impl Report {
    pub(super) fn start(args: &ImportArgs) -> Report {
        Report {
            list: args.list.clone(),
            version: None,
            unchanged: false,
            dry_run: args.dry_run,
            held: None,
            overlap: Overlap::default(),
            dropped_version: None,
            radii: Radii::none(),
            refused: None,
            format: None,
            kind: None,
            files: Vec::new(),
            records: 0,
            accepted: BTreeMap::new(),
            categories: BTreeMap::new(),
            added: BTreeMap::new(),
            removed: BTreeMap::new(),
            kept: BTreeMap::new(),
            duplicates: 0,
            dropped: 0,
            unsupported: BTreeMap::new(),
            rejected: Vec::new(),
            rejected_total: 0,
            rejected_by_reason: BTreeMap::new(),
            finished_at: 0,
            seconds: 0.0,
            rows_per_s: 0.0,
            started: Instant::now(),
            compared: false,
        }
    }

    /// What the files held.
    pub(super) fn note_read(&mut self, read: &Read, args: &ImportArgs, roles: &Roles) {
        let counts = &read.taken.counts;
        self.files.clone_from(&read.files);
        if let Some(first) = read.files.first() {
            self.format = read.files.iter().all(|file| file.format == first.format).then_some(first.format);
            self.kind = first.kind.filter(|kind| read.files.iter().all(|file| file.kind == Some(*kind)));
        }
        self.records = counts.records;
        self.dropped = counts.degenerate;
        self.unsupported.clone_from(&counts.unsupported);
        self.rejected_total = counts.rejected;
        self.rejected_by_reason.clone_from(&counts.rejected_by_reason);
        let rejected = counts.rejected_told.iter().map(|(file, rejected)| RejectedReport {
            file: args.files[*file].clone(),
            record: rejected.record,
            line: rejected.line,
            reason: rejected.reason,
            detail: without_reason(rejected),
        });
        self.rejected = rejected.collect();
        for (category, count) in read.taken.labels.records_by_category() {
            let role = roles.of(category.as_ref());
            let name = category.map_or_else(|| UNCATEGORISED.to_owned(), |category| category.to_string());
            self.categories.insert(name, CategoryReport { count, role });
        }
    }

    /// What sorting and merging found. `fingerprints` are those read of each kind.
    pub(super) fn note_built(&mut self, built: &BTreeMap<Kind, BuiltKind>, fingerprints: &BTreeMap<Kind, u64>) {
        self.accepted =
            built.iter().map(|(kind, built)| (*kind, built.distinct)).filter(|(_, count)| *count > 0).collect();
        let distinct: u64 = self.accepted.values().sum();
        self.duplicates = fingerprints.values().sum::<u64>() - distinct;
    }

    /// What distinguishes the version from the one before.
    pub(super) fn note_changes(&mut self, changes: impl IntoIterator<Item = (Kind, Changes)>) {
        self.compared = true;
        for (kind, changes) in changes {
            for (counts, count) in
                [(&mut self.added, changes.added), (&mut self.removed, changes.removed), (&mut self.kept, changes.kept)]
            {
                if count > 0 {
                    counts.insert(kind, count);
                }
            }
        }
    }

    /// Which of the radii that were named are news to the list.
    pub(super) fn note_radii(&mut self, given: Radii, before: &Radii) {
        self.radii = given;
        for (kind, radius) in before.iter() {
            if self.radii.get(kind) == Some(radius) {
                self.radii.unset(kind);
            }
        }
    }

    /// What came of the gate, where it let the version through.
    pub(super) fn note_overlap(&mut self, overlap: Overlap, dropped: Option<VersionNumber>) {
        (self.overlap, self.dropped_version) = (overlap, dropped);
    }

    /// The version did not pass the gate.
    pub(super) fn note_held(&mut self, held: Held) {
        self.version = held.in_force;
        self.dropped_version = held.dropped;
        self.note_changes(held.changes.clone());
        self.held = Some(held);
    }

    pub(in crate::verbs) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    pub(super) fn note_version(&mut self, version: VersionNumber, unchanged: bool) {
        (self.version, self.unchanged) = (Some(version), unchanged);
    }

    /// The end, whatever it is.
    pub(super) fn finish(&mut self, refused: Option<String>) {
        self.refused = refused;
        if self.refused.is_some() {
            self.radii = Radii::none();
        }
        self.finished_at = print::now();
        self.seconds = self.started.elapsed().as_secs_f64();
        self.rows_per_s = (self.records + self.rejected_total) as f64 / self.seconds.max(1e-9);
    }

    /// How it ended, in the first line, and of a version that is held why it is.
    fn ending(&self) -> String {
        let list = &self.list;
        let version = self.version.map_or_else(|| "-".to_owned(), |version| version.to_string());
        if let Some(held) = &self.held {
            return held_text(list, held);
        }
        match (&self.refused, self.dry_run, self.unchanged) {
            (Some(_), _, _) => format!("{list}: nothing was imported\n"),
            (None, _, true) if self.radii.is_empty() => {
                format!("{list}: version {version} says just this already, nothing was done\n")
            }
            (None, true, true) => format!("{list}: its radius alone would change; nothing was changed\n"),
            (None, false, true) => {
                format!("{list}: version {version} says just this already, its radius alone was set\n")
            }
            (None, true, false) => format!("{list}: would be imported so; nothing was changed\n"),
            (None, false, false) => format!("{list}: version {version} answers now\n"),
        }
    }

    /// The summary, with how it ended at its beginning.
    pub(in crate::verbs) fn text(&self) -> String {
        let mut text = self.ending();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "  {name:11} {value}");
        };
        if let Some(dropped) = self.dropped_version {
            line("dropped", format!("version {dropped}, which was held until this one came"));
        }
        line("when", format!("{} UTC", moment(self.finished_at)));
        if !self.radii.is_empty() {
            line("radius", self.radii.to_string());
        }
        for file in &self.files {
            let mut how = format!("{}: {}", file.file.display(), file.format);
            if file.format_from == "content" {
                how.push_str(" (recognised by its content)");
            }
            if let (Some(kind), Some(from)) = (file.kind, file.kind_from) {
                let _ =
                    write!(how, ", kind {kind}{}", if from == "file name" { " (from the file's name)" } else { "" });
            }
            line("file", how);
            line("", format!("{}, BLAKE3 {}", counted(file.records, "record", "records"), file.blake3));
        }
        if self.files.is_empty() {
            return text;
        }
        let rate =
            if self.seconds < 1.0 { String::new() } else { format!(", {} a second", grouped(self.rows_per_s as u64)) };
        line("records", format!("{} in {:.1} s{rate}", grouped(self.records), self.seconds));
        let accepted: Vec<_> = self.accepted.iter().map(|(kind, count)| (*kind, *count)).collect();
        if !accepted.is_empty() {
            line("accepted", by_kind(accepted));
            line("duplicates", grouped(self.duplicates));
        }
        line("dropped", format!("{} of content that identifies nothing", grouped(self.dropped)));
        for (name, count) in &self.unsupported {
            line("unsupported", format!("{} {}", plain(name), grouped(*count)));
        }
        // A refusal for their sake tells them itself.
        if self.refused.is_none() && self.categories.keys().any(|name| name != UNCATEGORISED) {
            for (name, category) in &self.categories {
                let name = if name == UNCATEGORISED { "none".into() } else { plain(name) };
                line(
                    "category",
                    format!("{name}: {}, {}", counted(category.count, "record", "records"), category.role),
                );
            }
        } else if let Some(only) = self.categories.get(UNCATEGORISED) {
            line("role", only.role.to_string());
        }
        if self.compared {
            line("added", by_kind(self.added.iter().map(|(kind, count)| (*kind, *count))));
            line("removed", by_kind(self.removed.iter().map(|(kind, count)| (*kind, *count))));
            line("kept", by_kind(self.kept.iter().map(|(kind, count)| (*kind, *count))));
        }
        text.push_str(&overlap(&self.overlap));
        let _ = writeln!(text, "  {:11} {}", "rejected", self.rejected_reasons());
        self.tell_rejected(&mut text);
        text
    }

    /// How many records were rejected, and how many of them for what.
    fn rejected_reasons(&self) -> String {
        let mut text = counted(self.rejected_total, "record", "records");
        let mut separator = ": ";
        for (reason, count) in &self.rejected_by_reason {
            let _ = write!(text, "{separator}{reason} {}", grouped(*count));
            separator = ", ";
        }
        text
    }

    /// The first rejected records one by one.
    fn tell_rejected(&self, text: &mut String) {
        for rejected in &self.rejected {
            let at = rejected.line.map(|line| format!(" (line {line})")).unwrap_or_default();
            let RejectedReport { file, record, reason, detail, .. } = rejected;
            let _ = writeln!(text, "    {}, record {record}{at}: {reason}: {detail}", file.display());
        }
        if self.rejected_total > self.rejected.len() as u64 {
            let more = self.rejected_total - self.rejected.len() as u64;
            let _ = writeln!(text, "    and {} more", grouped(more));
        }
    }
}
