//! A sliding window over the input, so that parsers work on plain slices and allocate nothing per record.

use std::io::{self, BufRead, ErrorKind};

/// Bytes read at a time: many records, and small enough to stay in the L2 cache. Unit tests start with next to
/// nothing, so that every boundary falls inside a record.
const INITIAL_BYTES: usize = if cfg!(test) { 8 } else { 256 << 10 };

/// The unread bytes that have arrived so far. A parser tries on [`Window::bytes`], and asks for [`Window::more`]
/// when they end too early; it checks its own limit before asking, which bounds the memory.
pub(crate) struct Window<'i> {
    input: &'i mut dyn BufRead,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    at_end: bool,
    /// Bytes consumed so far.
    offset: u64,
}

impl<'i> Window<'i> {
    pub(crate) fn new(input: &'i mut dyn BufRead) -> Window<'i> {
        Window { input, buffer: vec![0; INITIAL_BYTES], start: 0, end: 0, at_end: false, offset: 0 }
    }

    /// What has arrived and is not consumed.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Whether nothing follows [`Window::bytes`]. Known only once [`Window::more`] has met the end.
    pub(crate) fn at_end(&self) -> bool {
        self.at_end
    }

    /// Drops the first `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        self.offset += count as u64;
        debug_assert!(self.start <= self.end);
    }

    /// Drops all that has arrived.
    pub(crate) fn clear(&mut self) {
        self.consume(self.end - self.start);
    }

    /// Where [`Window::bytes`] start in the input.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads on; `false` at the end of the input. What [`Window::bytes`] held stays its beginning. A window that is
    /// full doubles, and is always filled: a parser that starts over each time still takes linear time.
    pub(crate) fn more(&mut self) -> io::Result<bool> {
        if self.at_end {
            return Ok(false);
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let before = self.end;
        while self.end < self.buffer.len() {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => {
                    self.at_end = true;
                    break;
                }
                Ok(read) => self.end += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.end > before)
    }
}
