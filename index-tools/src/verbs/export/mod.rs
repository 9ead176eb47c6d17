//! `export`: what a list holds, in a format that others read, and that `import` reads back.
//!
//! A feed list is exported entry by entry. So is a version whose records were kept, as far as its segments still say
//! what a record does: what was withdrawn is left out, and so is a record of which nothing is left. Of a version
//! without records each label of each fingerprint makes an entry of its own.

mod csv;
mod source;
mod sum;
mod vics;

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, ValueEnum};
use hashward::fingerprint::{Encoding, Fingerprint, Kind};
use hashward::list::{ListName, VersionNumber};
use hashward::records::StoredRecord;
use tempfile::NamedTempFile;

use super::progress::Progress;
use super::{Place, Usage, give_way, print};
use source::Exported;

/// Bytes that are written at once.
const BUFFER_BYTES: usize = 1 << 20;

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The list
    list: ListName,
    /// The version [default: the one that answers]
    #[arg(long)]
    version: Option<u32>,
    /// The format
    #[arg(long, value_enum)]
    format: ExportFormat,
    /// Only fingerprints of this kind; sum text needs one
    #[arg(long)]
    kind: Option<Kind>,
    /// Only entries whose category is of this scheme; an empty one stands for all entries without a scheme
    #[arg(long)]
    scheme: Option<String>,
    /// Where to write, replacing what is there [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// The formats that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// Comma-separated values: a column a kind, category, scheme, flags, name, size and the other attributes
    Csv,
    /// VICS 2.0 JSON; its categories are of one scheme
    Vics,
    /// `hex  name`, as md5sum prints it; without categories and flags
    Sum,
}

pub(super) fn run(args: ExportArgs) -> anyhow::Result<ExitCode> {
    if args.format == ExportFormat::Sum && args.kind.is_none() {
        return Err(Usage("sum text holds one kind; name it with --kind".to_owned()).into());
    }
    let keeper = args.place.keeper()?;
    give_way(&keeper);
    let progress = Progress::start();
    let mut session = keeper.session();
    let version = args.version.map(VersionNumber);
    let mut exported = Exported::open(&mut session, &args.list, version)?;
    let choice = Choice { kind: args.kind, scheme: args.scheme.as_deref() };
    if !exported.has_records() {
        eprintln!(
            "hashward-index: the records of version {} of {} were not kept: each fingerprint is an entry of its own, \
             without name",
            exported.version(),
            args.list
        );
    }
    let mut target = Target::open(args.output.as_deref())?;
    let out = target.writer();
    let mut writer: Box<dyn Writer + '_> = match args.format {
        ExportFormat::Csv => {
            let kinds = exported.kinds().filter(|kind| choice.takes(*kind)).collect();
            Box::new(csv::CsvWriter::start(out, kinds, exported.has_records())?)
        }
        ExportFormat::Vics => Box::new(vics::VicsWriter::start(out, only_scheme(&mut exported, &choice, &args.list)?)?),
        ExportFormat::Sum => Box::new(sum::SumWriter::start(out)),
    };
    let (mut entries, mut fingerprints) = (0, 0);
    exported.each(&progress, |record| {
        if let Some(record) = choice.of(record) {
            entries += 1;
            fingerprints += record.fingerprints.len() as u64;
            let first = &record.fingerprints[0];
            writer.write(&record).with_context(|| format!("the entry of {first} cannot be written"))?;
        }
        Ok(())
    })?;
    writer.finish()?;
    drop((session, progress));
    target.finish()?;
    let entries = print::counted(entries, "entry", "entries");
    let fingerprints = print::counted(fingerprints, "fingerprint", "fingerprints");
    eprintln!("{}: {entries} with {fingerprints} exported", args.list);
    Ok(ExitCode::SUCCESS)
}

/// What of a list is exported.
struct Choice<'a> {
    kind: Option<Kind>,
    scheme: Option<&'a str>,
}

impl Choice<'_> {
    fn takes(&self, kind: Kind) -> bool {
        self.kind.is_none_or(|only| only == kind)
    }

    fn takes_scheme(&self, scheme: Option<&str>) -> bool {
        self.scheme.is_none_or(|only| only == scheme.unwrap_or(""))
    }

    /// What is left of a record.
    fn of(&self, mut record: StoredRecord) -> Option<StoredRecord> {
        record.fingerprints.retain(|fingerprint| self.takes(fingerprint.kind()));
        let scheme = record.category.as_ref().and_then(|category| category.scheme.as_deref());
        (!record.fingerprints.is_empty() && self.takes_scheme(scheme)).then_some(record)
    }
}

/// The one scheme of all categories that are exported.
fn only_scheme(
    exported: &mut Exported<'_, '_>,
    choice: &Choice<'_>,
    list: &ListName,
) -> anyhow::Result<Option<Arc<str>>> {
    let schemes = exported.categories()?.into_iter().map(|category| category.scheme);
    let schemes: BTreeSet<Option<Arc<str>>> = schemes.filter(|scheme| choice.takes_scheme(scheme.as_deref())).collect();
    let mut all = schemes.iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(only), None) => Ok(only.clone()),
        _ => {
            let names = schemes.iter().map(|scheme| format!("`{}`", print::plain(scheme.as_deref().unwrap_or(""))));
            anyhow::bail!(
                "a VICS file has categories of one scheme, and {list} has those of {}; export each to a file of its \
                 own with --scheme (an empty one takes all entries without a scheme), or use --format csv",
                names.collect::<Vec<_>>().join(", ")
            )
        }
    }
}

/// Writes records in one format.
trait Writer {
    /// Writes a record, which has at least one fingerprint.
    ///
    /// # Errors
    /// The disk's, or that the format cannot say what the record does.
    fn write(&mut self, record: &StoredRecord) -> anyhow::Result<()>;

    /// Writes what stands behind the last record.
    ///
    /// # Errors
    /// The disk's.
    fn finish(self: Box<Self>) -> anyhow::Result<()>;
}

/// Where an export goes. A file is there as a whole or not at all.
enum Target {
    Stdout(BufWriter<io::StdoutLock<'static>>),
    File { written: BufWriter<NamedTempFile>, path: PathBuf },
}

impl Target {
    fn open(path: Option<&Path>) -> anyhow::Result<Target> {
        let Some(path) = path else {
            return Ok(Target::Stdout(BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock())));
        };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let file = NamedTempFile::new_in(folder).with_context(|| format!("cannot write to {}", folder.display()))?;
        Ok(Target::File { written: BufWriter::with_capacity(BUFFER_BYTES, file), path: path.to_owned() })
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Target::Stdout(out) => out,
            Target::File { written, .. } => written,
        }
    }

    fn finish(self) -> anyhow::Result<()> {
        match self {
            Target::Stdout(mut out) => Ok(out.flush()?),
            Target::File { written, path } => {
                let file = written.into_inner().map_err(io::IntoInnerError::into_error)?;
                file.as_file().sync_all()?;
                file.persist(&path).with_context(|| format!("cannot write {}", path.display()))?;
                Ok(())
            }
        }
    }
}

/// A value as lists have it: PhotoDNA in base64, everything else in hex.
fn value_text(fingerprint: &Fingerprint) -> String {
    let encoding = if fingerprint.kind() == Kind::PhotoDna { Encoding::Base64 } else { Encoding::Hex };
    encoding.encode(fingerprint.value())
}

/// The longest category or scheme that `import` takes, in bytes.
const CODE_BYTES_MAX: usize = 256;

/// A category's code or scheme that reads back as what it is.
fn code<'c>(what: &str, code: &'c str) -> anyhow::Result<&'c str> {
    let reads_back = !code.is_empty() && code.trim_ascii() == code && code.len() <= CODE_BYTES_MAX;
    anyhow::ensure!(
        reads_back,
        "expected a {what} of 1 to {CODE_BYTES_MAX} bytes without blanks around it, found {:?}, which would be read \
         back as another",
        code.chars().take(CODE_BYTES_MAX).collect::<String>()
    );
    Ok(code)
}
