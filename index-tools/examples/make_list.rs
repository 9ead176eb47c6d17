//! Writes a made-up list of any length to standard output: `make_list FORMAT RECORDS > FILE`.

#[path = "../benches/made_lists/mod.rs"]
mod made_lists;

use std::io::{self, stdout};

use hashward_index::formats::Format;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = match &arguments[..] {
        [format, records] => format.parse::<Format>().ok().zip(records.parse::<u64>().ok()),
        _ => None,
    };
    let Some((format, records)) = asked else {
        let found = arguments.join(" ");
        return Err(io::Error::other(format!(
            "expected FORMAT RECORDS, found `{found}`; formats: {}",
            Format::names()
        )));
    };
    made_lists::write_list(format, records, 1, &mut stdout().lock())
}
