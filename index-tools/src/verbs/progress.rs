//! Shows how far long work has come: a bar on a terminal, a plain line now and then elsewhere.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::print;

/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shared by the threads of a verb.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    plain: Mutex<Plain>,
}

struct Plain {
    what: &'static str,
    unit: &'static str,
    done: u64,
    total: Option<u64>,
    last: Instant,
}

impl Progress {
    pub(super) fn start() -> Progress {
        let bar = std::io::stderr().is_terminal().then(ProgressBar::no_length);
        let plain = Plain { what: "", unit: "", done: 0, total: None, last: Instant::now() };
        Progress { bar, plain: Mutex::new(plain) }
    }

    /// Begins a stage that goes through `total` bytes, as far as that is known.
    pub(super) fn bytes(&self, what: &'static str, total: Option<u64>) {
        self.stage(
            what,
            "bytes",
            total,
            "{bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
            "{bytes}, {bytes_per_sec}",
        );
    }

    /// Begins a stage that goes through `total` rows.
    pub(super) fn rows(&self, what: &'static str, total: u64) {
        self.stage(what, "rows", Some(total), "{human_pos} of {human_len}, {per_sec}, {eta} left", "{human_pos}");
    }

    /// Begins a stage without a measure.
    pub(super) fn waiting(&self, what: &'static str) {
        self.stage(what, "", None, "", "");
        if let Some(bar) = &self.bar {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
    }

    fn stage(&self, what: &'static str, unit: &'static str, total: Option<u64>, known: &str, unknown: &str) {
        if let Some(bar) = &self.bar {
            let template = match total {
                Some(_) => format!("{{msg:10}} {{wide_bar}} {known}"),
                None => format!("{{msg:10}} {{spinner}} {unknown}"),
            };
            bar.reset();
            bar.set_style(ProgressStyle::with_template(&template).expect("the templates above are well-formed"));
            bar.set_message(what);
            match total {
                Some(total) => bar.set_length(total),
                None => bar.unset_length(),
            }
        }
        if let Ok(mut plain) = self.plain.lock() {
            *plain = Plain { what, unit, done: 0, total, last: Instant::now() };
        }
    }

    /// So many more bytes or rows are done. Called for blocks, not for each row.
    pub(super) fn advance(&self, more: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(more);
            return;
        }
        let Ok(mut plain) = self.plain.lock() else { return };
        plain.done += more;
        if plain.last.elapsed() >= LINE_EVERY {
            plain.last = Instant::now();
            let Plain { what, unit, done, .. } = *plain;
            match plain.total {
                Some(total) => {
                    let percent = done.saturating_mul(100) / total.max(1);
                    eprintln!("{what}: {} of {} {unit} ({percent} %)", print::grouped(done), print::grouped(total));
                }
                None => eprintln!("{what}: {} {unit}", print::grouped(done)),
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
