#!/usr/bin/env python3
"""Makes fuzz/corpus/: a folder for each target, with what this repository has that is worth beginning with."""

import json
import pathlib
import re
import shutil
import sqlite3

fuzz = pathlib.Path(__file__).resolve().parent
root = fuzz.parent
corpus = fuzz / "corpus"


def seed(target, name, content):
    (corpus / target / name).write_bytes(content)


for target in (fuzz / "fuzz_targets").glob("*.rs"):
    if target.stem != "sink":
        (corpus / target.stem).mkdir(parents=True, exist_ok=True)

# The examples of docs/protocol.md, each as what reads it, and all that a client sends as one connection.
decoders = {"hello": 1, "lookup": 2, "content": 3, "answers": 4, "welcome": 5, "error": 6, "command": 7}
sent = b""
for name, text in re.findall(r"```vector (\S+)\n(.*?)```", (root / "docs/protocol.md").read_text(), re.S):
    frame = bytes.fromhex(text)
    if name.split("-")[0] in decoders:
        seed("frames", name, bytes([decoders[name.split("-")[0]]]) + frame[12:])
    seed("frames", name + "-header", b"\0" + frame[:12])
    if frame[4] < 0x80:
        sent += frame
        seed("connections", name, b"\0" + sent)

md5 = "8de90b0a5f2b7a4bd5bc40a3a8a2c7b0"
lines = "".join(json.dumps({"kind": kind, "hash": "00" * width}) + "\n" for kind, width in [("md5", 16), ("pdq", 32)])
requests = {
    "get": f"GET /v1/lookup/md5/{md5} HTTP/1.1\r\nhost: x\r\n\r\n" * 2,
    "explain": f"GET /v1/explain/pdq/{'00' * 32}?radius=3 HTTP/1.1\r\nhost: x\r\n\r\n",
    "pages": "GET /v1/lists/own/entries?after=1 HTTP/1.1\r\nhost: x\r\n\r\nGET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n",
}
bodies = {
    "document": ("/v1/lookup", "application/json", json.dumps({"kinds": ["md5", "pdq"], "radii": {"pdq": 3}, "rows": [[md5, "00" * 32]]})),
    "lines": ("/v1/lookup", "application/x-ndjson", lines),
    "match": ("/v1/match?dihedral=true&radii=pdq=3", "application/octet-stream", "known"),
    "command": ("/v1/commands", "application/json", json.dumps({"command": "inspect", "list": "own"})),
    "suppress": ("/v1/suppressions", "application/json", json.dumps({"fingerprint": f"md5:{md5}", "scope": "entry", "author": "a", "reason": "b"})),
}
for name, (path, kind, body) in bodies.items():
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\n"
    requests[name] = f"{head}content-length: {len(body)}\r\n\r\n{body}"
    requests[name + "-chunked"] = f"{head}transfer-encoding: chunked\r\n\r\n{len(body):x}\r\n{body}\r\n0\r\n\r\n"
for name, request in requests.items():
    seed("connections", "http-" + name, b"\1" + request.encode())

# Configs as the documentation shows them, and short texts.
for number, text in enumerate(re.findall(r"```toml\n(.*?)```", (root / "docs/operations.md").read_text(), re.S)):
    seed("texts", f"config-{number}", b"\0" + text.encode())
for name, text in {"token": "hashward_" + "a" * 43, "digest": "blake3:" + "00" * 32, "address": "tcp:127.0.0.1:7171",
                   "fingerprint": f"md5:{md5}", "radius": "pdq=31", "category": "US:1"}.items():
    seed("texts", name, b"\2" + text.encode())
checkpoint = {"seq": 1, "link": "00" * 32, "at": 1, "key": "00" * 32, "signature": "00" * 64}
seed("texts", "checkpoint", b"\1" + json.dumps(checkpoint).encode())

seed("journal", "records", b"\0\0\0\0one\ntwo\nthree")
seed("journal", "changed", b"\x80\0\0\1one\ntwo\nthree")
seed("nsrl_full", "changes", bytes([40, 2, 0, 65, 100, 0, 0, 0]))
sets = (b'"hashset_id","name","notable_flag"\n7001,"a",1\n', b'"file_id","hashset_id","file_name","hash"\n1,7001,"a","069D25B943FBEF4085324E09C23AC98B"\n')
seed("hashkeeper", "two", b"\0".join(sets))

database = sqlite3.connect(":memory:")
database.executescript("CREATE TABLE FILE (sha256 VARCHAR, sha1 VARCHAR, md5 VARCHAR, file_name VARCHAR);"
                       f"INSERT INTO FILE VALUES ('', '', '{md5}', 'a');")
seed("nsrl_set", "small", database.serialize())
seed("nsrl_delta", "small", b"BEGIN TRANSACTION;\nINSERT INTO FILE VALUES('','','00112233445566778899AABBCCDDEEFF','','b',1,1);\nCOMMIT;\n")

fingerprints = "".join(f'<fingerprint type="{kind}">{value}</fingerprint>' for kind, value in [("MD5", md5), ("PDQ", "00" * 32)])
seed("feed_pages", "ncmec", f"""<queryResult xmlns="https://hashsharing.ncmec.org/hashsharing/v2"><images count="1"><image>
<member id="1">A</member><timestamp>2026-01-01T00:00:00Z</timestamp><id>7</id><classification>A1</classification>
<fingerprints>{fingerprints}<md5>{md5}</md5><link kind="pdna">/v2/x</link></fingerprints></image></images>
<paging><next>/v2/entries?start=1</next></paging></queryResult>""".encode())
seed("feed_pages", "linked", f"<fingerprint>{md5}</fingerprint>".encode())
seed("feed_pages", "threatexchange", json.dumps({"data": [{"id": "1", "indicator": {"indicator": md5, "type": "HASH_MD5"}, "type": "HASH_MD5", "status": "MALICIOUS"}], "paging": {"next": "https://x/y"}}).encode())

# Whole files as they are in the tests.
for target, folder in {"picture": "tests/data/pictures", "segment_open": "tests/data", "records_open": "tests/data",
                       "list_formats": "index-tools/tests/data", "list_open": "index-tools/tests/data",
                       "list_detect": "index-tools/tests/data"}.items():
    for file in (root / folder).rglob("*"):
        if file.is_file() and file.stat().st_size < 64 << 10:
            shutil.copy(file, corpus / target / "-".join(file.relative_to(root / folder).parts))
