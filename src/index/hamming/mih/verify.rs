//! Checking all that a search relies on.
//!
//! If every entry of a chunk stands in the group of its code and has its key, if the ordinals of a group ascend, and if
//! there are as many entries as codes, then every code stands in its group exactly once: one ordinal belongs into one
//! group only, and in a group none is there twice.

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::section::{ALIGN_BYTES, Chunk, ENTRY_BYTES, ORDINAL_BYTES, START_BYTES};
use crate::index::exact::prefetch;
use crate::index::hamming::{Codes, Kernel};
use crate::segment::Flaw;
use crate::segment::layout::u32_at;

/// Groups that are given to a core at once.
const GROUPS_AT_ONCE: usize = 1 << 12;
/// Entries that are sent for before the first of them is checked.
const AHEAD: usize = 64;

pub(super) fn verify(codes: Codes<'_>, section: &[u8], chunks: &[Chunk]) -> Result<(), Flaw> {
    let parts = |chunk: &Chunk| chunk.groups().div_ceil(GROUPS_AT_ONCE);
    let tasks = chunks.iter().flat_map(|chunk| (0..parts(chunk)).map(move |part| (chunk, part)));
    let tasks: Vec<(&Chunk, usize)> = tasks.collect();
    chunks.iter().try_for_each(|chunk| check_frame(codes, section, chunk))?;
    tasks.into_par_iter().try_for_each(|(chunk, part)| {
        let first = part * GROUPS_AT_ONCE;
        let groups = first..chunk.groups().min(first + GROUPS_AT_ONCE);
        groups.into_iter().try_for_each(|group| check_group(codes, section, chunk, group))
    })
}

/// Checks the ends of the directory and the zeros between the parts.
fn check_frame(codes: Codes<'_>, section: &[u8], chunk: &Chunk) -> Result<(), Flaw> {
    let last = chunk.directory + chunk.groups() * START_BYTES;
    let ends = (u32_at(section, chunk.directory) as usize, u32_at(section, last) as usize);
    if ends != (0, codes.len()) {
        return Err(Flaw::new(format_args!("a directory from 0 to {}", codes.len()), format_args!("{ends:?}")));
    }
    let end = chunk.blocks + codes.len() * ENTRY_BYTES;
    let gaps = [last + START_BYTES..chunk.blocks, end..end.next_multiple_of(ALIGN_BYTES)];
    match gaps.into_iter().flat_map(|gap| &section[gap]).all(|byte| *byte == 0) {
        true => Ok(()),
        false => Err(Flaw::new("zeros between a chunk's parts", "other bytes")),
    }
}

fn check_group(codes: Codes<'_>, section: &[u8], chunk: &Chunk, group: usize) -> Result<(), Flaw> {
    let at = chunk.directory + group * START_BYTES;
    let (start, end) = (u32_at(section, at) as usize, u32_at(section, at + START_BYTES) as usize);
    if start > end || end > codes.len() {
        return Err(Flaw::new(
            format_args!("an ascending directory up to {}", codes.len()),
            format_args!("{start}, {end}"),
        ));
    }
    let (keys, ordinals) = chunk.block(section, &(start..end));
    let ordinals = ordinals.as_chunks::<ORDINAL_BYTES>().0;
    let ordinal = |at: usize| ordinals.get(at).map(|bytes| u32::from_le_bytes(*bytes));
    let send_for = |at: usize| {
        ordinal(at).into_iter().for_each(|ordinal| prefetch(codes.bytes, ordinal as usize * codes.width));
    };
    (0..AHEAD).for_each(send_for);
    let mut below = 0;
    for (at, key) in keys.iter().enumerate() {
        send_for(at + AHEAD);
        let ordinal = ordinal(at).expect("as many as keys");
        if ordinal < below || ordinal as usize >= codes.len() {
            let expected = format_args!("an ordinal from {below} to below {}", codes.len()).to_string();
            return Err(Flaw::new(expected, ordinal));
        }
        below = ordinal + 1;
        let value = chunk.value(Kernel::best(), codes.get(ordinal));
        if value != (group as u32, *key) {
            let expected = format_args!("code {ordinal} in group {} with key {}", value.0, value.1).to_string();
            return Err(Flaw::new(expected, format_args!("group {group}, key {key}")));
        }
    }
    Ok(())
}
