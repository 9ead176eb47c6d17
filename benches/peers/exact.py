"""The measuring half of exact.sh: makes the digests, runs every peer on them, checks the answers, prints one table.

Every peer gets the same list and the same questions, 1 % of them hits. Sockets are Unix sockets on this machine, and
hashward and Redis are asked by the same few lines of code, which prepare all frames beforehand, so that the client's
language costs both the same. Answers are counted, and a wrong count ends the run.
"""

import hashlib
import os
import pathlib
import random
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time

QUESTIONS = 1_000_000
HIT_SHARE = 0.01
SLOW_QUESTIONS = 20_000  # for peers that need tens of microseconds or more for each
MD5_CODE = 1


def md5(number):
    return hashlib.md5(b"peer %d" % number).digest()


def questions(count, digests):
    """`count` digests in seeded order, of which HIT_SHARE are in the list of the first `digests`."""
    rng = random.Random(1)
    hits = int(count * HIT_SHARE)
    asked = [md5(rng.randrange(digests)) for _ in range(hits)]
    asked += [md5(digests + number) for number in range(count - hits)]
    rng.shuffle(asked)
    return asked, hits


def timed(work):
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def check(peer, hits, expected):
    if hits != expected:
        sys.exit(f"{peer} answered {hits} hits where there are {expected}")


def pipelined(connection, frames, read_answer, depth):
    """Sends all frames with at most `depth` unanswered, and adds up what `read_answer` counts."""
    room = threading.Semaphore(depth)

    def send():
        for frame in frames:
            room.acquire()
            connection.sendall(frame)

    sender = threading.Thread(target=send)
    sender.start()
    hits = 0
    for _ in frames:
        hits += read_answer()
        room.release()
    sender.join()
    return hits


def connect(path):
    connection = socket.socket(socket.AF_UNIX)
    for _ in range(600):
        try:
            connection.connect(str(path))
            return connection
        except OSError:
            time.sleep(0.1)
    sys.exit(f"nobody listens on {path}")


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, **options)


def batches(items, size):
    return [items[start : start + size] for start in range(0, len(items), size)]


# --- hashward ---------------------------------------------------------------------------------------------------------


def frame(op, request, payload):
    return struct.pack("<IBBHI", 8 + len(payload), op, 0, 1, request) + payload


def hashward(folder, programs, list_file, asked, hits):
    data, path = folder / "hashward-data", folder / "hashward.sock"
    tool = [programs / "hashward-index", "import", "peers", list_file, "--role", "watch", "--data", data]
    _, build = timed(lambda: run(*tool, "--kind", "md5", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    size = sum(file.stat().st_size for file in (data / "segments").iterdir())
    daemon = subprocess.Popen(
        [programs / "hashward", "serve", "--data", data, "--listen", f"unix:{path}"], stderr=subprocess.DEVNULL
    )
    try:
        connection = connect(path)
        stream = connection.makefile("rb", buffering=1 << 20)

        def answer():
            length, op, _, _, _ = struct.unpack("<IBBHI", stream.read(12))
            payload = stream.read(length - 8)
            if op == 0x85 or op == 0x84:
                sys.exit(f"hashward: {payload!r}")
            return op, payload

        connection.sendall(frame(0x01, 1, b"hashward" + struct.pack("<HH", 1, 1)))
        answer()
        while True:  # until verification is over and every miss is `unknown`
            connection.sendall(frame(0x03, 2, struct.pack("<BBI", 1, MD5_CODE, 1) + md5(0)))
            _, payload = answer()
            if payload[12] == 1:
                break
            time.sleep(0.05)

        def count():
            _, payload = answer()
            kinds = payload[12]
            after_incomplete = 14 + kinds + 2 * payload[13 + kinds]
            return struct.unpack_from("<I", payload, after_incomplete + 2)[0]

        def ask(batch):
            frames = [
                frame(0x03, 3, struct.pack("<BBI", 1, MD5_CODE, len(part)) + b"".join(part))
                for part in batches(asked, batch)
            ]
            found, seconds = timed(lambda: pipelined(connection, frames, count, 8))
            check("hashward", found, hits)
            return len(asked) / seconds

        rates = {f"hashward, batches of {batch}": ask(batch) for batch in (4096, 1000)}
    finally:
        daemon.terminate()
        daemon.wait()
    return build, size, rates


# --- Redis ------------------------------------------------------------------------------------------------------------


def resp(*parts):
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def redis(folder, digests, asked, hits):
    path = folder / "redis.sock"
    command = ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no", "--dir", folder]
    server = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL)
    try:
        connection = connect(path)
        stream = connection.makefile("rb", buffering=1 << 20)

        def load():
            frames = (resp(b"SADD", b"known", *part) for part in batches(range_digests(digests), 10_000))
            for part in frames:
                connection.sendall(part)
                stream.readline()

        _, build = timed(load)
        connection.sendall(resp(b"INFO", b"memory"))
        info = stream.read(int(stream.readline()[1:]) + 2).decode()
        size = next(int(line.split(":")[1]) for line in info.splitlines() if line.startswith("used_memory:"))

        def in_batches(size):
            frames = [resp(b"SMISMEMBER", b"known", *part) for part in batches(asked, size)]

            def count():
                answers = int(stream.readline()[1:])
                return stream.read(4 * answers).count(b":1")

            return pipelined(connection, frames, count, 8)

        def one_by_one(depth):
            frames = [b"".join(resp(b"SISMEMBER", b"known", one) for one in part) for part in batches(asked, depth)]
            sizes = iter([len(part) for part in batches(asked, depth)])
            return pipelined(connection, frames, lambda: stream.read(4 * next(sizes)).count(b":1"), 8)

        rates = {}
        for name, work in (("SMISMEMBER, 1000", lambda: in_batches(1000)), ("SISMEMBER, pipelined", lambda: one_by_one(1000))):
            found, seconds = timed(work)
            check("Redis", found, hits)
            rates[f"Redis {name}"] = len(asked) / seconds
    finally:
        server.terminate()
        server.wait()
    return build, size, rates


# --- SQLite and hfind, in process and by command ----------------------------------------------------------------------


def range_digests(count):
    return [md5(number) for number in range(count)]


def sqlite(folder, digests, asked):
    asked, hits = asked
    path = folder / "peers.sqlite"

    def build():
        database = sqlite3.connect(path)
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute("CREATE TABLE known (md5 BLOB NOT NULL)")
        database.executemany("INSERT INTO known VALUES (?)", ((one,) for one in range_digests(digests)))
        database.execute("CREATE INDEX by_md5 ON known (md5)")
        database.commit()
        return database

    database, seconds = timed(build)
    database.execute("PRAGMA mmap_size = 17179869184")
    question = "SELECT EXISTS (SELECT 1 FROM known WHERE md5 = ?)"

    def ask():
        return sum(database.execute(question, (one,)).fetchone()[0] for one in asked)

    ask()  # once to warm the cache, as the daemons' memory is
    found, ask_seconds = timed(ask)
    check("SQLite", found, hits)
    return seconds, path.stat().st_size, {"SQLite, indexed blob": len(asked) / ask_seconds}


def hfind(folder, list_file, asked):
    asked, hits = asked
    _, seconds = timed(lambda: run("hfind", "-i", "md5sum", list_file, stdout=subprocess.DEVNULL))
    size = sum(file.stat().st_size for file in folder.glob(f"{list_file.name}-*idx*")) + list_file.stat().st_size
    question_file = folder / "questions.txt"
    question_file.write_text("".join(f"{one.hex()}\n" for one in asked))

    def ask():
        answer = run("hfind", "-f", question_file, list_file, stdout=subprocess.PIPE).stdout.decode()
        return sum(1 for line in answer.splitlines() if "Hash Not Found" not in line)

    ask()
    found, ask_seconds = timed(ask)
    check("hfind", found, hits)
    return seconds, size, {"hfind": len(asked) / ask_seconds}


def main():
    digests, programs = int(sys.argv[1]), pathlib.Path(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="hashward-peers-", dir=os.environ.get("TMPDIR")) as name:
        folder = pathlib.Path(name)
        list_file = folder / "list.md5"
        with list_file.open("w") as out:
            for number in range(digests):
                out.write(f"{md5(number).hex()}  f{number}\n")
        asked, hits = questions(QUESTIONS, digests)
        slow = questions(SLOW_QUESTIONS, digests)
        rows = []
        for build, size, rates in (
            hashward(folder, programs, list_file, asked, hits),
            redis(folder, digests, asked, hits),
            sqlite(folder, digests, slow),
            hfind(folder, list_file, slow),
        ):
            rows += [(peer, build, size, rate) for peer, rate in rates.items()]
        best = rows[0][3]
        print(f"{digests:,} MD5 digests, {HIT_SHARE:.0%} hits, one client\n")
        print("| | build, s | bytes a digest | lookups/s | hashward is |")
        print("|---|---:|---:|---:|---:|")
        for peer, build, size, rate in rows:
            print(f"| {peer} | {build:.1f} | {size / digests:.1f} | {rate:,.0f} | {best / rate:.1f} × |")


main()
