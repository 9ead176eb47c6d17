//! A pull scanner for JSON that stands in a [`Window`], for lists that are one line of gigabytes.
//!
//! A parser describes one small piece, such as an element of an array, in terms of a [`Cursor`], and [`pull`] tries it
//! on the bytes that have arrived, reading on and starting the piece over when they end too early. Pieces are bounded
//! by [`MAX_ELEMENT_BYTES`] and [`MAX_JSON_DEPTH`]; larger ones are passed over by [`skip_large`], which holds
//! nothing.

use super::error::{FormatError, Refusal, Refused};
use super::limits::{MAX_ELEMENT_BYTES, MAX_JSON_DEPTH};
use super::report::{Problem, excerpt};
use super::window::Window;

/// Why a piece cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It goes on beyond the bytes at hand.
    Incomplete,
    /// It is no JSON, or not of the shape that the format has.
    Bad {
        /// What should stand there.
        expected: &'static str,
    },
    /// Arrays and objects are nested beyond [`MAX_JSON_DEPTH`].
    TooDeep,
}

const fn bad<T>(expected: &'static str) -> Result<T, Stop> {
    Err(Stop::Bad { expected })
}

/// Reads `piece` from the window and consumes it; `None` if it is larger than [`MAX_ELEMENT_BYTES`], with nothing
/// consumed. `piece` may run several times and must start afresh each time.
///
/// # Errors
/// Bad JSON, or the end of the input in the midst of it.
pub(crate) fn pull<T>(
    window: &mut Window<'_>,
    piece: impl FnMut(&mut Cursor<'_>) -> Result<T, Stop>,
) -> Result<Option<T>, FormatError> {
    Ok(attempt(window, piece)?.map(|(read, used)| {
        window.consume(used);
        read
    }))
}

/// As [`pull`], with nothing consumed in any case.
///
/// # Errors
/// As [`pull`].
pub(crate) fn look<T>(
    window: &mut Window<'_>,
    piece: impl FnMut(&mut Cursor<'_>) -> Result<T, Stop>,
) -> Result<Option<T>, FormatError> {
    Ok(attempt(window, piece)?.map(|(read, _)| read))
}

/// Reads `piece` and says how many bytes it took.
fn attempt<T>(
    window: &mut Window<'_>,
    mut piece: impl FnMut(&mut Cursor<'_>) -> Result<T, Stop>,
) -> Result<Option<(T, usize)>, FormatError> {
    loop {
        let mut cursor = Cursor { bytes: window.bytes(), at: 0, at_end: window.at_end() };
        match piece(&mut cursor) {
            Ok(read) => {
                let used = cursor.at;
                // The limit must not depend on how much had arrived.
                return Ok((used <= MAX_ELEMENT_BYTES).then_some((read, used)));
            }
            Err(Stop::Incomplete) => {
                if window.at_end() {
                    return Err(cut_off(window).into());
                }
                if window.bytes().len() > MAX_ELEMENT_BYTES {
                    return Ok(None);
                }
                window.more()?;
            }
            Err(Stop::Bad { expected }) => {
                let at = cursor.at;
                let found = excerpt(&window.bytes()[at..]);
                return Err(Refused::new(
                    Refusal::Corrupt,
                    format!("JSON with {expected} at byte {}", window.offset() + at as u64),
                    format!("`{found}`"),
                    "check that this is the right file, and get it again",
                )
                .into());
            }
            Err(Stop::TooDeep) => {
                return Err(Refused::new(
                    Refusal::Limit,
                    format!("at most {MAX_JSON_DEPTH} nested arrays and objects"),
                    format!("more in what starts at byte {}", window.offset()),
                    "no list needs them: check that this is the right file",
                )
                .into());
            }
        }
    }
}

fn cut_off(window: &Window<'_>) -> Refused {
    let end = window.offset() + window.bytes().len() as u64;
    Refused::truncated("the rest of the JSON text", format!("the end of the file after {end} bytes"))
}

/// As [`pull`], where a piece beyond the limit is a reason to refuse the file.
pub(crate) fn pull_small<T>(
    window: &mut Window<'_>,
    piece: impl FnMut(&mut Cursor<'_>) -> Result<T, Stop>,
) -> Result<T, FormatError> {
    pull(window, piece)?.ok_or_else(|| {
        let expected = format!("values of at most {MAX_ELEMENT_BYTES} bytes outside of the list's records");
        Refused::new(Refusal::Limit, expected, "more", "check that this is the right file").into()
    })
}

/// As [`pull`], for a record of a list: one beyond the limit is passed over, and is a problem of that record.
///
/// # Errors
/// As [`pull`].
pub(crate) fn pull_record<T>(
    window: &mut Window<'_>,
    piece: impl FnMut(&mut Cursor<'_>) -> Result<T, Stop>,
) -> Result<Result<T, Problem>, FormatError> {
    if let Some(read) = pull(window, piece)? {
        return Ok(Ok(read));
    }
    skip_large(window)?;
    let detail = format!("expected at most {MAX_ELEMENT_BYTES} bytes in an element, found more");
    Ok(Err(Problem::new("too-long", detail)))
}

/// Takes an array whose elements are read by `element`.
pub(crate) fn elements<'i>(
    window: &mut Window<'i>,
    mut element: impl FnMut(&mut Window<'i>) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    let is_empty = pull_small(window, |cursor| {
        cursor.expect(b'[', "an array")?;
        cursor.take(b']')
    })?;
    if is_empty {
        return Ok(());
    }
    loop {
        element(window)?;
        if ends(window, b']', "a comma or ] after an element")? {
            return Ok(());
        }
    }
}

/// Takes what stands after an element or a member: whether it is `close`, or a comma and there are more.
pub(crate) fn ends(window: &mut Window<'_>, close: u8, expected: &'static str) -> Result<bool, FormatError> {
    pull_small(window, |cursor| {
        let ended = cursor.take(close)?;
        if !ended {
            cursor.expect(b',', expected)?;
        }
        Ok(ended)
    })
}

/// Walks over an object of any size: `member` is called after each key and takes its value.
pub(crate) fn members<'i>(
    window: &mut Window<'i>,
    mut member: impl FnMut(&mut Window<'i>, &[u8]) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    let is_empty = pull_small(window, |cursor| {
        cursor.expect(b'{', "an object")?;
        cursor.take(b'}')
    })?;
    if is_empty {
        return Ok(());
    }
    loop {
        let key = pull_small(window, |cursor| Ok(cursor.key()?.read(&mut Vec::new())?.to_vec()))?;
        member(window, &key)?;
        if ends(window, b'}', "a comma or } after a member")? {
            return Ok(());
        }
    }
}

/// The byte that the next value starts with; `None` at the end of the file.
pub(crate) fn first_byte(window: &mut Window<'_>) -> Result<Option<u8>, FormatError> {
    pull_small(window, |cursor| if cursor.is_at_end()? { Ok(None) } else { cursor.peek().map(Some) })
}

/// Passes over one value of any size, holding nothing of it. Brackets are counted, their sorts not compared.
///
/// # Errors
/// The end of the input in the midst of it.
pub(crate) fn skip_large(window: &mut Window<'_>) -> Result<(), FormatError> {
    let mut depth = 0u64;
    let mut in_string = false;
    let mut escaped = false;
    loop {
        for (at, byte) in window.bytes().iter().enumerate() {
            if in_string {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => in_string = false,
                    _ => continue,
                }
            } else {
                match byte {
                    b'"' => in_string = true,
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' if depth > 0 => depth -= 1,
                    // A number or literal ends before what follows it.
                    b'}' | b']' | b',' if depth == 0 => {
                        window.consume(at);
                        return Ok(());
                    }
                    _ => continue,
                }
            }
            if depth == 0 && !in_string {
                window.consume(at + 1);
                return Ok(());
            }
        }
        window.clear();
        if !window.more()? {
            return Err(cut_off(window).into());
        }
    }
}

/// Passes over one value, checking it if it is within the limit.
///
/// # Errors
/// As [`pull`].
pub(crate) fn skip_any(window: &mut Window<'_>) -> Result<(), FormatError> {
    if pull(window, |cursor| cursor.skip())?.is_none() {
        skip_large(window)?;
    }
    Ok(())
}

/// A place in a piece of JSON. A clone comes back to a value that was passed over.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Nothing follows `bytes`.
    at_end: bool,
}

/// A string as it stands in the text, between its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text<'a> {
    raw: &'a [u8],
    escaped: bool,
}

impl<'a> Text<'a> {
    /// Its bytes; escapes are undone with the help of `unescaped`.
    pub(crate) fn read<'b>(&self, unescaped: &'b mut Vec<u8>) -> Result<&'b [u8], Stop>
    where
        'a: 'b,
    {
        if !self.escaped {
            return Ok(self.raw);
        }
        unescaped.clear();
        let mut rest = self.raw;
        while let Some(at) = memchr::memchr(b'\\', rest) {
            unescaped.extend_from_slice(&rest[..at]);
            rest = unescape(&rest[at + 1..], unescaped)?;
        }
        unescaped.extend_from_slice(rest);
        Ok(unescaped)
    }
}

/// Undoes one escape, whose backslash is gone already; returns what follows it.
fn unescape<'a>(text: &'a [u8], unescaped: &mut Vec<u8>) -> Result<&'a [u8], Stop> {
    let Some((escape, rest)) = text.split_first() else { return bad("a character after a backslash") };
    let byte = match escape {
        b'"' | b'\\' | b'/' => *escape,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => {
            let (first, rest) = code_unit(rest)?;
            // A pair of surrogates is one character; half a pair, which Windows file names may hold, is replaced.
            let second = rest.strip_prefix(b"\\u").and_then(|pair| code_unit(pair).ok());
            let (character, rest) = match (first, second) {
                (0xD800..=0xDBFF, Some((low @ 0xDC00..=0xDFFF, rest))) => {
                    let scalar = 0x10000 + ((u32::from(first) - 0xD800) << 10) + (u32::from(low) - 0xDC00);
                    (char::from_u32(scalar), rest)
                }
                _ => (char::from_u32(u32::from(first)), rest),
            };
            let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
            unescaped.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(rest);
        }
        _ => return bad("a known escape after a backslash"),
    };
    unescaped.push(byte);
    Ok(rest)
}

fn code_unit(text: &[u8]) -> Result<(u16, &[u8]), Stop> {
    let digits = text.get(..4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    let Some(digits) = digits else { return bad("four hex digits after \\u") };
    let unit = digits.iter().fold(0, |unit, digit| unit << 4 | (*digit as char).to_digit(16).unwrap_or(0) as u16);
    Ok((unit, &text[4..]))
}

impl<'a> Cursor<'a> {
    /// The next byte that is no blank, without taking it.
    pub(crate) fn peek(&mut self) -> Result<u8, Stop> {
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                byte => return Ok(*byte),
            }
        }
        Err(Stop::Incomplete)
    }

    /// Whether only blanks are left, and nothing follows.
    pub(crate) fn is_at_end(&mut self) -> Result<bool, Stop> {
        match self.peek() {
            Ok(_) => Ok(false),
            Err(Stop::Incomplete) if self.at_end => Ok(true),
            Err(stop) => Err(stop),
        }
    }

    /// Takes `byte`, which must come next.
    pub(crate) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Stop> {
        if self.peek()? == byte {
            self.at += 1;
            Ok(())
        } else {
            bad(expected)
        }
    }

    /// Takes `byte` if it comes next.
    pub(crate) fn take(&mut self, byte: u8) -> Result<bool, Stop> {
        let found = self.peek()? == byte;
        self.at += usize::from(found);
        Ok(found)
    }

    /// Takes a string.
    pub(crate) fn string(&mut self) -> Result<Text<'a>, Stop> {
        self.expect(b'"', "a string")?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let Some(found) = memchr::memchr2(b'"', b'\\', &self.bytes[self.at..]) else {
                return Err(Stop::Incomplete);
            };
            self.at += found;
            if self.bytes[self.at] == b'"' {
                let raw = &self.bytes[start..self.at];
                self.at += 1;
                return Ok(Text { raw, escaped });
            }
            escaped = true;
            if self.at + 2 > self.bytes.len() {
                return Err(Stop::Incomplete);
            }
            self.at += 2;
        }
    }

    /// Takes a key and its colon.
    pub(crate) fn key(&mut self) -> Result<Text<'a>, Stop> {
        let key = self.string()?;
        self.expect(b':', "a colon after a key")?;
        Ok(key)
    }

    /// Takes a number, `true`, `false` or `null`.
    pub(crate) fn scalar(&mut self) -> Result<&'a [u8], Stop> {
        self.peek()?;
        let rest = &self.bytes[self.at..];
        let in_scalar = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let length = rest.iter().position(|byte| !in_scalar(byte));
        if length.is_none() && !self.at_end {
            return Err(Stop::Incomplete);
        }
        let scalar = &rest[..length.unwrap_or(rest.len())];
        let in_number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
        let is_number = matches!(scalar.first(), Some(b'0'..=b'9' | b'-')) && scalar.iter().all(in_number);
        if is_number || matches!(scalar, b"true" | b"false" | b"null") {
            self.at += scalar.len();
            Ok(scalar)
        } else if length.is_none() {
            Err(Stop::Incomplete)
        } else {
            bad("a value")
        }
    }

    /// Walks over an object: `member` is called after each key and takes its value.
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Text<'a>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        self.expect(b'{', "an object")?;
        if self.take(b'}')? {
            return Ok(());
        }
        loop {
            let key = self.key()?;
            member(self, key)?;
            if self.take(b'}')? {
                return Ok(());
            }
            self.expect(b',', "a comma or } after a member")?;
        }
    }

    /// Walks over an array: `element` is called before each element and takes it.
    pub(crate) fn array(&mut self, mut element: impl FnMut(&mut Self) -> Result<(), Stop>) -> Result<(), Stop> {
        self.expect(b'[', "an array")?;
        if self.take(b']')? {
            return Ok(());
        }
        loop {
            element(self)?;
            if self.take(b']')? {
                return Ok(());
            }
            self.expect(b',', "a comma or ] after an element")?;
        }
    }

    /// Takes a string; any other value is passed over.
    pub(crate) fn string_or_skip(&mut self) -> Result<Option<Text<'a>>, Stop> {
        if self.peek()? == b'"' { self.string().map(Some) } else { self.skip().map(|()| None) }
    }

    /// The same, as text of its own; what is not UTF-8 in it is replaced.
    pub(crate) fn text_or_skip(&mut self) -> Result<Option<String>, Stop> {
        let Some(text) = self.string_or_skip()? else { return Ok(None) };
        Ok(Some(String::from_utf8_lossy(text.read(&mut Vec::new())?).into_owned()))
    }

    /// Takes a whole number, as a string too; any other value is passed over.
    pub(crate) fn integer_or_skip(&mut self) -> Result<Option<i64>, Stop> {
        Ok(match self.peek()? {
            b'"' => self.text_or_skip()?.and_then(|text| text.trim().parse().ok()),
            b'{' | b'[' => self.skip().map(|()| None)?,
            _ => std::str::from_utf8(self.scalar()?).ok().and_then(|number| number.parse().ok()),
        })
    }

    /// Takes a value and says whether it is yes: `true` or 1, as a string too.
    pub(crate) fn is_yes(&mut self) -> Result<bool, Stop> {
        Ok(match self.peek()? {
            b'"' => matches!(self.string()?.raw, b"1" | b"true" | b"True"),
            b'{' | b'[' => self.skip().map(|()| false)?,
            _ => matches!(self.scalar()?, b"1" | b"true"),
        })
    }

    /// Passes over any value.
    pub(crate) fn skip(&mut self) -> Result<(), Stop> {
        self.skip_within(MAX_JSON_DEPTH)
    }

    fn skip_within(&mut self, depth_left: u32) -> Result<(), Stop> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'{' | b'[' if depth_left == 0 => Err(Stop::TooDeep),
            b'{' => self.object(|cursor, _| cursor.skip_within(depth_left - 1)),
            b'[' => self.array(|cursor| cursor.skip_within(depth_left - 1)),
            _ => self.scalar().map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn skip(text: &[u8]) -> Result<(), Option<Refusal>> {
        let mut input = text;
        let mut window = Window::new(&mut input);
        let refusal = |error: FormatError| error.refusal();
        pull_small(&mut window, |cursor| cursor.skip()).map_err(refusal)?;
        let ended = pull_small(&mut window, |cursor| cursor.is_at_end()).map_err(refusal)?;
        assert!(ended || text.len() > 1);
        Ok(())
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert_eq!(skip(&nested(MAX_JSON_DEPTH as usize)), Ok(()));
        assert_eq!(skip(&nested(MAX_JSON_DEPTH as usize + 1)), Err(Some(Refusal::Limit)));
        assert_eq!(skip(&vec![b'['; 1 << 20]), Err(Some(Refusal::Limit)));
    }

    #[test]
    fn a_value_of_any_size_can_be_passed_over() {
        let large = format!(r#"{{"a":["{}\"]}}",[1,{{}}]]}},7"#, "x".repeat(2 * MAX_ELEMENT_BYTES));
        let mut input = large.as_bytes();
        let mut window = Window::new(&mut input);
        assert_eq!(pull(&mut window, |cursor| cursor.skip()).unwrap(), None);
        skip_large(&mut window).unwrap();
        assert_eq!(window.bytes(), b",7");
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 20, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((".{0,4}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_serde_writes_is_passed_over_whole_and_never_when_cut(value in value(), pretty: bool, cut: prop::sample::Index) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            prop_assert_eq!(skip(text.as_bytes()), Ok(()));
            let mut input = text.as_bytes();
            let mut window = Window::new(&mut input);
            if value.is_object() || value.is_array() || value.is_string() {
                skip_large(&mut window).unwrap();
                prop_assert!(!window.more().unwrap() && window.bytes().is_empty());
                let cut = &text.as_bytes()[..cut.index(text.len())];
                prop_assert_eq!(skip(cut), Err(Some(Refusal::Truncated)));
            }
        }

        #[test]
        fn strings_read_as_serde_reads_them(text in ".{0,20}", escape: bool) {
            let mut written = serde_json::to_string(&text).unwrap();
            if escape {
                let units = text.encode_utf16().map(|unit| format!("\\u{unit:04X}"));
                written = format!("\"{}\"", units.collect::<String>());
            }
            let mut input = written.as_bytes();
            let read = pull_small(&mut Window::new(&mut input), |cursor| {
                Ok(cursor.string()?.read(&mut Vec::new())?.to_vec())
            });
            prop_assert_eq!(read.unwrap(), text.into_bytes());
        }

        #[test]
        fn random_text_never_panics(text in r#"[\[\]{}",:\\u0tn \-]{0,30}"#) {
            let mut input = text.as_bytes();
            let mut window = Window::new(&mut input);
            let _ = pull_small(&mut window, |cursor| cursor.object(|cursor, _| cursor.string()?.read(&mut Vec::new()).map(drop)));
            let _ = skip(text.as_bytes());
        }
    }
}
