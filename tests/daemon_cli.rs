//! The command line, as a user or a script meets it: lines aligned to what was asked, JSON of the documented shape, exit
//! codes that say what they should.

mod daemon_support;
mod pictures_support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command as Process, Output, Stdio};

use daemon_support::{Daemon, KNOWN_COUNT, known};
use hashward::fingerprint::{Fingerprint, Kind, hash_bytes};
use hashward::list::{SuppressionScope, TEST_CONTENT};
use hashward::store::Command;
use pictures_support::{jpeg, mirrored, pdq, photo, png, resized};
use serde_json::{Value, json};

/// Runs `hashward VERB --socket … arguments`, with `input` on standard input.
fn hashward(daemon: &Daemon, arguments: &[&str], input: &str) -> Output {
    let (verb, rest) = arguments.split_first().unwrap();
    let mut command = Process::new(env!("CARGO_BIN_EXE_hashward"));
    command.arg(verb).arg("--socket").arg(daemon.socket()).args(rest).current_dir(daemon.folder.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // Beside reading, or both would wait; a program that ends before it has read everything is fine with us.
        scope.spawn(move || {
            let _ = stdin.write_all(input.as_bytes());
        });
        child.wait_with_output().unwrap()
    })
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn lookups_are_aligned_to_the_questions() {
    let daemon = Daemon::start("");
    let questions =
        [known(3).to_hex(), "xyz".to_owned(), String::new(), known(1_000).to_hex(), format!("{}", known(4))];
    let output = hashward(&daemon, &["lookup", "--kind", "md5", "--format", "json"], &(questions.join("\n") + "\n"));
    assert_eq!(output.status.code(), Some(2), "a bad hash is told by the exit code");
    let answers = lines(&output);
    let queries: Vec<&str> = answers.iter().map(|answer| answer["query"].as_str().unwrap()).collect();
    assert_eq!(queries, questions);
    let verdicts: Vec<Option<&str>> = answers.iter().map(|answer| answer["verdict"].as_str()).collect();
    assert_eq!(verdicts, [Some("known"), None, None, Some("unknown"), Some("known")]);
    assert!(answers[1]["error"].as_str().unwrap().contains("expected 32 hex digits"));
    let found = json!({
        "list": "known", "role": "illegal", "category": null, "scheme": null, "flags": [], "kind": "md5",
    });
    assert_eq!(answers[0]["matches"], json!([found]));
    assert_eq!((&answers[0]["kind"], &answers[0]["checked"]), (&json!("md5"), &json!(["md5"])));

    let good = hashward(&daemon, &["lookup", "--format", "tsv", &format!("{}", known(0))], "");
    assert_eq!(good.status.code(), Some(0));
    let expected = format!("{}\tmd5\tknown\t\t\tmd5\tknown=illegal\n", known(0));
    assert_eq!(String::from_utf8(good.stdout).unwrap(), expected);

    // No list holds sha1: that is no "unknown".
    let sha1 = hash_bytes(Kind::Sha1, b"nobody knows this").to_string();
    let output = hashward(&daemon, &["lookup", "--format", "json", &sha1], "");
    assert_eq!(output.status.code(), Some(2));
    let answer = &lines(&output)[0];
    assert_eq!((&answer["verdict"], &answer["reason"]), (&json!("undecided"), &json!("no_list_for_kind")));
}

#[test]
fn a_suppressed_match_is_told_in_every_format() {
    let daemon = Daemon::start("");
    let command = |command: Command| {
        let answer = daemon.client().command_json(&serde_json::to_vec(&command).unwrap()).unwrap();
        serde_json::from_slice::<Value>(&answer).unwrap()
    };
    let (fingerprint, author) = (known(3), "an operator".to_owned());
    let (scope, reason) = (SuppressionScope::Entry, "a stock photo".to_owned());
    let answer = command(Command::Suppress { fingerprint: fingerprint.clone(), scope, author, reason });
    assert_eq!((&answer["outcome"], &answer["held_by"]), (&json!("suppressed"), &json!(["known"])));

    let hashes = [known(3).to_string(), known(4).to_string()];
    let lookup = |format: &str| {
        let output = hashward(&daemon, &["lookup", "--format", format, &hashes[0], &hashes[1]], "");
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    let answers: Vec<Value> = lookup("json").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&answers[0]["verdict"], &answers[0]["suppressed"]), (&json!("unknown"), &json!(true)));
    assert_eq!((&answers[1]["verdict"], &answers[1]["suppressed"]), (&json!("known"), &Value::Null));
    assert_eq!(answers[0]["matches"], json!([]));
    assert!(lookup("tsv").starts_with(&format!("{}\tmd5\tunknown\t\tsuppressed\tmd5\t\n", hashes[0])));
    assert!(lookup("text").starts_with(&format!("unknown    {}  (suppressed)\n", hashes[0])));

    let folder = daemon.folder.path();
    fs::write(folder.join("a"), "file 3").unwrap();
    let output = hashward(&daemon, &["match", "--format", "json", "a"], "");
    assert_eq!((output.status.code(), &lines(&output)[0]["suppressed"]), (Some(0), &json!(true)));
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 with suppressed matches"));
    let explained = command(Command::Explain { fingerprint, radius: None });
    assert_eq!((&explained["outcome"], &explained["kind_state"]), (&json!("explained"), &json!("ready")));
    assert_eq!(explained["suppressions"][0]["reason"], "a stock photo");
}

#[test]
fn many_lines_come_out_as_many() {
    let daemon = Daemon::start("");
    let count = 20_000;
    let input: String = (0..count).map(|number| format!("{}\n", known(number).to_hex())).collect();
    let output = hashward(&daemon, &["lookup", "--kind", "md5", "--format", "tsv", "-"], &input);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), count as usize);
    for (number, line) in (0..count).zip(text.lines()) {
        let verdict = if number < KNOWN_COUNT { "known" } else { "unknown" };
        assert!(line.starts_with(&format!("{}\tmd5\t{verdict}\t", known(number).to_hex())), "{line}");
    }
}

#[test]
fn matching_files_says_by_its_exit_code_what_was_found() {
    let daemon = Daemon::start("");
    let folder = daemon.folder.path();
    for (name, content) in [
        ("clean/a.txt", "nobody knows this"),
        ("clean/test.txt", TEST_CONTENT),
        ("clean/empty", ""),
        ("dirty/b", "file 7"),
        ("dirty/c", "nor this"),
    ] {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    std::os::unix::fs::symlink("../dirty/b", folder.join("clean/link")).unwrap();

    let clean = hashward(&daemon, &["match", "--format", "json", "clean"], "");
    assert_eq!(clean.status.code(), Some(0), "{}", String::from_utf8_lossy(&clean.stderr));
    let answers = lines(&clean);
    let shown: Vec<(&str, &str)> =
        answers.iter().map(|answer| (answer["file"].as_str().unwrap(), answer["verdict"].as_str().unwrap())).collect();
    assert_eq!(shown, [("clean/a.txt", "unknown"), ("clean/empty", "ignorable"), ("clean/test.txt", "unknown")]);
    assert_eq!((&answers[2]["watched"], &answers[0]["watched"]), (&json!(true), &Value::Null));
    assert!(String::from_utf8_lossy(&clean.stderr).contains("1 links not followed"));

    let dirty = hashward(&daemon, &["match", "--format", "json", "clean", "dirty", "missing"], "");
    assert_eq!(dirty.status.code(), Some(1), "what is known outweighs what cannot be read");
    let answers = lines(&dirty);
    assert_eq!((answers.len(), &answers[3]["verdict"]), (6, &json!("known")));
    assert!(answers[5]["error"].is_string());

    let missing = hashward(&daemon, &["match", "clean/a.txt", "missing"], "");
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn hashes_are_printed_for_programs_and_for_imports() {
    let daemon = Daemon::start("");
    fs::write(daemon.folder.path().join("x"), "abc").unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Process::new(env!("CARGO_BIN_EXE_hashward"));
        let output = command.arg("hash").args(arguments).current_dir(daemon.folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    let (md5, sha1) = ("900150983cd24fb0d6963f7d28e17f72", "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_eq!(run(&["--kind", "md5,sha1", "x"]), format!("MD5 (x) = {md5}\nSHA1 (x) = {sha1}\n"));
    let json: Value = serde_json::from_str(&run(&["--kind", "md5,sha1", "--format", "json", "x"])).unwrap();
    assert_eq!(json, json!({ "file": "x", "md5": md5, "sha1": sha1 }));
}

#[test]
fn files_are_matched_by_the_kinds_of_peer_to_peer_networks() {
    let daemon = Daemon::start("");
    let (by_ed2k, by_tth, btih) = (
        hash_bytes(Kind::Ed2k, b"shared 1"),
        hash_bytes(Kind::Tth, b"shared 2"),
        Fingerprint::new(Kind::Btih, &[7; 20]),
    );
    let btih = btih.unwrap();
    daemon.add("links", [by_ed2k, by_tth, btih.clone()]);
    for (name, content) in [("1", "shared 1"), ("2", "shared 2"), ("3", "shared 3"), ("empty", "")] {
        fs::write(daemon.folder.path().join(name), content).unwrap();
    }
    let matched = hashward(&daemon, &["match", "--format", "json", "1", "2", "3", "empty"], "");
    assert_eq!(matched.status.code(), Some(1));
    let answers = lines(&matched);
    let shown: Vec<_> = answers.iter().map(|answer| (&answer["verdict"], &answer["matches"][0]["kind"])).collect();
    assert_eq!(shown[0], (&json!("known"), &json!("ed2k")));
    assert_eq!(shown[1], (&json!("known"), &json!("tth")));
    assert_eq!((shown[2].0, shown[3].0), (&json!("unknown"), &json!("ignorable")));
    assert!(String::from_utf8_lossy(&matched.stderr).contains("lists hold btih, which cannot be computed"));

    let asked = hashward(&daemon, &["lookup", "--format", "json", &btih.to_string()], "");
    assert_eq!(lines(&asked)[0]["verdict"], "known");
}

/// A daemon whose list `seized` knows the PDQ of `photo(1)`, and files beside it: a copy, its mirror image, another
/// picture, one that shows nothing, one cut short, and text.
fn daemon_with_pictures() -> Daemon {
    let daemon = Daemon::start("");
    daemon.add("seized", [pdq(&photo(1))]);
    let flat = image::RgbImage::from_pixel(300, 200, image::Rgb([128, 128, 128]));
    let whole = png(&photo(3));
    for (name, content) in [
        ("copy.jpg", &jpeg(&resized(&photo(1), 0.5), 60)[..]),
        ("mirrored.png", &png(&mirrored(&photo(1)))),
        ("other.png", &png(&photo(2))),
        ("flat.png", &png(&flat)),
        ("cut.png", &whole[..whole.len() / 2]),
        ("text", b"no picture"),
    ] {
        fs::write(daemon.folder.path().join(name), content).unwrap();
    }
    daemon
}

#[test]
fn matching_pictures_tells_how_near_they_are_and_what_was_not_decided() {
    let daemon = daemon_with_pictures();
    let check = |arguments: &[&str], exit: i32, verdict: &str| {
        let output = hashward(&daemon, &[&["match", "--format", "json"], arguments].concat(), "");
        assert_eq!(output.status.code(), Some(exit), "{}", String::from_utf8_lossy(&output.stderr));
        let answer = lines(&output).remove(0);
        assert_eq!(answer["verdict"], verdict, "{answer}");
        answer
    };
    let known = check(&["copy.jpg"], 1, "known");
    let (found, near) = (&known["matches"][0], &known["nearest"][0]);
    let distance = found["distance"].as_u64().unwrap();
    assert!((1..=31).contains(&distance), "{found}");
    assert_eq!((&found["list"], &found["kind"]), (&json!("seized"), &json!("pdq")));
    assert_eq!(near, &json!({ "kind": "pdq", "hash": pdq(&photo(1)).to_hex(), "distance": distance }));
    assert_eq!((&known["checked"], &known["further"]), (&json!(["md5", "pdq"]), &json!(0)));
    let text = hashward(&daemon, &["match", "copy.jpg"], "");
    let expected = format!("known      copy.jpg  [seized=illegal pdq~{distance}]\n");
    assert_eq!(String::from_utf8(text.stdout).unwrap(), expected);
    let narrower = format!("pdq={}", distance - 1);
    check(&["--radius", &narrower, "copy.jpg"], 0, "unknown");

    check(&["mirrored.png"], 0, "unknown");
    check(&["--dihedral", "mirrored.png"], 1, "known");
    check(&["--dihedral", "other.png"], 0, "unknown");
    assert_eq!(check(&["text"], 0, "unknown")["checked"], json!(["md5"]));

    for (file, reason) in [("flat.png", "low_quality"), ("cut.png", "not_decoded")] {
        let answer = check(&[file], 2, "undecided");
        assert_eq!(answer["reason"], reason);
        assert_eq!(answer["incomplete"], json!([{ "kind": "pdq", "reason": reason }]));
    }
    // Each file has its own answer, and what is known outweighs what is undecided.
    let all = hashward(&daemon, &["match", "--format", "tsv", "flat.png", "copy.jpg", "text"], "");
    assert_eq!(all.status.code(), Some(1));
    let text = String::from_utf8(all.stdout).unwrap();
    let verdicts: Vec<&str> = text.lines().map(|line| line.split('\t').nth(1).unwrap()).collect();
    assert_eq!(verdicts, ["undecided", "known", "unknown"]);
}

#[test]
fn a_kind_that_cannot_be_read_leaves_pictures_undecided() {
    let mut daemon = daemon_with_pictures();
    daemon.client().command_json(br#"{"command":"compact"}"#).unwrap();
    daemon.signal(rustix::process::Signal::TERM);
    assert!(daemon.wait().success());
    // A bit of the codes flips on disk. The kind's code stands at 12 in a segment.
    let segments = fs::read_dir(daemon.folder.path().join("data/segments")).unwrap();
    let is_pdq = |path: &std::path::PathBuf| fs::read(path).unwrap()[12] == Kind::Pdq.code();
    let segment = segments.map(|entry| entry.unwrap().path()).find(is_pdq).unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[4_096] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let folder = std::mem::replace(&mut daemon.folder, tempfile::tempdir().unwrap());
    let daemon = Daemon::start_in(folder, "");
    fs::write(daemon.folder.path().join("stranger.png"), png(&photo(77))).unwrap();
    fs::write(daemon.folder.path().join("text"), "nobody knows this").unwrap();

    let output = hashward(&daemon, &["match", "--format", "json", "stranger.png", "text"], "");
    assert_eq!(output.status.code(), Some(2));
    let answers = lines(&output);
    assert_eq!((&answers[0]["verdict"], &answers[0]["reason"]), (&json!("undecided"), &json!("failed")));
    // Whatever stands in the segment, no text is in it.
    assert_eq!(answers[1]["verdict"], json!("unknown"));
}

#[test]
fn harmless_as_far_as_could_be_asked_is_not_all_there_is_to_say() {
    let mut daemon = Daemon::start("");
    daemon.client().command_json(br#"{"command":"compact"}"#).unwrap();
    daemon.signal(rustix::process::Signal::TERM);
    assert!(daemon.wait().success());
    let mut segments = fs::read_dir(daemon.folder.path().join("data/segments")).unwrap();
    let segment = segments.next().unwrap().unwrap().path();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[4_096] ^= 1;
    fs::write(&segment, bytes).unwrap();
    daemon.start_again("");

    // The empty file is ignorable by a list that is built in; what else is said of it cannot be read.
    let empty = hash_bytes(Kind::Md5, b"").to_string();
    let output = hashward(&daemon, &["lookup", "--format", "json", &empty], "");
    let answer = &lines(&output)[0];
    assert_eq!((&answer["verdict"], &answer["incomplete"][0]["reason"]), (&json!("ignorable"), &json!("failed")));
    assert_eq!(output.status.code(), Some(2));
    fs::write(daemon.folder.path().join("empty"), "").unwrap();
    assert_eq!(hashward(&daemon, &["match", "empty"], "").status.code(), Some(2));
}

#[test]
fn what_is_known_is_told_by_the_exit_code_also_when_the_daemon_goes() {
    let mut daemon = Daemon::start("");
    let folder = daemon.folder.path().to_owned();
    fs::write(folder.join("a"), "file 7").unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.join("later"), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let mut command = Process::new(env!("CARGO_BIN_EXE_hashward"));
    command.args(["match", "--socket"]).arg(daemon.socket()).args(["a", "later"]).current_dir(&folder);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("known      a"), "{first}");
    daemon.signal(rustix::process::Signal::KILL);
    daemon.wait();
    fs::write(folder.join("later"), "nobody can be asked").unwrap();
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("the lookup has no answer"), "{error}");
    assert_eq!(output.status.code(), Some(1), "{error}");
}

#[test]
fn what_is_wrong_with_a_hash_stays_on_its_line() {
    let daemon = Daemon::start("");
    for format in ["text", "tsv", "json"] {
        let output = hashward(&daemon, &["lookup", "--format", format], "m\rknown\x1b[1m:00\n");
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.strip_suffix('\n').unwrap();
        assert!(!line.contains(|c: char| c.is_control() && c != '\t'), "{line:?}");
        assert!(line.contains("unknown kind"), "{line:?}");
    }
}

#[test]
fn hashes_of_pictures_are_looked_up_within_a_radius() {
    let daemon = daemon_with_pictures();
    let copy = pdq(&resized(&photo(1), 0.5));
    let (hex, seized) = (copy.to_hex(), pdq(&photo(1)));
    let distance: u32 = copy.value().iter().zip(seized.value()).map(|(a, b)| (a ^ b).count_ones()).sum();
    let check = |arguments: &[&str], exit: i32, expected: &str| {
        let output = hashward(&daemon, &[&["lookup"], arguments].concat(), "");
        assert_eq!(output.status.code(), Some(exit), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    };
    let known = |query: &str| format!("known      {query}  [seized=illegal pdq~{distance}]\n");
    let unknown = format!("unknown    {hex}\n");
    check(&["--kind", "pdq", &hex], 0, &known(&hex));
    check(&[&copy.to_string()], 0, &known(&copy.to_string()));
    check(&["--kind", "pdq", "--radius", &format!("pdq={distance}"), &hex], 0, &known(&hex));
    check(&["--kind", "pdq", "--radius", &format!("pdq={}", distance - 1), &hex], 0, &unknown);
    // Wider than the daemon's config allows: refused as a whole, and never answered "unknown".
    check(&["--kind", "pdq", "--radius", "pdq=41", &hex], 2, "");
}

#[test]
fn hashes_of_pictures_are_printed_for_programs_and_for_imports() {
    let daemon = daemon_with_pictures();
    let run = |arguments: &[&str]| {
        let mut command = Process::new(env!("CARGO_BIN_EXE_hashward"));
        let output = command.arg("hash").args(arguments).current_dir(daemon.folder.path()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let hex = pdq(&photo(2)).to_hex();
    assert_eq!(run(&["--kind", "pdq", "other.png"]), (Some(0), format!("PDQ (other.png) = {hex}\n"), String::new()));
    let json = |file: &str| {
        let (exit, text, _) = run(&["--kind", "pdq,md5", "--format", "json", file]);
        (exit, serde_json::from_str::<Value>(&text).unwrap())
    };
    let (exit, other) = json("other.png");
    assert_eq!((exit, &other["pdq"]), (Some(0), &json!(hex)));
    assert!(other["pdq_quality"].as_u64().is_some_and(|quality| (50..=100).contains(&quality)), "{other}");

    // One of no use is printed, and said to be.
    let (exit, text, error) = run(&["--kind", "pdq", "flat.png"]);
    assert!(exit == Some(0) && text.starts_with("PDQ (flat.png) = ") && error.contains("quality 0"), "{error}");
    assert_eq!(json("flat.png").1["pdq_quality"], 0);

    // No picture has no such hash; a damaged one may have had one, and keeps its digests.
    let md5_line = |file: &str| {
        let content = fs::read(daemon.folder.path().join(file)).unwrap();
        format!("MD5 ({file}) = {}\n", hash_bytes(Kind::Md5, &content).to_hex())
    };
    assert_eq!(run(&["--kind", "pdq,md5", "text"]), (Some(0), md5_line("text"), String::new()));
    let md5 = hash_bytes(Kind::Md5, b"no picture").to_hex();
    assert_eq!(json("text"), (Some(0), json!({ "file": "text", "pdq": null, "md5": md5 })));
    let (exit, text, error) = run(&["--kind", "md5,pdq", "cut.png"]);
    assert_eq!((exit, text), (Some(2), md5_line("cut.png")));
    assert!(error.starts_with("hashward: cut.png: "), "{error}");
    let (exit, cut) = json("cut.png");
    assert_eq!((exit, &cut["pdq"]), (Some(2), &Value::Null));
    assert!(cut["md5"].is_string() && cut["error"].is_string(), "{cut}");
}

#[test]
fn the_other_verbs_do_their_job() {
    let daemon = Daemon::start("");
    for depth in ["1", "4"] {
        let arguments = ["bench", "--seconds", "1", "--batch", "100", "--depth", depth, "--format", "json"];
        let output = hashward(&daemon, &arguments, "");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let figures = &lines(&output)[0];
        assert!(figures["lookups_per_s"].as_f64().unwrap() > 0.0 && figures["p50_us"].as_f64().unwrap() > 0.0);
        assert!(figures["p99_us"].as_f64() >= figures["p50_us"].as_f64());
        assert_eq!(figures["hits_asked"], figures["hits_found"]);
    }

    let status = hashward(&daemon, &["status", "--format", "json"], "");
    let status = &lines(&status)[0];
    assert_eq!((&status["state"], &status["held_kinds"]), (&json!("ready"), &json!(["md5"])));
    assert!(status["store"]["generation"].is_u64());

    let check = |text: &str| {
        fs::write(daemon.folder.path().join("c.toml"), text).unwrap();
        let mut command = Process::new(env!("CARGO_BIN_EXE_hashward"));
        let config = daemon.folder.path().join("c.toml");
        command.arg("check-config").arg("--config").arg(config).output().unwrap().status.code()
    };
    assert_eq!(check("[limits]\nconnections = 9"), Some(0));
    assert_eq!(check("[limits]\nconnections = -9"), Some(2));

    let nobody = Process::new(env!("CARGO_BIN_EXE_hashward"))
        .args(["lookup", "--socket", "/nonexistent/hashward.sock", "md5:00"])
        .output()
        .unwrap();
    assert_eq!(nobody.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("hashward serve"));
}

#[test]
fn status_tells_alarms_by_the_limits_of_the_config() {
    let daemon = Daemon::start("[gate]\ndeletion = { share = 0.0, entries = 1 }");
    let withdraw = |numbers: std::ops::Range<u32>| {
        let command = Command::Withdraw { list: "known".parse().unwrap(), fingerprints: numbers.map(known).collect() };
        daemon.client().command_json(&serde_json::to_vec(&command).unwrap()).unwrap();
    };
    let alarms = || {
        let text = hashward(&daemon, &["status"], "").stdout;
        let text = String::from_utf8(text).unwrap();
        text.lines().filter_map(|line| Some(line.strip_prefix("alarm")?.trim().to_owned())).collect::<Vec<_>>()
    };
    withdraw(0..1);
    assert!(alarms().is_empty());
    withdraw(1..3);
    let expected = format!("known: 2 of {} fingerprints were taken away at once", KNOWN_COUNT - 1);
    assert_eq!(alarms(), [expected]);
    let status = hashward(&daemon, &["status", "--format", "json"], "");
    let alarm = &lines(&status)[0]["store"]["alarms"][0];
    assert_eq!((&alarm["alarm"], &alarm["removed"]), (&json!("mass_deletion"), &json!(2)));
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let daemon = Daemon::start("");
    let input: String = (0..50_000).map(|number| format!("{}\n", known(number).to_hex())).collect();
    let mut command = Process::new(env!("CARGO_BIN_EXE_hashward"));
    command.args(["lookup", "--kind", "md5", "--socket"]).arg(daemon.socket());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(2));
}
