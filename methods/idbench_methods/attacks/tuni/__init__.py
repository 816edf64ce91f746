"""TUNI, the textual unimodal detector: what does the target draw when it is asked for a name, and nothing else?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from idbench.api import (
    Access,
    Attack,
    Calibration,
    Case,
    Context,
    Knowledge,
    MethodCard,
    MethodError,
    MethodParams,
    Scores,
    TargetView,
)
from idbench_methods.attacks.tuni.choices import CHOICES
from idbench_methods.attacks.tuni.gibberish import ALPHABET, gibberish

if TYPE_CHECKING:
    from idbench_methods.attacks.tuni.features import Features
    from idbench_methods.attacks.tuni.photos import Looks

_RATES = {"sgd": 0.02, "adam": 0.1}

CARD = MethodCard(
    name="tuni",
    version="1",
    title="TUNI: images optimized for the name, compared with gibberish",
    summary=(
        "For each name, images are optimized until the target finds them similar to the name. Anomaly detectors "
        "compare the images' mean similarity and their spread with those of random strings; a name unlike gibberish "
        "is called a member. Only the name is known; photos are used only when `use_photos` is set."
    ),
    paper="Li, Cheng, Jia, TUNI: A Textual Unimodal Detector for Identity Inference in CLIP Models, 2024",
    authors="Li, Cheng, Jia",
    year=2024,
    url="https://arxiv.org/abs/2405.14517",
    access=Access.SIMILARITY | Access.IMAGE_EMBEDDING | Access.GRADIENT,
    knowledge=Knowledge.NAME | Knowledge.PUBLIC_PAIRS,
    optional_knowledge=Knowledge.PHOTOS,
    choices=CHOICES,
    presets={
        "paper": {
            "runs": 100,
            "steps": 2000,
            "optimizer": "sgd",
            "learning_rate": 0.02,
            "crop_of": "start",
            "tolerance": 0.0,
            "detectors": ["lof", "isolation-forest", "one-class-svm", "auto-encoder"],
        }
    },
)


class TuniParams(MethodParams):
    """Parameters of TUNI."""

    runs: int = Field(default=4, ge=2, description="optimizations per text (n in the paper; there 100)")
    steps: int = Field(
        default=16, ge=1, description="most gradient steps per optimization (m in the paper; there 2000)"
    )
    optimizer: Literal["adam", "sgd"] = Field(default="adam", description="sgd: plain gradient ascent, as released")
    learning_rate: float = Field(
        gt=0, default=_RATES["adam"], description="in units of the normalized pixel space; 0.02 for sgd unless given"
    )
    start: Literal["photo", "one-photo", "noise"] = Field(
        default="photo",
        description="first image: a random public photo per text (as released), one for all texts, or noise",
    )
    crop_of: Literal["view", "start"] = Field(
        default="view",
        description="each run's random resized crop is what the target sees of its image, or cuts the first image only",
    )
    crop_low: float = Field(default=0.9, gt=0.1, le=1, description="smallest crop, as a share of the image's area")
    crop_high: float = Field(default=1.0, gt=0.1, le=1, description="largest crop, as a share of the image's area")
    crop_ratio: float = Field(default=4 / 3, ge=1, le=4, description="largest ratio of a crop's sides")
    tolerance: float = Field(
        default=1e-4, ge=0, le=1, description="changes of the similarity below this count as none; 0: never stop early"
    )
    patience: int = Field(default=10, ge=1, description="steps in a row without change after which a run stops")
    gibberish_count: int = Field(default=128, ge=20, description="random strings in the reference")
    gibberish_shortest: int = Field(default=6, ge=1, description="characters of the shortest random string")
    gibberish_longest: int = Field(default=16, ge=1, le=1000, description="characters of the longest random string")
    gibberish_alphabet: str = Field(
        default=ALPHABET,
        min_length=2,
        description="characters of the random strings; default: letters, digits, symbols",
    )
    detectors: tuple[Literal["lof", "isolation-forest", "one-class-svm", "auto-encoder"], ...] = Field(
        default=("lof", "isolation-forest", "one-class-svm"), min_length=1, description="anomaly detectors (PyOD)"
    )
    contamination: float = Field(
        default=0.1, gt=0, lt=0.5, description="share of the gibberish that each detector's threshold calls outliers"
    )
    votes_needed: int | None = Field(
        default=None, ge=1, description="detectors that must agree to call a person a member; none: more than half"
    )
    direction: Literal["two-sided", "more-similar"] = Field(
        default="two-sided",
        description="whether any difference from gibberish counts, or only more similarity and less spread",
    )
    use_photos: bool = Field(default=False, description="second stage: compare the optimized images with real photos")
    photo_features: Literal["target", "descriptor"] = Field(
        default="target", description="where the second stage compares: the target's embeddings, or colours and edges"
    )
    slots: int = Field(default=256, ge=1, description="optimizations under way at once; changes memory, not results")

    @model_validator(mode="before")
    @classmethod
    def _rate_of_the_optimizer(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and given.get("optimizer") in _RATES and "learning_rate" not in given:
            return {**given, "learning_rate": _RATES[given["optimizer"]]}
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.gibberish_shortest > self.gibberish_longest:
            raise ValueError("gibberish_shortest is above gibberish_longest")
        if self.crop_low > self.crop_high:
            raise ValueError("crop_low is above crop_high")
        if len(set(self.detectors)) < len(self.detectors):
            raise ValueError("a detector is named twice")
        if self.votes_needed is not None and self.votes_needed > len(self.detectors):
            raise ValueError(f"votes_needed is {self.votes_needed}, but there are {len(self.detectors)} detectors")
        return self


class Tuni(Attack[TuniParams]):
    """Text-only attack by CLIP-guided image optimization; sections 3 and 4 of the paper."""

    card = CARD

    def __init__(self, params: TuniParams | None = None) -> None:
        super().__init__(params)
        self._reference = np.zeros((0, 2))
        self._reference_looks: list[NDArray[np.float32]] = []

    @property
    def knowledge(self) -> Knowledge:
        """The name; public pairs for the first image; photos for the second stage."""
        needed = Knowledge.NAME
        if self.params.start != "noise":
            needed |= Knowledge.PUBLIC_PAIRS
        if self.params.use_photos:
            needed |= Knowledge.PHOTOS
        return needed

    def fit(self, target: TargetView, calibration: Calibration, context: Context) -> None:
        """Optimize images for the gibberish reference.

        Raises:
            MethodError: the alphabet and lengths allow too few strings, or the target returns no numbers for them.
        """
        from idbench_methods.attacks.tuni.features import features_of

        texts = self._gibberish(calibration, context)
        looks = self._looks(target)
        self._reference_looks = []
        rows = []
        for features in sorted(
            features_of(target, texts, self.params, context, what="optimizing for gibberish"), key=lambda f: f.text
        ):
            if np.isfinite([features.similarity, features.spread]).all():
                rows.append((features.similarity, features.spread))
                if looks is not None:
                    self._reference_looks.append(looks.of_images(features))
        if len(rows) < len(texts) / 2:
            raise MethodError(
                f"TUNI's optimization went to infinity for {len(texts) - len(rows)} of {len(texts)} random strings.",
                hint="Set a smaller learning_rate.",
            )
        self._reference = np.array(rows, dtype=np.float64)

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """How unlike gibberish each name is: mean rank over the detectors, 0 to 1 (-1 to 1 with a direction).

        Details: `S` and `D`, the similarity and spread of the optimized images, `steps` and `votes`; with photos
        `closeness`, which is 0 for people without photos. Abstains where the optimization went to infinity.
        """
        from idbench_methods.attacks.tuni.features import features_of

        names = sorted({case.name for case in cases})
        place = {name: i for i, name in enumerate(names)}
        own = np.array([place[case.name] for case in cases], dtype=np.int64)
        measured = np.full((len(names), 3), np.nan)
        close = np.zeros(len(cases))
        looks = self._looks(target)
        for features in features_of(target, names, self.params, context, what="optimizing for names"):
            i = place[features.text]
            measured[i] = features.similarity, features.spread, features.steps
            if looks is not None:
                for j in np.flatnonzero(own == i).tolist():
                    close[j] = self._closeness(cases[j], features, looks)
        return self._scores(cases, measured[own], close, context)

    def _gibberish(self, calibration: Calibration, context: Context) -> list[str]:
        p = self.params
        avoid = {case.name for case in calibration.cases}
        texts = gibberish(
            p.gibberish_count,
            (p.gibberish_shortest, p.gibberish_longest),
            p.gibberish_alphabet,
            avoid=avoid,
            rng=context.rng("gibberish"),
        )
        if len(texts) < p.gibberish_count:
            raise MethodError(
                f"Only {len(texts)} different random strings of that length and alphabet were found, not "
                f"{p.gibberish_count}.",
                hint="Allow longer strings (gibberish_longest) or more characters (gibberish_alphabet).",
            )
        return sorted(texts)

    def _looks(self, target: TargetView) -> Looks | None:
        if not self.params.use_photos:
            return None
        from idbench_methods.attacks.tuni.photos import DescriptorLooks, TargetLooks

        return TargetLooks(target) if self.params.photo_features == "target" else DescriptorLooks(target)

    def _closeness(self, case: Case, features: Features, looks: Looks) -> float:
        from idbench_methods.attacks.tuni.photos import closeness

        photos = sorted(case.photos, key=lambda photo: photo.digest)
        if not photos or not np.isfinite(features.embeddings).all():
            return 0.0
        return closeness(looks.of_photos(photos), looks.of_images(features), self._reference_looks)

    def _scores(
        self, cases: Sequence[Case], measured: NDArray[np.float64], close: NDArray[np.float64], context: Context
    ) -> Scores:
        from scipy.stats import rankdata

        from idbench_methods.attacks.tuni.detectors import judge

        p = self.params
        able = np.isfinite(measured.sum(axis=1))
        values, votes = np.full(len(cases), np.nan), np.zeros(len(cases), dtype=np.int64)
        if able.any():
            seed = int(context.rng("detectors").integers(2**31))
            verdict = judge(
                self._reference,
                measured[able, :2],
                p.detectors,
                contamination=p.contamination,
                direction=p.direction,
                seed=seed,
            )
            values[able], votes[able] = verdict.anomaly, verdict.votes
        if p.use_photos and able.any():
            values[able] = (values[able] + rankdata(close[able]) / able.sum()) / 2
        details = {"S": measured[:, 0], "D": measured[:, 1], "steps": measured[:, 2], "votes": votes.astype(np.float64)}
        return Scores(
            values=values,
            abstained=np.logical_not(able),
            decisions=votes >= (p.votes_needed or len(p.detectors) // 2 + 1),
            photos_used=np.array([len(case.photos) if p.use_photos else 0 for case in cases], dtype=np.int64),
            details={**details, "closeness": close} if p.use_photos else details,
        )
