//! The scan: every question against every code. What the other structures are held against, and what they fall back
//! to.

use super::{Codes, HammingIndex, Kernel, Near};
use crate::fingerprint::Radius;

/// Questions that a pass over the codes answers: few enough that they stay in the nearest cache, enough that reading
/// the codes costs nothing beside comparing them.
const QUESTIONS_AT_ONCE: usize = 32;

/// Packed codes, scanned.
pub struct Flat<'a> {
    codes: Codes<'a>,
    kernel: Kernel,
}

impl<'a> Flat<'a> {
    /// Over packed codes of `width` bytes, compared in the fastest way that the CPU knows.
    ///
    /// # Panics
    /// If `width` is neither 8 nor 32, or `codes` is not a whole number of codes, or 2³² or more of them.
    pub fn new(width: usize, codes: &'a [u8]) -> Flat<'a> {
        Flat::with_kernel(width, codes, Kernel::best())
    }

    /// The same with a kernel of choice, for tests and measurements.
    ///
    /// # Panics
    /// As [`Flat::new`].
    pub fn with_kernel(width: usize, codes: &'a [u8], kernel: Kernel) -> Flat<'a> {
        Flat { codes: Codes::new(width, codes), kernel }
    }
}

impl HammingIndex for Flat<'_> {
    fn search(&self, questions: &[u8], radius: Radius, found: &mut Vec<Near>) {
        let questions = Codes::new(self.codes.width, questions);
        for (part, asked) in questions.bytes.chunks(QUESTIONS_AT_ONCE * questions.width).enumerate() {
            let first = found.len();
            self.kernel.scan(self.codes, Codes { bytes: asked, ..questions }, radius, found);
            if part > 0 {
                found[first..].iter_mut().for_each(|near| near.row += (part * QUESTIONS_AT_ONCE) as u32);
            }
        }
    }
}
