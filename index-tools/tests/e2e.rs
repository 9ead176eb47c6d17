//! Beside a real daemon: what the tool publishes through its socket is what the daemon answers, and questions go on
//! meanwhile.

mod program;

use std::sync::atomic::{AtomicBool, Ordering};

use hashward::matching::Verdict;
use hashward::protocol::Client;
use program::daemon::{Daemon, verdicts};
use program::{Folder, hex_list, md5};

#[test]
fn a_serving_daemon_takes_imports_and_changes() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder);
    folder.write("a.md5", hex_list(0..50));
    folder.write("b.md5", hex_list(5..100));
    folder.run(&["import", "debian", "a.md5", "--role", "ignorable"]).done();
    assert_eq!(daemon.verdicts(0..50), vec![Verdict::Ignorable; 50]);
    assert_eq!(daemon.verdicts(50..60), vec![Verdict::Unknown; 10]);

    folder.run(&["import", "debian", "b.md5"]).done();
    assert_eq!(daemon.verdicts(0..5), vec![Verdict::Unknown; 5]);
    folder.run(&["import", "debian", "a.md5", "--add"]).done();
    assert_eq!(daemon.verdicts(0..100), vec![Verdict::Ignorable; 100]);

    folder.run(&["add", "cases", &md5(7).to_string(), &md5(200).to_string(), "--role", "illegal"]).done();
    assert_eq!((daemon.verdicts(7..8), daemon.verdicts(200..201)), (vec![Verdict::Conflict], vec![Verdict::Known]));
    let vetoed = md5(200).to_string();
    folder.run(&["suppress", &vetoed, "--reason", "a stock photo"]).done();
    assert_eq!(daemon.verdicts(200..201), [Verdict::Unknown]);
    let text = folder.run(&["explain", &vetoed]).done();
    assert!(text.contains("list cases") && text.contains("a stock photo"), "{text}");
    folder.run(&["lift", &vetoed, "--reason", "looked at again"]).done();
    assert_eq!(daemon.verdicts(200..201), [Verdict::Known]);
    folder.run(&["withdraw", "cases", &md5(7).to_string()]).done();
    assert_eq!(daemon.verdicts(7..8), [Verdict::Ignorable]);
    folder.run(&["disable", "debian"]).done();
    assert_eq!(daemon.verdicts(7..8), [Verdict::Unknown]);
    folder.run(&["enable", "debian"]).done();
    folder.run(&["rollback", "debian"]).done();
    assert_eq!(daemon.verdicts(0..1), [Verdict::Unknown]);
    assert!(folder.run(&["verify"]).done().starts_with("all is well"));
    folder.run(&["remove", "nothing"]).refused(1, &["nothing"]);
    let socket = folder.data().join("hashward.sock");
    folder.run(&["lists", "--socket", socket.to_str().unwrap()]).done();
    assert_eq!(folder.leftovers(), 0);

    drop(daemon);
    // The socket stays behind; without a listener it is no daemon.
    folder.run(&["import", "debian", "b.md5", "a.md5"]).done();
    assert_eq!(Daemon::start(&folder).verdicts(0..100), vec![Verdict::Ignorable; 100]);
}

#[test]
fn a_serving_daemon_tells_what_it_holds() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder);
    folder.write("a.md5", hex_list(0..50));
    folder.write("b.md5", hex_list(25..100));
    folder.run(&["import", "debian", "a.md5", "--role", "ignorable"]).done();
    folder.run(&["import", "debian", "b.md5"]).done();
    // More than a page of entries.
    let own: Vec<_> = (90..3_090).map(|number| md5(number).to_string()).collect();
    let own: Vec<_> = own.iter().map(String::as_str).collect();
    folder.run(&[&["add", "cases", "--role", "illegal", "--category", "XX:1"], &own[..]].concat()).done();
    folder.run(&["withdraw", "debian", &md5(95).to_string()]).done();

    let diff = folder.run(&["diff", "debian", "--format", "json"]).json();
    assert_eq!(diff["kinds"]["md5"], serde_json::json!({"added": 49, "removed": 25, "changed": 0, "same": 25}));
    let overlap = folder.run(&["overlap", "cases", "--format", "json"]).json();
    assert_eq!((&overlap["shared"], &overlap["fingerprints"]), (&9.into(), &3_000.into()));
    let text = folder.run(&["export", "cases", "--format", "sum", "--kind", "md5"]).done();
    assert_eq!(text.lines().count(), 3_000);
    let text = folder.run(&["export", "debian", "--format", "csv"]).done();
    assert_eq!(text.lines().count(), 75);
    drop(daemon);
}

#[test]
fn questions_see_one_version_or_the_other_while_imports_go_on() {
    let folder = Folder::new();
    // Two halves, of which every version holds exactly one; so the gate must let all of a version go.
    let daemon = Daemon::start_with(&folder, "[gate]\nshrink = { share = 1.0, entries = 0 }\n");
    folder.write("a.md5", hex_list(0..1_000));
    folder.write("b.md5", hex_list(1_000..2_000));
    folder.run(&["import", "debian", "a.md5", "--role", "ignorable"]).done();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut client = Client::connect(&daemon.address).unwrap();
            let mut asked = 0u64;
            while !stop.load(Ordering::Relaxed) {
                let verdicts = verdicts(&mut client, 0..2_000);
                let known = |half: &[Verdict]| half.iter().filter(|verdict| **verdict == Verdict::Ignorable).count();
                let halves = (known(&verdicts[..1_000]), known(&verdicts[1_000..]));
                assert!(halves == (1_000, 0) || halves == (0, 1_000), "a mixed answer: {halves:?}");
                asked += 1;
            }
            asked
        });
        for file in ["b.md5", "a.md5", "b.md5", "a.md5"] {
            folder.run(&["import", "debian", file]).done();
        }
        stop.store(true, Ordering::Relaxed);
        assert!(asking.join().unwrap() > 0);
    });
}
