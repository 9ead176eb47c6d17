//! What is packaged and documented, held against the code: the shipped config says the defaults, the config reference
//! names every key with its default, man pages and completions cover every verb, and the installer puts it all in place.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Output};

use hashward::config::Config;
use toml::{Table, Value};

/// Keys whose defaults depend on the machine, or are none.
const NOT_FIXED: [&str; 3] = ["near_threads", "pictures.workers", "index_program"];

/// Sections that add up, and are told of in pages of their own.
const REPEATED: [&str; 3] = ["listen", "principal", "feeds"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every key of a config with its value; a limit of the gate is one value.
fn keys(table: &Table, above: &str, found: &mut BTreeMap<String, Value>) {
    for (key, value) in table {
        let name = format!("{above}{key}");
        match value {
            Value::Table(inner) if !inner.contains_key("share") => keys(inner, &format!("{name}."), found),
            value => drop(found.insert(name, value.clone())),
        }
    }
}

fn keys_of(config: &Config) -> BTreeMap<String, Value> {
    let mut table: Table = toml::from_str(&toml::to_string(config).unwrap()).unwrap();
    REPEATED.iter().for_each(|section| drop(table.remove(*section)));
    let mut found = BTreeMap::new();
    keys(&table, "", &mut found);
    found
}

fn default() -> Config {
    Config::resolve(None, None, &[]).unwrap()
}

#[test]
fn the_shipped_config_says_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hashward.toml");
    let shipped = fs::read_to_string(root().join("packaging/hashward.toml")).unwrap();
    fs::write(&path, &shipped).unwrap();
    let as_shipped = Config::resolve(Some(&path), None, &[]).unwrap();
    let expected = Config { data: as_shipped.data.clone(), listen: as_shipped.listen.clone(), ..default() };
    assert_eq!(as_shipped, expected, "nothing but the data folder and the listeners is another than by default");
    let sockets: Vec<String> = as_shipped.listen.iter().map(|listen| listen.address.to_string()).collect();
    assert_eq!(sockets, ["unix:/var/lib/hashward/hashward.sock", "unix:/run/hashward/ask.sock"]);

    // With every default in force it is the same config, and every key is there.
    let is_default = |line: &&str| line.starts_with("#[") || line[1..].starts_with(|c: char| c.is_ascii_lowercase());
    let uncommented = |line: &str| match line.strip_prefix('#').map(|_| line).filter(is_default) {
        Some(line) => line[1..].to_owned(),
        None => line.to_owned(),
    };
    let text: String = shipped.lines().map(|line| uncommented(line) + "\n").collect();
    fs::write(&path, &text).unwrap();
    assert_eq!(Config::resolve(Some(&path), None, &[]).unwrap(), expected, "{text}");
    let mut said = BTreeMap::new();
    keys(&toml::from_str(&text).unwrap(), "", &mut said);
    for key in keys_of(&default()).keys().filter(|key| !NOT_FIXED.contains(&key.as_str())) {
        assert!(said.contains_key(key), "packaging/hashward.toml does not say `{key}`");
    }
}

#[test]
fn the_reference_tells_of_every_key_with_its_default() {
    let page = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| `")?.split(" | ").collect();
        (cells.len() == 5 && ["start", "reload"].contains(&cells[3]))
            .then(|| (cells[0].trim_end_matches('`').to_owned(), cells[2].trim_matches('`').to_owned(), cells[3]))
    });
    let mut told = BTreeMap::new();
    for (key, default, effect) in rows {
        assert!(told.insert(key.clone(), (default, effect)).is_none(), "`{key}` stands twice in the reference");
    }
    let mut defaults = keys_of(&default());
    // Those that are not written where they are not given.
    for key in ["index_program", "plaintext_beyond_loopback"] {
        defaults.entry(key.to_owned()).or_insert(Value::Boolean(false));
    }
    assert_eq!(told.keys().collect::<Vec<_>>(), defaults.keys().collect::<Vec<_>>(), "keys told and keys there are");
    for (key, value) in defaults.iter().filter(|(key, _)| !NOT_FIXED.contains(&key.as_str())) {
        let said: Table = toml::from_str(&format!("value = {}", told[key].0)).unwrap();
        assert_eq!(&said["value"], value, "the default of `{key}`");
    }
    // What takes effect with a reload, the code says: all but what it keeps.
    let other = |key: &str| {
        let folder = tempfile::tempdir().unwrap();
        let (section, name) = key.rsplit_once('.').map_or((String::new(), key), |(s, n)| (format!("[{s}]\n"), n));
        let values = [
            "1",
            "7",
            "200000000",
            "400000000",
            "true",
            "false",
            "'answer'",
            "'json'",
            "'warn'",
            "{ share = 0.7, entries = 3 }",
        ];
        let path = folder.path().join("hashward.toml");
        let another = values.iter().find_map(|value| {
            fs::write(&path, format!("{section}{name} = {value}\n")).unwrap();
            let data = default().data;
            let config = Config::resolve(Some(&path), (key != "data").then_some(&data), &[]).ok()?;
            (keys_of(&config).get(key) != defaults.get(key)).then_some(config)
        });
        another.or_else(|| (key == "data").then(|| Config { data: "other".into(), ..default() }))
    };
    for (key, (_, effect)) in &told {
        let changed = other(key).unwrap_or_else(|| panic!("no other value of `{key}` was found"));
        let (_, waiting) = changed.taken_on_by(&default());
        assert_eq!(waiting.is_empty(), *effect == "reload", "{key}: {waiting:?}");
    }
}

/// Bounds that are no settings: the row that tells of each, by its beginning, with what it says, and where it is so.
const FIXED_BOUNDS: [(&str, &str, &str, &str); 29] = [
    ("values in one LOOKUP", "65,536", "src/protocol/mod.rs", "MAX_VALUES: u32 = 65_536"),
    ("a token", "256", "src/protocol/hello.rs", "TOKEN_BYTES_MAX: usize = 256"),
    ("descriptors that", "4", "src/server/descriptors.rs", "WAITING_MAX: usize = 4"),
    ("the head of", "32 KiB", "src/server/protocol/http/mod.rs", "HEAD_BYTES_MAX: usize = 32 << 10"),
    ("the head of", "60 s", "src/server/protocol/http/mod.rs", "HEAD_TIMEOUT: Duration = Duration::from_secs(60)"),
    ("a line of", "64 KiB", "src/server/protocol/http/lines.rs", "LINE_BYTES_MAX: usize = 64 << 10"),
    ("files being read", "256", "src/media/source.rs", "READERS_MAX: usize = 256"),
    ("a file that is sent", "16 KiB a second", "src/server/content.rs", "BYTES_PER_S_MIN: u64 = 16 << 10"),
    ("nearest codes", "100", "src/matching/verdict.rs", "NEAREST_MAX: usize = 100"),
    ("records of the trail", "10,000", "src/audit/read.rs", "RECORDS_MAX: u32 = 10_000"),
    ("events in one", "10,000", "src/events/read.rs", "EVENTS_MAX: u32 = 10_000"),
    ("a page of entries", "256 KiB", "src/store/command/entries.rs", "PAGE_BYTES: usize = 256 << 10"),
    ("a reason", "2,000", "src/store/suppress.rs", "REASON_CHARS_MAX: usize = 2_000"),
    ("a reason", "1,000", "src/store/command/gate.rs", "REASON_MAX: usize = 1_000"),
    ("a list's name", "64", "src/list/mod.rs", "(1..=64).contains(&name.len())"),
    ("a principal's name", "64", "src/access/principal.rs", "(1..=64).contains(&name.len())"),
    ("syncs at once", "2", "src/server/feeds.rs", "SYNCS_MAX: usize = 2"),
    ("lines of a sync", "1,000", "src/server/feeds.rs", "LINES_MAX: usize = 1_000"),
    ("a certificate", "1 MiB", "src/server/tls.rs", "PEM_BYTES_MAX: u64 = 1 << 20"),
    ("a feed's secret", "64 KiB", "src/feed.rs", "SECRET_BYTES_MAX: u64 = 64 << 10"),
    ("every setting in seconds", "31,536,000", "src/server/limits.rs", "SECONDS_MAX: u64 = 365 * 86_400"),
    ("`limits.frame_bytes`", "1 GiB", "src/server/limits.rs", "FRAME_BYTES_MAX: u32 = 1 << 30"),
    ("`limits.frame_bytes`", "4 KiB", "src/server/limits.rs", "FRAME_BYTES_MIN: u32 = 4 << 10"),
    ("`pictures.workers`", "1,024 and 65,536", "src/media/worker/config.rs", "self.queue as u64, 1, 65_536"),
    ("`pictures.deadline_s`", "3,600", "src/media/worker/config.rs", "self.cpu_s, 1, 3_600"),
    ("`pictures.input_bytes`", "1 GiB", "src/media/worker/wire.rs", "PICTURE_BYTES_MAX: u64 = 1 << 30"),
    ("`pictures.pixels`", "300,000,000", "src/media/worker/config.rs", "PIXELS_MAX: u64 = 300_000_000"),
    ("`pictures.memory_bytes`", "1 TiB", "src/media/worker/config.rs", "MEMORY_BYTES_MIN, 1 << 40)"),
    ("`pictures.memory_bytes`", "16 MiB", "src/media/worker/config.rs", "MEMORY_BYTES_MIN: u64 = 16 << 20"),
];

#[test]
fn the_reference_tells_of_bounds_that_are_no_settings() {
    let page = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let section = page.split("\n### ").find(|section| section.starts_with("Bounds that are no settings\n")).unwrap();
    let table = section.lines().skip_while(|line| !line.starts_with("| ")).take_while(|line| line.starts_with('|'));
    let rows: Vec<&str> = table.skip(2).collect();
    for (row, said, path, code) in FIXED_BOUNDS {
        let told = rows.iter().find(|line| line[2..].starts_with(row)).unwrap_or_else(|| panic!("no row `{row}`"));
        assert!(told.contains(said), "{told}: {said}");
        let text = fs::read_to_string(root().join(path)).unwrap();
        assert!(text.contains(code), "{path} has no `{code}`");
    }
    for row in rows {
        assert!(FIXED_BOUNDS.iter().any(|(known, ..)| row[2..].starts_with(known)), "{row}: held against nothing");
    }
}

fn run(program: &Path, arguments: &[&str]) -> Output {
    Process::new(program).args(arguments).output().unwrap()
}

/// Verbs as `--help` lists them.
fn verbs(program: &Path) -> Vec<String> {
    let help = String::from_utf8(run(program, &["--help"]).stdout).unwrap();
    let lines = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let verbs =
        lines.take_while(|line| !line.trim().is_empty()).filter(|line| line[2..].starts_with(char::is_alphabetic));
    verbs.map(|line| line.split_whitespace().next().unwrap().to_owned()).filter(|verb| verb != "help").collect()
}

#[test]
fn every_verb_has_a_man_page_and_is_completed() {
    let folder = tempfile::tempdir().unwrap();
    let hashward = PathBuf::from(env!("CARGO_BIN_EXE_hashward"));
    let index = hashward.with_file_name("hashward-index");
    assert!(index.exists(), "expected {} beside hashward: cargo build --workspace", index.display());
    for program in [&hashward, &index] {
        let name = program.file_name().unwrap().to_str().unwrap();
        let (man, completions) = (folder.path().join("man"), folder.path().join("completions"));
        for (what, dir) in [("man", &man), ("completions", &completions)] {
            let output = run(program, &["generate", what, dir.to_str().unwrap()]);
            assert!(output.status.success(), "{output:?}");
        }
        let verbs = verbs(program);
        assert!(verbs.len() >= 10, "{verbs:?}");
        let bash = fs::read_to_string(completions.join(format!("{name}.bash"))).unwrap();
        assert!(completions.join(format!("_{name}")).exists() && completions.join(format!("{name}.fish")).exists());
        for verb in verbs {
            let page = fs::read_to_string(man.join(format!("{name}-{verb}.1"))).unwrap();
            assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{verb}");
            assert!(bash.contains(&format!(",{verb})")), "{verb} is not completed");
        }
        assert!(man.join(format!("{name}.1")).exists());
        assert!(!man.join(format!("{name}-generate.1")).exists(), "hidden verbs have no page");
        assert!(
            run(Path::new("bash"), &["-n", completions.join(format!("{name}.bash")).to_str().unwrap()])
                .status
                .success()
        );
    }
    match Process::new("mandoc").arg("-V").output() {
        Err(_) => println!("skipped: there is no mandoc to read the pages with"),
        Ok(_) => {
            for page in fs::read_dir(folder.path().join("man")).unwrap() {
                let page = page.unwrap().path();
                let output = run(Path::new("mandoc"), &["-T", "lint", "-W", "error", page.to_str().unwrap()]);
                assert!(output.status.success(), "{output:?}");
            }
        }
    }
}

#[test]
fn the_installer_puts_everything_in_place_and_keeps_a_config() {
    let folder = tempfile::tempdir().unwrap();
    let built = PathBuf::from(env!("CARGO_BIN_EXE_hashward"));
    let install = || {
        let mut installer = Process::new(root().join("packaging/install.sh"));
        installer.env("DESTDIR", folder.path()).env("PREFIX", "/usr/local").env("BUILT", built.parent().unwrap());
        let output = installer.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    install();
    let at = |path: &str| folder.path().join(path);
    for path in [
        "usr/local/bin/hashward",
        "usr/local/bin/hashward-index",
        "usr/local/share/man/man1/hashward-serve.1",
        "usr/local/share/man/man1/hashward-index-import.1",
        "usr/local/share/bash-completion/completions/hashward-index",
        "usr/local/lib/systemd/system/hashward.socket",
        "usr/local/lib/sysusers.d/hashward.conf",
        "etc/hashward/conf.d",
    ] {
        assert!(at(path).exists(), "{path}");
    }
    let unit = fs::read_to_string(at("usr/local/lib/systemd/system/hashward.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/local/bin/hashward serve") && !unit.contains("/usr/bin/hashward"), "{unit}");
    fs::write(at("etc/hashward/hashward.toml"), "data = 'mine'\n").unwrap();
    install();
    assert_eq!(fs::read_to_string(at("etc/hashward/hashward.toml")).unwrap(), "data = 'mine'\n");
}

/// What a Debian user types, with what the unit names: programs, sockets, folders.
#[test]
fn the_units_and_the_config_agree() {
    let read = |path: &str| fs::read_to_string(root().join("packaging").join(path)).unwrap();
    let (service, socket) = (read("systemd/hashward.service"), read("systemd/hashward.socket"));
    assert!(socket.contains("ListenStream=/run/hashward/ask.sock\n"));
    assert!(service.contains("StateDirectory=hashward\n") && service.contains("After=hashward.socket "));
    // It would be given to the daemon's group with the socket in it, and nobody could ask any more.
    assert!(!service.contains("\nRuntimeDirectory"));
    let (users, group) = (read("sysusers.d/hashward.conf"), "hashward-ask");
    assert!(socket.contains(&format!("SocketGroup={group}\n")) && users.contains(&format!("\ng {group} ")));
    assert!(service.contains("User=hashward\n") && users.contains("\nu hashward "));
    match Process::new("systemd-analyze").arg("--version").output() {
        Err(_) => println!("skipped: there is no systemd-analyze to verify the units with"),
        Ok(_) => {
            let folder = tempfile::tempdir().unwrap();
            let program = env!("CARGO_BIN_EXE_hashward");
            let unit = folder.path().join("hashward.service");
            fs::write(&unit, service.replace("/usr/bin/hashward", program)).unwrap();
            fs::write(folder.path().join("hashward.socket"), &socket).unwrap();
            let output = run(Path::new("systemd-analyze"), &["verify", "--man=no", unit.to_str().unwrap()]);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let about: Vec<&str> = said.lines().filter(|line| line.contains("hashward")).collect();
            assert!(about.is_empty(), "{about:?}");
        }
    }
}

#[test]
fn the_threat_model_names_code_and_tests_that_are_there() {
    let page = fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let is_path =
        |name: &&str| ["src/", "tests/", "index-tools/", "packaging/"].iter().any(|top| name.starts_with(top));
    let named: Vec<&str> = page.split('`').skip(1).step_by(2).filter(is_path).collect();
    assert!(named.len() > 40, "{named:?}");
    for name in named {
        let (path, test) = name.split_once("::").map_or((name, None), |(path, test)| (path, Some(test)));
        let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        if let Some(test) = test {
            assert!(text.contains(&format!("fn {test}(")), "{path} has no test `{test}`");
        }
    }
}
