//! The commands of docs/operations.md, "From nothing to a service", as they stand there: run below a folder of their own, with
//! stand-ins for what needs root or systemd.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command as Process, Stdio};

/// Stand-ins: the daemon is started and told to reload as its unit does.
const STAND_INS: [(&str, &str); 7] = [
    // Everybody on a machine sees the arguments of its processes.
    ("curl", "printf '%s\\n' \"$@\" >> ROOT/arguments; PATH=${PATH#*:}; exec curl \"$@\""),
    ("systemd-sysusers", "true"),
    ("useradd", "true"),
    ("usermod", "true"),
    ("chgrp", "true"),
    ("runuser", "while [ \"$1\" != -- ]; do shift; done; shift; exec \"$@\""),
    (
        "systemctl",
        "start() {
           hashward serve --config ROOT/etc/hashward/hashward.toml >> ROOT/daemon.log 2>&1 &
           echo $! > ROOT/daemon.pid
           until hashward status --socket ROOT/var/lib/hashward/hashward.sock 2>&1 | grep -q 'ready$'; do
             kill -0 $(cat ROOT/daemon.pid) || exit 1; sleep 0.1; done
         }
         case \"$1\" in
           enable) mkdir -p ROOT/var/lib ROOT/run/hashward; start;;
           restart) kill $(cat ROOT/daemon.pid)
             while kill -0 $(cat ROOT/daemon.pid) 2>/dev/null; do sleep 0.1; done; start;;
           reload) hashward check-config --quiet --config ROOT/etc/hashward/hashward.toml && kill -HUP $(cat ROOT/daemon.pid);;
         esac",
    ),
];

/// The ```sh blocks of a section.
fn blocks(page: &str, section: &str) -> String {
    let from = page.find(&format!("\n## {section}\n")).expect("the section is there");
    let section = &page[from + 1..];
    let section = &section[..section[3..].find("\n## ").map_or(section.len(), |end| end + 3)];
    section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap()).collect()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

struct Ended<'f>(&'f Path);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let pid = fs::read_to_string(self.0.join("daemon.pid")).unwrap_or_default();
        if let Some(pid) = pid.trim().parse().ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }
}

#[test]
fn from_nothing_to_a_service() {
    if Process::new("curl").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("skipped: there is no curl to ask over HTTP with");
        return;
    }
    let page_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(page_root.join("docs/operations.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let _ended = Ended(root);
    let built = Path::new(env!("CARGO_BIN_EXE_hashward")).parent().unwrap();
    assert!(built.join("hashward-index").exists(), "expected hashward-index beside hashward: cargo build --workspace");
    let below = |text: &str| {
        let mut text = text.to_owned();
        for path in ["/etc/hashward", "/var/lib/hashward", "/run/hashward", "/var/tmp/", "/var/backups", "/root/"] {
            text = text.replace(path, &format!("{}{path}", root.display()));
        }
        text.replace(":7180", &format!(":{}", free_port())).replace(":9464", &format!(":{}", free_port()))
    };
    for folder in ["root", "var/tmp", "var/backups", "bin"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for (name, script) in STAND_INS {
        let path = root.join("bin").join(name);
        let script = script.replace("ROOT", root.to_str().unwrap());
        fs::write(&path, format!("#!/bin/bash\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script = below(&blocks(&page, "From nothing to a service"));
    let script = script.replace("install -d -o hashward -g hashward", "install -d");
    // What is installed names the folders of a real root; the shipped config is the one that is tried.
    let installed = "packaging/install.sh";
    let config = root.join("etc/hashward/hashward.toml");
    let moved = format!(
        "{installed}\nsed -i 's|/var/lib|{0}/var/lib|; s|/run/|{0}/run/|' {1}",
        root.display(),
        config.display()
    );
    assert!(script.contains(installed));
    let script = script.replacen(installed, &moved, 1);
    let mut shell = Process::new("bash");
    shell.args(["-euo", "pipefail", "-c", &script]).current_dir(page_root).stdin(Stdio::null());
    let path = std::env::var("PATH").unwrap_or_default();
    shell.env("PATH", format!("{}:{}:{path}", root.join("bin").display(), built.display()));
    shell.env("DESTDIR", root).env("BUILT", built);
    let output = shell.output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let log = fs::read_to_string(root.join("daemon.log")).unwrap_or_default();
    assert!(output.status.success(), "{said}\n{errors}\n{log}\n{script}");

    // What the page says of it.
    assert!(said.matches("known").count() >= 3, "{said}");
    assert!(said.contains(r#""verdict":"known""#), "{said}");
    assert!(said.contains(r#""status":"ready""#), "{said}");
    assert!(fs::read_to_string(root.join("var/tmp/metrics.txt")).unwrap().lines().count() > 20);
    assert!(root.join("var/backups/hashward/first/backup.json").exists());
    assert!(fs::read_to_string(root.join("root/checkpoint.txt")).unwrap().contains("signature"));
    assert!(!log.contains("ERROR"), "{log}");
    assert_eq!(log.matches(" ready ").count(), 2, "started, and started again for the upgrade: {log}");

    let token = fs::read_to_string(root.join("root/scanner.token")).unwrap();
    let arguments = fs::read_to_string(root.join("arguments")).unwrap();
    assert!(arguments.contains("/v1/lookup/") && !arguments.contains(token.trim_end()), "{arguments}");
}
