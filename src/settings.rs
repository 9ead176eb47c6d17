//! The files of a config: the one that is named, and those in `conf.d` beside it, read as if they were one.
//!
//! ```text
//! /etc/hashward/hashward.toml          read first
//! /etc/hashward/conf.d/10-lab.toml     then all that end in .toml, sorted by name
//! /etc/hashward/conf.d/20-feeds.toml
//! ```
//!
//! `[[listen]]`, `[[principal]]` and `[[feed]]` add up, and the keys of a section may stand in several files; a key that
//! is said twice is a mistake. Relative paths are relative to the folder of the file that is named, wherever they stand:
//! so a section may be moved between files and means the same.
//!
//! What is wrong is told with file, line, column and key, and one mistake of each section at once. No message holds
//! a line of a file, nor a value that stands where another belongs: either may be a secret.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

/// The folder beside a config whose files are read with it.
pub const FOLDER: &str = "conf.d";

/// The end of the names of files that are read there.
const SUFFIX: &str = "toml";

/// Some editors begin a file with it.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A config's files, as read.
#[derive(Debug)]
pub struct Settings {
    files: Vec<SettingsFile>,
    passed_over: Vec<PathBuf>,
}

#[derive(Debug)]
struct SettingsFile {
    path: PathBuf,
    /// Where its text begins if those of all files stand behind one another.
    start: usize,
    /// Its text behind `start` spaces: what a parser says of places in it then tells the file as well.
    padded: String,
}

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
}

impl Place {
    /// The end of `before`, which the file begins with.
    fn after(path: &Path, before: &str) -> Place {
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let line = before.matches('\n').count() + 1;
        Place { path: path.to_owned(), line, column: before[line_start..].chars().count() + 1 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path.display(), self.line, self.column)
    }
}

/// One thing that is wrong with a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where, if it stands in a file.
    pub place: Option<Place>,
    /// What was expected, and what was found.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// Why a config is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A file, or the folder beside it, cannot be read.
    #[error("cannot read the config {}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Files that say what cannot be.
    #[error("{}", .0.iter().map(Mistake::to_string).collect::<Vec<_>>().join("\n"))]
    Refused(Vec<Mistake>),
}

impl Settings {
    /// Reads the file at `path`, and those in `conf.d` beside it.
    ///
    /// # Errors
    /// [`SettingsError::Read`].
    pub fn read(path: &Path) -> Result<Settings, SettingsError> {
        let mut settings = Settings { files: Vec::new(), passed_over: Vec::new() };
        settings.add(path.to_owned())?;
        let folder = settings.folder().join(FOLDER);
        let unreadable = |source| SettingsError::Read { path: folder.clone(), source };
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(settings),
            entries => entries.map_err(unreadable)?,
        };
        let mut paths = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| SettingsError::Read { path: folder.clone(), source })?;
        paths.sort();
        for path in paths {
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if path.extension().is_some_and(|extension| extension == SUFFIX) && !hidden {
                settings.add(path)?;
            } else {
                settings.passed_over.push(path);
            }
        }
        Ok(settings)
    }

    fn add(&mut self, path: PathBuf) -> Result<(), SettingsError> {
        let bytes = fs::read(&path).map_err(|source| SettingsError::Read { path: path.clone(), source })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let place = Place::after(&path, &String::from_utf8_lossy(before));
            SettingsError::Refused(vec![Mistake {
                place: Some(place),
                what: "expected UTF-8, found other bytes".into(),
            }])
        })?;
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text);
        // One further, so that the end of a file is another place than the beginning of the next.
        let start = self.files.last().map_or(0, |last| last.padded.len() + 1);
        self.files.push(SettingsFile { path, start, padded: format!("{}{text}", " ".repeat(start)) });
        Ok(())
    }

    /// The files, in the order in which they are read.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// What stands in `conf.d` and is not read.
    pub fn passed_over(&self) -> &[PathBuf] {
        &self.passed_over
    }

    /// What relative paths are relative to.
    pub fn folder(&self) -> &Path {
        self.files[0].path.parent().unwrap_or(Path::new(""))
    }

    /// All that the files say, as a `T`.
    ///
    /// # Errors
    /// [`SettingsError::Refused`], with at most one mistake of each section beside those of the TOML itself.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        let (all, mut mistakes) = self.merged();
        let mut table = all.clone();
        let end = self.files.last().map_or(0, |last| last.padded.len());
        loop {
            let whole = Spanned::new(0..end, table.clone());
            let error = match T::deserialize(Deserializer::from(whole)) {
                Ok(parsed) if mistakes.is_empty() => return Ok(parsed),
                Ok(_) => return Err(SettingsError::Refused(mistakes)),
                Err(error) => error,
            };
            let path = |table| error.span().and_then(|span| path_to(table, span.start));
            mistakes.push(self.mistake(path(&all).unwrap_or_default(), &error));
            // Without the section, the next try tells what else is wrong.
            if !path(&table).is_some_and(|path| remove(&mut table, &path)) {
                return Err(SettingsError::Refused(mistakes));
            }
        }
    }

    /// A mistake in what stands at `path`, which names keys and the numbers of elements; if there is nothing, in what
    /// should hold it.
    pub fn mistake_at(&self, path: &[&str], what: impl fmt::Display) -> Mistake {
        let (table, _) = self.merged();
        let place = span_of(&table, path).map(|at| self.place(at));
        Mistake { place, what: what.to_string() }
    }

    /// The tables of all files as one, and why some of it is missing there.
    fn merged(&self) -> (DeTable<'_>, Vec<Mistake>) {
        let (mut merged, mut mistakes) = (DeTable::new(), Vec::new());
        for file in &self.files {
            match DeTable::parse(&file.padded) {
                Ok(table) => self.merge(&mut merged, table.into_inner(), "", &mut mistakes),
                Err(error) => mistakes.push(self.mistake(Vec::new(), &error)),
            }
        }
        (merged, mistakes)
    }

    fn merge<'t>(&self, into: &mut DeTable<'t>, from: DeTable<'t>, above: &str, mistakes: &mut Vec<Mistake>) {
        for (key, value) in from {
            let path = format!("{above}{}", key.get_ref());
            let Some((kept_key, kept)) = into.get_key_value(key.get_ref().as_ref()) else {
                into.insert(key, value);
                continue;
            };
            let (first, second) = (self.place(kept_key.span().start), self.place(key.span().start));
            let is_section = above.is_empty() && are_tables(kept.get_ref()) && are_tables(value.get_ref());
            let kept = into.get_mut(key.get_ref().as_ref()).map(Spanned::get_mut);
            match (kept, value.into_inner()) {
                (Some(DeValue::Table(kept)), DeValue::Table(more)) => {
                    self.merge(kept, more, &format!("{path}."), mistakes);
                }
                (Some(DeValue::Array(kept)), DeValue::Array(more)) if is_section => {
                    more.into_iter().for_each(|element| kept.push(element));
                }
                _ => {
                    let what = format!("{path}: it stands in {first} too; expected it once, so remove one of them");
                    mistakes.push(Mistake { place: Some(second), what });
                }
            }
        }
    }

    fn mistake(&self, mut path: Vec<String>, error: &toml::de::Error) -> Mistake {
        let message = without_value(error.message());
        // The message names the key itself, and its table's others.
        if message.starts_with("unknown field") {
            path.pop();
        }
        let what = if path.is_empty() { message } else { format!("{}: {message}", joined(&path)) };
        Mistake { place: error.span().map(|span| self.place(span.start)), what }
    }

    fn place(&self, at: usize) -> Place {
        let file = self.files.iter().find(|file| at <= file.padded.len()).unwrap_or(&self.files[0]);
        Place::after(&file.path, file.padded.get(file.start..at.max(file.start)).unwrap_or_default())
    }
}

/// Whether a value is what `[[name]]` makes.
fn are_tables(value: &DeValue<'_>) -> bool {
    value.as_array().is_some_and(|array| array.iter().all(|element| element.get_ref().is_table()))
}

/// A message of serde's without the value that stood in the file, which it quotes behind the value's type.
fn without_value(message: &str) -> String {
    let quoted = ["invalid type: ", "invalid value: "].iter().find_map(|wrong| {
        let (found, expected) = message.strip_prefix(wrong)?.rsplit_once(", expected ")?;
        let of_type = found.split(['"', '`']).next().unwrap_or_default().trim_end();
        let of_type = if of_type == "string" { "a text" } else { of_type };
        Some(format!("{wrong}{of_type}, expected {expected}"))
    });
    quoted.unwrap_or_else(|| message.to_owned())
}

/// The keys and element numbers that lead to what stands at `at`.
fn path_to(table: &DeTable<'_>, at: usize) -> Option<Vec<String>> {
    table.iter().find_map(|(key, value)| {
        let below = match value.get_ref() {
            DeValue::Table(inner) => path_to(inner, at),
            DeValue::Array(elements) => elements.iter().enumerate().find_map(|(number, element)| {
                let inner = element.get_ref().as_table().and_then(|inner| path_to(inner, at));
                let own = || element.span().contains(&at).then(Vec::new);
                inner.or_else(own).map(|path| prefixed(number, path))
            }),
            _ => None,
        };
        let own = || (value.span().contains(&at) || key.span().contains(&at)).then(Vec::new);
        below.or_else(own).map(|path| prefixed(key.get_ref(), path))
    })
}

fn prefixed(first: impl fmt::Display, path: Vec<String>) -> Vec<String> {
    std::iter::once(first.to_string()).chain(path).collect()
}

/// `["listen", "1", "rights"]` as people write it.
fn joined(path: &[String]) -> String {
    let mut text = String::new();
    for step in path {
        match step.parse::<usize>() {
            Ok(number) => text += &format!("[{number}]"),
            Err(_) if text.is_empty() => text += step,
            Err(_) => text += &format!(".{step}"),
        }
    }
    text
}

/// Where the last thing stands that `path` leads to.
fn span_of(table: &DeTable<'_>, path: &[&str]) -> Option<usize> {
    let (first, rest) = path.split_first()?;
    let (key, mut value) = table.get_key_value(*first)?;
    let (mut found, mut rest) = (key.span().start, rest);
    if let (Some(array), Some((number, deeper))) = (value.get_ref().as_array(), rest.split_first()) {
        value = number.parse().ok().and_then(|number: usize| array.get(number))?;
        (found, rest) = (value.span().start, deeper);
    }
    let inner = value.get_ref().as_table().and_then(|inner| span_of(inner, rest));
    Some(inner.unwrap_or(found))
}

/// Removes the section that `path` leads into. Says whether there was one.
fn remove<'t>(table: &mut DeTable<'t>, path: &[String]) -> bool {
    let Some(first) = path.first() else { return false };
    let number = path.get(1).and_then(|number| number.parse::<usize>().ok());
    match (table.get_mut(first.as_str()).map(Spanned::get_mut), number) {
        (Some(DeValue::Array(elements)), Some(number)) if number < elements.len() => {
            let mut kept: DeArray<'t> = DeArray::new();
            let others = elements.iter().enumerate().filter(|(at, _)| *at != number);
            others.for_each(|(_, element)| kept.push(element.clone()));
            *elements = kept;
            true
        }
        _ => table.remove(first.as_str()).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct File {
        data: Option<String>,
        count: u32,
        limits: Limits,
        feed: Vec<Feed>,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Limits {
        a: u32,
        b: u32,
        share: BTreeMap<String, f64>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Feed {
        name: String,
        #[serde(default)]
        rights: Vec<u8>,
    }

    /// Parses `main` and these files of `conf.d`; paths in messages are relative.
    fn parse(main: &str, others: &[(&str, &str)]) -> Result<File, String> {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(FOLDER)).unwrap();
        fs::write(folder.path().join("main.toml"), main).unwrap();
        for (name, text) in others {
            fs::write(folder.path().join(FOLDER).join(name), text).unwrap();
        }
        let settings = Settings::read(&folder.path().join("main.toml")).unwrap();
        let prefix = format!("{}/", folder.path().display());
        settings.parse().map_err(|error| error.to_string().replace(&prefix, ""))
    }

    #[test]
    fn files_add_up_in_the_order_of_their_names() {
        let others = [
            ("20-b.toml", "[[feed]]\nname = 'c'\n[limits.share]\ny = 2.0\n"),
            ("10-a.toml", "feed = [{ name = 'b' }]\ndata = 'd'\n[limits]\nb = 2\n"),
            (".hidden.toml", "nonsense"),
            ("readme.txt", "nonsense"),
        ];
        let parsed = parse("[[feed]]\nname = 'a'\n[limits]\na = 1\nshare = { x = 1 }\n", &others).unwrap();
        let names: Vec<&str> = parsed.feed.iter().map(|feed| feed.name.as_str()).collect();
        assert_eq!((names, parsed.data.as_deref()), (vec!["a", "b", "c"], Some("d")));
        assert_eq!((parsed.limits.a, parsed.limits.b, parsed.limits.share.len()), (1, 2, 2));
    }

    #[test]
    fn a_key_that_is_said_twice_names_both_places() {
        let twice = parse("data = 'x'\n[limits]\na = 1\n", &[("a.toml", "\n[limits]\nb = 1\n  a = 1\n")]).unwrap_err();
        let expected =
            "conf.d/a.toml:4:3: limits.a: it stands in main.toml:3:1 too; expected it once, so remove one of them";
        assert_eq!(twice, expected);
        // A section that is none in one of the files is no section.
        let other = parse("feed = [1]", &[("a.toml", "[[feed]]\nname = 'a'\n")]).unwrap_err();
        assert!(other.starts_with("conf.d/a.toml:1:3: feed: it stands in main.toml:1:1 too"), "{other}");
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let main = "count = 'secret'\n[[feed]]\nname = 'a'\nrights = [1, 'secret']\n\n[limits]\n  c = 1\n";
        let other = "[[feed]]\nrights = []\n\n[[feed]]\nname = 'c'\nnam = 'd'\n";
        let mistakes = parse(main, &[("a.toml", other), ("b.toml", "x =\n"), ("c.toml", "y = 1")]).unwrap_err();
        let mut lines: Vec<&str> = mistakes.lines().collect();
        lines.sort_unstable();
        let expected = [
            "conf.d/a.toml:1:1: feed[1]: missing field `name`",
            "conf.d/a.toml:6:1: feed[2]: unknown field `nam`, expected `name` or `rights`",
            "conf.d/b.toml:1:4: string values must be quoted, expected literal string",
            "conf.d/c.toml:1:1: unknown field `y`, expected one of `data`, `count`, `limits`, `feed`",
            "main.toml:1:9: count: invalid type: a text, expected u32",
            "main.toml:4:14: feed[0].rights[1]: invalid type: a text, expected u8",
            "main.toml:7:3: limits: unknown field `c`, expected one of `a`, `b`, `share`",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn no_message_holds_a_value() {
        for (main, expected) in [
            ("data = 271828", "main.toml:1:8: data: invalid type: integer, expected a string"),
            ("data = 2.71828", "main.toml:1:8: data: invalid type: floating point, expected a string"),
            ("count = -271828", "main.toml:1:9: count: invalid value: integer, expected u32"),
            ("count = 'a\\\", expected 271828'", "main.toml:1:9: count: invalid type: a text, expected u32"),
            ("limits = 271828", "main.toml:1:10: limits: invalid type: integer, expected struct Limits"),
        ] {
            assert_eq!(parse(main, &[]).unwrap_err(), expected);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_told_with_their_place() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("main.toml");
        fs::write(&main, b"count = 1\ndata = 'caf\xe9'\n").unwrap();
        let error = Settings::read(&main).unwrap_err().to_string();
        assert!(error.ends_with("main.toml:2:12: expected UTF-8, found other bytes"), "{error}");
    }

    #[test]
    fn a_byte_order_mark_begins_a_file_or_none() {
        let parsed = parse("\u{feff}count = 1\n", &[("a.toml", "\u{feff}data = 'd'\n")]).unwrap();
        assert_eq!((parsed.count, parsed.data.as_deref()), (1, Some("d")));
        let error = parse("\u{feff}cuont = 1\n", &[]).unwrap_err();
        assert!(error.starts_with("main.toml:1:1: unknown field `cuont`"), "{error}");
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("main.toml");
        assert!(matches!(Settings::read(&main), Err(SettingsError::Read { path, .. }) if path == main));
        fs::write(&main, "").unwrap();
        let other = folder.path().join("conf.d/a.toml");
        fs::create_dir_all(&other).unwrap();
        assert!(matches!(Settings::read(&main), Err(SettingsError::Read { path, .. }) if path == other));
    }

    #[test]
    fn the_place_of_a_key_is_found_or_that_of_what_should_hold_it() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("main.toml");
        fs::write(&main, "[limits]\nw = { b = 1 }\n\n[[feed]]\nname = 'a'\n[[feed]]\nname = 'b'\n").unwrap();
        let settings = Settings::read(&main).unwrap();
        let place = |path: &[&str]| settings.mistake_at(path, "").place.map(|place| (place.line, place.column));
        assert_eq!(place(&["limits", "w", "b"]), Some((2, 7)));
        assert_eq!(place(&["limits", "w", "c"]), Some((2, 1)));
        assert_eq!(place(&["feed", "1", "name"]), Some((7, 1)));
        assert_eq!(place(&["feed", "1", "list"]), Some((6, 1)));
        assert_eq!(place(&["gate"]), None);
    }

    proptest! {
        #[test]
        fn however_keys_are_spread_over_files_they_mean_the_same(files in proptest::collection::vec(0..4usize, 7)) {
            let keys = ["data = 'd'", "count = 3", "limits.a = 1", "limits.b = 2", "limits.share.x = 0.5",
                "limits.share.y = 1.5", "feed = [{ name = 'a', rights = [1] }]"];
            let text = |file: usize| -> String {
                files.iter().zip(keys).filter(|(of, _)| **of == file).map(|(_, key)| format!("{key}\n")).collect()
            };
            let others = [("a.toml", &*text(1)), ("b.toml", &*text(2)), ("c.toml", &*text(3))];
            prop_assert_eq!(parse(&text(0), &others), parse(&keys.join("\n"), &[]));
        }
    }
}
