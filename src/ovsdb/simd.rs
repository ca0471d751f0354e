//! Finds the bytes that matter in JSON, many at a time.
//!
//! Written twice: with vector instructions that every x86-64 processor has, and plainly, for other processors. Tests
//! compare the two.

/// Bytes that are looked at together: as many as a word has bits.
pub(super) const BLOCK: usize = 64;

/// Which bytes of a block are which; the lowest bit is the first byte's.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) quotes: u64,
    pub(super) backslashes: u64,
    /// `{` and `[`.
    pub(super) opening: u64,
    /// `}` and `]`.
    pub(super) closing: u64,
}

impl Marks {
    #[inline(always)]
    pub(super) fn of(block: &[u8; BLOCK]) -> Self {
        #[cfg(target_arch = "x86_64")]
        return vectors::marks(block);
        #[cfg(not(target_arch = "x86_64"))]
        return plain::marks(block);
    }
}

/// One bit for each byte that ends or interrupts a JSON string: quote, backslash, control character.
#[inline(always)]
pub(super) fn string_ends(bytes: &[u8; 16]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    return vectors::string_ends(bytes);
    #[cfg(not(target_arch = "x86_64"))]
    return plain::string_ends(bytes);
}

#[cfg(target_arch = "x86_64")]
mod vectors {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };

    use super::{BLOCK, Marks};

    #[inline(always)]
    fn load(bytes: &[u8; 16]) -> __m128i {
        // SAFETY: sixteen bytes are read, at any alignment; SSE2 is part of x86-64.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn equal(bytes: __m128i, byte: u8) -> __m128i {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte as i8)) }
    }

    #[inline(always)]
    fn or(one: __m128i, other: __m128i) -> __m128i {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_or_si128(one, other) }
    }

    #[inline(always)]
    fn bits(mask: __m128i) -> u32 {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_movemask_epi8(mask) as u32 }
    }

    #[inline(always)]
    pub(super) fn marks(block: &[u8; BLOCK]) -> Marks {
        let mut marks = Marks::default();
        for (index, bytes) in block.as_chunks().0.iter().enumerate() {
            let bytes = load(bytes);
            // `[` and `{`, `]` and `}` differ in one bit.
            // SAFETY: SSE2 is part of x86-64.
            let folded = or(bytes, unsafe { _mm_set1_epi8(0x20) });
            let place = |mask| u64::from(bits(mask)) << (index * 16);
            marks.quotes |= place(equal(bytes, b'"'));
            marks.backslashes |= place(equal(bytes, b'\\'));
            marks.opening |= place(equal(folded, b'{'));
            marks.closing |= place(equal(folded, b'}'));
        }
        marks
    }

    #[inline(always)]
    pub(super) fn string_ends(bytes: &[u8; 16]) -> u32 {
        let bytes = load(bytes);
        // SAFETY: SSE2 is part of x86-64.
        let controls = unsafe { _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes) };
        bits(or(or(equal(bytes, b'"'), equal(bytes, b'\\')), controls))
    }
}

#[cfg(any(not(target_arch = "x86_64"), test))]
mod plain {
    use super::{BLOCK, Marks};

    pub(super) fn marks(block: &[u8; BLOCK]) -> Marks {
        let bits = |wanted: fn(u8) -> bool| {
            block.iter().enumerate().fold(0, |bits, (place, byte)| bits | u64::from(wanted(*byte)) << place)
        };
        Marks {
            quotes: bits(|byte| byte == b'"'),
            backslashes: bits(|byte| byte == b'\\'),
            opening: bits(|byte| matches!(byte, b'{' | b'[')),
            closing: bits(|byte| matches!(byte, b'}' | b']')),
        }
    }

    pub(super) fn string_ends(bytes: &[u8; 16]) -> u32 {
        let bit = |(place, byte): (usize, &u8)| u32::from(matches!(byte, b'"' | b'\\' | 0..=0x1f)) << place;
        bytes.iter().enumerate().map(bit).sum()
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_byte_is_recognised_in_every_place() {
        for byte in 0..=u8::MAX {
            for place in 0..BLOCK {
                let mut block = [b'a'; BLOCK];
                block[place] = byte;
                assert_eq!(vectors::marks(&block), plain::marks(&block), "{byte:#x} at {place}");
            }
            for place in 0..16 {
                let mut bytes = [b'a'; 16];
                bytes[place] = byte;
                assert_eq!(vectors::string_ends(&bytes), plain::string_ends(&bytes), "{byte:#x} at {place}");
            }
        }
    }

    proptest! {
        #[test]
        fn both_ways_find_the_same(bytes in prop::collection::vec(any::<u8>(), BLOCK)) {
            let block: &[u8; BLOCK] = bytes.first_chunk().unwrap();
            prop_assert_eq!(vectors::marks(block), plain::marks(block));
            let bytes: &[u8; 16] = bytes.first_chunk().unwrap();
            prop_assert_eq!(vectors::string_ends(bytes), plain::string_ends(bytes));
        }
    }
}
