//! Writing the section, one chunk after the other.

use std::io::{self, Write};

use super::section::{self, ALIGN_BYTES, Chunk, ENTRY_BYTES, ORDINAL_BYTES, START_BYTES};
use super::{deal, plan};
use crate::index::hamming::{Codes, Kernel};

/// Writes the section for packed codes of `width` bytes, which are ascending and distinct. The same codes always give
/// the same bytes. Takes 5 bytes of memory a code, and 8 for each group of one chunk, of which there are at most as
/// many as codes and mostly a tenth of that.
///
/// # Errors
/// Those of `out`.
///
/// # Panics
/// If `width` is neither 8 nor 32, or `codes` is not a whole number of codes, or 2³² or more of them.
pub fn build(width: usize, codes: &[u8], out: &mut impl Write) -> io::Result<()> {
    let codes = Codes::new(width, codes);
    build_shapes(codes, &plan::shapes(width, codes.len()), out)
}

/// The same with shapes of choice.
fn build_shapes(codes: Codes<'_>, shapes: &[plan::Shape], out: &mut impl Write) -> io::Result<()> {
    debug_assert!(codes.iter().is_sorted_by(|one, next| one < next), "ascending and distinct codes");
    let masks = deal::deal(codes, shapes);
    let chunk = |(shape, mask): (&plan::Shape, _)| Chunk {
        mask,
        group_bits: shape.group_bits,
        key_bits: shape.key_bits,
        directory: 0,
        blocks: 0,
    };
    let mut chunks: Vec<Chunk> = shapes.iter().zip(masks).map(chunk).collect();
    section::place(&mut chunks, codes.len());
    out.write_all(&section::encode(&chunks, codes.len()))?;
    let mut blocks = vec![0; if chunks.is_empty() { 0 } else { codes.len() * ENTRY_BYTES }];
    chunks.iter().try_for_each(|chunk| write_chunk(codes, chunk, &mut blocks, out))
}

/// A section as it would be if most questions had this radius, however few the codes are.
#[cfg(test)]
pub(in crate::index::hamming) fn built_for(width: usize, codes: &[u8], radius: u32) -> Vec<u8> {
    let codes = Codes::new(width, codes);
    let mut section = vec![];
    build_shapes(codes, &plan::shapes_for(width, codes.len(), radius), &mut section).expect("a vector takes all");
    section
}

fn write_chunk(codes: Codes<'_>, chunk: &Chunk, blocks: &mut [u8], out: &mut impl Write) -> io::Result<()> {
    let kernel = Kernel::best();
    // First the sizes of the groups, each in the place after its own, and then their starts.
    let mut starts = vec![0u32; chunk.groups() + 1];
    codes.iter().for_each(|code| starts[chunk.value(kernel, code).0 as usize + 1] += 1);
    let mut total = 0;
    for start in &mut starts {
        total += *start;
        *start = total;
    }
    let directory: Vec<u8> = starts.iter().flat_map(|start| start.to_le_bytes()).collect();
    write_padded(&directory, out)?;
    drop(directory);

    // How many entries each group has got.
    let mut filled = vec![0u32; chunk.groups()];
    for (ordinal, code) in codes.iter().enumerate() {
        let (group, key) = chunk.value(kernel, code);
        let group = group as usize;
        let (start, end) = (starts[group] as usize, starts[group + 1] as usize);
        let (block, entry) = (start * ENTRY_BYTES, filled[group] as usize);
        filled[group] += 1;
        blocks[block + entry] = key;
        let at = block + (end - start) + entry * ORDINAL_BYTES;
        blocks[at..at + ORDINAL_BYTES].copy_from_slice(&(ordinal as u32).to_le_bytes());
    }
    write_padded(blocks, out)
}

/// Writes bytes, and zeros up to the next multiple of [`ALIGN_BYTES`].
fn write_padded(bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    out.write_all(bytes)?;
    out.write_all(&[0; ALIGN_BYTES][..bytes.len().next_multiple_of(ALIGN_BYTES) - bytes.len()])
}

const _: () = assert!(START_BYTES == size_of::<u32>() && ORDINAL_BYTES == size_of::<u32>());
