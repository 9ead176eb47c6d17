//! Question → verdict, on one snapshot. Pure: no I/O, no clock.
//!
//! Only labels of active lists decide. One with role illegal: `known`; illegal and ignorable: `conflict`; ignorable
//! only: `ignorable`. Otherwise `unknown`, unless something applicable could not be asked: then `undecided`. `watch`
//! never changes a verdict. Nothing that failed is ever read as "unknown": see [`Answers::miss`].

mod verdict;

pub use verdict::{Answer, Answers, Match, Reason, Verdict};

use crate::fingerprint::Kind;

/// Files to ask about: each row holds one value of each kind, concatenated in the order of `kinds`.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The kinds of a row's values, each at most once.
    pub kinds: &'a [Kind],
    /// Packed rows of [`Question::row_width`] bytes.
    pub rows: &'a [u8],
}

impl Question<'_> {
    /// Bytes of one row.
    pub fn row_width(&self) -> usize {
        self.kinds.iter().map(|kind| kind.width()).sum()
    }
}

/// A question that has no meaning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuestionError {
    /// No kind, so nothing could be asked.
    #[error("a question names no kind; expected at least one")]
    NoKind,
    /// A kind stands twice.
    #[error("a question names {0} twice; expected each kind at most once")]
    RepeatedKind(Kind),
    /// The rows do not fit the kinds.
    #[error("a question's rows have {found} bytes; expected a multiple of {row_width}")]
    RaggedRows {
        /// Bytes of one row of these kinds.
        row_width: usize,
        /// Bytes that came.
        found: usize,
    },
    /// More rows than an answer can number.
    #[error("a question has {0} rows; expected at most {max}", max = u32::MAX)]
    TooManyRows(usize),
}
