//! The config as an operator meets it: files in `conf.d`, what `check-config` says, what a reload takes on, and which config
//! the daemon says it runs with.

mod daemon_support;

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Output};

use daemon_support::{Daemon, until, write_config};
use hashward::protocol::{Address, Client};
use rustix::process::Signal;

fn check_config(folder: &Path) -> (Output, String) {
    let mut command = Process::new(env!("CARGO_BIN_EXE_hashward"));
    let output = command.arg("check-config").arg("--config").arg(folder.join("hashward.toml")).output().unwrap();
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    (output, text)
}

/// The digest that `check-config` prints first.
fn digest(folder: &Path) -> String {
    let (output, errors) = check_config(folder);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().next().unwrap().strip_prefix("# digest ").unwrap().to_owned()
}

fn write_part(folder: &Path, name: &str, text: &str) {
    fs::create_dir_all(folder.join("conf.d")).unwrap();
    fs::write(folder.join("conf.d").join(name), text).unwrap();
}

fn running(daemon: &Daemon) -> String {
    let status: serde_json::Value = serde_json::from_slice(&daemon.client().status().unwrap()).unwrap();
    status["config"].as_str().unwrap().to_owned()
}

#[test]
fn check_config_names_the_place_of_every_mistake() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path(), "[limits]\nconections = 1\n");
    write_part(folder.path(), "a.toml", "[[listen]]\naddress = 'tcp:0.0.0.0:1'\n[gate]\nshrink = 1\n");
    let (output, errors) = check_config(folder.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let path = folder.path().display();
    assert!(errors.contains(&format!("{path}/hashward.toml:3:1: limits: unknown field `conections`")), "{errors}");
    assert!(errors.contains(&format!("{path}/conf.d/a.toml:4:10: gate.shrink: invalid type")), "{errors}");

    // What the sections mean is looked at once all can be read.
    write_config(folder.path(), "[limits]\nconnections = 0\n");
    write_part(folder.path(), "a.toml", "[[listen]]\naddress = 'tcp:0.0.0.0:1'\n");
    let (_, errors) = check_config(folder.path());
    assert!(errors.contains("hashward.toml:3:1: limits.connections: expected at least 1, found 0"), "{errors}");
    assert!(errors.contains("conf.d/a.toml:2:1: listen address"), "{errors}");
}

#[test]
fn check_config_warns_and_names_the_files_that_it_read() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path(), "");
    write_part(folder.path(), "a.toml", "[[listen]]\naddress = 'tcp:127.0.0.1:1'\n");
    write_part(folder.path(), "b.toml.orig", "nonsense");
    let (output, warnings) = check_config(folder.path());
    assert_eq!(output.status.code(), Some(0));
    assert!(warnings.contains("conf.d/b.toml.orig: not read"), "{warnings}");
    assert!(warnings.contains("tcp:127.0.0.1:1: nobody may ask there"), "{warnings}");
    let text = String::from_utf8(output.stdout).unwrap();
    let read: Vec<&str> = text.lines().filter(|line| line.starts_with("# read from")).collect();
    assert!(read.len() == 2 && read[0].ends_with("hashward.toml") && read[1].ends_with("conf.d/a.toml"), "{text}");
}

#[test]
fn the_daemon_listens_as_conf_d_says_and_tells_which_config_it_runs_with() {
    let folder = tempfile::tempdir().unwrap();
    write_part(folder.path(), "a.toml", "[[listen]]\naddress = 'unix:data/a.sock'\n");
    let config = "[[listen]]\naddress = 'unix:data/hashward.sock'\n";
    let daemon = Daemon::start_in(folder, config);
    let folder = daemon.folder.path();
    let socket = |name: &str| Address::Unix(folder.join("data").join(name));
    assert!(Client::connect(&socket("a.sock")).is_ok());
    let at_start = digest(folder);
    assert_eq!(running(&daemon), at_start);

    // A file more.
    write_part(folder, "b.toml", "[[listen]]\naddress = 'unix:data/b.sock'\n[limits]\nidle_s = 60\n");
    daemon.signal(Signal::HUP);
    until(|| Client::connect(&socket("b.sock")).ok());
    let with_b = digest(folder);
    until(|| (running(&daemon) == with_b).then_some(()));
    assert_ne!(with_b, at_start);

    // A mistake in one of them changes nothing.
    write_part(folder, "c.toml", "[limits]\nidle_s = 61\n");
    daemon.signal(Signal::HUP);
    write_part(folder, "d.toml", "[[listen]]\naddress = 'unix:data/d.sock'\n");
    daemon.signal(Signal::HUP);
    fs::remove_file(folder.join("conf.d/c.toml")).unwrap();
    daemon.signal(Signal::HUP);
    until(|| Client::connect(&socket("d.sock")).ok());

    // What needs a new start is not what the daemon runs with.
    let with_d = digest(folder);
    until(|| (running(&daemon) == with_d).then_some(()));
    write_part(folder, "e.toml", "[gate]\nshrink = { share = 0.5, entries = 1 }\n[limits]\nframe_s = 3\n");
    daemon.signal(Signal::HUP);
    until(|| (running(&daemon) != with_d).then_some(()));
    assert_ne!(running(&daemon), digest(folder));
    let mut status = Process::new(env!("CARGO_BIN_EXE_hashward"));
    let status = status.arg("status").arg("--socket").arg(daemon.socket()).output().unwrap();
    let text = String::from_utf8(status.stdout).unwrap();
    assert!(text.lines().any(|line| line.starts_with("config ") && line.ends_with(&running(&daemon))), "{text}");
}

#[test]
fn check_config_names_every_certificate_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let listen = |port: u32| {
        format!("[[listen]]\naddress = 'tcp:127.0.0.1:{port}'\ntls = {{ certificate = '{port}.pem', key = 'k' }}\n")
    };
    write_config(folder.path(), &listen(1));
    write_part(folder.path(), "a.toml", &listen(2));
    let (output, errors) = check_config(folder.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.contains("hashward.toml:4:1: cannot read") && errors.contains("1.pem"), "{errors}");
    assert!(errors.contains("conf.d/a.toml:3:1: cannot read") && errors.contains("2.pem"), "{errors}");
}

/// All files and folders below `folder`, with their modes.
fn modes(folder: &Path, found: &mut Vec<(PathBuf, fs::Metadata)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            modes(&path, found);
        }
        found.push((path, metadata));
    }
}

#[test]
fn what_is_written_is_its_owners_alone_whatever_the_shell_says() {
    // Beside a limit on descriptors, the shell says that everybody may do everything with new files.
    let mut daemon = Daemon::start_under("-n 1024 && umask 000", "");
    daemon.add("own", [daemon_support::known(1)]);
    let index = Path::new(env!("CARGO_BIN_EXE_hashward")).with_file_name("hashward-index");
    assert!(index.exists(), "expected {} beside hashward: cargo build --workspace", index.display());
    let root = daemon.folder.path().to_owned();
    let run = |script: &str| {
        let mut shell = Process::new("sh");
        shell.args(["-c", &format!("umask 000; {script}"), index.to_str().unwrap()]).current_dir(&root);
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    fs::write(root.join("list"), "5d41402abc4b2a76b9719d911017c592\n").unwrap();
    run("$0 import list list --kind md5 --role illegal --data data && $0 backup kept --data data");
    let mut found = Vec::new();
    modes(&root.join("data"), &mut found);
    let sockets: Vec<_> = found.extract_if(.., |(_, metadata)| metadata.file_type().is_socket()).collect();
    assert!(sockets.iter().all(|(_, metadata)| metadata.permissions().mode() & 0o777 == 0o660) && sockets.len() == 1);
    // What stands there without a daemon, too.
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());
    run("$0 add own md5:7d793037a0760186574b0282f2f435e7 --data data && $0 add new --role illegal --data other \
         md5:7d793037a0760186574b0282f2f435e7");
    for folder in ["data", "other", "kept"] {
        modes(&root.join(folder), &mut found);
    }
    // The test has made `data`.
    found.extend(["other", "kept"].map(|folder| (root.join(folder), root.join(folder).metadata().unwrap())));
    assert!(found.len() > 20, "{found:?}");
    for (path, metadata) in found {
        let allowed = if metadata.is_dir() { 0o710 } else { 0o600 };
        let mode = metadata.permissions().mode() & 0o777;
        assert_eq!(mode & !allowed, 0, "{}: {mode:o}", path.display());
    }
}
