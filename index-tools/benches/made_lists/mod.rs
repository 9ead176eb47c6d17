//! Made-up lists of any length, in every format: the same records for the same seed, at the speed of a disk. Values are random, names and sizes look like those of real lists, and every fifth row of an NSRL list names the
//! file of the row before, as there are rows for each product that a file belongs to.

use std::io::{self, Write};

use data_encoding::{BASE32_NOPAD, BASE64, Encoding, HEXLOWER, HEXUPPER};
use hashward_index::formats::Format;

#[path = "../../../benches/random/mod.rs"]
mod random;

use random::Random;

/// Bytes that gather before they are written.
const BUFFER_BYTES: usize = 1 << 20;

/// Writes a list of `records` records; where the format does not name a kind, the values are MD5 digests.
pub(crate) fn write_list(format: Format, records: u64, seed: u64, out: &mut dyn Write) -> io::Result<()> {
    if format == Format::NsrlV3 {
        return write_set(records, seed, out).map_err(io::Error::other);
    }
    let mut text = Text(Vec::with_capacity(BUFFER_BYTES + (1 << 16)));
    let Style { head, record, separator, tail } = style(format);
    text.0.extend(head(records));
    for number in 0..records {
        if number > 0 {
            text.add(separator);
        }
        record(&mut text, &mut Record::new(seed, number));
        if text.0.len() >= BUFFER_BYTES {
            out.write_all(&text.0)?;
            text.0.clear();
        }
    }
    text.add(tail);
    out.write_all(&text.0)?;
    out.flush()
}

/// How a format's lists are put together.
struct Style {
    head: fn(u64) -> Vec<u8>,
    record: fn(&mut Text, &mut Record),
    separator: &'static str,
    tail: &'static str,
}

const LINES: Style = Style { head: |_| Vec::new(), record: sum, separator: "", tail: "" };

fn style(format: Format) -> Style {
    match format {
        Format::Sum => LINES,
        Format::Hex => Style { record: hex, ..LINES },
        Format::Hashdeep => Style {
            head: |_| b"%%%% HASHDEEP-1.0\n%%%% size,md5,sha256,filename\n## Invoked from: /\n## \n".to_vec(),
            record: hashdeep,
            ..LINES
        },
        Format::Csv => Style { head: |_| b"md5,sha1,name,size,category\n".to_vec(), record: csv, ..LINES },
        Format::Tsv => Style { head: |_| b"md5\tsha1\tname\tsize\tcategory\n".to_vec(), record: tsv, ..LINES },
        Format::NsrlV2 => Style {
            head: |_| {
                let columns = "\"SHA-1\",\"MD5\",\"CRC32\",\"FileName\",\"FileSize\",\"ProductCode\",\"OpSystemCode\"";
                format!("{columns},\"SpecialCode\"\r\n").into_bytes()
            },
            record: nsrl,
            ..LINES
        },
        Format::Clamav => Style { record: clamav, ..LINES },
        Format::Hashkeeper => Style {
            head: |_| {
                let columns = "\"file_id\",\"hashset_id\",\"file_name\",\"directory\",\"hash\",\"file_size\"";
                format!("{columns},\"date_modified\",\"time_modified\",\"time_zone\",\"comments\"\r\n").into_bytes()
            },
            record: hashkeeper,
            ..LINES
        },
        Format::Icse => Style {
            head: |_| {
                let columns = "MD5;SHA1;PhotoDNA;Image ID;Is distributed;Victim identified;Offender identified";
                format!("{columns};Series name;Number of submissions;File Available;Media Type;Baseline\n").into_bytes()
            },
            record: icse,
            ..LINES
        },
        Format::P2p => Style { record: p2p, ..LINES },
        Format::Encase => Style { head: encase_head, record: encase, ..LINES },
        Format::Vics => Style {
            head: |_| {
                let context = "http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/US/$metadata#Media";
                format!("{{\"@odata.context\":\"{context}\",\"value\":[").into_bytes()
            },
            record: vics,
            separator: ",",
            tail: "]}",
        },
        Format::Caid => Style {
            head: |_| {
                let context = "http://github.com/ICMEC/ProjectVic/DataModels/1.2.xml#Media";
                format!("{{\"odata.metadata\":\"{context}\",\"value\":[").into_bytes()
            },
            record: caid,
            separator: ",",
            tail: "]}",
        },
        Format::Dfxml => Style {
            head: |_| b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<dfxml version=\"1.0\"><volume>\n".to_vec(),
            record: dfxml,
            separator: "",
            tail: "</volume></dfxml>\n",
        },
        Format::Stix => Style {
            head: |_| b"{\"type\":\"bundle\",\"id\":\"bundle--0fe38b72\",\"objects\":[".to_vec(),
            record: stix,
            separator: ",",
            tail: "]}",
        },
        Format::Misp => Style {
            head: |_| b"{\"Event\":{\"id\":\"1\",\"info\":\"made up\",\"Attribute\":[".to_vec(),
            record: misp,
            separator: ",",
            tail: "]}}",
        },
        Format::NsrlV3Delta => Style {
            head: |_| {
                let version = "UPDATE VERSION SET version='2', release_date='2024-06-01' WHERE version='1';";
                format!("BEGIN TRANSACTION;\n{version}\n").into_bytes()
            },
            record: delta,
            separator: "",
            tail: "COMMIT;\n",
        },
        other => panic!("nobody has said how {other} is written"),
    }
}

/// What the records of a list are made from.
struct Record {
    seed: u64,
    number: u64,
    values: Random,
    rest: Random,
}

impl Record {
    fn new(seed: u64, number: u64) -> Record {
        Record { seed, number, values: Random(seed ^ number << 20), rest: Random(!seed ^ number << 20) }
    }

    /// The values that come now are those of the record before.
    fn repeat(&mut self) {
        self.values = Random(self.seed ^ (self.number - 1) << 20);
    }

    fn value<const WIDTH: usize>(&mut self) -> [u8; WIDTH] {
        let mut value = [0; WIDTH];
        value.chunks_mut(8).for_each(|part| part.copy_from_slice(&self.values.next().to_le_bytes()[..part.len()]));
        value
    }

    fn number_below(&mut self, bound: u64) -> u64 {
        self.rest.next() % bound
    }
}

/// The text that was made and not written yet.
struct Text(Vec<u8>);

impl Text {
    fn add(&mut self, text: &str) -> &mut Text {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn encoded(&mut self, encoding: &Encoding, value: &[u8]) -> &mut Text {
        let at = self.0.len();
        self.0.resize(at + encoding.encode_len(value.len()), 0);
        encoding.encode_mut(value, &mut self.0[at..]);
        self
    }

    fn lower(&mut self, value: &[u8]) -> &mut Text {
        self.encoded(&HEXLOWER, value)
    }

    fn upper(&mut self, value: &[u8]) -> &mut Text {
        self.encoded(&HEXUPPER, value)
    }

    fn number(&mut self, mut number: u64) -> &mut Text {
        let mut digits = [b'0'; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.0.extend_from_slice(&digits[at..]);
        self
    }

    fn size(&mut self, record: &mut Record) -> &mut Text {
        let bits = record.number_below(32);
        let size = record.number_below(1 << bits.max(1));
        self.number(size)
    }

    fn name(&mut self, record: &mut Record) -> &mut Text {
        const STEMS: [&str; 8] = ["IMG_", "DSC", "readme, first ", "kernel32.", "icon-", "setup_", "photo ", "msvcrt"];
        const ENDS: [&str; 8] = [".jpg", ".png", ".dll", ".txt", ".gif", ".mp4", ".exe", ".ico"];
        self.add(STEMS[record.number_below(8) as usize]).number(record.number % 1_000_003);
        self.add(ENDS[record.number_below(8) as usize])
    }
}

fn sum(text: &mut Text, record: &mut Record) {
    text.lower(&record.value::<16>()).add("  photos/").name(record).add("\n");
}

fn hex(text: &mut Text, record: &mut Record) {
    text.lower(&record.value::<16>()).add("\n");
}

fn hashdeep(text: &mut Text, record: &mut Record) {
    text.size(record).add(",").lower(&record.value::<16>()).add(",").lower(&record.value::<32>());
    text.add(",/data/").name(record).add("\n");
}

fn csv(text: &mut Text, record: &mut Record) {
    text.lower(&record.value::<16>()).add(",").lower(&record.value::<20>()).add(",\"").name(record).add("\",");
    text.size(record).add(",").number(record.number_below(4)).add("\n");
}

fn tsv(text: &mut Text, record: &mut Record) {
    text.lower(&record.value::<16>()).add("\t").lower(&record.value::<20>()).add("\t").name(record).add("\t");
    text.size(record).add("\t").number(record.number_below(4)).add("\n");
}

fn nsrl(text: &mut Text, record: &mut Record) {
    if record.number.is_multiple_of(5) && record.number > 0 {
        record.repeat();
    }
    text.add("\"").upper(&record.value::<20>()).add("\",\"").upper(&record.value::<16>()).add("\",\"");
    text.upper(&record.value::<4>()).add("\",\"").name(record).add("\",").size(record).add(",");
    text.number(1 + record.number_below(9_999)).add(",\"362\",\"\"\r\n");
}

fn delta(text: &mut Text, record: &mut Record) {
    text.add("INSERT INTO FILE(sha256,sha1,md5,crc32,file_name,file_size,package_id) VALUES('");
    text.upper(&record.value::<32>()).add("','").upper(&record.value::<20>()).add("','");
    text.upper(&record.value::<16>()).add("','").upper(&record.value::<4>()).add("','").name(record).add("',");
    text.size(record).add(",4001);\n");
}

/// A minimal set of the NSRL, version 3.
fn write_set(rows: u64, seed: u64, out: &mut dyn Write) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let file = tempfile::NamedTempFile::new()?;
    let connection = rusqlite::Connection::open(file.path())?;
    connection.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;
         CREATE TABLE VERSION (version VARCHAR, build_set VARCHAR, build_date TIMESTAMP, release_date TIMESTAMP,
             description VARCHAR);
         INSERT INTO VERSION VALUES ('1', 'modern', '2024-03-01', '2024-03-01', 'made up');
         CREATE TABLE FILE (sha256 VARCHAR NOT NULL, sha1 VARCHAR NOT NULL, md5 VARCHAR NOT NULL, crc32 VARCHAR NOT NULL,
             file_name VARCHAR NOT NULL, file_size INTEGER NOT NULL, package_id INTEGER NOT NULL);",
    )?;
    let mut insert = connection.prepare("INSERT INTO FILE VALUES (?, ?, ?, ?, ?, ?, 4001)")?;
    for number in 0..rows {
        let mut record = Record::new(seed, number);
        if number > 0 && number.is_multiple_of(5) {
            record.repeat();
        }
        let [sha256, sha1] = [HEXUPPER.encode(&record.value::<32>()), HEXUPPER.encode(&record.value::<20>())];
        let [md5, crc32] = [HEXUPPER.encode(&record.value::<16>()), HEXUPPER.encode(&record.value::<4>())];
        let mut name = Text(Vec::new());
        name.name(&mut record);
        let name = String::from_utf8(name.0)?;
        insert.execute((sha256, sha1, md5, crc32, name, record.number_below(1 << 30) as i64))?;
    }
    drop(insert);
    connection.execute_batch("COMMIT")?;
    connection.close().map_err(|(_, error)| error)?;
    io::copy(&mut file.reopen()?, out)?;
    Ok(())
}

fn clamav(text: &mut Text, record: &mut Record) {
    text.lower(&record.value::<16>()).add(":").size(record).add(":Made.Up-").number(record.number).add(":73\n");
}

fn hashkeeper(text: &mut Text, record: &mut Record) {
    text.number(record.number).add(",7001,\"").name(record).add("\",\"C:\\SAMPLES\\A, B\",\"");
    text.upper(&record.value::<16>()).add("\",").size(record).add(",7/11/95 0:00:00,12/30/99 9:50:00,\"PST\",\r\n");
}

fn icse(text: &mut Text, record: &mut Record) {
    text.lower(&record.value::<16>()).add(";").lower(&record.value::<20>()).add(";");
    text.encoded(&BASE64, &record.value::<144>()).add(";").number(50_000 + record.number);
    text.add(";Y;N;false;\"Series ").number(record.number_below(1_000)).add("\";3;true;image;Y\n");
}

fn p2p(text: &mut Text, record: &mut Record) {
    match record.number % 3 {
        0 => text.add("urn:sha1:").encoded(&BASE32_NOPAD, &record.value::<20>()),
        1 => {
            text.add("ed2k://|file|sample%20").number(record.number).add(".jpg|").size(record).add("|");
            text.upper(&record.value::<16>()).add("|/")
        }
        _ => text.add("urn:tree:tiger:").encoded(&BASE32_NOPAD, &record.value::<24>()),
    };
    text.add("\n");
}

fn encase_head(records: u64) -> Vec<u8> {
    let mut head = b"HASH\r\n\xFF\0\x02\0\0\0\x01\0\0\0".to_vec();
    head.extend(u32::try_from(records).expect("an EnCase list counts in 32 bits").to_le_bytes());
    head.resize(0x408, 0);
    head.extend("Made up".encode_utf16().flat_map(u16::to_le_bytes));
    head.resize(0x480, 0);
    head
}

fn encase(text: &mut Text, record: &mut Record) {
    text.0.extend(record.value::<16>());
    text.0.extend([0, 0]);
}

fn vics(text: &mut Text, record: &mut Record) {
    text.add("{\"MediaID\":").number(record.number).add(",\"Category\":").number(record.number_below(4));
    text.add(",\"MD5\":\"").upper(&record.value::<16>()).add("\",\"SHA1\":\"").upper(&record.value::<20>());
    text.add("\",\"MediaSize\":").size(record).add(",\"DateUpdated\":\"2024-01-02T03:04:05.0000Z\"");
    text.add(",\"IsPrecategorized\":true,\"VictimIdentified\":false,\"OffenderIdentified\":false");
    text.add(",\"IsDistributed\":true,\"Series\":\"Series ").number(record.number_below(1_000)).add("\"");
    if record.number.is_multiple_of(4) {
        text.add(",\"AlternativeHashes\":[{\"HashName\":\"PhotoDNA\",\"HashValue\":\"");
        text.encoded(&BASE64, &record.value::<144>()).add("\"}]");
    }
    text.add("}");
}

fn caid(text: &mut Text, record: &mut Record) {
    let (md5, sha1) = (record.value::<16>(), record.value::<20>());
    text.add("{\"odata.id\":\"Media(\\\"").lower(&md5).add("\\\")\",\"MediaFiles\":[{\"MD5\":\"").lower(&md5);
    text.add("\",\"FileName\":\"").name(record).add("\",\"FilePath\":\"Example/0\"}],\"MediaID\":0,\"MD5\":\"");
    text.lower(&md5).add("\",\"SHA1\":\"").lower(&sha1).add("\",\"Category\":8,\"MediaSize\":\"").size(record);
    text.add("\"}");
}

fn dfxml(text: &mut Text, record: &mut Record) {
    text.add("<fileobject><filename>").name(record).add("</filename><filesize>").size(record).add("</filesize>");
    text.add("<byte_runs><byte_run len='512'><hashdigest type='MD5'>").lower(&[7; 16]);
    text.add("</hashdigest></byte_run></byte_runs><hashdigest type='md5'>").lower(&record.value::<16>());
    text.add("</hashdigest><hashdigest type='sha1'>").lower(&record.value::<20>()).add("</hashdigest></fileobject>\n");
}

fn stix(text: &mut Text, record: &mut Record) {
    text.add("{\"type\":\"file\",\"spec_version\":\"2.1\",\"id\":\"file--").number(record.number);
    text.add("\",\"hashes\":{\"MD5\":\"").lower(&record.value::<16>()).add("\",\"SHA-256\":\"");
    text.lower(&record.value::<32>()).add("\"},\"size\":").size(record).add(",\"name\":\"").name(record).add("\"}");
}

fn misp(text: &mut Text, record: &mut Record) {
    text.add("{\"id\":\"")
        .number(record.number)
        .add("\",\"type\":\"filename|sha256\",\"category\":\"Payload delivery\"");
    text.add(",\"value\":\"").name(record).add("|").lower(&record.value::<32>());
    text.add("\",\"to_ids\":true,\"deleted\":false,\"timestamp\":\"1700000001\",\"comment\":\"\"}");
}
