//! The words of a delta's SQL. Only those that deltas are made of are known: whatever else stands there refuses the file.

use std::io;

use super::super::super::error::{FormatError, Refusal, Refused};
use super::super::super::limits::MAX_RECORD_BYTES;
use super::super::super::report::excerpt;
use super::super::super::window::Window;

/// Bytes of a keyword, or of the name of a table or column.
const MAX_WORD_BYTES: usize = 64;

/// What statements are made of. The text of words and texts is [`Tokens::text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword or a name, turned to lower case.
    Word,
    /// What stood in single quotes, with doubled ones undone.
    Text,
    /// An integer.
    Number(i64),
    /// One of `( ) , ; =`.
    Mark(u8),
    /// Nothing follows.
    End,
}

/// Reads a delta word by word. Blanks and comments are passed over.
pub(super) struct Tokens<'i> {
    window: Window<'i>,
    line: u64,
    text: Vec<u8>,
}

impl<'i> Tokens<'i> {
    pub(super) fn new(window: Window<'i>) -> Tokens<'i> {
        Tokens { window, line: 1, text: Vec::new() }
    }

    /// The line of the next byte, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The text of the word or text that was read last.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    pub(super) fn next(&mut self) -> Result<Token, FormatError> {
        self.pass_over_blanks()?;
        self.text.clear();
        let Some(byte) = self.peek()? else { return Ok(Token::End) };
        match byte {
            b'(' | b')' | b',' | b';' | b'=' => {
                self.window.consume(1);
                Ok(Token::Mark(byte))
            }
            b'\'' => self.quoted(),
            b'-' | b'0'..=b'9' => self.number(),
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.word()?;
                self.text.make_ascii_lowercase();
                Ok(Token::Word)
            }
            other => Err(self.unknown(&excerpt(&[other])).into()),
        }
    }

    /// What a statement of a delta cannot have: the refusal of the whole file.
    pub(super) fn unknown(&self, found: &str) -> Refused {
        unknown(self.line, "INSERT, UPDATE or DELETE of single rows, as deltas have them", found)
    }

    fn pass_over_blanks(&mut self) -> Result<(), FormatError> {
        loop {
            match self.peek()? {
                Some(byte) if byte.is_ascii_whitespace() => self.pass_over(byte),
                Some(b'-') if self.starts_with(b"--")? => self.pass_over_until(b"\n")?,
                Some(b'/') if self.starts_with(b"/*")? => {
                    self.window.consume(2);
                    self.pass_over_until(b"*/")?;
                }
                _ => return Ok(()),
            }
        }
    }

    fn pass_over(&mut self, byte: u8) {
        self.line += u64::from(byte == b'\n');
        self.window.consume(1);
    }

    /// A comment at the end of the file needs no end.
    fn pass_over_until(&mut self, end: &[u8]) -> Result<(), FormatError> {
        while let Some(byte) = self.peek()? {
            let found = self.starts_with(end)?;
            self.pass_over(byte);
            if found {
                self.window.consume(end.len() - 1);
                return Ok(());
            }
        }
        Ok(())
    }

    fn quoted(&mut self) -> Result<Token, FormatError> {
        self.window.consume(1);
        loop {
            let bytes = self.window.bytes();
            let closed = memchr::memchr(b'\'', bytes);
            let piece = &bytes[..closed.unwrap_or(bytes.len())];
            self.line += memchr::memchr_iter(b'\n', piece).count() as u64;
            self.text.extend_from_slice(piece);
            let piece_bytes = piece.len();
            self.check_length(MAX_RECORD_BYTES)?;
            self.window.consume(piece_bytes);
            if closed.is_none() {
                if !self.window.more()? {
                    return Err(Refused::truncated("the closing quote of a text", "the end of the file").into());
                }
                continue;
            }
            self.window.consume(1);
            if self.peek()? != Some(b'\'') {
                return Ok(Token::Text);
            }
            self.text.push(b'\'');
            self.window.consume(1);
        }
    }

    fn number(&mut self) -> Result<Token, FormatError> {
        if self.peek()? == Some(b'-') {
            self.text.push(b'-');
            self.window.consume(1);
        }
        self.word()?;
        // Keywords, fractions and exponents behind the digits are no numbers either.
        let number = if self.peek()? == Some(b'.') { None } else { str::from_utf8(&self.text).ok() };
        match number.and_then(|text| text.parse().ok()) {
            Some(number) => Ok(Token::Number(number)),
            None => Err(self.unknown(&format!("`{}`, which is no integer", excerpt(&self.text))).into()),
        }
    }

    /// Takes letters, digits and underscores.
    fn word(&mut self) -> Result<(), FormatError> {
        while let Some(byte) = self.peek()?.filter(|byte| *byte == b'_' || byte.is_ascii_alphanumeric()) {
            self.text.push(byte);
            self.window.consume(1);
            self.check_length(MAX_WORD_BYTES)?;
        }
        Ok(())
    }

    fn check_length(&self, max_bytes: usize) -> Result<(), Refused> {
        if self.text.len() <= max_bytes {
            return Ok(());
        }
        Err(unknown(self.line, &format!("at most {max_bytes} bytes here"), "more"))
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        if self.window.bytes().is_empty() && !self.window.more()? {
            return Ok(None);
        }
        Ok(self.window.bytes().first().copied())
    }

    fn starts_with(&mut self, start: &[u8]) -> io::Result<bool> {
        while self.window.bytes().len() < start.len() && self.window.more()? {}
        Ok(self.window.bytes().starts_with(start))
    }
}

/// The refusal of a delta for what stands in one of its lines.
pub(super) fn unknown(line: u64, expected: &str, found: &str) -> Refused {
    Refused::new(
        Refusal::Statement,
        expected,
        format!("{found} in line {line}"),
        "nothing of a delta is executed, and one that is not understood whole is not applied: import the whole set",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Tokens with their texts, and the line of the end; or the code of a refusal.
    type Read = Result<(Vec<(Token, String)>, u64), &'static str>;

    fn tokens(text: &str) -> Read {
        let mut input = text.as_bytes();
        let mut tokens = Tokens::new(Window::new(&mut input));
        let mut all = Vec::new();
        loop {
            match tokens.next() {
                Ok(Token::End) => return Ok((all, tokens.line())),
                Ok(token) => all.push((token, String::from_utf8(tokens.text().to_vec()).unwrap())),
                Err(error) => return Err(error.refusal().expect("memory does not fail").name()),
            }
        }
    }

    #[test]
    fn what_looks_like_sql_inside_of_quotes_is_text() {
        let (all, line) = tokens("Values('a''b;--\n/*', -12)--x ;\n/* '\n */;").unwrap();
        let expected = [
            (Token::Word, "values"),
            (Token::Mark(b'('), ""),
            (Token::Text, "a'b;--\n/*"),
            (Token::Mark(b','), ""),
            (Token::Number(-12), "-12"),
            (Token::Mark(b')'), ""),
            (Token::Mark(b';'), ""),
        ];
        assert_eq!(all, expected.map(|(token, text)| (token, text.to_owned())));
        assert_eq!(line, 4);
    }

    #[test]
    fn whatever_deltas_do_not_need_is_refused() {
        for text in
            ["\"FILE\"", "[FILE]", "x'00'", "1.5", "1e5", "- 1", "a+1", "?1", "99999999999999999999", "`a`", "a|b"]
        {
            let refused = tokens(text);
            let is_blob = text == "x'00'" && refused.as_ref().is_ok_and(|(all, _)| all.len() == 2);
            assert!(refused == Err("statement") || is_blob, "{text}: {refused:?}");
        }
        assert_eq!(tokens("'open"), Err("truncated"));
        assert_eq!(tokens(&"a".repeat(MAX_WORD_BYTES + 1)), Err("statement"));
        assert_eq!(tokens(&format!("'{}'", "a".repeat(MAX_RECORD_BYTES + 1))), Err("statement"));
    }

    proptest! {
        #[test]
        fn texts_read_back_as_written(texts in proptest::collection::vec("[a'\n;/*-]{0,12}", 0..6)) {
            let sql: String = texts.iter().map(|text| format!("'{}' ", text.replace('\'', "''"))).collect();
            let (all, line) = tokens(&sql).unwrap();
            let expected: Vec<_> = texts.iter().map(|text| (Token::Text, text.clone())).collect();
            prop_assert_eq!(all, expected);
            prop_assert_eq!(line, 1 + sql.matches('\n').count() as u64);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[ab0'();,=/*\\-\n. ]{0,40}") {
            let _ = tokens(&text);
        }
    }
}
