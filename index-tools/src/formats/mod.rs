//! List formats: bytes in, records out.
//!
//! One file per format, each a streaming parser in bounded memory. All of them work alike: a [`Window`] over the
//! input, a scan of the bytes that have arrived, values decoded into buffers that are used again, and a [`Report`]
//! that passes each record to the caller's [`Sink`]. Nothing is allocated per record, so a core reads hundreds of
//! megabytes a second. NSRL's databases are the exception: SQLite reads files, so a stream of one is written to a file
//! first.
//!
//! A bad record is rejected with its number, its line, what was expected and what was found, and the next one is
//! read. A file that is no such list, or ends too early, is a [`FormatError`], and the caller imports nothing of it.
//! Degenerate digests and duplicates are the build stage's business.
//!
//! The kind of a value comes from the format's own field or from the user, never from a value's length.
//!
//! [`Window`]: window::Window
//! [`Report`]: report::Report

mod archive;
mod bounded;
mod clamav;
mod csv;
mod detect;
mod dfxml;
mod encase;
mod error;
mod hashdeep;
mod hashkeeper;
mod hex;
mod icse;
pub(crate) mod json;
pub(crate) mod limits;
mod lines;
mod misp;
mod nsrl_v2;
mod nsrl_v3;
mod open;
mod p2p;
pub(crate) mod report;
mod stix;
mod sum;
mod table;
pub(crate) mod text;
mod utf16;
pub(crate) mod values;
mod vics;
pub(crate) mod window;
pub(crate) mod xml;

pub use detect::detect;
pub use error::{FormatError, Refusal, Refused, SinkError};
pub use hashkeeper::NotableFlags;
pub use open::{Limits, open};

use std::fmt;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use hashward::fingerprint::Kind;
use hashward::list::{Attribute, Flags, PackedAttributes};

/// One well-formed record of a list, borrowed from the parser's buffers for the time of the call.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its number, from 1. Headers, comments and blank lines are no records; in VICS files each element of `value`
    /// is one (so all media of one case share a number).
    pub number: u64,
    /// The physical line where it starts, from 1, in formats made of lines.
    pub line: Option<u64>,
    /// Its distinct fingerprints, decoded: [`Kind::width`] bytes each, at least one.
    pub values: &'a [(Kind, &'a [u8])],
    /// Whose category codes these are, as the list names it.
    pub scheme: Option<&'a str>,
    /// The category, exactly as it stands in the list.
    pub category: Option<&'a str>,
    /// What else the list says of it.
    pub flags: Flags,
    /// What else the list says, in its own encoding of text (Latin-1 in NSRL files), escapes undone.
    pub attributes: &'a PackedAttributes,
}

/// Those of a record that has none.
static NO_ATTRIBUTES: PackedAttributes = PackedAttributes::new();

impl Record<'_> {
    /// A record that says nothing yet.
    const fn numbered(number: u64, line: Option<u64>) -> Record<'static> {
        let (values, attributes) = (&[], &NO_ATTRIBUTES);
        Record { number, line, values, scheme: None, category: None, flags: Flags::NONE, attributes }
    }

    /// The file's name.
    pub fn name(&self) -> Option<&[u8]> {
        self.attributes.get(Attribute::Name)
    }
}

/// A record that was skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its number, counted like [`Record::number`].
    pub record: u64,
    /// The physical line where it starts, in formats made of lines.
    pub line: Option<u64>,
    /// A code: `wrong-length`, `bad-hex`, `bad-base32`, `missing-hash`, `too-long` and the like.
    pub reason: &'static str,
    /// What was expected and what was found, of bounded length.
    pub detail: String,
}

/// Takes what a parser finds.
pub trait Sink {
    /// Takes a well-formed record.
    ///
    /// # Errors
    /// The sink's own; the parser stops and passes it on.
    fn record(&mut self, record: &Record<'_>) -> Result<(), SinkError>;

    /// Takes a record that is skipped.
    ///
    /// # Errors
    /// The sink's own; the parser stops and passes it on.
    fn rejected(&mut self, rejected: Rejected) -> Result<(), SinkError>;

    /// Counts a well-formed fingerprint of a kind that hashward lacks, by the name the list gives that kind.
    fn unsupported(&mut self, name: &str);
}

/// A list format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Checksum text: `hex  name` (GNU) or `MD5 (name) = hex` (BSD).
    Sum,
    /// One hex digest a line.
    Hex,
    /// hashdeep's own text format.
    Hashdeep,
    /// Comma-separated values with a header row.
    Csv,
    /// The same with tabs.
    Tsv,
    /// NIST's NSRL Reference Data Set, text, version 2 (and 1).
    NsrlV2,
    /// The same, version 3: SQLite databases.
    NsrlV3,
    /// What takes such a database to its next release: SQL text.
    NsrlV3Delta,
    /// VICS JSON: Project VIC's exchange format, 1.x and 2.0.
    Vics,
    /// ClamAV's databases of file hashes.
    Clamav,
    /// HashKeeper's `.hsh` files, with a `.hke` file beside each that tells good from notable.
    Hashkeeper,
    /// EnCase's binary hash sets.
    Encase,
    /// The table that INTERPOL's ICSE database exports.
    Icse,
    /// Digital Forensics XML.
    Dfxml,
    /// NIST's lists of benign media: VICS JSON 1.2.
    Caid,
    /// STIX 2.x bundles.
    Stix,
    /// MISP events.
    Misp,
    /// Links and URNs of peer-to-peer networks.
    P2p,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 18] = [
        Format::Sum,
        Format::Hex,
        Format::Hashdeep,
        Format::Csv,
        Format::Tsv,
        Format::NsrlV2,
        Format::NsrlV3,
        Format::NsrlV3Delta,
        Format::Vics,
        Format::Clamav,
        Format::Hashkeeper,
        Format::Encase,
        Format::Icse,
        Format::Dfxml,
        Format::Caid,
        Format::Stix,
        Format::Misp,
        Format::P2p,
    ];

    /// The names of all formats, for messages.
    pub fn names() -> String {
        Format::ALL.map(Format::name).join(", ")
    }

    /// The format's name in options and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Sum => "sum",
            Format::Hex => "hex",
            Format::Hashdeep => "hashdeep",
            Format::Csv => "csv",
            Format::Tsv => "tsv",
            Format::NsrlV2 => "nsrl-v2",
            Format::NsrlV3 => "nsrl-v3",
            Format::NsrlV3Delta => "nsrl-v3-delta",
            Format::Vics => "vics",
            Format::Clamav => "clamav",
            Format::Hashkeeper => "hashkeeper",
            Format::Encase => "encase",
            Format::Icse => "icse",
            Format::Dfxml => "dfxml",
            Format::Caid => "caid",
            Format::Stix => "stix",
            Format::Misp => "misp",
            Format::P2p => "p2p",
        }
    }

    /// What a record looks like, for messages.
    const fn shape(self) -> &'static str {
        match self {
            Format::Sum => "lines `hex  name` or `KIND (name) = hex`",
            Format::Hex => "one hex digest a line",
            Format::Hashdeep => "`%%%% HASHDEEP-1.0`, then lines of its columns",
            Format::Csv => "comma-separated rows under a header that names at least one kind",
            Format::Tsv => "tab-separated rows under a header that names at least one kind",
            Format::NsrlV2 => "rows under a header with \"SHA-1\" or \"MD5\" and \"FileName\"",
            Format::NsrlV3 => "rows of text in a table FILE, or in METADATA",
            Format::NsrlV3Delta => "a base, and statements that change its rows",
            Format::Vics | Format::Caid => "a VICS object with a context and a `value` array",
            Format::Stix => "a bundle with `objects`, some of them files or indicators",
            Format::Misp => "an event with attributes, some of them hashes",
            Format::Dfxml => "a `dfxml` element with `fileobject`s",
            Format::Clamav => "lines `hash:size:name`",
            Format::Encase => "`HASH` and a binary header, then records of 18 bytes",
            Format::Icse => "semicolon-separated rows under a header with MD5, SHA1 or PhotoDNA and `Is distributed`",
            Format::Hashkeeper => "rows under a header with \"file_id\", \"hashset_id\", \"file_name\" and \"hash\"",
            Format::P2p => "a link `magnet:?xt=…` or `ed2k://|file|…`, or a name `urn:sha1:…`, a line",
        }
    }

    /// Whether the list at `path` is read where it lies, since a stream of it would only be written to a file again: a
    /// database that is not compressed. [`parse_file`] does so.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn reads_in_place(self, path: &Path) -> io::Result<bool> {
        Ok(self == Format::NsrlV3 && nsrl_v3::is_plain(path)?)
    }

    /// Reads a whole list.
    ///
    /// # Errors
    /// When the whole file is refused, or when `sink` stops the parser. Records may have been passed on by then;
    /// the caller must not import them.
    pub fn parse(
        self,
        input: &mut dyn BufRead,
        options: &ParseOptions,
        sink: &mut dyn Sink,
    ) -> Result<Parsed, FormatError> {
        let report = report::Report::new(self, sink);
        match self {
            Format::Sum => sum::parse(input, options.kind, report),
            Format::Hex => hex::parse(input, options.kind, report),
            Format::Hashdeep => hashdeep::parse(input, report),
            Format::Csv => csv::parse(input, b',', &options.columns, report),
            Format::Tsv => csv::parse(input, b'\t', &options.columns, report),
            Format::NsrlV2 => nsrl_v2::parse(input, report),
            Format::NsrlV3 => nsrl_v3::parse(input, options, report),
            Format::NsrlV3Delta => nsrl_v3::parse_delta(input, options, report),
            Format::Vics | Format::Caid => vics::parse(input, None, report)?.parsed(),
            Format::Dfxml => dfxml::parse(input, report),
            Format::Stix => stix::parse(input, report),
            Format::Misp => misp::parse(input, report),
            Format::Clamav => clamav::parse(input, report),
            Format::Hashkeeper => hashkeeper::parse(input, &options.notable, report),
            Format::Encase => encase::parse(input, report),
            Format::Icse => icse::parse(input, report),
            Format::P2p => p2p::parse(input, report),
        }
    }
}

/// Opens and reads a whole list file: [`open`] and [`Format::parse`] in one, for files that must be read twice
/// because what concerns every record stands at their end, or in a file beside them, or that are databases.
///
/// # Errors
/// As [`open`] and [`Format::parse`]; with no `format`, also when [`detect`] does not recognise the file.
pub fn parse_file(
    path: &Path,
    format: Option<Format>,
    options: &ParseOptions,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<(Format, Parsed), FormatError> {
    let mut input = open(path, limits)?;
    let format = match format {
        Some(format) => format,
        None => detect(input.fill_buf()?).ok_or_else(unrecognised)?,
    };
    if format.reads_in_place(path)? {
        return Ok((format, nsrl_v3::parse_file(path, report::Report::new(format, sink))?));
    }
    if !matches!(format, Format::Vics | Format::Caid) {
        let options = options.clone().with_companion(format, path, limits)?;
        return Ok((format, format.parse(&mut *input, &options, sink)?));
    }
    let mut outcome = vics::parse(&mut *input, None, report::Report::new(format, sink))?;
    if let vics::Outcome::ContextIsLate = outcome {
        let context = vics::find_context(&mut *open(path, limits)?, format)?;
        outcome = vics::parse(&mut *open(path, limits)?, Some(context), report::Report::new(format, sink))?;
    }
    Ok((format, outcome.parsed()?))
}

fn unrecognised() -> Refused {
    Refused::new(
        Refusal::NotAList,
        format!("a list in one of the formats {}", Format::names()),
        "a file whose start looks like none of them",
        "check that this is the right file, and name its format with --format",
    )
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Format, UnknownFormat> {
        Format::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

/// A name that is no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown format `{0}`; expected one of {names}", names = Format::names())]
pub struct UnknownFormat(pub String);

/// What the user says about a list beside its format.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParseOptions {
    /// The kind of values whose kind the format does not name.
    pub kind: Option<Kind>,
    /// For CSV and TSV: (field, header), where the header is not the field's own name. Fields are the kinds' names,
    /// `category`, `scheme` and the attributes' names.
    pub columns: Vec<(String, String)>,
    /// For HashKeeper: what the companion file says of hash sets.
    pub notable: NotableFlags,
    /// For NSRL deltas: the set that is changed.
    pub base: Option<PathBuf>,
    /// Where databases that are compressed are unfolded; the system's folder for temporary files, if none is named.
    pub scratch: Option<PathBuf>,
}

impl ParseOptions {
    /// Takes in what the companion of the list at `list` says, where `format` has companions, one lies there, and
    /// nothing is known of it yet.
    ///
    /// # Errors
    /// When the companion cannot be read. A list is not read without what it means.
    pub fn with_companion(self, format: Format, list: &Path, limits: &Limits) -> Result<ParseOptions, FormatError> {
        let notable = match format {
            Format::Hashkeeper if self.notable.is_empty() => NotableFlags::beside(list, limits)?,
            _ => return Ok(self),
        };
        Ok(ParseOptions { notable, ..self })
    }
}

/// What a whole list held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Records, rejected ones included.
    pub records: u64,
    /// Rejected records.
    pub rejected: u64,
}
