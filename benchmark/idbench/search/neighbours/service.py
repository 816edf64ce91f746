"""Neighbours from a service that speaks clip-retrieval's protocol: a photo or an embedding in, JSON out."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from typing import Any

from idbench.search.neighbours.source import Neighbour, Query
from idbench.search.neighbours.web import WebError, request

_ANSWER_LIMIT = 256 << 20


class Service:
    """A `knn-service`, as `clip-retrieval back` offers it.

    Args:
        url: its address, with or without the ending `/knn-service`.
        index: name of the index on the service.

    Nothing is filtered or merged on the service's side: what is in the corpus is to be found, duplicates too.
    """

    embeds = True

    def __init__(self, url: str, index: str) -> None:
        bare = url.rstrip("/")
        self._url = bare if bare.endswith("/knn-service") else f"{bare}/knn-service"
        self._index = index

    def nearest(self, queries: Sequence[Query], k: int) -> list[list[Neighbour]]:
        """Up to k neighbours of each query; the embedding is sent where there is one, else the photo.

        Raises:
            WebError: the service does not answer, or its answer is not valid.
        """
        return [self._one(query, k) for query in queries]

    def _one(self, query: Query, k: int) -> list[Neighbour]:
        asked: dict[str, Any] = {
            "text": None,
            "image": None,
            "image_url": None,
            "embedding_input": None,
            "modality": "image",
            "num_images": k,
            "num_result_ids": k,
            "indice_name": self._index,
            "use_mclip": False,
            "deduplicate": False,
            "use_safety_model": False,
            "use_violence_detector": False,
            "aesthetic_score": "",
            "aesthetic_weight": "",
        }
        if query.embedding is not None:
            asked["embedding_input"] = [float(value) for value in query.embedding]
        else:
            asked["image"] = base64.b64encode(query.photo).decode()
        body = request(self._url, json.dumps(asked).encode(), limit=_ANSWER_LIMIT)
        try:
            answer = json.loads(body)
            return [_neighbour(entry) for entry in answer][:k]
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
            raise WebError(
                f"{self._url} does not answer as clip-retrieval's knn-service does.",
                hint="Check the address and the name of the index.",
            ) from error


def _neighbour(entry: dict[str, Any]) -> Neighbour:
    picture, similarity = entry.get("image"), float(entry["similarity"])
    if not math.isfinite(similarity):
        raise ValueError("a similarity that is not a number")
    caption, url, path = (
        None if entry.get(key) is None else str(entry[key]) for key in ("caption", "url", "image_path")
    )
    return Neighbour(
        id=int(entry["id"]),
        similarity=similarity,
        caption=caption,
        url=url,
        path=path,
        picture=None if picture is None else base64.b64decode(picture, validate=True),
    )
