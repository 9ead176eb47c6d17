//! The command line, as a user or a script meets it: lines aligned to what was asked, JSON of the documented shape, exit
//! codes that say what they should.

mod daemon_support;

use std::fs;
use std::io::Write;
use std::process::{Command as Process, Output, Stdio};

use daemon_support::{Daemon, KNOWN_COUNT, known};
use hashward::fingerprint::{Kind, hash_bytes};
use hashward::list::TEST_CONTENT;
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
