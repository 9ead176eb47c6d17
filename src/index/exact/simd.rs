//! What the compiler cannot be asked for in safe Rust: prefetching, and comparing a line's heads at once.
#![allow(unsafe_code)]

use crate::segment::layout::{HEAD_BYTES, LINE_BYTES};

/// Asks for the cache line at `bytes[at]` without waiting for it. A place outside `bytes` is harmless.
#[inline(always)]
pub fn prefetch(bytes: &[u8], at: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch is a hint. It reads nothing that the program can see, and an address that cannot be
        // read is ignored; `wrapping_add` makes no promise about where the pointer points.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(bytes.as_ptr().wrapping_add(at).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (bytes, at);
}

/// Which of a line's four heads equal `head`: slot s in bit s.
#[inline(always)]
pub(super) fn equal_heads(line: &[u8; LINE_BYTES], head: &[u8; HEAD_BYTES]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{
            __m128i, _mm_cmpeq_epi32, _mm_loadu_si128, _mm_movemask_epi8, _mm_packs_epi16, _mm_packs_epi32,
        };
        // SAFETY: SSE2 belongs to every x86_64 CPU. The loads are the unaligned ones, and read 16 bytes each at
        // offsets 0, 16, 32 and 48 of 64 bytes, and 16 of 16.
        let words = unsafe {
            let wanted = _mm_loadu_si128(head.as_ptr().cast::<__m128i>());
            let slot = |slot: usize| {
                let there = _mm_loadu_si128(line.as_ptr().add(slot * HEAD_BYTES).cast::<__m128i>());
                _mm_cmpeq_epi32(there, wanted)
            };
            let (front, back) = (_mm_packs_epi32(slot(0), slot(1)), _mm_packs_epi32(slot(2), slot(3)));
            _mm_movemask_epi8(_mm_packs_epi16(front, back)) as u32
        };
        // A bit for each four bytes that are equal, so four for each slot; all four must be set.
        let pairs = words & words >> 1;
        let slots = pairs & pairs >> 2;
        slots & 1 | slots >> 3 & 2 | slots >> 6 & 4 | slots >> 9 & 8
    }
    #[cfg(not(target_arch = "x86_64"))]
    equal_heads_portable(line, head)
}

/// The same for any CPU, and what [`equal_heads`] is tested against.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn equal_heads_portable(line: &[u8; LINE_BYTES], head: &[u8; HEAD_BYTES]) -> u32 {
    let slots = line.chunks_exact(HEAD_BYTES).enumerate();
    slots.fold(0, |mask, (slot, there)| mask | u32::from(there == head) << slot)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        // Few byte values, so that equal and nearly equal heads come up.
        #[test]
        fn all_ways_of_comparing_agree(
            mut line in proptest::collection::vec(0..2u8, LINE_BYTES),
            head in proptest::collection::vec(0..2u8, HEAD_BYTES),
            planted in 0..16u32,
        ) {
            for slot in (0..4).filter(|slot| planted & 1 << slot != 0) {
                line[slot * HEAD_BYTES..][..HEAD_BYTES].copy_from_slice(&head);
            }
            let (line, head) = (line.try_into().unwrap(), head.try_into().unwrap());
            prop_assert_eq!(equal_heads(&line, &head), equal_heads_portable(&line, &head));
            prop_assert_eq!(equal_heads(&line, &head) & planted, planted);
        }
    }

    #[test]
    fn prefetching_nonsense_is_harmless() {
        prefetch(&[], usize::MAX);
        prefetch(&[1], 1 << 40);
    }
}
