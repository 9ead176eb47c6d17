//! The daemon under test, its config, and what is true of its lists.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use hashward::access::Token;
use hashward::fingerprint::{Kind, Radii};
use hashward::matching::Verdict;
use hashward::protocol::{Address, Client};
use hashward::store::{Command, Outcome};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::pictures_support::{pdq, photo};
use crate::programs::{Daemon, hashward, index_tool, write_list};
/// Digests below [`World::lines`] are in the list `fixed`, codes below [`CODES`] in the list `near`.
pub(crate) use crate::programs::{code, digest};

/// Nothing takes longer unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Perceptual codes of the list `near`, besides the one of the known picture.
pub(crate) const CODES: u64 = 20_000;

/// Match events that are kept: so many that a reader is not left behind, so few that they soon begin to be removed.
const EVENTS_FILE_BYTES: u64 = 8 << 20;
const EVENTS_FILES: u64 = 4;

/// The seeds of a picture that the list `near` knows, and of one that it does not.
pub(crate) const KNOWN_PICTURE: u64 = 1;
pub(crate) const STRANGE_PICTURE: u64 = 2;

/// A digest that no list ever holds.
pub(crate) fn unknown(i: u64) -> [u8; 16] {
    digest((1 << 40) + i)
}

/// What the config says beyond what it always says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setting {
    /// A listener at [`World::second_socket`].
    pub(crate) has_second_listener: bool,
    /// Whether the bearer of [`World::token`] may look up.
    pub(crate) visitor_may_look_up: bool,
    /// More listeners.
    pub(crate) listen: String,
    /// Lines of `[limits]`.
    pub(crate) limits: String,
}

/// A daemon on a store of its own.
pub(crate) struct World {
    pub(crate) daemon: Daemon,
    pub(crate) lines: u64,
    pub(crate) token: Token,
    tool: PathBuf,
    folder: TempDir,
}

impl World {
    /// Imports `lines` digests and [`CODES`] codes, and starts a daemon with them, under a soft limit of `descriptors`.
    pub(crate) fn new(lines: u64, setting: &Setting, descriptors: u32) -> World {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (tool, token) = (index_tool(), Token::generate().expect("random bytes"));
        let data = folder.path().join("data");
        let import = |list: &str, kind: Kind, file: &Path| {
            let arguments = ["--role", "illegal", "--kind", kind.name()];
            import(&tool, list, file, &arguments, &data).unwrap_or_else(|error| panic!("{error}"));
            fs::remove_file(file).expect("the list goes");
        };
        import("fixed", Kind::Md5, &write_list(folder.path(), "fixed.txt", (0..lines).map(digest)));
        let picture: [u8; 32] = pdq(&photo(KNOWN_PICTURE)).value().try_into().expect("256 bits");
        import("near", Kind::Pdq, &write_list(folder.path(), "near.txt", (0..CODES).map(code).chain([picture])));

        let config = folder.path().join("hashward.toml");
        write_config(&config, setting, &token);
        let mut command = Process::new("sh");
        let log = File::create(folder.path().join("daemon.log")).expect("a log file");
        command.args(["-c", r#"ulimit -S -n "$0" && exec "$@""#, &descriptors.to_string()]);
        command.arg(hashward().get_program()).args(["serve", "--config"]).arg(&config);
        command.env("RUST_LOG", "warn").stdin(Stdio::null()).stderr(log);
        let daemon = Daemon::run(command, &data, |client| {
            let answers = client.lookup(&[Kind::Md5], &Radii::none(), &digest(0)).expect("an answer");
            answers.hits.len() == 1 && answers.miss == Verdict::Unknown
        });
        World { daemon, lines, token, tool, folder }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn http_socket(&self) -> PathBuf {
        self.path("http.sock")
    }

    pub(crate) fn second_socket(&self) -> Address {
        Address::Unix(self.path("second.sock"))
    }

    /// Gives the daemon another config, and has it read that.
    pub(crate) fn reload(&self, setting: &Setting) {
        write_config(&self.path("hashward.toml"), setting, &self.token);
        let pid = Pid::from_raw(self.daemon.pid() as i32).expect("a process has a number");
        kill_process(pid, Signal::HUP).expect("the daemon runs");
    }

    /// Writes a list of MD5s, and imports it as a user would.
    pub(crate) fn import(&self, list: &str, values: impl Iterator<Item = [u8; 16]>) -> Result<(), String> {
        let file = write_list(self.folder.path(), &format!("{list}.txt"), values);
        import(&self.tool, list, &file, &["--role", "illegal", "--kind", "md5"], &self.data())
    }

    /// `hashward-index` on the data folder, with what it writes thrown away.
    pub(crate) fn tool(&self, arguments: &[&str]) -> Result<(), String> {
        let mut command = Process::new(&self.tool);
        succeed(command.args(arguments).arg("--data").arg(self.data()))
    }

    /// Fails if the daemon has logged an error or a panic.
    pub(crate) fn check_log(&self) -> Result<(), String> {
        let log = fs::read_to_string(self.path("daemon.log")).map_err(|error| error.to_string())?;
        let is_bad = |line: &&str| line.contains("ERROR") || line.contains("panicked");
        log.lines().find(is_bad).map_or(Ok(()), |line| Err(format!("the daemon logged: {line}")))
    }
}

fn write_config(path: &Path, setting: &Setting, token: &Token) {
    let every_right = "rights = ['lookup', 'content', 'detail', 'import', 'suppress', 'audit', 'admin']";
    let second = if setting.has_second_listener { "[[listen]]\naddress = 'unix:second.sock'\n" } else { "" };
    let rights = if setting.visitor_may_look_up { "'lookup', 'detail'" } else { "'detail'" };
    let text = format!(
        "data = 'data'\n[[listen]]\naddress = 'unix:data/hashward.sock'\n{every_right}\n\
         [[listen]]\naddress = 'unix:http.sock'\nprotocol = 'http'\n{every_right}\n{second}{}\
         [[principal]]\nname = 'visitor'\ntoken = '{}'\nrights = [{rights}]\n\
         [[principal]]\nname = 'public'\nanyone = true\nrights = ['lookup']\n\
         [events]\nfile_bytes = {EVENTS_FILE_BYTES}\nfiles_kept = {EVENTS_FILES}\n[limits]\n{}\n",
        setting.listen,
        token.hash(),
        setting.limits,
    );
    // In one step: the daemon may be reading the one before.
    let new = path.with_extension("new");
    fs::write(&new, text).and_then(|()| fs::rename(&new, path)).expect("a config");
}

fn import(tool: &Path, list: &str, file: &Path, arguments: &[&str], data: &Path) -> Result<(), String> {
    let mut command = Process::new(tool);
    succeed(command.args(["import", list]).arg(file).args(arguments).arg("--data").arg(data))
}

fn succeed(command: &mut Process) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {}: {said}", output.status)) }
}

/// Has the store carry a command out.
pub(crate) fn command(client: &mut Client, command: &Command) -> Result<Outcome, String> {
    let json = serde_json::to_vec(command).expect("a command is plain data");
    let outcome = client.command_json(&json).map_err(|error| error.to_string())?;
    serde_json::from_slice(&outcome).map_err(|error| error.to_string())
}

/// Tries until there is a result.
pub(crate) fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> Result<T, String> {
    let started_at = Instant::now();
    loop {
        if let Some(result) = attempt() {
            return Ok(result);
        }
        if started_at.elapsed() > PATIENCE {
            return Err(format!("{what}: not within {} s", PATIENCE.as_secs()));
        }
        thread::sleep(Duration::from_millis(5));
    }
}
