"""What a worker tells its parent: progress, scores, a result or a failure. The parent checks everything it receives.

Whatever a worker writes may have been written by third-party code, so it is read as such: regular files of bounded
size, closed schemas, exact types.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from idbench.api import Guarantee, InvalidScores, MethodError, Scores
from idbench.storage import read_regular

RESULT = "result.json"
FAILURE = "failure.json"
SCORES = "scores.safetensors"
WEIGHTS = "weights.safetensors"

_MESSAGE_LIMIT = 64 << 10  # bytes
_SCORES_LIMIT = 256 << 20  # bytes: a hundred details of 300,000 cases
_LONGEST = 2000  # characters of a text
_DETAIL = "detail:"
_REASON = "reason:"
_DETAILS, _DETAIL_NAME = 1000, 200

Stage = Literal["preparation", "loading the target", "fit", "score", "checking the scores", "the defense"]
_Text = Annotated[str, Field(max_length=_LONGEST)]
_Amount = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0, lt=2**53)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


M = TypeVar("M", bound=_Message)


class Asked(_Message):
    """Queries by kind; `idbench.targets.view.QueryCounts` says what each means."""

    texts: _Count = 0
    images: _Count = 0
    pairs: _Count = 0
    gradients: _Count = 0
    training_steps: _Count = 0


class ShadowsUsed(_Message):
    """What shadow models cost; `idbench.targets.shadows.ShadowTally` says what each means."""

    count: _Count
    steps: _Count
    seconds: _Amount
    trained: _Count
    trained_steps: _Count
    waited: _Amount


class WorkerResult(_Message):
    """A finished run: seconds, where (`Environment` says what the words mean), MiB, queries by kind, shadow models.

    A defense that changes weights counts as `score`, its optimizer steps are `steps`; the defense itself
    states the `guarantees`.
    """

    load: _Amount
    fit: _Amount
    score: _Amount
    device: Annotated[str, Field(pattern=r"^[a-z]{1,20}(:\d{1,4})?$")]
    peak_memory_mb: _Amount
    queries: Asked = Asked()
    shadows: ShadowsUsed | None = None
    device_model: Annotated[str, Field(max_length=200)] | None = None
    threads: Annotated[int, Field(ge=1, lt=2**20)] | None = None
    steps: _Count = 0
    guarantees: Annotated[tuple[Guarantee, ...], Field(max_length=10)] = ()


class Failure(_Message):
    """Why there is no result, and during what."""

    kind: Annotated[str, Field(pattern=r"^\w{1,100}$")]
    message: _Text
    hint: _Text
    stage: Stage


def shortened(text: str) -> str:
    """A text that fits into a message: surrogates escaped, the middle of a long one left out."""
    clean = text.encode("utf-8", "backslashreplace").decode()
    return clean if len(clean) <= _LONGEST else f"{clean[: _LONGEST // 2]} ... {clean[-_LONGEST // 2 + 5 :]}"


def dump(path: Path, message: WorkerResult | Failure) -> None:
    """Write a message as JSON."""
    path.write_text(message.model_dump_json(), encoding="utf-8")


def load_result(path: Path) -> WorkerResult:
    """Read what `dump` wrote.

    Raises:
        MethodError: missing, not a regular file, too large, or not such a message.
    """
    return _load(path, WorkerResult)


def load_failure(path: Path) -> Failure:
    """Read what `dump` wrote; errors as of `load_result`."""
    return _load(path, Failure)


def _load(path: Path, kind: type[M]) -> M:
    try:
        # JSON nested too deep for the parser is a ValueError of pydantic's own.
        return kind.model_validate_json(read_regular(path, _MESSAGE_LIMIT))
    except (OSError, ValidationError, ValueError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        what = str(error) if first is None else f"{'.'.join(map(str, first['loc'])) or path.name}: {first['msg']}"
        raise MethodError(f"The worker left a {path.name} that cannot be used: {what[:200]}.") from error


def save_scores(path: Path, scores: Scores, photos: list[int]) -> None:
    """Write checked scores.

    Args:
        path: the file.
        scores: from `Scores.checked`.
        photos: how many photos each case has, for methods that use all.
    """
    from safetensors.numpy import save_file

    arrays: dict[str, NDArray[Any]] = {
        "values": scores.values,
        "abstained": np.asarray(scores.abstained),
        "photos_used": np.array(photos, dtype=np.int64) if scores.photos_used is None else scores.photos_used,
    }
    if scores.decisions is not None:
        arrays["decisions"] = scores.decisions
    arrays.update({f"{_DETAIL}{name}": values for name, values in scores.details.items()})
    arrays.update({f"{_REASON}{phrase}": whom for phrase, whom in scores.reasons.items()})
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


def load_scores(path: Path, n_cases: int) -> Scores:
    """Read what `save_scores` wrote, and check it again: a method may have bypassed the first check.

    Args:
        path: the file.
        n_cases: how many cases there are.

    Raises:
        MethodError: missing, not a regular file, too large, or not such a file.
        InvalidScores: an array of another type or length, NaN, or details that a record cannot hold.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = dict(load(read_regular(path, _SCORES_LIMIT)))
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise MethodError(f"The worker left scores that cannot be used: {str(error)[:200]}.") from error
    details, reasons = _taken(arrays, _DETAIL), _taken(arrays, _REASON)
    _check_details(details)
    types = {"values": np.float64, "abstained": np.bool_, "photos_used": np.int64, "decisions": np.bool_}
    for name, array in arrays.items():
        if name not in types or array.dtype != types[name]:
            raise InvalidScores(
                f"The scores hold {name[:50]!r} as {array.dtype}.", hint="Return what Scores describes."
            )
    if missing := {"values", "abstained", "photos_used"} - set(arrays):
        raise InvalidScores(f"The scores lack {', '.join(sorted(missing))}.", hint="Return what Scores describes.")
    scores = Scores(**arrays, details=details, reasons=reasons).checked(n_cases)
    assert scores.photos_used is not None
    if (scores.photos_used < 0).any():
        raise InvalidScores("A score says that it used fewer than no photos.", hint="Count the photos in photos_used.")
    return scores


def _taken(arrays: dict[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """The arrays whose names begin so, which are no longer among the others, by the rest of their names."""
    return {name.removeprefix(prefix): arrays.pop(name) for name in list(arrays) if name.startswith(prefix)}


def _check_details(details: dict[str, NDArray[Any]]) -> None:
    if len(details) > _DETAILS:
        raise InvalidScores(f"The scores have {len(details)} details; {_DETAILS} are allowed.", hint="Return fewer.")
    for name, array in details.items():
        if not name or len(name) > _DETAIL_NAME or not name.isprintable():
            raise InvalidScores(
                f"A detail is called {name[:50]!r}.", hint=f"Use 1 to {_DETAIL_NAME} printable characters."
            )
        if array.dtype != np.float64:
            raise InvalidScores(f"The detail {name!r} is {array.dtype}, not float64.", hint="Return float64 arrays.")
