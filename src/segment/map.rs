//! Mapping a segment into memory: the one place where bytes can change under a shared reference.
#![allow(unsafe_code)]

use std::fs::File;
use std::ops::Deref;

use memmap2::{Advice, Mmap};

/// A file's bytes, mapped read-only.
pub struct Mapping(Mmap);

impl Mapping {
    /// Maps the whole file, and asks for huge pages: with ordinary ones a random read costs a page walk more.
    ///
    /// # Errors
    /// The system's, as it comes. An empty file cannot be mapped.
    pub fn of(file: &File) -> std::io::Result<Mapping> {
        // SAFETY: a segment is immutable. The writer builds it under another name and renames it into place whole,
        // and nothing truncates or rewrites it afterwards; it is removed only by unlinking, which leaves mappings
        // intact. Who can write into the data folder is trusted not to change files under a running daemon.
        let map = unsafe { Mmap::map(file)? };
        // Advice: a kernel that cannot follow it refuses, and nothing is lost but speed.
        let _ = map.advise(Advice::HugePage);
        Ok(Mapping(map))
    }

    /// Brings all pages in and fills the page tables, so that the first questions do not pay for it.
    pub fn populate(&self) {
        // Advice, as above: kernels before 5.14 refuse it and fault pages in one by one.
        let _ = self.0.advise(Advice::PopulateRead);
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
