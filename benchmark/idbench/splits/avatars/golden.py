"""What every machine must get: digests of the built splits and corpora (`Manifest.digest`, `Corpus.digest`)."""

from __future__ import annotations

SPLITS: dict[str, str] = {
    "avatars": "1c20d4b711374df69a990c73e3194264c950266888d6fd3310ab3f089593ab57",
    "avatars-tiny": "01596091a9f99a2b2f83e94f401b023c7365af8b8eb561310bf98eac7c1d944d",
}
CORPORA: dict[str, str] = {
    "avatars-0": "f2ea6081f9555539cfa81fe71b849b469b82bb6fa65ec3ee35feb00a15d9ba45",
    "avatars-a": "55a0800979f3a4225c0e729f0bc045dacb61d747c6ab4354339e6446a9ccafb3",
    "avatars-aux": "a6e60000a0a5a67a9e27255b671e7ba1e738a150d6c61ff17b76b60248f44e0d",
    "avatars-b": "5cbf991720e8c1a95a6e3e44925ad6bc8bce65bb43facdf40ea5171bb5a87095",
    "avatars-held-out": "e7d667898264ebd58b1b1339cc98d5e9ee1d4b8cbf7aa261e0dbf7be23ff3a6e",
    "avatars-tiny-0": "cd7d85061cb7185ae5fde20ba79ac88d6fa45c070381adb6a90a8c56468e2ebe",
    "avatars-tiny-a": "b3cba4c77e0960f507bf8c79acf4a4c1e3b63864a186c49af2395ed0ffc21060",
    "avatars-tiny-aux": "e9f59b58e302810cbe71c4cfd4f88c1c64d96a18787ba8ddcfafb7e6c4f87986",
    "avatars-tiny-b": "0379fa080d6e3b3558bbe5e6bc5352694e49c99be61a651694a1e5f721d72445",
    "avatars-tiny-held-out": "bc9190d9d3eeac113a2ce2c77b323fe930c94c7788f4082658d1e0dc7b726905",
}
