"""Captions of a corpus, streamed from parquet, TSV or WebDataset files."""

from idbench.search.captions.batch import Batch, DamagedShard, ReadOptions
from idbench.search.captions.shards import Found, find_shards, read_shard

__all__ = ["Batch", "DamagedShard", "Found", "ReadOptions", "find_shards", "read_shard"]
