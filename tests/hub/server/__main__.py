"""`python -m tests.hub.server FOLDER`: serves on a free port, which the first line of standard output names."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import uvicorn

from tests.hub.server.app import make_app


def main() -> None:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    server = uvicorn.Server(uvicorn.Config(make_app(Path(sys.argv[1])), log_level="error"))
    server.run(sockets=[listening])


if __name__ == "__main__":
    main()
