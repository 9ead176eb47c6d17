//! The config as an operator meets it: files in `conf.d`, what `check-config` says, what a reload takes on, and which config
//! the daemon says it runs with.

mod daemon_support;

use std::fs;
use std::path::Path;
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
