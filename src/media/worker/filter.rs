//! The system calls that are left to a worker. It is killed at any other.
//!
//! What remains is memory without the right to execute it, standard input and output, the clock, and ways to end. No call
//! that takes a path, makes a descriptor, or reaches another process.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::sandbox::{SandboxError, is_missing};

/// A condition on a system call's argument: its place, and what it is compared with.
type Condition = (u8, SeccompCmpOp, u64);

/// Calls that are allowed with any argument.
const ALLOWED: &[libc::c_long] = &[
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    // What abort() asks before it raises its signal.
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Calls that are allowed with certain arguments: each line is one way, all of whose conditions must hold.
fn conditional() -> [(libc::c_long, Vec<Condition>); 8] {
    use SeccompCmpOp::{Eq, MaskedEq};
    let not_executable = || (2, MaskedEq(libc::PROT_EXEC as u64), 0);
    let anonymous = (3, MaskedEq(libc::MAP_ANONYMOUS as u64), libc::MAP_ANONYMOUS as u64);
    let own_process = u64::from(std::process::id());
    [
        (libc::SYS_read, vec![(0, Eq, libc::STDIN_FILENO as u64)]),
        (libc::SYS_write, vec![(0, Eq, libc::STDOUT_FILENO as u64)]),
        (libc::SYS_write, vec![(0, Eq, libc::STDERR_FILENO as u64)]),
        (libc::SYS_mmap, vec![not_executable(), anonymous]),
        (libc::SYS_mprotect, vec![not_executable()]),
        // The processor time of each picture.
        (libc::SYS_prlimit64, vec![(0, Eq, 0), (1, Eq, u64::from(libc::RLIMIT_CPU))]),
        // abort(): when memory is short.
        (libc::SYS_tgkill, vec![(0, Eq, own_process), (2, Eq, libc::SIGABRT as u64)]),
        (libc::SYS_tkill, vec![(0, Eq, own_process), (1, Eq, libc::SIGABRT as u64)]),
    ]
}

/// Puts the filter in force. Says whether the kernel has one.
pub(super) fn install() -> Result<bool, SandboxError> {
    let program = compile().map_err(|error| SandboxError::new("seccomp", io::Error::other(error)))?;
    match seccompiler::apply_filter(&program) {
        Ok(()) => Ok(true),
        Err(Error::Seccomp(error)) if is_missing(&error) => Ok(false),
        Err(error) => Err(SandboxError::new("seccomp", io::Error::other(error))),
    }
}

fn compile() -> Result<BpfProgram, Error> {
    // An empty list of rules means: whatever the arguments.
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    for (call, conditions) in conditional() {
        let condition =
            |(place, operator, value)| SeccompCondition::new(place, SeccompCmpArgLen::Dword, operator, value);
        let conditions = conditions.into_iter().map(condition).collect::<Result<_, _>>()?;
        rules.entry(call).or_default().push(SeccompRule::new(conditions)?);
    }
    let target = std::env::consts::ARCH.try_into()?;
    Ok(SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, target)?.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_allowed_both_with_any_argument_and_with_some() {
        for (call, conditions) in conditional() {
            assert!(!ALLOWED.contains(&call), "{call}: the conditions would be lost");
            assert!(!conditions.is_empty());
        }
        assert!(!compile().unwrap().is_empty());
    }
}
