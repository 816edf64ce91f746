"""What may lie where a regular file is expected."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link_to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def link_to_file(path: Path) -> None:
    (path.parent / "elsewhere").write_text("{}")
    path.symlink_to(path.parent / "elsewhere")


def dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def folder(path: Path) -> None:
    path.mkdir()


def socket_file(path: Path) -> None:
    os.mknod(path, stat.S_IFSOCK | 0o600)


IRREGULAR_FILES = (fifo, link_to_device, link_to_file, dangling_link, folder, socket_file)
