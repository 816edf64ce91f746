"""Neighbours of a person's photos among a corpus's pictures: from embeddings, a faiss index, or a service."""

from idbench.search.neighbours.folder import EmbeddingFolder, FaissIndex, open_index
from idbench.search.neighbours.service import Service
from idbench.search.neighbours.source import Neighbour, NeighbourSource, Query

__all__ = ["EmbeddingFolder", "FaissIndex", "Neighbour", "NeighbourSource", "Query", "Service", "open_index"]
