#!/usr/bin/env python3
"""Checks the configuration schema with a validator that is not ours: it must be a schema, take every file that is
shipped, and refuse faults that a schema can see. Argument: the folder of the shipped files."""

import json
import pathlib
import sys
import unittest

import jsonschema
import yaml

CONFIGS = pathlib.Path(sys.argv.pop())
GUID = "11111111-1111-1111-1111-111111111111"

FAULTS = [
    "nonsense: 1",
    "- a",
    "providers: {simulated: {plugin: simulated}}",
    f"providers: {{{GUID}: {{send_buffers: 5}}}}",
    f"providers: {{{GUID}: {{plugin: ../evil}}}}",
    f"providers: {{{GUID}: {{plugin: p, send_buffers: 4}}}}",
    f"providers: {{{GUID}: {{plugin: p, send_buffers: 256}}}}",
    f"providers: {{{GUID}: {{plugin: p, send_buffers: '5'}}}}",
    f"providers: {{{GUID}: {{plugin: p, receive_buffers: 5}}}}",
    f"providers: {{{GUID}: {{plugin: p, buffer_size: 64k}}}}",
    f"providers: {{{GUID}: {{plugin: p, options: 5}}}}",
    f"providers: {{{GUID}: {{plugin: p, Plugin: q}}}}",
    "routes: {}",
    "routes: [{policy: never}]",
    "routes: [{policy: forbid, port: 0}]",
    "routes: [{policy: forbid, port: []}]",
    "routes: [{policy: forbid, program: /bin/x}]",
    "routes: [{policy: forbid, destination: host.example}]",
    "routes: [{providers: [nonsense]}]",
    "upgrade_after: {calls: -1}",
    "waiting: {spin: 20}",
    "waiting: {policy: sleep}",
    "logging: {target: log.txt}",
    "access: {allow: [redis]}",
    "access: {allow: [[redis]]}",
    "timeouts: {step: 5}",
]


class Schema(unittest.TestCase):
    def setUp(self):
        self.schema = json.loads((CONFIGS / "sansock.schema.json").read_text())
        self.sut = jsonschema.Draft7Validator(self.schema)

    def test_is_a_schema(self):
        jsonschema.Draft7Validator.check_schema(self.schema)

    def test_takes_every_shipped_file(self):
        files = [CONFIGS / "sansock.yaml", *sorted((CONFIGS / "examples").iterdir())]
        self.assertGreater(len(files), 4)
        for file in files:
            with self.subTest(file=file.name):
                self.sut.validate(yaml.safe_load(file.read_text()))

    def test_takes_files_that_say_little(self):
        for text in ("", "waiting:", "providers: {}", "routes: []"):
            with self.subTest(text=text):
                self.sut.validate(yaml.safe_load(text))

    def test_refuses_faults(self):
        for text in FAULTS:
            with self.subTest(text=text):
                self.assertFalse(self.sut.is_valid(yaml.safe_load(text)))


if __name__ == "__main__":
    unittest.main()
