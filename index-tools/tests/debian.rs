//! The README's second example, on the lists that Debian's own packages ship: every verdict must be the one that
//! `md5sum` and a search in the list come to. Skipped, with a word, where there is no dpkg.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

const FOLDERS: [&str; 3] = ["/usr/bin", "/usr/share/doc", "/usr/lib/python3"];

/// MD5 of the empty file and of a lone newline: what is degenerate among the files of a Debian system.
const DEGENERATE: [&str; 2] = ["d41d8cd98f00b204e9800998ecf8427e", "68b329da9893e34099c7d8ad5cb9c940"];

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    String::from_utf8(output.stdout).unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// `md5sum` of every regular file below the folders, by path; names with line ends or backslashes are left out, as
/// its output escapes them.
fn md5sums() -> BTreeMap<String, String> {
    let mut find = Command::new("find");
    let find = find.args(FOLDERS).args(["-type", "f", "-exec", "md5sum", "{}", "+"]);
    let lines = output(find);
    let pairs = lines.lines().filter(|line| !line.starts_with('\\')).map(|line| {
        let (md5, path) = line.split_once("  ").unwrap_or_else(|| panic!("a line of md5sum: {line}"));
        (path.to_owned(), md5.to_owned())
    });
    pairs.collect()
}

#[test]
fn verdicts_on_a_debian_system_agree_with_md5sum() {
    let shipped = Path::new("/var/lib/dpkg/info");
    if !shipped.is_dir() || !FOLDERS.iter().all(|folder| Path::new(folder).is_dir()) {
        println!("skipped: this is no Debian system with {FOLDERS:?}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (list, data) = (folder.path().join("debian.md5"), folder.path().join("hashward-data"));
    let mut lines = String::new();
    for entry in fs::read_dir(shipped).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md5sums") {
            lines += &fs::read_to_string(path).unwrap();
        }
    }
    fs::write(&list, &lines).unwrap();
    let known: HashSet<&str> = lines.lines().filter_map(|line| line.split_whitespace().next()).collect();

    let index = PathBuf::from(env!("CARGO_BIN_EXE_hashward-index"));
    let hashward = index.with_file_name("hashward");
    assert!(hashward.exists(), "expected {} beside hashward-index: cargo build --workspace", hashward.display());
    let mut import = Command::new(&index);
    let import = import.args(["import", "debian"]).arg(&list).args(["--role", "ignorable", "--data"]).arg(&data);
    assert!(import.stdout(Stdio::null()).status().unwrap().success());
    let daemon = Daemon(Command::new(&hashward).arg("serve").arg("--data").arg(&data).spawn().unwrap());

    let socket = data.join("hashward.sock");
    let ready = (0..600).any(|_| {
        thread::sleep(Duration::from_millis(50));
        let mut status = Command::new(&hashward);
        let status = output(status.args(["status", "--format", "json", "--socket"]).arg(&socket));
        serde_json::from_str::<serde_json::Value>(&status).is_ok_and(|status| status["state"] == "ready")
    });
    assert!(ready, "the daemon did not become ready");

    let mut ask = Command::new(&hashward);
    let ask = ask.args(["match", "--format", "json", "--socket"]).arg(&socket).args(FOLDERS);
    let verdicts: BTreeMap<String, String> = output(ask)
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|answer| (answer["file"].as_str().unwrap().to_owned(), answer["verdict"].as_str().unwrap().to_owned()))
        .collect();
    drop(daemon);

    let sums = md5sums();
    assert!(sums.len() > 100, "found {} files to compare", sums.len());
    let mut wrong = Vec::new();
    for (path, md5) in &sums {
        let is_known = known.contains(md5.as_str()) || DEGENERATE.contains(&md5.as_str());
        let expected = if is_known { "ignorable" } else { "unknown" };
        let found = verdicts.get(path).map(String::as_str);
        if found != Some(expected) {
            wrong.push(format!("{path}: {md5} is {expected}, found {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} verdicts are wrong:\n{}", wrong.len(), sums.len(), wrong.join("\n"));
}
