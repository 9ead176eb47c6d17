//! Worker processes at their ordinary work: the same hashes as without them, in any number, from any format.

mod worker_support;

use hashward::fingerprint::Kind;
use hashward::media::picture::HashRequest;
use hashward::media::worker::{Attempt, Failed, Fate, Job, Layers, Program, WorkerConfig, attempt_apart};
use image::ImageFormat;
use worker_support::*;

#[test]
fn a_worker_finds_what_its_parent_would() {
    let pool = pool(WorkerConfig::default());
    let formats =
        [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Tiff];
    let pictures: Vec<Vec<u8>> =
        formats.iter().zip(1..).map(|(format, number)| encoded(&picture(number, 200), *format)).collect();
    let found = outcomes(&pool, pictures.iter().map(|bytes| job(bytes)).collect());
    let wanted: Vec<_> = pictures.iter().map(|bytes| Ok(expected(bytes))).collect();
    assert_eq!(found, wanted);
    // Only what is asked for, and in the order of codes.
    let request = HashRequest { kinds: vec![Kind::Dhash64, Kind::Phash64, Kind::Dhash64], dihedral: false };
    let found = pool.hash(Job { bytes: pictures[0].clone(), request }).unwrap();
    let wanted = expected(&pictures[0]);
    assert_eq!((found.pdq, &found.hashes64[..]), (None, &wanted.hashes64[..2]));
    assert_eq!(pool.status().anomalies, 0);
    assert_eq!(pool.status().answered, 7);
}

/// The sandbox of this kernel, tried from inside. What succeeds without it must not succeed within.
#[test]
fn the_sandbox_holds() {
    let pool = pool(WorkerConfig { workers: 1, ..WorkerConfig::default() });
    check_works(&pool);
    let report = pool.status().sandbox.unwrap();
    let program = Program::At(env!("CARGO_BIN_EXE_hashward").into());
    let fate = |attempt, layers| attempt_apart(&program, attempt, layers).unwrap();
    for attempt in Attempt::ALL {
        assert_eq!(fate(attempt, Layers::None), Fate::Done, "{attempt:?} proves nothing here");
        let expected = match attempt {
            Attempt::TakeMemory => Fate::Refused,
            _ if report.seccomp => Fate::Killed,
            // Landlock or a limit, each in its place.
            _ => Fate::Refused,
        };
        let is_left_to_seccomp = matches!(attempt, Attempt::ConnectTcp | Attempt::SignalParent | Attempt::OpenSocket);
        if report.seccomp || !is_left_to_seccomp {
            assert_eq!(fate(attempt, Layers::All), expected, "{attempt:?}");
        }
    }
    if let Some(abi) = report.landlock_abi {
        for (attempt, since) in [
            (Attempt::ReadFile, 1),
            (Attempt::RunProgram, 1),
            (Attempt::StartProcess, 1),
            (Attempt::ConnectTcp, 4),
            (Attempt::SignalParent, 6),
        ] {
            if abi >= since {
                assert_eq!(fate(attempt, Layers::Landlock), Fate::Refused, "{attempt:?}");
            }
        }
    }
    let missing = [report.landlock_abi.is_none(), !report.seccomp, !report.descriptors_closed];
    assert_eq!(report.missing().len(), missing.into_iter().filter(|is_missing| *is_missing).count());
    println!("{report:?}");
}

/// What operators run to see the same.
#[test]
fn the_self_check_prints_every_attempt() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hashward"));
    let output = command.args(["worker", "self-check"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let table = String::from_utf8(output.stdout).unwrap();
    for attempt in Attempt::ALL {
        assert!(table.lines().any(|line| line.starts_with(attempt.name())), "{table}");
    }
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_hashward")).arg("--help").output().unwrap();
    assert!(!String::from_utf8(help.stdout).unwrap().contains("worker"));
}

/// Files that are no pictures are asked about by exact kinds only; no worker sees them.
#[test]
fn no_picture_no_worker() {
    let pool = pool(WorkerConfig { workers: 1, ..WorkerConfig::default() });
    for bytes in [&b""[..], b"text", b"\x89PNG", b"%PDF-1.7"] {
        assert_eq!(pool.hash(job(bytes)), Err(Failed::NotAPicture));
    }
    assert_eq!(pool.status().answered, 0);
}

/// A kernel that lacks a mechanism does not stop the work, and is told of.
#[test]
fn what_a_kernel_lacks_is_reported() {
    for (lacking, expected) in [
        (&[libc::SYS_landlock_create_ruleset][..], "landlock"),
        (&[libc::SYS_seccomp], "seccomp"),
        (&[libc::SYS_close_range], "close_range"),
    ] {
        let check = move || {
            lose(lacking);
            let pool = pool(WorkerConfig { workers: 1, ..WorkerConfig::default() });
            check_works(&pool);
            let missing = pool.status().sandbox.unwrap().missing();
            assert!(missing.iter().any(|text| text.starts_with(expected)), "{expected}: {missing:?}");
        };
        // The filter holds for this thread and what it starts: the pool, and its workers.
        std::thread::spawn(check).join().unwrap();
    }
}

/// From now on this thread is on a kernel without these system calls.
fn lose(calls: &[libc::c_long]) {
    use seccompiler::{SeccompAction, SeccompFilter};
    let rules = calls.iter().map(|call| (*call, Vec::new())).collect();
    let no_such_call = SeccompAction::Errno(libc::ENOSYS as u32);
    let target = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, no_such_call, target).unwrap();
    let program: seccompiler::BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}
