//! Why a whole file is refused. Problems of single records are [`super::Rejected`] instead.

use std::fmt;
use std::io;

use super::Format;

/// A file from which nothing may be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// Reading failed.
    #[error("cannot read the file: {0}; check the disk and the file's permissions")]
    Io(io::Error),
    /// The file is not what it should be.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The sink wants no more.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

impl FormatError {
    /// The refusal's code, where the file is to blame.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            FormatError::Refused(refused) => Some(refused.why),
            FormatError::Io(_) | FormatError::Sink(_) => None,
        }
    }
}

impl From<io::Error> for FormatError {
    /// Readers that check what they pass on report a [`Refused`] inside an [`io::Error`]; it is taken out again.
    fn from(error: io::Error) -> FormatError {
        match error.downcast::<Refused>() {
            Ok(refused) => FormatError::Refused(refused),
            Err(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof => Refused::truncated("compressed data", "the end of the file").into(),
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Refused::new(
                    Refusal::Corrupt,
                    "sound compressed data",
                    error.to_string(),
                    "get the file again and compare its checksum with the issuer's",
                )
                .into(),
                _ => FormatError::Io(error),
            },
        }
    }
}

/// A refused file: what was expected, what was found, what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}: expected {expected}, found {found}; {remedy}")]
pub struct Refused {
    /// The reason's code.
    pub why: Refusal,
    /// What a good file has here.
    pub expected: String,
    /// What this one has.
    pub found: String,
    /// What the user can do.
    pub remedy: String,
}

impl Refused {
    pub(crate) fn new(
        why: Refusal,
        expected: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Refused {
        Refused { why, expected: expected.into(), found: found.into(), remedy: remedy.into() }
    }

    pub(super) fn truncated(expected: impl Into<String>, found: impl Into<String>) -> Refused {
        Refused::new(Refusal::Truncated, expected, found, "the file was probably cut off: get it again")
    }

    pub(super) fn not_a_list(format: Format, expected: impl Into<String>, found: impl Into<String>) -> Refused {
        let remedy = format!("check that this is the right file and that --format {format} is what it is");
        Refused::new(Refusal::NotAList, expected, found, remedy)
    }
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, refused)
    }
}

/// The code of a refusal, for reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Not a list of the format at all.
    NotAList,
    /// It does not start with the bytes that mark the format.
    WrongMagic,
    /// It ends too early.
    Truncated,
    /// It is damaged.
    Corrupt,
    /// The user must say which kind its values are.
    KindMissing,
    /// The user must say which column holds what, or said it wrongly.
    Columns,
    /// It is larger or deeper than a named limit allows.
    Limit,
    /// An archive that is not taken apart here.
    Archive,
    /// XML that declares entities.
    Entities,
    /// Text in an encoding that is not read here.
    Encoding,
    /// What concerns every record comes after the records, in a stream that cannot be read twice.
    ContextIsLate,
    /// The user must name the set that a delta changes.
    BaseMissing,
    /// The set that was named is not the one that the delta changes.
    WrongBase,
    /// SQL that no delta has.
    Statement,
}

impl Refusal {
    /// The code as printed.
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::NotAList => "not-a-list",
            Refusal::WrongMagic => "wrong-magic",
            Refusal::Truncated => "truncated",
            Refusal::Corrupt => "corrupt",
            Refusal::KindMissing => "kind-missing",
            Refusal::Columns => "columns",
            Refusal::Limit => "limit",
            Refusal::Archive => "archive",
            Refusal::Entities => "entities",
            Refusal::Encoding => "encoding",
            Refusal::ContextIsLate => "context-is-late",
            Refusal::BaseMissing => "base-missing",
            Refusal::WrongBase => "wrong-base",
            Refusal::Statement => "statement",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a [`super::Sink`] stopped the parser: its own error, passed through.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SinkError(Box<dyn std::error::Error + Send + Sync>);

impl SinkError {
    /// Wraps the sink's own error.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SinkError {
        SinkError(error.into())
    }

    /// The sink's own error.
    pub fn into_inner(self) -> Box<dyn std::error::Error + Send + Sync> {
        self.0
    }
}
