//! Shows how far long work has come, how fast it goes and how long it still takes: a bar on a terminal, a plain line
//! now and then elsewhere.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::print::{self, grouped};

/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shared by the threads that do the work.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    plain: Mutex<Plain>,
}

struct Plain {
    what: &'static str,
    unit: &'static str,
    done: u64,
    total: Option<u64>,
    started: Instant,
    last: Instant,
}

impl Progress {
    pub(super) fn start() -> Progress {
        let bar = std::io::stderr().is_terminal().then(ProgressBar::no_length);
        let plain = Plain { what: "", unit: "", done: 0, total: None, started: Instant::now(), last: Instant::now() };
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

    /// Begins a stage that goes through `total` rows, or whatever they are called.
    pub(super) fn rows(&self, what: &'static str, unit: &'static str, total: u64) {
        self.stage(what, unit, Some(total), "{human_pos} of {human_len}, {per_sec}, {eta} left", "");
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
            *plain = Plain { what, unit, done: 0, total, started: Instant::now(), last: Instant::now() };
        }
    }

    /// Shows a line that says itself how far the work has come.
    pub(super) fn tell(&self, line: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_message(line());
            return;
        }
        let Ok(mut plain) = self.plain.lock() else { return };
        if plain.last.elapsed() >= LINE_EVERY {
            plain.last = Instant::now();
            eprintln!("{}", line());
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
            eprintln!("{}", plain.line());
        }
    }
}

impl Plain {
    fn line(&self) -> String {
        let Plain { what, unit, done, .. } = *self;
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = format!("{} {unit} a second", grouped((done as f64 / seconds.max(1e-9)) as u64));
        match self.total {
            Some(total) => {
                let percent = done.saturating_mul(100) / total.max(1);
                let left = total.saturating_sub(done) as f64 / (done as f64).max(1.0) * seconds;
                let left = print::duration(left as u64);
                format!("{what}: {} of {} {unit} ({percent} %), {rate}, {left} left", grouped(done), grouped(total))
            }
            None => format!("{what}: {} {unit}, {rate}", grouped(done)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_fast_and_how_long() {
        let started = Instant::now() - Duration::from_secs(100);
        let plain = |total| Plain { what: "reading", unit: "bytes", done: 2_000_000, total, started, last: started };
        let line = plain(Some(8_000_000)).line();
        assert!(
            line.starts_with("reading: 2,000,000 of 8,000,000 bytes (25 %), 19,99") || line.contains(", 20,000 "),
            "{line}"
        );
        assert!(line.ends_with(" bytes a second, 5 min left"), "{line}");
        assert!(plain(None).line().ends_with(" bytes a second"));
    }
}
