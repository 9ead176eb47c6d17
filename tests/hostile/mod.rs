//! Pictures that mean harm, all made here and none a picture of anything: bombs, lies, loops, cuts and flipped bits.
//!
//! Each comes with what may become of it. A reason says what a reader of an answer is told; that the worker lives on is
//! not asked of every one, that the pool does is.

mod bombs;
mod damage;
mod tiff;

pub(crate) use bombs::deep_gif;

use hashward::media::worker::Failed;

/// A file, and what may become of it.
pub(crate) struct Hostile {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) end: End,
}

/// What may become of a hostile file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// There is no hash, for one of these reasons.
    Fails(&'static [Failed]),
    /// There are hashes: what is wrong with it is not in the picture.
    Hashes,
    /// Hashes or a reason that lies in the picture: nobody can know what a flipped bit does.
    Ends,
}

/// All of them.
pub(crate) fn corpus() -> Vec<Hostile> {
    let mut corpus = bombs::bombs();
    corpus.extend(tiff::loops_and_lies());
    corpus.extend(damage::damaged());
    corpus
}

fn hostile(name: impl Into<String>, bytes: Vec<u8>, end: End) -> Hostile {
    Hostile { name: name.into(), bytes, end }
}

/// Refused for its declared size, before anything is allocated.
const TOO_LARGE: End = End::Fails(&[Failed::TooLarge]);

/// Refused for its size or memory, or because nothing of what it declares is there.
const NOTHING_THERE: End = End::Fails(&[Failed::TooLarge, Failed::Memory, Failed::Malformed, Failed::Unsupported]);
