//! What each format says of a record beside its fingerprints, under the same names in all of them.

use std::collections::BTreeMap;

use hashward::fingerprint::Kind;
use hashward_index::formats::{Format, ParseOptions, Record, Rejected, Sink, SinkError};

/// Keeps the attributes of each record, the first of each name.
#[derive(Default)]
struct Attributes(Vec<BTreeMap<&'static str, String>>);

impl Sink for Attributes {
    fn record(&mut self, record: &Record<'_>) -> Result<(), SinkError> {
        let mut kept = BTreeMap::new();
        for (attribute, value) in record.attributes.iter() {
            kept.entry(attribute.name()).or_insert_with(|| String::from_utf8_lossy(value).into_owned());
        }
        self.0.push(kept);
        Ok(())
    }

    fn rejected(&mut self, rejected: Rejected) -> Result<(), SinkError> {
        panic!("{rejected:?}")
    }

    fn unsupported(&mut self, name: &str) {
        panic!("{name}")
    }
}

const MD5: &str = "900150983cd24fb0d6963f7d28e17f72";

/// The records of `list`, in which `$` stands for an MD5, have these attributes: `name=value` each.
#[track_caller]
fn check(format: Format, list: &str, expected: &[&[&'static str]]) {
    let options = ParseOptions { kind: Some(Kind::Md5), ..ParseOptions::default() };
    let mut found = Attributes::default();
    format.parse(&mut list.replace('$', MD5).as_bytes(), &options, &mut found).unwrap();
    let pairs = |record: &&[&'static str]| -> BTreeMap<_, _> {
        record.iter().map(|pair| pair.split_once('=').unwrap()).map(|(name, value)| (name, value.to_owned())).collect()
    };
    assert_eq!(found.0, expected.iter().map(pairs).collect::<Vec<_>>());
}

#[test]
fn sums_have_names() {
    check(Format::Sum, "$  a b.jpg\nMD5 (c) = $\n", &[&["name=a b.jpg"], &["name=c"]]);
    check(Format::Hex, "$\n", &[&[]]);
}

#[test]
fn hashdeep_has_sizes_and_names() {
    let header = "%%%% HASHDEEP-1.0\n%%%% size,md5,filename\n";
    check(Format::Hashdeep, &format!("{header}3,$,/a, b\n,$,c\n"), &[&["size=3", "name=/a, b"], &["name=c"]]);
}

#[test]
fn nsrl_has_sizes_products_and_systems() {
    let header = r#""SHA-1","MD5","CRC32","FileName","FileSize","ProductCode","OpSystemCode","SpecialCode""#;
    let row = r#""","$","0"," A.EXE","4096",1234,"WIN",""#;
    let all: &[&str] = &["name= A.EXE", "size=4096", "product=1234", "operating_system=WIN"];
    check(Format::NsrlV2, &format!("{header}\n{row}\"\n"), &[all]);
    check(Format::NsrlV2, "\"MD5\",\"FileName\"\n\"$\",\"a\"\n", &[&["name=a"]]);
}

#[test]
fn tables_name_their_attributes() {
    let list = "md5,Name,size,series,Tags,other\n$, a ,12 ,S-1,\"x, y\",z\n$,,,,,\n";
    check(Format::Csv, list, &[&["name= a ", "size=12", "series=S-1", "tags=x, y"], &[]]);
    check(Format::Tsv, "md5\tmime\n$\timage/png\n", &[&["mime=image/png"]]);
}

#[test]
fn vics_media_have_numbers_series_and_files() {
    let medium = r#"{"MediaID": 7, "MD5": "$", "MediaSize": "512", "MimeType": "image/jpeg", "Series": "S",
        "Tags": ["a", "b"], "Comments": null,
        "MediaFiles": [{"FileName": "x.jpg", "FilePath": "C:\\d", "MD5": "0"}, {"FileName": "y.jpg"}]}"#;
    let odd = r#"{"MediaID": {"a": 1}, "MD5": "$", "Tags": "t", "Series": ["s"], "MediaSize": true}"#;
    let list = |value: &str, fragment| {
        format!(r#"{{"odata.metadata": "http://x/2.0.xml/US#{fragment}", "value": [{value}]}}"#)
    };
    let kept: &[&str] =
        &["media_id=7", "size=512", "mime=image/jpeg", "series=S", "tags=a, b", "name=x.jpg", "path=C:\\d"];
    check(Format::Vics, &list(&format!("{medium},{odd}"), "Media"), &[kept, &["tags=t", "size=true"]]);
    check(Format::Vics, &list(&format!(r#"{{"Media": [{medium}]}}"#), "Cases"), &[kept]);
}

#[test]
fn icse_has_numbers_series_and_submissions() {
    let list = "MD5;Image ID;Is distributed;Series name;Number of submissions;Media Type;Baseline\n\
                $;50000;Y;Blue;3;image;Y\n$;50001\n";
    let whole: &[&str] = &["media_id=50000", "series=Blue", "submissions=3", "media_type=image"];
    check(Format::Icse, list, &[whole, &["media_id=50001"]]);
}

#[test]
fn clamav_has_signatures_and_sizes() {
    check(Format::Clamav, "$:68:Test.File\n$:*:Any:73\n", &[&["name=Test.File", "size=68"], &["name=Any"]]);
}

#[test]
fn hashkeeper_has_folders_sets_and_comments() {
    let list = "\"file_id\",\"hashset_id\",\"file_name\",\"directory\",\"hash\",\"file_size\",\"comments\"\n\
                1,7001,\"A.HLP\",\"C:\\S\",\"$\",504,\"seen\"\n";
    let all: &[&str] = &["name=A.HLP", "hash_set=7001", "path=C:\\S", "size=504", "comment=seen"];
    check(Format::Hashkeeper, list, &[all]);
}

#[test]
fn dfxml_objects_have_names_and_sizes() {
    let object = "<fileobject><filename>a/b</filename><filesize> 9 </filesize><hashdigest type='md5'>$</hashdigest>\
                  <byte_runs><byte_run><filesize>1</filesize></byte_run></byte_runs></fileobject>";
    check(Format::Dfxml, &format!("<dfxml>{object}</dfxml>"), &[&["name=a/b", "size=9"]]);
}

#[test]
fn links_have_names_and_sizes() {
    let ed2k = "ed2k://|file|two%20words.jpg|2891|$|/";
    let magnet = "magnet:?xt=urn:ed2k:$&dn=a+b&xl=77&dn.1=second";
    check(
        Format::P2p,
        &format!("{ed2k}\n{magnet}\nurn:ed2k:$\n"),
        &[&["name=two words.jpg", "size=2891"], &["name=a b", "size=77"], &[]],
    );
}

#[test]
fn stix_files_have_names_sizes_and_types() {
    let file = r#"{"type": "file", "hashes": {"MD5": "$"}, "name": "a.exe", "size": 12, "mime_type": "x/y"}"#;
    let odd = r#"{"type": "file", "hashes": {"MD5": "$"}, "name": 1, "size": "12", "mime_type": {}}"#;
    let list = format!(r#"{{"type": "bundle", "objects": [{file}, {odd}]}}"#);
    check(Format::Stix, &list, &[&["name=a.exe", "size=12", "mime=x/y"], &[]]);
}

#[test]
fn misp_objects_say_what_their_hashes_are_of() {
    let object = r#"{"name": "file", "Attribute": [
        {"type": "md5", "object_relation": "md5", "value": "$", "comment": "first"},
        {"type": "filename", "object_relation": "filename", "value": "a.doc"},
        {"type": "size-in-bytes", "object_relation": "size-in-bytes", "value": "99"},
        {"type": "text", "object_relation": "path", "value": "gone", "deleted": true}]}"#;
    let alone = r#"{"type": "filename|md5", "value": "b|$"}, {"type": "md5", "value": "$"}"#;
    let list = format!(r#"{{"Event": {{"Object": [{object}], "Attribute": [{alone}]}}}}"#);
    check(Format::Misp, &list, &[&["comment=first", "name=a.doc", "size=99"], &["name=b"], &[]]);
}
