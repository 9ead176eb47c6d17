//! Attributes: what a list says of an entry beside its fingerprints, category and flags. They are kept for those who
//! must explain a match, and never looked at to decide one.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// Attributes by name: `name`, `size`, `series` …, those of [`Attribute::name`] where a list file has them.
pub type Attributes = BTreeMap<String, String>;

/// An attribute that list files have, under the same name whatever their format. The discriminant is its code in
/// records files, and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Attribute {
    /// The file's name, with its path where the list gives both in one.
    Name = 1,
    /// The file's folder, where the list gives it apart from the name.
    Path = 2,
    /// The file's size in bytes.
    Size = 3,
    /// The content's type, as IANA registers them (`image/jpeg`).
    Mime = 4,
    /// What sort of medium it is, in the list's words (`Image`, `Video`).
    MediaType = 5,
    /// The source's own number of the medium. It may repeat.
    MediaId = 6,
    /// The series that the medium belongs to.
    Series = 7,
    /// Words that the source gave the medium.
    Tags = 8,
    /// The source's code of the product that the file belongs to.
    Product = 9,
    /// The source's code of the operating system that the product is for.
    OperatingSystem = 10,
    /// How often the medium was handed in.
    Submissions = 11,
    /// The set of hashes within the list that the entry belongs to.
    HashSet = 12,
    /// What else the source says of it, in words.
    Comment = 13,
}

impl Attribute {
    /// All, in the order of their codes.
    pub const ALL: [Attribute; 13] = [
        Attribute::Name,
        Attribute::Path,
        Attribute::Size,
        Attribute::Mime,
        Attribute::MediaType,
        Attribute::MediaId,
        Attribute::Series,
        Attribute::Tags,
        Attribute::Product,
        Attribute::OperatingSystem,
        Attribute::Submissions,
        Attribute::HashSet,
        Attribute::Comment,
    ];

    /// The name in answers and exports.
    pub const fn name(self) -> &'static str {
        match self {
            Attribute::Name => "name",
            Attribute::Path => "path",
            Attribute::Size => "size",
            Attribute::Mime => "mime",
            Attribute::MediaType => "media_type",
            Attribute::MediaId => "media_id",
            Attribute::Series => "series",
            Attribute::Tags => "tags",
            Attribute::Product => "product",
            Attribute::OperatingSystem => "operating_system",
            Attribute::Submissions => "submissions",
            Attribute::HashSet => "hash_set",
            Attribute::Comment => "comment",
        }
    }

    /// The code in records files.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The attribute with this code, if there is one.
    pub fn from_code(code: u8) -> Option<Attribute> {
        Attribute::ALL.get(usize::from(code.wrapping_sub(1))).copied()
    }
}

/// The attributes of one record in one buffer, which is used again for the next: bytes as they stand in the list, each
/// behind its attribute's code and its length as two little-endian bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedAttributes(Vec<u8>);

/// Bytes before a packed value.
const HEAD_BYTES: usize = 3;

impl PackedAttributes {
    /// A longer value is cut here, at the end of a character if it is UTF-8. No path is longer.
    pub const VALUE_BYTES_MAX: usize = 4096;

    /// A value that would make a record's attributes longer than this, packed, is left out.
    pub const BYTES_MAX: usize = 16 << 10;

    /// A record without attributes.
    pub const fn new() -> PackedAttributes {
        PackedAttributes(Vec::new())
    }

    /// Forgets the attributes and keeps the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds an attribute. An empty value says nothing and is left out; so is what is beyond the limits.
    #[inline]
    pub fn push(&mut self, attribute: Attribute, value: &[u8]) {
        let value = cut(value);
        if value.is_empty() || self.0.len() + HEAD_BYTES + value.len() > PackedAttributes::BYTES_MAX {
            return;
        }
        let [low, high] = (value.len() as u16).to_le_bytes();
        self.0.extend_from_slice(&[attribute.code(), low, high]);
        self.0.extend_from_slice(value);
    }

    /// Puts these in the place of all others.
    #[inline]
    pub fn set(&mut self, attributes: &[(Attribute, &[u8])]) -> &PackedAttributes {
        self.clear();
        attributes.iter().for_each(|(attribute, value)| self.push(*attribute, value));
        self
    }

    /// Packed.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The first value of an attribute.
    pub fn get(&self, attribute: Attribute) -> Option<&[u8]> {
        self.iter().find_map(|(found, value)| (found == attribute).then_some(value))
    }

    /// All, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (Attribute, &[u8])> {
        Packed(&self.0).map_while(Result::ok)
    }

    /// Refuses bytes that are no packed attributes.
    pub(crate) fn check(bytes: &[u8]) -> Result<(), BadAttributes> {
        Packed(bytes).try_for_each(|found| found.map(drop))
    }

    /// Packed attributes as text, the first of each name: UTF-8 where it can be and Latin-1 otherwise, since every byte
    /// is that. What is no attribute ends it.
    pub(crate) fn unpack(bytes: &[u8]) -> Attributes {
        let mut attributes = Attributes::new();
        for (attribute, value) in Packed(bytes).map_while(Result::ok) {
            attributes.entry(attribute.name().to_owned()).or_insert_with(|| text(value).into_owned());
        }
        attributes
    }
}

const _: () = assert!(PackedAttributes::BYTES_MAX <= u16::MAX as usize);

/// `value` up to the limit, without part of a character at the end.
#[inline]
fn cut(value: &[u8]) -> &[u8] {
    let most = PackedAttributes::VALUE_BYTES_MAX;
    if value.len() <= most {
        return value;
    }
    let is_within_character = |at: &usize| value[*at] & 0b1100_0000 == 0b1000_0000;
    &value[..(most - 3..=most).rev().find(|at| !is_within_character(at)).unwrap_or(most)]
}

/// Packed bytes that do not hold what they should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadAttributes;

/// Attributes in packed bytes, wherever those come from.
struct Packed<'a>(&'a [u8]);

impl<'a> Iterator for Packed<'a> {
    type Item = Result<(Attribute, &'a [u8]), BadAttributes>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = || {
            let (head, rest) = self.0.split_first_chunk::<HEAD_BYTES>()?;
            let (value, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([head[1], head[2]])))?;
            Some((Attribute::from_code(head[0])?, value, rest))
        };
        if self.0.is_empty() {
            return None;
        }
        let found = read();
        self.0 = found.map_or(&[], |(_, _, rest)| rest);
        Some(found.map(|(attribute, value, _)| (attribute, value)).ok_or(BadAttributes))
    }
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_reads_back(
            given in vec((0..Attribute::ALL.len(), vec(any::<u8>(), 0..40)), 0..20),
            cut in any::<proptest::sample::Index>(),
        ) {
            let mut packed = PackedAttributes::new();
            let given: Vec<_> = given.into_iter().map(|(index, value)| (Attribute::ALL[index], value)).collect();
            given.iter().for_each(|(attribute, value)| packed.push(*attribute, value));
            let kept: Vec<_> = given.into_iter().filter(|(_, value)| !value.is_empty()).collect();
            let read: Vec<_> = packed.iter().map(|(attribute, value)| (attribute, value.to_vec())).collect();
            prop_assert_eq!(&read, &kept);
            prop_assert_eq!(PackedAttributes::check(packed.as_bytes()), Ok(()));
            let names: BTreeSet<_> = kept.iter().map(|(attribute, _)| attribute.name()).collect();
            let unpacked = PackedAttributes::unpack(packed.as_bytes());
            prop_assert_eq!(unpacked.keys().map(String::as_str).collect::<BTreeSet<_>>(), names);
            // A part of it is refused, or is what the first attributes alone would be.
            let part = &packed.as_bytes()[..cut.index(packed.as_bytes().len() + 1)];
            let whole = kept.iter().scan(0, |at, (_, value)| { *at += HEAD_BYTES + value.len(); Some(*at) });
            let is_whole = part.is_empty() || whole.into_iter().any(|end| end == part.len());
            prop_assert_eq!(PackedAttributes::check(part).is_ok(), is_whole);
        }
    }

    #[test]
    fn limits_hold_and_characters_stay_whole() {
        let mut packed = PackedAttributes::new();
        packed.push(Attribute::Name, format!("{}é!", "x".repeat(PackedAttributes::VALUE_BYTES_MAX - 1)).as_bytes());
        assert_eq!(packed.get(Attribute::Name).unwrap(), "x".repeat(PackedAttributes::VALUE_BYTES_MAX - 1).as_bytes());
        (0..9).for_each(|_| packed.push(Attribute::Tags, &[b'y'; PackedAttributes::VALUE_BYTES_MAX]));
        assert!(packed.as_bytes().len() <= PackedAttributes::BYTES_MAX);
        packed.push(Attribute::Size, b"12");
        assert_eq!(PackedAttributes::unpack(packed.as_bytes())["size"], "12");
    }

    #[test]
    fn old_lists_are_latin_1() {
        let mut packed = PackedAttributes::new();
        packed.push(Attribute::Name, b"caf\xE9");
        packed.push(Attribute::Path, "café".as_bytes());
        let unpacked = PackedAttributes::unpack(packed.as_bytes());
        assert_eq!((&*unpacked["name"], &*unpacked["path"]), ("café", "café"));
    }

    #[test]
    fn codes_are_one_to_one() {
        assert!(Attribute::ALL.into_iter().all(|known| Attribute::from_code(known.code()) == Some(known)));
        assert_eq!((Attribute::from_code(0), Attribute::from_code(14)), (None, None));
    }
}
