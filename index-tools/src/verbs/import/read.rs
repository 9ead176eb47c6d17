//! Reads the files of an import, one after the other, into one [`Intake`].

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use hashward::fingerprint::Kind;
use hashward::records::RecordsWriter;

use super::super::progress::Progress;
use super::args::ImportArgs;
use crate::build::{BuildError, Categories, EntrySorter, Intake, ReadAhead, SortLimits, Taken};
use crate::formats::{self, Format, FormatError, Limits, ParseOptions, Refusal};

/// What was read.
pub(super) struct Read {
    pub(super) taken: Taken,
    pub(super) files: Vec<FileRead>,
    /// A digest of the texts and of the options that decide how they are read.
    pub(super) source: String,
}

/// One file.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct FileRead {
    pub(super) file: PathBuf,
    pub(super) format: &'static str,
    /// `named` or `content`.
    pub(super) format_from: &'static str,
    /// For values whose kind the format does not name.
    pub(super) kind: Option<Kind>,
    /// `named` or `file name`.
    pub(super) kind_from: Option<&'static str>,
    /// Records in it, rejected ones included.
    pub(super) records: u64,
    /// BLAKE3 of its bytes, unpacked if it was compressed, in hex.
    pub(super) blake3: String,
}

/// Reads all files. `folder` is for what memory cannot hold; `records` takes the records, if they are to be kept.
pub(super) fn read_files(
    args: &ImportArgs,
    folder: &Path,
    records: Option<RecordsWriter>,
    categories: Categories,
    progress: &Arc<Progress>,
) -> anyhow::Result<Read> {
    anyhow::ensure!(
        args.base.is_none() || args.files.len() == 1,
        "expected one delta, since --base names the set that it alone changes, found {} files; import the first, or whole \
         sets",
        args.files.len()
    );
    let sorter = EntrySorter::new(folder, SortLimits::within(args.memory));
    let mut intake = Intake::new(sorter, records, categories, args.max_bad);
    let mut source = blake3::Hasher::new();
    let mut files = Vec::new();
    progress.bytes("reading", total_bytes(args.files.iter().chain(&args.base))?);
    for (number, path) in args.files.iter().enumerate() {
        intake.start_file(number);
        let before = intake.records_read();
        let (mut file, text) = match read_file(path, args, folder, &mut intake, progress) {
            Ok(read) => read,
            // The refusal that follows says it with all its figures.
            Err(error) if matches!(error.downcast_ref(), Some(BuildError::TooManyRejected)) => break,
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        file.records = intake.records_read() - before;
        // Every part has a fixed width or a length, so that no two imports read alike.
        let options = format!("{} {:?} {:?}", file.format, file.kind, args.columns);
        source.update(&(options.len() as u64).to_le_bytes()).update(options.as_bytes()).update(text.as_bytes());
        files.push(file);
    }
    let source = format!("blake3:{}", source.finalize().to_hex());
    Ok(Read { taken: intake.finish(), files, source })
}

fn read_file(
    path: &Path,
    args: &ImportArgs,
    folder: &Path,
    intake: &mut Intake,
    progress: &Arc<Progress>,
) -> anyhow::Result<(FileRead, blake3::Hash)> {
    let mut text = read_ahead(path, progress)?;
    let (format, format_from) = match args.format {
        Some(format) => (format, "named"),
        None => {
            let head = text.fill_buf().map_err(FormatError::from)?;
            let format = formats::detect(head).with_context(|| {
                "expected a hash list, found nothing that looks like one of them; if it is one, name it with --format"
            })?;
            (format, "content")
        }
    };
    let named = args.kind.map(|kind| (kind, "named"));
    let from_name = || kind_of_name(path).map(|kind| (kind, "file name"));
    // Other formats name their kinds.
    let takes_kind = matches!(format, Format::Sum | Format::Hex);
    let (kind, kind_from) = named.or_else(|| if takes_kind { from_name() } else { None }).unzip();
    anyhow::ensure!(
        args.base.is_none() || format == Format::NsrlV3Delta,
        "expected an NSRL delta, since --base names the set that it changes, found a list in the format {format}; \
         leave --base away"
    );
    let options = ParseOptions {
        kind,
        columns: args.columns.clone(),
        base: args.base.clone(),
        scratch: Some(folder.to_owned()),
        ..ParseOptions::default()
    };
    let options = options.with_companion(format, path, &Limits::default()).map_err(from_format)?;
    // A database is read where it lies; here its bytes are only for the digest.
    let in_place = format.reads_in_place(path)?;
    let again = in_place
        || match format.parse(&mut text, &options, intake) {
            Ok(_) => false,
            // What concerns every record stands at the file's end: it is read again, and nothing was taken of it yet.
            Err(error) if error.refusal() == Some(Refusal::ContextIsLate) => true,
            Err(error) => return Err(from_format(error)),
        };
    let mut text = text.finish().map_err(FormatError::from)?;
    // Of the file alone: what follows makes the same file with other companions another source.
    let blake3 = text.to_hex().to_string();
    if let Some(base) = &args.base {
        let base = read_ahead(base, progress)?.finish().map_err(FormatError::from)?;
        text = blake3::Hasher::new().update(text.as_bytes()).update(base.as_bytes()).finalize();
    }
    if !options.notable.is_empty() {
        // The same list with another companion says something else.
        text = blake3::Hasher::new()
            .update(text.as_bytes())
            .update(format!("{:?}", options.notable).as_bytes())
            .finalize();
    }
    if in_place {
        progress.waiting("reading rows");
    }
    if again {
        formats::parse_file(path, Some(format), &options, &Limits::default(), intake).map_err(from_format)?;
    }
    let file =
        FileRead { file: path.to_owned(), format: format.name(), format_from, kind, kind_from, records: 0, blake3 };
    Ok((file, text))
}

/// Starts to read a file, showing how far that has come.
fn read_ahead(path: &Path, progress: &Arc<Progress>) -> anyhow::Result<ReadAhead> {
    let input = formats::open(path, &Limits::default())?;
    let shown = Arc::clone(progress);
    Ok(ReadAhead::start(input, move |bytes| shown.advance(bytes as u64))?)
}

/// The sink's own error, if it was that which stopped the parser.
fn from_format(error: FormatError) -> anyhow::Error {
    match error {
        FormatError::Sink(error) => match error.into_inner().downcast::<BuildError>() {
            Ok(error) => anyhow::Error::new(*error),
            Err(error) => anyhow::Error::from_boxed(error),
        },
        other => anyhow::Error::new(other),
    }
}

/// Bytes to read, where they can be compared with what is read: compressed files unfold to more, pipes have no size.
fn total_bytes<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> anyhow::Result<Option<u64>> {
    let mut total = Some(0);
    for path in paths {
        let metadata = std::fs::metadata(path).with_context(|| path.display().to_string())?;
        let comparable = metadata.is_file() && !COMPRESSED.iter().any(|end| lower_name(path).ends_with(end));
        total = total.filter(|_| comparable).map(|total: u64| total + metadata.len());
    }
    Ok(total)
}

/// Endings of compressed files.
const COMPRESSED: [&str; 3] = [".gz", ".zst", ".zip"];

fn lower_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default()
}

/// The kind that a file's name declares: `debian.md5`, `list.sha256.gz`, `MD5SUMS`, `sha512sums.txt`. This is how
/// people name the output of `md5sum` and its like; the report says when it was relied on.
fn kind_of_name(path: &Path) -> Option<Kind> {
    let mut name = lower_name(path);
    for end in COMPRESSED {
        name = name.strip_suffix(end).map(str::to_owned).unwrap_or(name);
    }
    let name = name.strip_suffix(".txt").unwrap_or(&name);
    let last = name.rsplit('.').next().unwrap_or(name);
    let kind = last.strip_suffix("sums").or_else(|| last.strip_suffix("sum")).unwrap_or(last);
    kind.parse().ok().filter(|kind| Kind::COMPUTED.contains(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_declare_kinds() {
        for (name, kind) in [
            ("debian.md5", Some(Kind::Md5)),
            ("a/b.c/list.SHA1.gz", Some(Kind::Sha1)),
            ("SHA256SUMS", Some(Kind::Sha256)),
            ("md5sum.txt", Some(Kind::Md5)),
            ("x.blake3", Some(Kind::Blake3)),
            ("md5-list.txt", None),
            ("list.txt", None),
            ("list.sha", None),
            ("x.pdq", None),
        ] {
            assert_eq!(kind_of_name(Path::new(name)), kind, "{name}");
        }
    }
}
