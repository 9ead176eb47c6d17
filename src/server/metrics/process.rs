//! What the kernel says of this process, for the metrics that every daemon has.

use std::fs;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Memory that the process has in the machine's, in bytes; mapped segments among it as far as they are.
pub(super) fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1_024)
}

/// Descriptors that are open.
pub(super) fn open_descriptors() -> Option<u64> {
    // One of them is the folder that is being read.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as u64)
}

/// Descriptors that may be open; `None` if there is no bound.
pub(super) fn descriptors_max() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Time of processors that was used, in seconds.
pub(super) fn processor_s() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_something() {
        assert!(resident_bytes().unwrap() > 100_000);
        let before = open_descriptors().unwrap();
        let _open: Vec<fs::File> = (0..50).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        // Other tests open and close files beside.
        assert!(open_descriptors().unwrap() + 25 > before + 50);
        assert!(processor_s() > 0.0);
    }
}
