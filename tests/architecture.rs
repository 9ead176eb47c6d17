//! The borders of ARCHITECTURE.md, held by a test: who may use whom, and that every module says why it exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Of each module of the library: the modules it may name.
const LIBRARY: &[(&str, &[&str])] = &[
    ("fingerprint", &[]),
    ("moment", &[]),
    ("durable", &[]),
    ("list", &["fingerprint"]),
    ("settings", &[]),
    ("log", &[]),
    ("pages", &[]),
    ("systemd", &["protocol"]),
    ("feed", &["fingerprint", "list", "moment", "settings"]),
    ("segment", &["fingerprint", "list"]),
    ("index", &["fingerprint", "list", "segment"]),
    ("records", &["fingerprint", "list", "segment", "index"]),
    ("catalogue", &["fingerprint", "list"]),
    ("matching", &["fingerprint", "list", "segment", "index"]),
    ("store", &["fingerprint", "list", "segment", "index", "records", "catalogue", "matching", "moment"]),
    ("protocol", &["fingerprint", "list", "matching", "access"]),
    ("access", &["durable"]),
    ("journal", &["durable"]),
    ("events", &["access", "fingerprint", "index", "journal", "list", "matching"]),
    ("audit", &["access", "durable", "events", "fingerprint", "journal", "matching"]),
    ("media", &["fingerprint", "matching"]),
    (
        "config",
        &["access", "audit", "events", "feed", "journal", "log", "media", "protocol", "server", "settings", "store"],
    ),
    (
        "server",
        &[
            "access",
            "audit",
            "events",
            "feed",
            "fingerprint",
            "index",
            "journal",
            "list",
            "matching",
            "media",
            "moment",
            "protocol",
            "store",
            "systemd",
        ],
    ),
    (
        "cli",
        &[
            "access",
            "audit",
            "config",
            "events",
            "fingerprint",
            "journal",
            "list",
            "matching",
            "media",
            "moment",
            "pages",
            "protocol",
            "server",
            "settings",
            "store",
            "systemd",
        ],
    ),
];

/// Of each module of hashward-index: the modules of the library, then the modules of its own that it may name.
const INDEX_TOOLS: &[(&str, &[&str], &[&str])] = &[
    ("formats", &["fingerprint", "list"], &[]),
    ("build", &["fingerprint", "list", "segment", "index", "records"], &["formats"]),
    ("keeper", &["store", "protocol"], &[]),
    ("feeds", &["feed", "fingerprint", "list", "moment", "store"], &["formats", "keeper"]),
    (
        "verbs",
        &["feed", "fingerprint", "list", "segment", "index", "records", "store", "moment", "pages"],
        &["formats", "build", "feeds", "keeper"],
    ),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below `folder`, as (path below `folder`, text).
fn sources(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(current) = folders.pop() {
        for entry in fs::read_dir(&current).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.insert(path.strip_prefix(folder).unwrap().to_path_buf(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    assert!(!found.is_empty(), "no sources below {}", folder.display());
    found
}

/// The module's path, from the file's: `a/b.rs` and `a/b/mod.rs` are both [a, b].
fn module_path(file: &Path) -> Vec<String> {
    let mut path: Vec<String> = file.with_extension("").iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if matches!(path.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        path.pop();
    }
    path
}

/// The code of a file without its unit tests and comments.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The first names after each `prefix` in `code`: `a::b` gives a, `{a::b, c}` gives a and c.
fn names_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let joined = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
        if joined {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            names.extend(first_name(rest));
            continue;
        };
        let (mut depth, mut item_starts) = (0, true);
        for (index, c) in group.char_indices() {
            match c {
                '}' if depth == 0 => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => item_starts = true,
                c if item_starts && !c.is_whitespace() => {
                    names.extend(first_name(&group[index..]));
                    item_starts = false;
                }
                _ => {}
            }
        }
    }
    names
}

fn first_name(code: &str) -> Option<String> {
    let name: String = code.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// The top-level modules that a file names, through `crate::` or enough `super::`s.
fn used(file: &Path, text: &str) -> BTreeSet<String> {
    let code = code(text);
    let up_to_root = "super::".repeat(module_path(file).len());
    let mut names = names_after(&code, "crate::");
    if !up_to_root.is_empty() {
        names.extend(names_after(&code, &up_to_root));
    }
    names
}

/// One line for each known module that `file` of module `own` names and may not.
fn check(file: &Path, used: &BTreeSet<String>, known: &[&str], own: &str, allowed: &[&str]) -> Vec<String> {
    used.iter()
        .filter(|name| known.contains(&name.as_str()) && *name != own && !allowed.contains(&name.as_str()))
        .map(|name| format!("{}: `{name}` is not for `{own}`, which may use {allowed:?}", file.display()))
        .collect()
}

#[test]
fn modules_use_only_whom_they_may() {
    let library: Vec<&str> = LIBRARY.iter().map(|(name, _)| *name).collect();
    let mut against = Vec::new();
    for (file, text) in sources(&root().join("src")) {
        let Some(own) = module_path(&file).first().cloned().filter(|_| !file.ends_with("tests.rs")) else { continue };
        let Some((_, allowed)) = LIBRARY.iter().find(|(name, _)| *name == own) else {
            against.push(format!("{}: the table does not know `{own}`", file.display()));
            continue;
        };
        against.extend(check(&file, &used(&file, &text), &library, &own, allowed));
    }
    let tools: Vec<&str> = INDEX_TOOLS.iter().map(|(name, ..)| *name).collect();
    for (file, text) in sources(&root().join("index-tools/src")) {
        let Some(own) = module_path(&file).first().cloned() else { continue };
        let Some((_, of_library, of_tools)) = INDEX_TOOLS.iter().find(|(name, ..)| *name == own) else {
            against.push(format!("index-tools/src/{}: the table does not know `{own}`", file.display()));
            continue;
        };
        let from_library = names_after(&code(&text), "hashward::");
        against.extend(check(&file, &from_library, &library, "hashward-index", of_library));
        against.extend(check(&file, &used(&file, &text), &tools, &own, of_tools));
    }
    assert!(against.is_empty(), "imports against the table:\n{}", against.join("\n"));
}

#[test]
fn every_module_opens_with_why_it_exists() {
    let mut silent = Vec::new();
    for folder in ["src", "index-tools/src", "benches", "tests", "index-tools/tests"] {
        for (file, text) in sources(&root().join(folder)) {
            let comment: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
            if comment.len() < "//! A line that says something.".len() {
                silent.push(format!("{folder}/{}", file.display()));
            }
        }
    }
    assert!(silent.is_empty(), "modules without an opening `//!`: {silent:#?}");
}

/// The check itself must be able to fail.
#[test]
fn an_import_against_the_table_is_seen() {
    let text = "use crate::{list::Role, store::Store};\nfn f() { super::super::server::run() }";
    let file = Path::new("index/exact.rs");
    assert_eq!(used(file, text), ["list", "server", "store"].map(str::to_owned).into());
    let library: Vec<&str> = LIBRARY.iter().map(|(name, _)| *name).collect();
    let allowed = ["fingerprint", "list", "segment"];
    assert_eq!(check(file, &used(file, text), &library, "index", &allowed).len(), 2);
    assert!(used(file, "// crate::store\n#[cfg(test)]\nmod tests { use crate::store; }").is_empty());
}
