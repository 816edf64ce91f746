"""What a defense costs people whom it should spare: the same questions before and after, on held-out pictures.

The questions are asked in a worker: the target may stand behind a stranger's code. The parent turns the answers into
estimates, with intervals over people.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from idbench.api import Access, Photo, Progress, Silent, TargetView
from idbench.errors import IdbenchError, MethodError
from idbench.results import Estimate, UtilityMeasure
from idbench.runner.bundle import DEFENSE
from idbench.runner.defend import Applying
from idbench.runner.defense_work import answered_of, has_answers, put_before
from idbench.runner.folders import writable
from idbench.runner.messages import Stage, WorkerResult
from idbench.runner.pixels import digest_of
from idbench.runner.process import LOG, WorkerOptions, keep_log, run_worker
from idbench.splits.held_out import HeldOut, alike, load_held_out
from idbench.storage import cache_dir, read_bounded, read_regular, sha256_bytes, write_text
from idbench.targets import TargetSpec
from idbench.workplace import workplace

if TYPE_CHECKING:
    from idbench.targets.load import LoadedTarget

REQUEST, PICTURES, ANSWERS = "utility.json", "utility.npz", "utility-answers.safetensors"
_VERSION: Final = 1  # of the questions: cached answers to other versions do not count
_DRAWS: Final = 2000
_LIMIT: Final = 1 << 26  # bytes of answers
_MEASURES = TypeAdapter(tuple[UtilityMeasure, ...])


@dataclass(frozen=True, slots=True)
class Answers:
    """How a target answered.

    Args:
        right: by name of a measure: 1.0 for each question that was answered right, 0.0 for others, (n,).
        owners: by name of a measure: about whom each question was, (n,).
        photos: unit embeddings of the pictures, (n, dim); None: not answered.
        texts: unit embeddings of the captions, (n, dim); None: not answered.
    """

    right: dict[str, NDArray[np.float64]]
    owners: dict[str, NDArray[np.int64]]
    photos: NDArray[np.float32] | None
    texts: NDArray[np.float32] | None


def measure(
    applying: Applying,
    base: TargetSpec,
    after: TargetSpec,
    options: WorkerOptions,
) -> tuple[UtilityMeasure, ...]:
    """Utility before and after a defense; read from the cache where the same was measured before.

    Args:
        applying: the defense.
        base: the target before it, pinned.
        after: the target after it, pinned; `base` itself for a defense of answers.
        options: how the questions are asked.

    Returns:
        the measures; none where the split has no held-out pictures.

    Raises:
        IdbenchError: the questions could not be asked.
    """
    held = load_held_out(applying.split.manifest.name, options.progress)
    if held is None:
        return ()
    depends_on = [
        _VERSION,
        held.digest,
        base.design,
        base.sha256,
        after.sha256,
        applying.applied.model_dump(mode="json"),
    ]
    kept = cache_dir("utility", f"{sha256_bytes(json.dumps(depends_on, sort_keys=True).encode())[:32]}.json")
    found = _kept(kept)
    if found is None:
        before, after_ = (
            _ask(applying, target, front, held, options) for target, front in _sides(applying, base, after)
        )
        protected = [applying.split.identities[i].name for i in applying.people]
        found = compared(before, after_, alike(held.names, protected))
        write_text(kept, _MEASURES.dump_json(found).decode())
    return found


def _sides(applying: Applying, base: TargetSpec, after: TargetSpec) -> list[tuple[TargetSpec, bool]]:
    """The two targets that are asked, and whether the defense of answers stands before them."""
    return [(base, False), (after, not applying.changes_weights)]


def _kept(path: Path) -> tuple[UtilityMeasure, ...] | None:
    try:
        return _MEASURES.validate_json(read_bounded(path, _LIMIT))
    except (IdbenchError, ValidationError):
        return None


def _ask(
    applying: Applying,
    spec: TargetSpec,
    front: bool,
    held: HeldOut,
    options: WorkerOptions,
) -> Answers:
    progress, limit = options.progress, options.time_limit
    with workplace() as place:
        folder, written = place / "bundle", place / LOG
        folder.mkdir()
        (folder / REQUEST).write_text(
            json.dumps({"target": spec.model_dump_json(), "device": options.device}), encoding="utf-8"
        )
        np.savez(folder / PICTURES, images=held.images, owners=held.owners)
        texts = {"names": list(held.names), "captions": list(held.captions), "digest": held.digest}
        (folder / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
        if front:
            (folder / DEFENSE).mkdir()
            applying.write_request(folder / DEFENSE, options.device, None, progress)
        try:
            what, places = "the measurement of utility", writable(applying.folders)
            run_worker(folder, written, what, progress, limit, places, options.forks)
            return _read(folder / ANSWERS)
        except IdbenchError as error:
            raise keep_log(error, written, options.failed_log) from error


def is_asked(folder: Path) -> bool:
    """Whether a worker's bundle asks for utility."""
    return (folder / REQUEST).exists()


def answer_request(
    folder: Path, progress: Progress, tell: Callable[[Stage], None], peak: Callable[[], float]
) -> WorkerResult:
    """In the worker: open the target, ask it, and leave the answers in the folder."""
    from idbench.runner.opening import choose_device
    from idbench.targets.load import load_target

    request = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    with np.load(folder / PICTURES, allow_pickle=False) as stored:
        held = HeldOut(
            tuple(texts["names"]), stored["images"], tuple(texts["captions"]), stored["owners"], texts["digest"]
        )
    tell("loading the target")
    device = choose_device(request["device"])
    loaded = load_target(TargetSpec.model_validate_json(request["target"]), device)
    tell("score")
    view, answered = _view(loaded, folder, device, progress)
    answers = ask(view, answered, held, progress)
    _write(folder / ANSWERS, answers)
    return WorkerResult(load=0.0, fit=0.0, score=0.0, device=device.partition(":")[0], peak_memory_mb=peak())


def _view(loaded: LoadedTarget, folder: Path, device: str, progress: Progress) -> tuple[TargetView, Access]:
    from idbench.targets.gate import Gate
    from idbench.targets.view import View

    everything = Access.LABEL | Access.SIMILARITY | Access.TEXT_EMBEDDING | Access.IMAGE_EMBEDDING
    view = View(loaded, ~Access.WEIGHTS, progress=Silent(), cache=folder / "embeddings")
    if not has_answers(folder):
        return view, everything
    answered, name = answered_of(folder / DEFENSE)
    return Gate(put_before(view, folder, device, progress), everything, answered, name), answered


def ask(view: TargetView, answered: Access, held: HeldOut, progress: Progress) -> Answers:
    """Ask a target everything that is measured.

    Args:
        view: of the target.
        answered: what it answers; labels always.
        held: the pictures.
        progress: receives progress reports.
    """
    photos = [_photo(image) for image in held.images]
    captions, place = _distinct(held.captions)
    right: dict[str, list[NDArray[np.bool_]]] = {"photo to caption": [view.labels(photos, captions) == place]}
    owners: dict[str, list[NDArray[np.int64]]] = {"photo to caption": [held.owners]}
    right["naming of faces"] = [view.labels(photos, list(held.names)) == held.owners]
    owners["naming of faces"] = [held.owners]
    if Access.SIMILARITY in answered:
        best = view.similarities(photos, captions).argmax(axis=0)
        right["caption to photo"] = [place[best[place]] == place]
        owners["caption to photo"] = [held.owners]
    groups: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    questions = held.questions
    for i, question in enumerate(questions):
        groups.setdefault((question.concept, question.texts), []).append(i)
    for (concept, texts), numbers in progress.track(list(groups.items()), "asking what pictures show"):
        pictures = np.array([questions[i].picture for i in numbers])
        truth = np.array([questions[i].right for i in numbers])
        found = view.labels([photos[i] for i in pictures], list(texts)) == truth
        right.setdefault(f"recognition of {concept}", []).append(found)
        owners.setdefault(f"recognition of {concept}", []).append(held.owners[pictures])
    return Answers(
        {name: np.concatenate(parts).astype(np.float64) for name, parts in right.items()},
        {name: np.concatenate(parts) for name, parts in owners.items()},
        _unit(view.embed_photos(photos)) if Access.IMAGE_EMBEDDING in answered else None,
        _unit(view.embed_texts(list(held.captions))) if Access.TEXT_EMBEDDING in answered else None,
    )


def compared(before: Answers, after: Answers, look_alikes: NDArray[np.bool_]) -> tuple[UtilityMeasure, ...]:
    """Estimates before and after, with intervals over people.

    Args:
        before: answers of the target before the defense.
        after: answers of the target after it, to the same questions; what it does not answer is left out.
        look_alikes: which of the held-out people share a first or last name with a protected person, (n_people,).
    """
    measures = []
    for name, own in before.owners.items():
        if name not in after.right:
            continue
        one, other = before.right[name], after.right[name]
        measures.append(_measure(name, one, other, own))
        rows = look_alikes[own]
        if name == "naming of faces" and rows.any():
            measures.append(_measure(f"{name} with a look-alike name", one[rows], other[rows], own[rows]))
    people = before.owners["photo to caption"]
    for name, first, second in (
        ("photos stay where they were (cosine)", before.photos, after.photos),
        ("captions stay where they were (cosine)", before.texts, after.texts),
    ):
        if first is not None and second is not None:
            cosines = (first * second).sum(axis=1).astype(np.float64)
            measures.append(_measure(name, np.ones_like(cosines), cosines, people))
    return tuple(measures)


def _measure(
    name: str, before: NDArray[np.float64], after: NDArray[np.float64], owners: NDArray[np.int64]
) -> UtilityMeasure:
    _, person = np.unique(owners, return_inverse=True)
    count = np.bincount(person)
    rows = np.stack([np.bincount(person, weights=values) for values in (before, after, after - before)])
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(len(count), np.full(len(count), 1 / len(count)), size=_DRAWS)
    means = (drawn @ rows.T) / (drawn @ count)[:, None]
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    values = rows.sum(axis=1) / count.sum()
    estimates = [
        Estimate(
            value=float(v), low=float(min(a, v)), high=float(max(b, v)), level=0.95, method="bootstrap over people"
        )
        for v, a, b in zip(values, low, high, strict=True)
    ]
    return UtilityMeasure(
        name=name, people=len(count), before=estimates[0], after=estimates[1], difference=estimates[2]
    )


def _photo(image: NDArray[np.uint8]) -> Photo:
    return Photo(digest_of(image), lambda: image)


def _distinct(texts: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Distinct texts, and which of them each text is."""
    places = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    return list(places), np.array([places[text] for text in texts], dtype=np.int64)


def _unit(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), np.float32(1e-12))
    unit: NDArray[np.float32] = (embeddings / lengths).astype(np.float32)
    return unit


def _write(path: Path, answers: Answers) -> None:
    from safetensors.numpy import save_file

    arrays: dict[str, NDArray[np.generic]] = {}
    for name, values in answers.right.items():
        arrays[f"right:{name}"] = values
        arrays[f"owners:{name}"] = answers.owners[name]
    for name, values_ in (("photos", answers.photos), ("texts", answers.texts)):
        if values_ is not None:
            arrays[name] = values_
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


def _read(path: Path) -> Answers:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = dict(load(read_regular(path, _LIMIT)))
        right = {name.removeprefix("right:"): a for name, a in arrays.items() if name.startswith("right:")}
        owners = {name.removeprefix("owners:"): a for name, a in arrays.items() if name.startswith("owners:")}
        if right.keys() != owners.keys() or any(right[name].shape != owners[name].shape for name in right):
            raise ValueError("answers and people do not fit together")
        return Answers(right, owners, arrays.get("photos"), arrays.get("texts"))
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise MethodError(f"The worker left answers that cannot be used: {str(error)[:200]}.") from error
