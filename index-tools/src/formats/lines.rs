//! Physical lines, whatever ends them: LF, CRLF, a lone CR, or the end of the file.

use std::io::{self, BufRead};

use super::limits::MAX_RECORD_BYTES;
use super::window::Window;

/// The lines of a text.
pub(super) struct Lines<'i> {
    window: Window<'i>,
    number: u64,
    /// Bytes of the line handed out last, with its terminator.
    consumed: usize,
    /// The last line ended in CR, so that a LF now belongs to it.
    after_cr: bool,
}

/// One line.
pub(super) struct Line<'a> {
    /// Its number, from 1.
    pub(super) number: u64,
    /// Its bytes without the terminator; `None` if it is longer than [`MAX_RECORD_BYTES`].
    pub(super) text: Option<&'a [u8]>,
}

impl<'i> Lines<'i> {
    pub(super) fn new(input: &'i mut dyn BufRead) -> Lines<'i> {
        Lines { window: Window::new(input), number: 0, consumed: 0, after_cr: false }
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.window.consume(std::mem::take(&mut self.consumed));
        if self.after_cr {
            if self.window.bytes().is_empty() && !self.window.more()? {
                return Ok(None);
            }
            if self.window.bytes()[0] == b'\n' {
                self.window.consume(1);
            }
            self.after_cr = false;
        }
        let mut searched = 0;
        let mut too_long = false;
        let length = loop {
            let bytes = self.window.bytes();
            if let Some(at) = memchr::memchr2(b'\n', b'\r', &bytes[searched..]) {
                self.after_cr = bytes[searched + at] == b'\r';
                break searched + at;
            }
            searched = bytes.len();
            if searched > MAX_RECORD_BYTES {
                too_long = true;
                self.window.clear();
                searched = 0;
            }
            if !self.window.more()? {
                if searched == 0 && !too_long {
                    return Ok(None);
                }
                break searched;
            }
        };
        self.number += 1;
        let bytes = self.window.bytes();
        // At the end of the file there is no terminator.
        self.consumed = bytes.len().min(length + 1);
        let text = (!too_long && length <= MAX_RECORD_BYTES).then(|| &bytes[..length]);
        Ok(Some(Line { number: self.number, text }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(text: &[u8]) -> Vec<Option<Vec<u8>>> {
        let mut input = text;
        let mut lines = Lines::new(&mut input);
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push(line.text.map(<[u8]>::to_vec));
            assert_eq!(line.number, all.len() as u64);
        }
        all
    }

    #[test]
    fn a_line_beyond_the_limit_is_skipped_whole() {
        let mut text = b"a\n".to_vec();
        text.extend(vec![b'x'; 3 * MAX_RECORD_BYTES]);
        text.extend(b"\nb\n");
        text.extend(vec![b'x'; MAX_RECORD_BYTES]);
        text.extend(b"\r\nc");
        let lines = lines(&text);
        let expected = [Some(1), None, Some(1), Some(MAX_RECORD_BYTES), Some(1)];
        assert_eq!(lines.iter().map(|line| line.as_ref().map(Vec::len)).collect::<Vec<_>>(), expected);
    }

    proptest! {
        #[test]
        fn lines_are_what_a_slow_splitter_says(text in "[ab\r\n]{0,40}") {
            let unified = text.replace("\r\n", "\n").replace('\r', "\n");
            let mut expected: Vec<_> = unified.split('\n').map(|line| Some(line.as_bytes().to_vec())).collect();
            expected.pop_if(|last| last.as_ref().is_some_and(Vec::is_empty));
            prop_assert_eq!(lines(text.as_bytes()), expected);
        }
    }
}
