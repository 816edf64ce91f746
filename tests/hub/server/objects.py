"""Where the test server keeps bytes: git blobs, large files, and hf_xet's own store on disk."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import shutil
import struct
import tempfile
import time
from pathlib import Path

from tests.hub.server.model import Blob, HubError

_HEADER, _ENTRY, _HASH = 48, 48, 32
_LAST = b"\xff" * _HASH
_VERIFIED, _WITH_SHA256 = 0x80000000, 0x40000000


class Objects:
    """Content by hash, in folders below one root."""

    def __init__(self, root: Path) -> None:
        self._blobs, self._large, self.xet = root / "blobs", root / "large", root / "xet"
        for folder in (self._blobs, self._large, self.xet):
            folder.mkdir(parents=True, exist_ok=True)
        self._secret = secrets.token_bytes(16)

    def sign(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), "sha256").hexdigest()

    def check(self, text: str, signature: str) -> None:
        if not hmac.compare_digest(self.sign(text), signature):
            raise HubError(403, None, "Wrong signature")

    def add_small(self, data: bytes) -> Blob:
        oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        (self._blobs / oid).write_bytes(data)
        return Blob(oid, len(data))

    def add_large(self, sha256: str, data: bytes) -> None:
        if hashlib.sha256(data).hexdigest() != sha256:
            raise HubError(400, None, "The content does not have the SHA-256 that was announced")
        (self._large / sha256).write_bytes(data)

    def large(self, sha256: str) -> Path:
        return self._large / sha256

    def forget_large(self, sha256: str) -> None:
        self.large(sha256).unlink(missing_ok=True)

    def path(self, blob: Blob) -> Path:
        return self._blobs / blob.oid if blob.sha256 is None else self.large(blob.sha256)

    def pointer(self, sha256: str) -> Blob:
        """The blob of a large file that was uploaded before, in whichever way."""
        file, xet = self.large(sha256), self._xet_hash(sha256)
        if not file.exists() and xet is not None:
            self._from_xet(file, xet, sha256)
        if not file.exists():
            raise HubError(400, None, f"No large file {sha256} was uploaded")
        size = file.stat().st_size
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
        return Blob(self.add_small(text.encode()).oid, size, sha256, xet)

    def _xet_hash(self, sha256: str) -> str | None:
        """Which Xet hash a SHA-256 has: the client writes that into its shards and tells nobody else."""
        for shard in self.xet.glob("xet/xorbs/shards/*.mdb"):
            data, at = shard.read_bytes(), _HEADER
            while (file := data[at : at + _HASH]) != _LAST:
                flags, n_entries = struct.unpack_from("<II", data, at + _HASH)
                at += _HEADER + _ENTRY * n_entries * (2 if flags & _VERIFIED else 1)
                if flags & _WITH_SHA256:
                    if _hex(data[at : at + _HASH]) == sha256:
                        return _hex(file)
                    at += _ENTRY
        return None

    def _from_xet(self, file: Path, xet: str, sha256: str) -> None:
        import hf_xet

        # The client holds the lock of its store: read a copy.
        with tempfile.TemporaryDirectory() as copy:
            ignored = shutil.ignore_patterns("shard-session", "shard-cache")
            shutil.copytree(self.xet, copy, dirs_exist_ok=True, ignore=ignored)
            wanted = [hf_xet.PyXetDownloadInfo(str(file), xet, None)]
            hf_xet.download_files(wanted, f"local://{copy}", ("xet", int(time.time()) + 3600), None, None)
        if hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
            file.unlink()
            raise HubError(400, None, "The Xet content does not have the SHA-256 that was announced")


def _hex(words: bytes) -> str:
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", words))
