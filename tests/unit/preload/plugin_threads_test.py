#!/usr/bin/env python3
"""A plugin's threads close its descriptors, which the application cannot (tests/unit/plugin/plugins/liar.cpp)."""
import os
import pathlib
import subprocess
import sys
import tempfile

CONFIG = """\
providers:
  01234567-89ab-4def-8123-456789abcdef: {plugin: liar, options: {closes_on_a_thread: }}
routes:
  - providers: [01234567-89ab-4def-8123-456789abcdef]
    upgrade_after: {calls: 1, bytes: 1}
"""
TOLD = "it closes its descriptor: Success"
# A conversation with itself, which lasts until its own standard error says what the plugin has told.
PROGRAM = """
import socket, sys, time
listener = socket.create_server(('127.0.0.1', 0))
one = socket.create_connection(listener.getsockname())
other = listener.accept()[0]
until = time.monotonic() + 30
while 'descriptor' not in open(sys.argv[1]).read() and time.monotonic() < until:
    one.sendall(b'x')
    assert other.recv(1) == b'x'
    time.sleep(0.01)
"""

sansock, plugins = sys.argv[1:]
with tempfile.TemporaryDirectory() as folder:
    config, said = pathlib.Path(folder, "sansock.yaml"), pathlib.Path(folder, "said")
    config.write_text(CONFIG)
    with said.open("wb") as errors:
        subprocess.run([sansock, "run", "--config", config, "--", sys.executable, "-c", PROGRAM, said], stderr=errors, check=False,
                       env={**os.environ, "SANSOCK_PLUGIN_PATH": plugins})
    text = said.read_text()
    print(text, end="")
    sys.exit(0 if TOLD in text else f"nobody has said: {TOLD}")
