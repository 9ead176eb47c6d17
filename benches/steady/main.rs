//! How steady the daemon is: under reloads and seals, before a crowd of idle and rude connections, and over an hour.
//!
//! ```text
//! cargo bench --bench steady                          reloads, and the crowd
//! cargo bench --bench steady -- reloads               one part: reloads, crowd or hour
//! HASHWARD_BENCH_HOUR=1 cargo bench --bench steady -- hour
//! ```
//!
//! The two programs are run as a user runs them. The truth of every answer is known before it is asked for: one wrong or
//! failed answer ends the run with an error. `HASHWARD_BENCH_LARGE=1` reloads beside 10 million digests instead of one.
//! The hour lasts a minute unless `HASHWARD_BENCH_HOUR=1` is set; its load is bounded by rate, so that it can run beside
//! other work, and its samples are left in `target/steady-hour.csv`.
//!
//! | file | what |
//! |---|---|
//! | `world` | the daemon under test, its config, and what is true of its lists |
//! | `changing` | what changes while others ask, and what may be answered meanwhile |
//! | `load` | connections that ask and check |
//! | `mixed` | all that users do, each so often |
//! | `reader` | somebody who reads the match events as they come |
//! | `rude` | connections that stand, or never read |
//! | `web` | the few lines of HTTP that are needed |
//! | `watch` | memory and descriptors, as the kernel tells them |
//! | `reloads`, `crowd`, `hour` | the three parts |

#[path = "../../tests/pictures_support/mod.rs"]
mod pictures_support;
#[path = "../programs/mod.rs"]
mod programs;

mod changing;
mod crowd;
mod hour;
mod load;
mod mixed;
mod reader;
mod reloads;
mod rude;
mod watch;
mod web;
mod world;

/// How much is done: all of it, or just enough to see that it works.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scale {
    Smoke,
    Full,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let scale = if programs::is_smoke() { Scale::Smoke } else { Scale::Full };
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let is_hour_meant = scale == Scale::Smoke || std::env::var_os("HASHWARD_BENCH_HOUR").is_some();
    let asked = |part: &str| filter.is_none_or(|filter| part.contains(filter.as_str()));
    if asked("reloads") {
        reloads::run(scale);
    }
    if asked("crowd") {
        crowd::run(scale);
    }
    if asked("hour") && (filter.is_some() || is_hour_meant) {
        hour::run(scale);
    }
}

/// A row of a table for `docs/benchmarks.md`.
fn row(what: &str, cells: &[String]) {
    println!("| {what} | {} |", cells.join(" | "));
}
