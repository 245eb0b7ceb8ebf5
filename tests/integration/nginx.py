#!/usr/bin/env python3
"""nginx with keep-alive: wrk for many requests, curl for a list of large files."""

import contextlib
import re
import signal

from harness import SILENCE_S, Failure, Workload, free_port, main, random_bytes, sha256_of_file

SIZES = [0, 1, 1000, 65_536, 300_001, 1 << 20, 5_000_000, 16 << 20, 40 << 20]
KEPT = 3      # turns over all files whose contents are compared
DROPPED = 60  # further times that the largest one is fetched
SLOW = 6      # fetched once more, so slowly that one end alone knows that its peer is silent
REQUESTED = 2
WRK_CONNECTIONS = 8

#: Compares each answer with the file. Each thread of wrk counts in a state of its own, and they are summed at the end.
WRK_SCRIPT = """
local threads = {{}}
function setup(thread) table.insert(threads, thread) end
function init()
    local file = assert(io.open("{expected}", "rb"))
    expected = file:read("*a")
    file:close()
    right, wrong = 0, 0
end
function response(status, headers, body)
    if status == 200 and body == expected then right = right + 1 else wrong = wrong + 1 end
end
function done()
    local all_right, all_wrong = 0, 0
    for _, thread in ipairs(threads) do
        all_right, all_wrong = all_right + thread:get("right"), all_wrong + thread:get("wrong")
    end
    print(string.format("%d right, %d wrong", all_right, all_wrong))
end
"""

CONFIGURATION = """
daemon off;
user root;
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {folder}/files;
        location /slow/ {{ alias {folder}/files/; limit_rate {slow_rate}; }}
    }}
}}
"""


@contextlib.contextmanager
def nginx(run):
    """Serves files of SIZES[i] bytes by the names 0, 1, ..."""
    port = free_port()
    files = run.folder / "files"
    files.mkdir()
    for number, size in enumerate(SIZES):
        (files / str(number)).write_bytes(random_bytes(size, number))
    configuration = run.folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=run.folder, port=port, slow_rate=SIZES[SLOW] // SILENCE_S))
    with run.server(["nginx", "-c", configuration, "-e", run.folder / "error.log"], port, stop=signal.SIGQUIT):
        yield f"http://127.0.0.1:{port}"


def requests(run):
    with nginx(run) as url:
        script = run.folder / "check.lua"
        script.write_text(WRK_SCRIPT.format(expected=run.folder / "files" / str(REQUESTED)))
        out = run.client(["wrk", "-t", "2", "-c", WRK_CONNECTIONS, "-d", "3s", "-s", script, f"{url}/{REQUESTED}"]).decode()
    right, wrong = map(int, re.search(r"(\d+) right, (\d+) wrong", out).groups())
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    if wrong > 0 or right < requests or requests < WRK_CONNECTIONS * 1000 or "Socket errors" in out or "Non-2xx" in out:
        raise Failure(f"wrk says {out}")
    return {}


def files(run):
    with nginx(run) as url:
        list_of_files = run.folder / "list"
        kept = [(turn, number) for turn in range(KEPT) for number in range(len(SIZES))]
        list_of_files.write_text(f"url = {url}/slow/{SLOW}\noutput = got-slow-{SLOW}\n" +
                                 "".join(f"url = {url}/{number}\noutput = got-{turn}-{number}\n" for turn, number in kept) +
                                 f"url = {url}/{len(SIZES) - 1}\noutput = /dev/null\n" * DROPPED)
        connects = run.client(["curl", "--silent", "--show-error", "--fail", "--write-out", "%{num_connects}\n",
                               "--config", list_of_files]).split()
    got = {path.name: sha256_of_file(path) for path in sorted(run.folder.glob("got-*"))}
    sent = [sha256_of_file(run.folder / "files" / str(number)) for number in range(len(SIZES))]
    if any(digest != sent[int(name.split("-")[2])] for name, digest in got.items()):
        raise Failure("a file arrived changed")
    return {"connections": sum(map(int, connects)), "files": got}


if __name__ == "__main__":
    main(Workload("nginx-requests", requests, 8 << 20, small=1),  # wrk connects once to see whether it can
         Workload("nginx-files", files, KEPT * sum(SIZES) + DROPPED * SIZES[-1]))
