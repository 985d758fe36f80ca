"""The variables that a Ruby which was booted before its function reads, without Ruby's own library for JSON."""

from __future__ import annotations

import json
import shutil
import subprocess

import msgspec
import pytest

from lambdad.runtimes.ruby.family import FAMILY, START_NAMES

SHOWN = 'require ARGV[0]; $stdout.binmode; print LambdaRuntime::Boot.variables($stdin.binmode.read).flatten.join("\\0")'
HARD = {
    "PLAIN": "value",
    "EMPTY": "",
    "LINES": "a\nb\r\n\tc\x01\x7f\b\f",
    "QUOTES": '"\\" \\\\ \\n \\u0041 /',
    "JSON": '{"A":"B","C":["D"]}',
    "LETTERS": "grün こ 😀 \u2028",
    "LONG": '\\"' * 2000,
}


@pytest.mark.parametrize("written", [msgspec.json.encode(HARD), json.dumps(HARD).encode(), json.dumps(HARD, indent=1).encode()])
def test_variables_are_read_as_they_were_written(written: bytes) -> None:
    """Whatever is in them, in their order, however the writer escapes it."""
    ruby = shutil.which("ruby")
    if ruby is None:
        pytest.skip("no Ruby on this machine")
    command = [ruby, "--disable=gems", "-e", SHOWN, str(FAMILY.client) + "/lambda_runtime_boot"]
    shown = subprocess.run(command, input=written, capture_output=True, check=True, timeout=60).stdout.decode().split("\0")
    assert shown == [text for pair in HARD.items() for text in pair]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "RUBYOPT",
            "RUBYLIB",
            "RUBY_GC_HEAP_INIT_SLOTS",
            "RUBYGEMS_GEMDEPS",
            "RUBY_YJIT_ENABLE",
            "GEM_HOME",
            "GEM_PATH",
            "GEM_SKIP",
        ),
        *("GEM_REQUIREMENT_JSON", "BUNDLER_SETUP", "BUNDLE_GEMFILE", "DEBIAN_RUBY_STANDALONE", "TZ", "LANG", "LD_PRELOAD"),
    ],
)
def test_what_ruby_reads_when_it_starts_is_known(name: str) -> None:
    """A function that sets one of these has an interpreter of its own."""
    assert START_NAMES.fullmatch(name)
    assert FAMILY.start_names() is START_NAMES


@pytest.mark.parametrize(
    "name", ["RACK_ENV", "HOME", "TABLE", "SSL_CERT_FILE", "OPENSSL_CONF", "NODE_OPTIONS", "AWS_ENDPOINT_URL"]
)
def test_what_is_read_later_is_no_obstacle_to_a_ruby_that_waits(name: str) -> None:
    """Its client loads nothing of OpenSSL before the function is known."""
    assert not START_NAMES.fullmatch(name)
