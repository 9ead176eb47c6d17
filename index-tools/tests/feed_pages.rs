//! The parsers of feeds' pages: what was written as a page is read back, and no bytes whatever bring them down.

use std::fmt::Write as _;

use hashward::fingerprint::{Encoding, Fingerprint, Kind};
use hashward::list::{Category, Entry};
use hashward::store::command::Deleted;
use hashward_index::feeds::{Page, State, ncmec, stopncii, threatexchange};
use hashward_index::formats::FormatError;
use proptest::prelude::*;

type Parser = fn(&[u8], &mut Page) -> Result<(), FormatError>;

/// A made-up record: what it says, and whether it is still said.
#[derive(Clone, Debug)]
struct Made {
    member: u16,
    id: String,
    /// At least one, of different kinds.
    values: Vec<(Kind, Vec<u8>)>,
    category: Option<String>,
    seconds: i64,
    is_gone: bool,
    is_video: bool,
}

/// Text without blanks at its ends, with what XML and JSON must escape.
fn text() -> impl Strategy<Value = String> {
    "[!-~éß]([ -~é]{0,8}[!-~ß])?"
}

fn value(kind: Kind) -> impl Strategy<Value = (Kind, Vec<u8>)> {
    proptest::collection::vec(any::<u8>(), kind.width()).prop_map(move |value| (kind, value))
}

fn made() -> impl Strategy<Value = Made> {
    let values = (value(Kind::Md5), value(Kind::Sha1), value(Kind::Pdq), value(Kind::PhotoDna));
    let values = values.prop_flat_map(|(md5, sha1, pdq, photodna)| {
        proptest::sample::subsequence(vec![md5, sha1, pdq, photodna], 1..=4)
    });
    let category = proptest::option::of(text());
    (any::<u16>(), text(), values, category, 0..4_000_000_000i64, any::<bool>(), any::<bool>()).prop_map(
        |(member, id, values, category, seconds, is_gone, is_video)| Made {
            member,
            id,
            values,
            category,
            seconds,
            is_gone,
            is_video,
        },
    )
}

fn pages() -> impl Strategy<Value = Vec<Made>> {
    proptest::collection::vec(made(), 0..8)
}

fn hex(value: &[u8], upper: bool) -> String {
    let hex = Encoding::Hex.encode(value);
    if upper { hex.to_uppercase() } else { hex }
}

fn fingerprints(values: &[(Kind, Vec<u8>)]) -> Vec<Fingerprint> {
    values.iter().map(|(kind, value)| Fingerprint::new(*kind, value).unwrap()).collect()
}

fn state(source_id: String, made: &Made, values: &[(Kind, Vec<u8>)], scheme: Option<&str>) -> State {
    let changed_at = Some(made.seconds * 1_000);
    if made.is_gone {
        return State::Gone(Deleted { source_id, changed_at });
    }
    let category = made.category.as_deref().filter(|_| scheme.is_some()).map(|code| Category::new(scheme, code));
    let fingerprints = fingerprints(values);
    State::Says(Entry { source_id, fingerprints, category, changed_at, ..Entry::default() })
}

/// The states of a page, without what is only kept beside.
fn read(parser: Parser, text: &str) -> Page {
    let mut page = Page::default();
    parser(text.as_bytes(), &mut page).unwrap_or_else(|error| panic!("{error} in {text}"));
    for state in &mut page.states {
        if let State::Says(entry) = state {
            entry.attributes.clear();
        }
    }
    page
}

fn iso(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400);
    let second = seconds.rem_euclid(86_400);
    // Count the years and months off: slow, and so unlike the code under test.
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let (mut year, mut left) = (1970, days);
    while left >= 365 + i64::from(leap(year)) {
        left -= 365 + i64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while left >= lengths[month] {
        left -= lengths[month];
        month += 1;
    }
    let (month, day) = (month + 1, left + 1);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

fn ncmec_page(page: &[Made], next: Option<&str>) -> String {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&#62;");
    let mut text = "<?xml version=\"1.0\"?><n:queryResult xmlns:n='x'><!-- c --><n:images>".to_owned();
    for made in page {
        let name = match (made.is_video, made.is_gone) {
            (false, false) => "image",
            (true, false) => "video",
            (false, true) => "deletedImage",
            (true, true) => "deletedVideo",
        };
        let (member, id, time) = (made.member, escape(&made.id), iso(made.seconds));
        write!(text, "<n:{name}>\n<timestamp> {time}\n</timestamp><id>{id}</id><member id=\"{member}\"/>").unwrap();
        if !made.is_gone {
            text.push_str("<fingerprints><netclean>x</netclean>");
            for (at, (kind, value)) in made.values.iter().enumerate() {
                let (name, value) = match kind {
                    Kind::PhotoDna => ("pdna", Encoding::Base64.encode(value)),
                    kind => (kind.name(), hex(value, at % 2 == 1)),
                };
                write!(text, "<{name}>{value}</{name}>").unwrap();
            }
            text.push_str("</fingerprints><feedback><md5>not read</md5><id>nor this</id></feedback>");
            if let Some(category) = &made.category {
                write!(text, "<classification>{}</classification>", escape(category)).unwrap();
            }
        }
        write!(text, "</n:{name}>").unwrap();
    }
    text.push_str("</n:images>");
    if let Some(next) = next {
        write!(text, "<paging><next>{}</next></paging>", escape(next)).unwrap();
    }
    text + "</n:queryResult>"
}

/// Signals and types with the kinds that they are of.
const SIGNALS: [(&str, Kind); 3] = [("ImagePDQ", Kind::Pdq), ("VideoMD5", Kind::Md5), ("ImageSHA1", Kind::Sha1)];
const TYPES: [(&str, Kind); 3] = [("HASH_PDQ", Kind::Pdq), ("HASH_VIDEO_MD5", Kind::Md5), ("HASH_SHA1", Kind::Sha1)];

/// The record's value of a kind that has a name here.
fn named(made: &Made, names: &[(&'static str, Kind)]) -> Option<(&'static str, (Kind, Vec<u8>))> {
    let mut values = made.values.iter();
    values.find_map(|value| Some((names.iter().find(|(_, kind)| *kind == value.0)?.0, value.clone())))
}

/// An object with its members in some order.
fn object(mut members: Vec<String>, turn: usize) -> String {
    let turn = turn % members.len();
    members.rotate_left(turn);
    format!("{{{}}}", members.join(" , "))
}

fn stopncii_page(page: &[Made], next: Option<&str>) -> (String, Vec<State>) {
    let (mut records, mut states) = (Vec::new(), Vec::new());
    for (at, made) in page.iter().enumerate() {
        let Some((signal, (kind, value))) = named(made, &SIGNALS) else { continue };
        let status = if !made.is_gone { "Active" } else { ["Withdrawn", "Deleted", "Received"][at % 3] };
        let time = if made.is_video { format!("\"{}\"", made.seconds) } else { made.seconds.to_string() };
        records.push(object(
            vec![
                format!("\"lastModtimestamp\": {time}"),
                format!("\"signalType\": \"{signal}\""),
                format!("\"hashValue\": \"{}\"", hex(&value, made.is_video)),
                format!("\"hashStatus\": \"{status}\""),
                format!("\"caseNumbers\": {{{}: [1, {{}}]}}", serde_json::json!(made.id)),
            ],
            at,
        ));
        states.push(state(format!("{signal}:{}", hex(&value, false)), made, &[(kind, value)], None));
    }
    let members = vec![
        format!("\"hashRecords\": [{}]", records.join(",\n")),
        format!("\"nextPageToken\": {}", serde_json::json!(next.unwrap_or_default())),
        format!("\"hasMoreRecords\": {}", next.is_some()),
        "\"nextSetTimestamp\": 7".to_owned(),
    ];
    (object(members, page.len()), states)
}

fn threatexchange_page(page: &[Made], next: Option<&str>) -> (String, Vec<State>) {
    let (mut records, mut states) = (Vec::new(), Vec::new());
    for (at, made) in page.iter().enumerate() {
        let Some((name, (kind, value))) = named(made, &TYPES) else { continue };
        // Gone is what is marked so, and what no descriptor speaks of.
        let status = serde_json::json!(made.category.as_deref().unwrap_or_default());
        let descriptors = match (made.is_gone, made.is_video) {
            (true, true) => "{\"data\": []}".to_owned(),
            _ => format!("{{\"data\": [{{\"tags\": {{\"data\": []}}, \"status\": {status}}}, {{}}]}}"),
        };
        records.push(object(
            vec![
                format!("\"indicator\": \"{}\"", hex(&value, made.is_video)),
                format!("\"type\": \"{name}\""),
                format!("\"last_updated\": {}", made.seconds),
                format!("\"should_delete\": {}", made.is_gone && !made.is_video),
                format!("\"descriptors\": {descriptors}"),
            ],
            at,
        ));
        states.push(state(format!("{name}:{}", hex(&value, false)), made, &[(kind, value)], Some("threatexchange")));
    }
    let paging = next.map_or("{}".to_owned(), |next| format!("{{\"next\": {}}}", serde_json::json!(next)));
    let members = vec![format!("\"data\": [{}]", records.join(", ")), format!("\"paging\": {paging}")];
    (object(members, page.len()), states)
}

/// Whatever precedes a page's end is read, and that it ends too early is noticed.
fn check_cut(parser: Parser, text: &str, states: &[State], cut: usize) {
    let mut page = Page::default();
    assert!(parser(&text.as_bytes()[..cut % text.len()], &mut page).is_err());
    assert!(page.states.len() <= states.len() && page.rejected.is_empty());
    for (read, made) in page.states.iter().zip(states) {
        assert_eq!((read.source_id(), read.changed_at()), (made.source_id(), made.changed_at()));
    }
}

proptest! {
    #[test]
    fn ncmec_pages_are_read_as_they_are_written(made in pages(), next in proptest::option::of(text()), cut: usize) {
        let text = ncmec_page(&made, next.as_deref());
        let states: Vec<State> = made.iter()
            .map(|made| state(format!("{}/{}", made.member, made.id), made, &made.values, Some("ncmec")))
            .collect();
        let page = read(ncmec::read_page, &text);
        prop_assert_eq!(&page.states, &states);
        prop_assert_eq!(page.next, next);
        prop_assert_eq!(page.records, made.len() as u64);
        let says = made.iter().filter(|made| !made.is_gone).count() as u64;
        prop_assert_eq!(page.unsupported.get("netclean").copied().unwrap_or(0), says);
        check_cut(ncmec::read_page, &text, &states, cut);
    }

    #[test]
    fn stopncii_pages_are_read_as_they_are_written(made in pages(), next in proptest::option::of(text()), cut: usize) {
        let (text, states) = stopncii_page(&made, next.as_deref());
        let page = read(stopncii::read_page, &text);
        prop_assert_eq!(&page.states, &states);
        prop_assert_eq!((page.next, page.reached), (next, Some(7)));
        check_cut(stopncii::read_page, &text, &states, cut);
    }

    #[test]
    fn threatexchange_pages_are_read_as_they_are_written(
        made in pages(), next in proptest::option::of(text()), cut: usize,
    ) {
        let (text, states) = threatexchange_page(&made, next.as_deref());
        let page = read(threatexchange::read_page, &text);
        prop_assert_eq!(&page.states, &states);
        prop_assert_eq!(page.next, next);
        prop_assert_eq!(page.reached, states.iter().filter_map(State::changed_at).max().map(|at| at / 1_000));
        check_cut(threatexchange::read_page, &text, &states, cut);
    }

    #[test]
    fn damaged_pages_bring_nothing_down(made in pages(), damage: Vec<(usize, u8)>, noise: Vec<u8>) {
        let texts = [
            ncmec_page(&made, None), stopncii_page(&made, None).0, threatexchange_page(&made, Some("x")).0,
        ];
        let parsers: [Parser; 3] = [ncmec::read_page, stopncii::read_page, threatexchange::read_page];
        for parser in parsers {
            for text in &texts {
                let mut bytes = text.clone().into_bytes();
                for (at, byte) in &damage {
                    let at = at % bytes.len();
                    bytes[at] = *byte;
                }
                let mut page = Page::default();
                let _ = parser(&bytes, &mut page);
                prop_assert!(page.states.len() as u64 <= page.records);
            }
            let _ = parser(&noise, &mut Page::default());
        }
    }
}

/// The reasons of the rejected records of a page.
fn reasons(parser: Parser, text: &str) -> Vec<&'static str> {
    let page = read(parser, text);
    assert!(page.states.is_empty(), "{:?}", page.states);
    assert!(page.rejected.iter().all(|rejected| rejected.detail.contains("expected")), "{:?}", page.rejected);
    page.rejected.iter().map(|rejected| rejected.reason).collect()
}

#[test]
fn bad_records_say_what_is_wrong() {
    let md5 = "0123456789abcdef0123456789abcdef";
    let long = "x".repeat(600);
    let whole = format!("<timestamp>2024-01-01T00:00:00Z</timestamp><fingerprints><md5>{md5}</md5>");
    let records: [(String, &str); 10] = [
        (String::new(), "missing-id"),
        ("<member id='1'/><id>1</id>".into(), "bad-timestamp"),
        ("<member id='1'/><id>1</id><timestamp>yesterday</timestamp>".into(), "bad-timestamp"),
        (format!("<member id='1'/><id>{long}</id>"), "bad-id"),
        ("<member id='1'/><id>1</id><timestamp>2024-01-01T00:00:00Z</timestamp>".into(), "missing-hash"),
        (
            format!(
                "<member id='1'/><id>1</id><timestamp>2024-01-01T00:00:00Z</timestamp>\
                 <classification>{long}</classification><fingerprints><md5>{md5}</md5></fingerprints>"
            ),
            "too-long",
        ),
        (
            "<member id='1'/><id>1</id><timestamp>2024-01-01T00:00:00Z</timestamp>\
             <fingerprints><pdna>!</pdna></fingerprints>"
                .into(),
            "wrong-length",
        ),
        // Beside a fingerprint that can be read, one that cannot is not passed over.
        (format!("<member id='1'/><id>1</id>{whole}<pdq href=/v2/entries/></fingerprints>"), "bad-attribute"),
        (format!("<member id='1'/><id>1</id>{whole}<pdq href='&none;'/></fingerprints>"), "bad-attribute"),
        (format!("<member id='1'/><id>1</id>{whole}<sha1>{md5}<x/>01234567</sha1></fingerprints>"), "nested"),
    ];
    for (record, reason) in records {
        let text = format!("<queryResult><image>{record}</image></queryResult>");
        assert_eq!(reasons(ncmec::read_page, &text), [reason], "{record}");
    }
    let text = format!(
        "{{\"hashRecords\": [1, {{}}, {{\"signalType\": \"VideoMD5\"}}, \
         {{\"signalType\": \"VideoMD5\", \"hashValue\": \"{md5}\"}}, \
         {{\"signalType\": \"VideoMD5\", \"hashValue\": \"{md5}\", \"lastModtimestamp\": 1}}, \
         {{\"signalType\": \"VideoMD5\", \"hashValue\": \"{md5}\", \"lastModtimestamp\": 1, \"hashStatus\": \"New\"}}, \
         {{\"signalType\": \"VideoMD5\", \"hashValue\": \"xyz\", \"lastModtimestamp\": 1, \"hashStatus\": \"Active\"}}]}}"
    );
    let expected =
        ["wrong-type", "missing-id", "missing-hash", "bad-timestamp", "bad-status", "bad-status", "wrong-length"];
    assert_eq!(reasons(stopncii::read_page, &text), expected);
    let text = format!(
        "{{\"data\": [[], {{}}, {{\"type\": \"HASH_MD5\"}}, {{\"type\": \"HASH_MD5\", \"indicator\": \"{md5}\"}}]}}"
    );
    let expected = ["wrong-type", "missing-id", "missing-hash", "bad-timestamp"];
    assert_eq!(reasons(threatexchange::read_page, &text), expected);
}

#[test]
fn what_is_no_page_is_refused() {
    let refused: [(Parser, &str, &str); 9] = [
        (ncmec::read_page, "", "found nothing"),
        (ncmec::read_page, "<html><body>Log in</body></html>", "a root element `html`"),
        (ncmec::read_page, "<!DOCTYPE x [<!ENTITY a 'b'>]><queryResult/>", "declares no entities"),
        (stopncii::read_page, "[]", "an array `hashRecords`"),
        (stopncii::read_page, "{\"error\": 1}", "an object without it"),
        (stopncii::read_page, "{\"hashRecords\": [], \"hasMoreRecords\": true}", "no `nextPageToken`"),
        (stopncii::read_page, "", "an array `hashRecords`"),
        (threatexchange::read_page, "{\"error\": {\"message\": \"x\"}}", "an object without it"),
        (threatexchange::read_page, "{\"data\": [", "the end of the file"),
    ];
    for (parser, text, expected) in refused {
        let error = parser(text.as_bytes(), &mut Page::default()).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_page_holds_so_many_records_and_no_more() {
    let text = format!("{{\"hashRecords\": [{}0]}}", "0,".repeat(100_000));
    let mut page = Page::default();
    let error = stopncii::read_page(text.as_bytes(), &mut page).unwrap_err().to_string();
    assert!(error.contains("at most 100000 records"), "{error}");
    assert_eq!(page.rejected.len(), 100_000);
}

#[test]
fn the_gravest_of_several_words_counts() {
    let md5 = "0123456789abcdef0123456789abcdef";
    for (statuses, category) in [
        (&["NON_MALICIOUS", "SUSPICIOUS", "MALICIOUS"][..], "MALICIOUS"),
        (&["NON_MALICIOUS", "UNKNOWN"], "UNKNOWN"),
        (&["NON_MALICIOUS", "NEW_WORD"], "NEW_WORD"),
    ] {
        let descriptors: Vec<String> = statuses.iter().map(|status| format!("{{\"status\": \"{status}\"}}")).collect();
        let text = format!(
            "{{\"data\": [{{\"type\": \"HASH_MD5\", \"indicator\": \"{md5}\", \"last_updated\": 1, \
             \"descriptors\": {{\"data\": [{}]}}}}]}}",
            descriptors.join(",")
        );
        let mut page = Page::default();
        threatexchange::read_page(text.as_bytes(), &mut page).unwrap();
        let [State::Says(entry)] = &page.states[..] else { panic!("{:?}", page.states) };
        assert_eq!(entry.category, Some(Category::new(Some("threatexchange"), category)));
        assert_eq!(entry.attributes["statuses"].split(", ").count(), statuses.len());
    }
}
