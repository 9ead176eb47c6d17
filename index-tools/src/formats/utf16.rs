//! UTF-16 as UTF-8, in a stream.

use std::io::{self, Read};

use encoding_rs::{CoderResult, Decoder};

use super::limits::HEAD_BYTES;

/// Turns what it reads into UTF-8. Half a surrogate pair, which Windows file names may hold, becomes U+FFFD.
pub(super) struct Utf16Reader<R> {
    inner: R,
    decoder: Decoder,
    encoded: Vec<u8>,
    start: usize,
    end: usize,
    at_end: bool,
    /// Text that a short buffer had no room for.
    left: Vec<u8>,
}

/// Room that the decoder wants at least; one character takes at most 4 bytes.
const MIN_ROOM_BYTES: usize = 16;

impl<R: Read> Utf16Reader<R> {
    pub(super) fn new(inner: R, decoder: Decoder) -> Utf16Reader<R> {
        Utf16Reader { inner, decoder, encoded: vec![0; HEAD_BYTES], start: 0, end: 0, at_end: false, left: Vec::new() }
    }

    fn decode(&mut self, text: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.start == self.end && !self.at_end {
                (self.start, self.end) = (0, self.inner.read(&mut self.encoded)?);
                self.at_end = self.end == 0;
            }
            let encoded = &self.encoded[self.start..self.end];
            let (result, read, written, _) = self.decoder.decode_to_utf8(encoded, text, self.at_end);
            self.start += read;
            if written > 0 || (self.at_end && result == CoderResult::InputEmpty) {
                return Ok(written);
            }
        }
    }
}

impl<R: Read> Read for Utf16Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.is_empty() {
            if self.at_end && self.start == self.end {
                return Ok(0);
            }
            if buffer.len() >= MIN_ROOM_BYTES {
                return self.decode(buffer);
            }
            let mut text = [0; MIN_ROOM_BYTES];
            let written = self.decode(&mut text)?;
            self.left.extend_from_slice(&text[..written]);
        }
        let count = self.left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.left[..count]);
        self.left.drain(..count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_reads_back_through_buffers_of_any_size(text in ".{0,200}", big_endian: bool, room in 1usize..40) {
            let units = text.encode_utf16();
            let (encoding, bytes): (_, Vec<u8>) = if big_endian {
                (encoding_rs::UTF_16BE, units.flat_map(u16::to_be_bytes).collect())
            } else {
                (encoding_rs::UTF_16LE, units.flat_map(u16::to_le_bytes).collect())
            };
            let mut reader = Utf16Reader::new(&bytes[..], encoding.new_decoder_without_bom_handling());
            let mut read = Vec::new();
            let mut buffer = vec![0; room];
            loop {
                let count = reader.read(&mut buffer).unwrap();
                if count == 0 { break; }
                read.extend_from_slice(&buffer[..count]);
            }
            prop_assert_eq!(read, text.into_bytes());
        }
    }
}
