//! The hashes of files in a STIX pattern.
//!
//! ```text
//! [file:hashes.MD5 = '…' OR file:hashes.'SHA-256' IN ('…', '…')] FOLLOWEDBY [file:hashes.'SHA-1' != '…']
//! ```
//!
//! A list can say what is known, and nothing about conditions. So each hash that a comparison asks to be equal counts
//! by itself, whatever it is combined with; those that must differ do not. Patterns are scanned, not parsed: there is
//! no nesting to follow.

use super::super::report::{Problem, excerpt};

/// Calls `found` with the algorithm and the value of each hash of a file that `pattern` asks to be equal.
///
/// # Errors
/// A string or comment that is not closed; a hash in a comparison of which no value can be taken, such as `MATCHES`.
pub(super) fn hashes(pattern: &[u8], mut found: impl FnMut(&[u8], &[u8])) -> Result<(), Problem> {
    let mut tokens = Tokens { rest: pattern };
    let mut is_negated = false;
    while let Some(token) = tokens.next()? {
        // The language has `NOT` behind a path only, but one in front is not to be taken for its opposite.
        let mut is_wanted = !std::mem::replace(&mut is_negated, token.is_word("NOT"));
        if !token.is_word("file") {
            continue;
        }
        let Some((algorithm, behind)) = hash_path(tokens)? else { continue };
        tokens = behind;
        let mut sign = tokens.next()?;
        if sign.is_some_and(|sign| sign.is_word("NOT")) {
            is_wanted = !is_wanted;
            sign = tokens.next()?;
        }
        let mut take = |value: Option<Token<'_>>, is_wanted: bool| match value {
            Some(Token::Text(value)) => {
                if is_wanted {
                    found(algorithm, value);
                }
                Ok(())
            }
            other => Err(bad("a string to compare a hash with", other)),
        };
        match sign {
            Some(Token::Sign(b'=')) => {
                tokens.skip(b'=')?;
                take(tokens.next()?, is_wanted)?;
            }
            Some(Token::Sign(b'!')) if tokens.skip(b'=')? => {
                take(tokens.next()?, !is_wanted)?;
            }
            Some(Token::Sign(b'<')) if tokens.skip(b'>')? => {
                take(tokens.next()?, !is_wanted)?;
            }
            Some(word) if word.is_word("IN") && tokens.skip(b'(')? => loop {
                take(tokens.next()?, is_wanted)?;
                match tokens.next()? {
                    Some(Token::Sign(b',')) => {}
                    Some(Token::Sign(b')')) => break,
                    other => return Err(bad("a comma or ) after a hash", other)),
                }
            },
            // `EXISTS` asks for no value.
            Some(Token::Sign(b']' | b')')) => {}
            Some(word) if word.is_word("AND") || word.is_word("OR") => {}
            other => return Err(bad("=, != or IN after a hash", other)),
        }
    }
    Ok(())
}

/// Reads what follows `file` in `file:hashes.'SHA-256'`: the algorithm, and what stands behind it. `None` for any other
/// path.
fn hash_path<'a>(mut tokens: Tokens<'a>) -> Result<Option<(&'a [u8], Tokens<'a>)>, Problem> {
    let is_hash = tokens.skip(b':')?
        && tokens.next()?.is_some_and(|step| matches!(step, Token::Text(b"hashes")) || step.is_word("hashes"))
        && tokens.skip(b'.')?;
    if !is_hash {
        return Ok(None);
    }
    let Some(Token::Word(algorithm) | Token::Text(algorithm)) = tokens.next()? else { return Ok(None) };
    Ok(Some((algorithm, tokens)))
}

fn bad(expected: &str, found: Option<Token<'_>>) -> Problem {
    let found = match found {
        None => "the end of the pattern".to_owned(),
        Some(Token::Word(text) | Token::Text(text)) => format!("`{}`", excerpt(text)),
        Some(Token::Sign(sign)) => format!("`{}`", excerpt(&[sign])),
    };
    Problem::new("bad-pattern", format!("expected {expected}, found {found}"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    /// A name, a keyword, a number; dashes belong to it.
    Word(&'a [u8]),
    /// A string, without its quotes, escapes as they stand.
    Text(&'a [u8]),
    /// Any other byte.
    Sign(u8),
}

impl Token<'_> {
    fn is_word(&self, word: &str) -> bool {
        matches!(self, Token::Word(text) if text.eq_ignore_ascii_case(word.as_bytes()))
    }
}

#[derive(Clone, Copy)]
struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    /// The next token; blanks and comments are passed over.
    fn next(&mut self) -> Result<Option<Token<'a>>, Problem> {
        loop {
            self.rest = self.rest.trim_ascii_start();
            let comment_end = match self.rest {
                [b'/', b'/', ..] => self.rest.iter().position(|byte| *byte == b'\n').unwrap_or(self.rest.len()),
                [b'/', b'*', inside @ ..] => {
                    memchr::memmem::find(inside, b"*/").ok_or_else(|| bad("*/ after a comment", None))? + 4
                }
                _ => break,
            };
            self.rest = &self.rest[comment_end..];
        }
        let Some(first) = self.rest.first() else { return Ok(None) };
        let in_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if *first == b'\'' {
            let mut end = 1;
            loop {
                match self.rest.get(end) {
                    None => return Err(bad("a quote after a string", None)),
                    Some(b'\'') => break,
                    Some(b'\\') => end += 2,
                    Some(_) => end += 1,
                }
            }
            let text = &self.rest[1..end];
            self.rest = &self.rest[end + 1..];
            return Ok(Some(Token::Text(text)));
        }
        let length = self.rest.iter().position(|byte| !in_word(byte)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(length.max(1));
        self.rest = rest;
        Ok(Some(if length == 0 { Token::Sign(*first) } else { Token::Word(token) }))
    }

    /// Takes `sign` if it comes next.
    fn skip(&mut self, sign: u8) -> Result<bool, Problem> {
        let mut behind = *self;
        let found = behind.next()? == Some(Token::Sign(sign));
        if found {
            *self = behind;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(pattern: &str) -> Result<String, &'static str> {
        let mut all = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        hashes(pattern.as_bytes(), |name, value| all.push(format!("{}={}", text(name), text(value))))
            .map_err(|problem| problem.reason)?;
        Ok(all.join(" "))
    }

    #[test]
    fn wanted_hashes_of_files_are_found() {
        for (pattern, expected) in [
            ("[file:hashes.MD5 = 'a']", "MD5=a"),
            ("[ file : hashes . 'SHA-256' == 'a' ]", "SHA-256=a"),
            ("[file:hashes.SHA-1='a'AND file:name='file:hashes.MD5 = \\'b\\'']", "SHA-1=a"),
            ("([file:hashes.MD5 IN ('a', 'b')] OR [file:'hashes'.'MD5'='c']) WITHIN 5 SECONDS", "MD5=a MD5=b MD5=c"),
            ("[file:hashes.MD5 != 'a' OR file:hashes.MD5 NOT = 'b' OR file:hashes.MD5 <> 'c']", ""),
            ("[file:hashes.MD5 NOT IN ('a','b') AND file:hashes.MD5 NOT != 'c']", "MD5=c"),
            ("[EXISTS file:hashes.MD5 AND EXISTS file:hashes.'SHA-1']", ""),
            ("[artifact:hashes.MD5 = 'a' OR x-file:hashes.MD5 = 'b' OR x509-certificate:hashes.MD5 = 'c']", ""),
            ("[file:extensions.'windows-pebinary-ext'.sections[*].hashes.MD5 = 'a']", ""),
            ("[file:size = 5 /* file:hashes.MD5 = 'a' */] // file:hashes.MD5 = 'b'", ""),
            ("[file:hashes.MD5 = 'a' // b\n OR file:hashes.MD5 = 'c']", "MD5=a MD5=c"),
            ("[ipv4-addr:value ISSUBSET '198.51.100.0/24' OR file:created = t'2024-01-01T00:00:00Z']", ""),
            ("[NOT file:hashes.MD5 = 'a' AND file:hashes.MD5 = 'b']", "MD5=b"),
            ("", ""),
        ] {
            assert_eq!(found(pattern).as_deref(), Ok(expected), "{pattern}");
        }
    }

    #[test]
    fn what_cannot_be_taken_is_said() {
        for pattern in [
            "[file:hashes.MD5 MATCHES 'a']",
            "[file:hashes.MD5 LIKE 'a%']",
            "[file:hashes.MD5 = 5]",
            "[file:hashes.MD5 = 'a",
            "[file:hashes.MD5 = h'aa']",
            "[file:hashes.MD5",
            "[file:hashes.MD5 IN ('a' 'b')]",
            "[file:hashes.MD5 IN ()]",
            "[file:hashes.MD5 < 'a']",
            "[file:hashes.MD5.x = 'a']",
            "[/* file:hashes.MD5 = 'a']",
            "['\\",
        ] {
            assert_eq!(found(pattern), Err("bad-pattern"), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn random_patterns_never_panic(pattern in r#"(file:hashes\.|MD5|IN|NOT|[=!<>(),\[\]'\\ /*.:é\n-]){0,20}"#) {
            let _ = found(&pattern);
        }
    }
}
