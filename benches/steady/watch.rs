//! Memory, descriptors and threads of the daemon and of its workers, as the kernel tells them.
//!
//! A segment is mapped, so replacing it moves `RssFile` by its size: what must be flat is `RssAnon`, the memory that the
//! daemon has allocated.

use std::fs;
use std::path::Path;

/// What the kernel says of a process and of its children together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) anon_kb: u64,
    pub(crate) file_kb: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
    pub(crate) workers: u64,
    pub(crate) workers_anon_kb: u64,
    pub(crate) workers_descriptors: u64,
}

impl Sample {
    /// Of the process `pid` and its children.
    pub(crate) fn of(pid: u32) -> Sample {
        let (anon_kb, file_kb, threads) = memory(pid);
        let mut sample = Sample { anon_kb, file_kb, threads, descriptors: descriptors(pid), ..Sample::default() };
        for child in children(pid) {
            sample.workers += 1;
            sample.workers_anon_kb += memory(child).0;
            sample.workers_descriptors += descriptors(child);
        }
        sample
    }
}

/// RssAnon and RssFile in kB, and threads. Zeros of a process that is gone.
fn memory(pid: u32) -> (u64, u64, u64) {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let number = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    (number("RssAnon:"), number("RssFile:"), number("Threads:"))
}

fn descriptors(pid: u32) -> u64 {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count() as u64)
}

/// Those that any of its threads has started.
fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let of_thread = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children")).unwrap_or_default();
    let lists: Vec<String> = threads.flatten().map(of_thread).collect();
    lists.iter().flat_map(|list| list.split_whitespace()).filter_map(|child| child.parse().ok()).collect()
}

/// Bytes of all files in a folder, and in those below it.
pub(crate) fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let of_entry = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => folder_bytes(&entry.path()),
        Ok(found) => found.len(),
        // It went meanwhile.
        Err(_) => 0,
    };
    entries.flatten().map(of_entry).sum()
}

/// The middle one of some numbers.
pub(crate) fn median(numbers: impl IntoIterator<Item = u64>) -> u64 {
    let mut numbers: Vec<u64> = numbers.into_iter().collect();
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied().unwrap_or(0)
}

/// How much `y` grows while `x` grows by one, by least squares.
pub(crate) fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len().max(1) as f64;
    let (x_mean, y_mean) =
        (points.iter().map(|(x, _)| x).sum::<f64>() / count, points.iter().map(|(_, y)| y).sum::<f64>() / count);
    let together: f64 = points.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
    let spread: f64 = points.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
    if spread > 0.0 { together / spread } else { 0.0 }
}
