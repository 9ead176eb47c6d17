//! How fast HTTP answers: documents of 1000 hashes, and one hash a request on connections that stay open.
//!
//! `wrk` (in Debian's package of that name) asks a daemon with the defaults of the audit trail, over loopback, and shares the
//! machine with it. The floors of the same run: a bare hyper server of this process that reads the same requests and gives
//! answers of the same length, and the daemon's own cheapest path. Before and after, the requests are made once more and
//! every verdict is held against the truth; an answer of wrk's that is not 200 ends the run.

#[path = "../programs/mod.rs"]
mod programs;

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use axum::body::{Body, Bytes, HttpBody};
use hashward::fingerprint::Kind;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use programs::{Daemon, hashward, index_tool, is_smoke, median, write_list};

const LINES: u64 = 10_000_000;
const HASHES: u64 = 1_000;
/// One in so many hashes is known.
const HIT_EVERY: u64 = 100;
const DOCUMENTS: u64 = 64;
const PATHS: u64 = 20_000;
/// Connections of wrk at once, for documents and for single hashes.
const CONNECTIONS: [u32; 2] = [8, 32];
const ROUNDS: usize = 5;
const ROUND_S: u32 = 4;

fn main() {
    let smoke = is_smoke();
    if Command::new("wrk").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("http: skipped, since wrk is not installed (apt install wrk)");
        return;
    }
    let (lines, rounds, round_s) = if smoke { (20_000, 1, 1) } else { (LINES, ROUNDS, ROUND_S) };
    let folder = tempfile::tempdir().expect("a temporary folder");
    import(folder.path(), lines);
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
    let _daemon = serve(folder.path(), port);
    let asked = [documents(folder.path(), lines), paths(folder.path(), lines)];
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    // What wrk will ask, and what is true of it.
    let answered = asked.each_ref().map(|requests| requests.check(at));
    let live = Requests { file: write_lines(folder.path(), "live", ["/health/live".to_owned()]), known: Vec::new() };
    println!("| what | a second | bare hyper | ratio | /health/live |\n|---|---:|---:|---:|---:|");
    for (((what, times), requests), (answer_bytes, connections)) in
        [("HTTP, documents of 1000 hashes: hashes", HASHES), ("HTTP, a hash a GET, keep-alive: requests", 1)]
            .into_iter()
            .zip(&asked)
            .zip(answered.iter().zip(CONNECTIONS))
    {
        let bare = bare_server(*answer_bytes);
        let measure = |at, requests: &Requests| wrk(at, &requests.file, connections, round_s);
        // Turns, so that what else the machine does falls on all of them.
        let mut rates = [(); 3].map(|()| Vec::new());
        for _ in 0..rounds {
            for (rates, rate) in
                rates.iter_mut().zip([measure(at, requests), measure(bare, requests), measure(at, &live)])
            {
                rates.push(rate);
            }
        }
        let [rate, floor, live] = rates.map(median);
        let (hashes, floor_hashes) = (rate * times as f64, floor * times as f64);
        println!("| {what} | {hashes:.0} | {floor_hashes:.0} | {:.2} | {live:.0} |", rate / floor);
    }
    for (requests, before) in asked.iter().zip(&answered) {
        assert_eq!(requests.check(at), *before, "the same answers as before");
    }
}

/// Digest number `i` of the set: BLAKE3 of the number, cut to an MD5's width.
fn digest(i: u64) -> String {
    data_encoding::HEXLOWER.encode(&programs::digest(i))
}

/// Hash number `i` that is asked: one in [`HIT_EVERY`] stands in the list.
fn asked_digest(i: u64, lines: u64) -> (String, bool) {
    let known = i.is_multiple_of(HIT_EVERY);
    (digest(if known { i.wrapping_mul(7_919) % lines } else { lines + i }), known)
}

fn write_lines(folder: &Path, name: &str, lines: impl IntoIterator<Item = String>) -> PathBuf {
    let path = folder.join(name);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&path).expect("a file"));
    lines.into_iter().for_each(|line| writeln!(out, "{line}").expect("a line"));
    out.flush().expect("the file");
    path
}

fn import(folder: &Path, lines: u64) {
    let list = write_list(folder, "list.txt", (0..lines).map(programs::digest));
    let mut command = Command::new(index_tool());
    command.args(["import", "bench"]).arg(&list).args(["--role", "illegal", "--kind", Kind::Md5.name()]);
    command.arg("--data").arg(folder.join("data")).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().is_ok_and(|status| status.success()), "the import");
    fs::remove_file(list).expect("the list is not needed any more");
}

fn serve(folder: &Path, port: u16) -> Daemon {
    let config = format!(
        "data = 'data'\n[[listen]]\naddress = 'unix:data/hashward.sock'\n\
         [[listen]]\naddress = 'tcp:127.0.0.1:{port}'\nprotocol = 'http'\nrights = ['lookup']\n\
         [[principal]]\nname = 'wrk'\nanyone = true\nrights = ['lookup']\n"
    );
    fs::write(folder.join("hashward.toml"), config).expect("the config");
    let mut command = hashward();
    command.arg("serve").arg("--config").arg(folder.join("hashward.toml")).stderr(Stdio::null());
    Daemon::run(command, &folder.join("data"), |client| {
        client.status().is_ok_and(|status| String::from_utf8_lossy(&status).contains(r#""state":"ready""#))
    })
}

/// Requests for wrk, a line each, and which hashes of each are known.
struct Requests {
    file: PathBuf,
    known: Vec<Vec<bool>>,
}

fn documents(folder: &Path, lines: u64) -> Requests {
    let document = |number: u64| (number * HASHES..(number + 1) * HASHES).map(|i| asked_digest(i, lines)).unzip();
    let (rows, known): (Vec<Vec<String>>, Vec<Vec<bool>>) = (0..DOCUMENTS).map(document).unzip();
    let line = |rows: Vec<String>| format!(r#"{{"kinds":["md5"],"rows":["{}"]}}"#, rows.join(r#"",""#));
    Requests { file: write_lines(folder, "documents", rows.into_iter().map(line)), known }
}

fn paths(folder: &Path, lines: u64) -> Requests {
    let (hashes, known): (Vec<String>, Vec<bool>) = (0..PATHS).map(|i| asked_digest(i, lines)).unzip();
    let path = |hash: String| format!("/v1/lookup/md5/{hash}");
    let known = known.into_iter().map(|known| vec![known]).collect();
    Requests { file: write_lines(folder, "paths", hashes.into_iter().map(path)), known }
}

impl Requests {
    /// Makes each request once and holds each verdict against the truth. Returns the bytes of the last answer.
    fn check(&self, at: SocketAddr) -> usize {
        let requests = fs::read_to_string(&self.file).expect("the requests");
        let mut stream = TcpStream::connect(at).expect("the daemon listens");
        let mut bytes = 0;
        for (request, known) in requests.lines().zip(&self.known) {
            let (method, path, body) =
                if request.starts_with('/') { ("GET", request, "") } else { ("POST", "/v1/lookup", request) };
            let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).expect("a request");
            let answer = read_answer(&mut stream);
            bytes = answer.len();
            let answer: serde_json::Value = serde_json::from_slice(&answer).expect("a document");
            let verdicts: Vec<&str> = match answer["answers"].as_array() {
                Some(answers) => answers.iter().map(|answer| answer["verdict"].as_str().expect("a verdict")).collect(),
                None => vec![answer["verdict"].as_str().expect("a verdict")],
            };
            let truth: Vec<&str> = known.iter().map(|known| if *known { "known" } else { "unknown" }).collect();
            assert_eq!(verdicts, truth, "{request}");
        }
        bytes
    }
}

/// The body of a response with a length.
fn read_answer(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a response");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("text");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    stream.read_exact(&mut body).expect("a body");
    body
}

/// A server that reads each request and gives `bytes` bytes, on a runtime like the daemon's.
fn bare_server(bytes: usize) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = socket.local_addr().expect("an address");
    socket.set_nonblocking(true).expect("for tokio");
    let answer = Bytes::from(vec![b'x'; bytes]);
    let run = async move {
        let socket = tokio::net::TcpListener::from_std(socket).expect("a socket");
        loop {
            let (stream, _) = socket.accept().await.expect("a connection");
            let _ = stream.set_nodelay(true);
            let answer = answer.clone();
            let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let answer = answer.clone();
                async move {
                    let mut body = request.into_body();
                    while let Some(part) =
                        std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context)).await
                    {
                        drop(part);
                    }
                    Ok::<_, Infallible>(hyper::Response::new(Body::from(answer)))
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    };
    thread::spawn(|| {
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(run)
    });
    at
}

/// What wrk says of requests a second.
fn wrk(at: SocketAddr, requests: &Path, connections: u32, seconds: u32) -> f64 {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/http/requests.lua");
    let mut command = Command::new("wrk");
    command.env("HASHWARD_REQUESTS", requests).args(["--threads", "1", "--timeout", "10"]);
    command.arg(format!("--connections={connections}")).arg(format!("--duration={seconds}"));
    let output = command.arg("--script").arg(script).arg(format!("http://{at}/")).output().expect("wrk");
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success() && !said.contains("Non-2xx") && !said.contains("Socket errors"), "{said}");
    let rate = said.lines().find_map(|line| line.strip_prefix("Requests/sec:")).expect("a rate");
    rate.trim().parse().expect("a number")
}
