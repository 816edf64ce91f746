"""The Hugging Face Hub: what is published there is pinned, verified byte by byte, and can be taken down.

Nothing here knows what a split or a record is: a publication is a folder, a version and whether it is gated.
"""

from idbench.hub.erasing import Erased, Erasure, erase_history, plan_erasure
from idbench.hub.fetching import copy_of, fetched_afresh, history, latest_file, pinned, snapshot, snapshot_file
from idbench.hub.publishing import (
    Difference,
    Proposed,
    Publication,
    Published,
    check_account,
    compare,
    open_request,
    propose,
    propose_files,
    publish,
)
from idbench.hub.reference import PREFIX, HubRef, check_repo, is_hub_ref, parse_ref
from idbench.hub.remote import Head, RemoteFile, read_head, remote_files, sets_with
from idbench.hub.sums import SUMS_FILE, write_sums

__all__ = [
    "PREFIX",
    "SUMS_FILE",
    "Difference",
    "Erased",
    "Erasure",
    "Head",
    "HubRef",
    "Proposed",
    "Publication",
    "Published",
    "RemoteFile",
    "check_account",
    "check_repo",
    "compare",
    "copy_of",
    "erase_history",
    "fetched_afresh",
    "history",
    "is_hub_ref",
    "latest_file",
    "open_request",
    "parse_ref",
    "pinned",
    "plan_erasure",
    "propose",
    "propose_files",
    "publish",
    "read_head",
    "remote_files",
    "sets_with",
    "snapshot",
    "snapshot_file",
    "write_sums",
]
