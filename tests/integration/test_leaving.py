"""How `bench` ends: with its own status, whatever threads of libraries are still at work."""

from __future__ import annotations

import subprocess
import sys

_READING = """
import io, sys, threading, time

import pyarrow as pa
import pyarrow.parquet as pq

written = io.BytesIO()
pq.write_table(pa.table({"number": list(range(100_000))}), written)


class Slow(io.BytesIO):
    def read(self, size=-1):
        time.sleep(0.02)
        return super().read(size)


def read_on():
    while True:
        pq.ParquetFile(pa.PythonFile(Slow(written.getvalue()), mode="r"), pre_buffer=True).read()


threading.Thread(target=read_on, daemon=True).start()
time.sleep(0.2)
sys.argv = ["bench", "--version"]
from idbench.cli.main import main

main()
"""


def test_threads_that_read_files_neither_abort_nor_delay_the_end() -> None:
    for _ in range(4):  # Python's own end aborts or hangs in most trials
        done = subprocess.run([sys.executable, "-c", _READING], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        assert done.stdout.startswith("idbench ")
