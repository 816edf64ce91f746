"""Captions of corpora and the names in them: reads them from every kind of file, and finds who is named where."""

from idbench.captions.batches import CaptionBatch, DamagedShard, ReadOptions
from idbench.captions.files import CorpusFiles, find_shards, read_shard
from idbench.captions.folding import EXACT, FOLDED, Folding
from idbench.captions.matching import UPSTREAM, Hit, Matcher, Rules
from idbench.captions.names import Sought, gather, read_names, unlike_a_name

__all__ = [
    "EXACT",
    "FOLDED",
    "UPSTREAM",
    "CaptionBatch",
    "CorpusFiles",
    "DamagedShard",
    "Folding",
    "Hit",
    "Matcher",
    "ReadOptions",
    "Rules",
    "Sought",
    "find_shards",
    "gather",
    "read_names",
    "read_shard",
    "unlike_a_name",
]
