//! Multi-index hashing: exact search by distance over many codes at rest.
//!
//! The bits of a code are dealt to *chunks* (Norouzi, Punjani and Fleet, "Fast exact search in Hamming space with
//! multi-index hashing", 2012). Say chunk i is searched for everything that differs from the question in at most tᵢ of
//! its bits. A code that is missed differs in at least tᵢ + 1 bits of every chunk, so in at least Σ(tᵢ + 1) bits; thus
//! nothing within radius r is missed if and only if **Σ(tᵢ + 1) ≥ r + 1**, with 0 for a chunk that is left out. What
//! the chunks give are candidates, which are then compared.
//!
//! The chunks of a section are fixed when it is built: `plan` picks widths by what work costs, and `deal` deals the
//! bits so that those that depend on each other lie apart. The tᵢ are chosen for each question's radius.
//!
//! In a chunk, a code's value is split into a *group*, its leading bits, and a *key* of up to eight bits. Only groups
//! have a directory. A group's *block* holds the keys of its codes, and after them their ordinals: so one read brings
//! some thirty keys, and one comparison of all of them tells which are within the flips that are left, where a
//! directory of values would have to be asked for each. `section` draws it.
//!
//! A question is never much slower than the scan, for it keeps an account of what its work costs. If that would be more
//! than a quarter of the scan, it is scanned at once; and if it turns out to be more, because near the question there
//! are many codes, it is scanned then. `search` has the stages, each of which sends for what the next one reads.

mod build;
mod deal;
mod plan;
mod search;
mod section;
mod verify;

pub use build::build;
#[cfg(test)]
pub(super) use build::built_for;

use super::{Codes, Flat, HammingIndex, Kernel, Near};
use crate::fingerprint::Radius;
use crate::segment::Flaw;
use section::Chunk;

/// A section's chunks over the codes it was built from.
pub struct Mih<'a> {
    codes: Codes<'a>,
    section: &'a [u8],
    chunks: Vec<Chunk>,
    pub(super) kernel: Kernel,
    /// [`SHARE`], but for tests.
    pub(super) share: f64,
}

/// What a question may cost by plan, as a share of the scan.
pub(super) const SHARE: f64 = 0.25;
/// What it may really cost, as a multiple of that: so a question for which all goes wrong costs 1.3 scans.
const OVERRUN: f64 = 1.2;

impl<'a> Mih<'a> {
    /// Over the packed codes of `width` bytes from which the section was built. Reads the section's head, some hundred
    /// bytes, and checks its structure, so that no section can make a search panic, run on, or fill the memory. That it
    /// finds what it should is for [`Mih::verify`] to say.
    ///
    /// # Errors
    /// What was expected in the section, and what was found.
    ///
    /// # Panics
    /// As [`Flat::new`].
    pub fn open(width: usize, codes: &'a [u8], section: &'a [u8]) -> Result<Mih<'a>, Flaw> {
        let codes = Codes::new(width, codes);
        let chunks = section::decode(width, codes.len(), section)?;
        Ok(Mih { codes, section, chunks, kernel: Kernel::best(), share: SHARE })
    }

    /// Checks everything that a search relies on: that every code stands in its group in every chunk, once, and nothing
    /// else does. Passing proves exact recall. Uses all cores and reads all of it.
    ///
    /// # Errors
    /// What was expected in the section, and what was found.
    pub fn verify(&self) -> Result<(), Flaw> {
        verify::verify(self.codes, self.section, &self.chunks)
    }
}

impl HammingIndex for Mih<'_> {
    fn search(&self, questions: &[u8], radius: Radius, found: &mut Vec<Near>) {
        let questions = Codes::new(self.codes.width, questions);
        let budget_ns = self.share * plan::scan_ns(self.codes, questions.len());
        let mut unanswered = vec![];
        match plan::flips(&self.chunks, self.codes.len(), radius, budget_ns) {
            Some(flips) => {
                search::search(self, questions, radius, &flips, OVERRUN * budget_ns, &mut unanswered, found);
            }
            None => unanswered.extend(0..questions.len() as u32),
        }
        // What is left is scanned in one go.
        let flat = Flat::with_kernel(self.codes.width, self.codes.bytes, self.kernel);
        if unanswered.len() == questions.len() {
            return flat.search(questions.bytes, radius, found);
        }
        let left: Vec<u8> = unanswered.iter().flat_map(|row| questions.get(*row)).copied().collect();
        let first = found.len();
        flat.search(&left, radius, found);
        found[first..].iter_mut().for_each(|near| near.row = unanswered[near.row as usize]);
    }
}
