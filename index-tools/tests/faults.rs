//! The real program under faults: killed at any moment, and on a disk that is full. The list is afterwards what it was
//! before or what it should become, whole; what was reported as done stays done.

mod program;

use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use hashward::matching::Verdict;
use program::{Ended, Folder, HASHWARD_INDEX, ask, hex_list, md5};

const KILLS: u32 = 40;

/// Fingerprints of one list; the next begins where it ends.
const LIST: u32 = 2_000;

fn list(number: u32) -> String {
    hex_list(number * LIST..(number + 1) * LIST)
}

/// The same with what all versions have in common, so that the gate lets one follow another.
fn list_with_core(number: u32) -> String {
    list(number) + &hex_list(1_000_000..1_000_000 + 9 * LIST + LIST / 2)
}

/// Which of the lists answers: the one of which the first and the last value are known, and nothing of the others.
fn answering(folder: &Folder, lists: u32) -> u32 {
    let snapshot = folder.snapshot();
    let known = |number| ask(&snapshot, &md5(number)).0 == Verdict::Ignorable;
    let held: Vec<u32> = (0..lists).filter(|number| known(number * LIST)).collect();
    let [number] = held[..] else { panic!("expected one list to answer, found {held:?}") };
    let whole = (0..lists * LIST).step_by(7).all(|value| known(value) == (value / LIST == number));
    assert!(whole, "list {number} answers in part");
    number
}

#[test]
fn an_import_that_is_killed_is_whole_or_was_not() {
    let folder = Folder::new();
    folder.write("list.md5", list_with_core(0));
    folder.run(&["import", "killed", "list.md5", "--role", "ignorable"]).done();
    folder.write("list.md5", list_with_core(KILLS + 1));
    let started = Instant::now();
    folder.run(&["import", "killed", "list.md5"]).done();
    let whole = started.elapsed();
    let mut expected = KILLS + 1;
    let (mut done, mut undone) = (0, 0);
    for round in 1..=KILLS {
        folder.write("list.md5", list_with_core(round));
        let mut import = Command::new(HASHWARD_INDEX);
        let import = import.args(["import", "killed", "list.md5"]).current_dir(folder.path());
        let mut child = import.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        // From the start of the program to a little after its end.
        thread::sleep(whole * round * 4 / (3 * KILLS));
        child.kill().expect("our own child");
        let acknowledged = child.wait().expect("our own child").success();
        let found = answering(&folder, KILLS + 2);
        assert!(found == round || (found == expected && !acknowledged), "round {round}: list {found} answers");
        if found == round {
            done += 1
        } else {
            undone += 1
        }
        expected = found;
    }
    println!("{done} imports took effect, {undone} did not");
    assert_eq!(folder.run(&["verify"]).code, 0);
    folder.write("list.md5", list_with_core(0));
    folder.run(&["import", "killed", "list.md5"]).done();
    assert_eq!(answering(&folder, KILLS + 2), 0);
}

#[test]
fn a_full_disk_leaves_the_list_as_it_was() {
    let folder = Folder::new();
    folder.write("list.md5", list(0));
    folder.run(&["import", "full", "list.md5", "--role", "ignorable"]).done();
    folder.write("list.md5", list(1));
    // No file may grow beyond so many blocks, and the attempt is an error, as on a full disk.
    let import = |blocks: u32| {
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" import full list.md5");
        let mut shell = Command::new("sh");
        Ended::of(shell.args(["-c", &script, HASHWARD_INDEX]).current_dir(folder.path()).output().expect("sh starts"))
    };
    let mut refused = 0;
    for blocks in (0..).map(|step| step * 12) {
        let ended = import(blocks);
        // So far it comes if there is room: it has nothing in common with the list before.
        if ended.stdout.contains("is held") {
            break;
        }
        refused += 1;
        let told = ["os error", "disk I/O error", "disk is full"].iter().any(|cause| ended.stderr.contains(cause));
        assert!(told, "expected the cause, found: {}", ended.stderr);
        assert_eq!(answering(&folder, 2), 0, "with room for {blocks} blocks: {}", ended.stderr);
        assert!(blocks < 100_000, "the import never succeeds: {}", ended.stderr);
    }
    assert!(refused >= 2, "the disk was never full");
    assert_eq!(answering(&folder, 2), 0);
    let held = folder.lists()["full"]["held"].to_string();
    folder.run(&["accept", "full", &held, "--reason", "another list was meant"]).done();
    assert_eq!(answering(&folder, 2), 1);
    assert_eq!(folder.run(&["verify"]).code, 0);
}
