"""Measures what `idbench.metrics` promises: coverage of its intervals and size of its tests. Writes docs/coverage.md.

    nice python benchmark/perf/coverage.py                   all tables, some twenty minutes of one core
    python benchmark/perf/coverage.py tpr ranks              these tables again, the others as measured before
    python benchmark/perf/coverage.py tpr --share 0.1        a quick look: printed, nothing written
    python benchmark/perf/coverage.py --render               the page again from docs/coverage.json

Every cell has its own seed, made from the table's name and the cell's place, so that the numbers come out the same
with any number of processes.
"""

import argparse
import json
import math
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Protocol

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # the processes are the parallelism

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
from scipy import integrate, optimize, special, stats  # noqa: E402

from idbench import metrics  # noqa: E402

PAGE = Path(__file__).parents[2] / "docs" / "coverage.md"
NUMBERS = PAGE.with_suffix(".json")
LEVEL = 0.95
SLACK = 0.02  # what an interval may miss its level by before the page marks it
Floats = npt.NDArray[np.float64]
Shift = float | npt.NDArray[np.floating[Any]]  # one for all identities, or one each


class World(Protocol):
    """A pair of score distributions whose true ROC curve is known."""

    @property
    def name(self) -> str:
        """How the tables call it."""

    def shift(self, auc: float) -> float:
        """The distance between members and non-members that gives this AUC."""

    def latent(self, normal: Floats, shift: Shift) -> Floats:
        """Scores from standard normal numbers; `shift` is 0 for non-members."""

    def tpr(self, shift: float, fpr: float) -> float:
        """True TPR at the largest attainable FPR of at most `fpr`."""


@dataclass(frozen=True)
class Gaussian:
    """Normal scores, members `spread` times as wide."""

    name: str = "Gaussian"
    spread: float = 1.0

    def shift(self, auc: float) -> float:
        return math.hypot(1, self.spread) * float(special.ndtri(auc))

    def latent(self, normal: Floats, shift: Shift) -> Floats:
        return np.asarray(normal + shift)

    def tpr(self, shift: float, fpr: float) -> float:
        return float(special.ndtr((shift - special.ndtri(1 - fpr)) / self.spread))


@dataclass(frozen=True)
class Heavy:
    """Student's t with two degrees of freedom: no variance, many outliers."""

    name: str = "heavy tails"

    def _auc(self, shift: float) -> float:
        value, _ = integrate.quad(lambda x: stats.t.cdf(x + shift, 2) * stats.t.pdf(x, 2), -np.inf, np.inf, limit=400)
        return float(value)

    def shift(self, auc: float) -> float:
        return 0.0 if auc == 0.5 else float(optimize.brentq(lambda d: self._auc(d) - auc, 0, 60))

    def latent(self, normal: Floats, shift: Shift) -> Floats:
        share = special.ndtr(normal)
        return np.asarray((2 * share - 1) / np.sqrt(2 * share * (1 - share)) + shift)

    def tpr(self, shift: float, fpr: float) -> float:
        return float(stats.t.sf(stats.t.isf(fpr, 2) - shift, 2))


@dataclass(frozen=True)
class Votes:
    """Whole numbers 0..21, like the number of prompts on which an attack names the right person: many ties."""

    name: str = "0..21, tied"

    def _chances(self, shift: float) -> Floats:
        edges = np.concatenate([[-np.inf], np.arange(21) + 0.5, [np.inf]])
        return np.asarray(np.diff(stats.norm.cdf(edges, loc=2 + 3 * shift, scale=3)), dtype=np.float64)

    def _auc(self, shift: float) -> float:
        outside, inside = self._chances(0.0), self._chances(shift)
        return float(inside @ (np.cumsum(outside) - outside / 2))

    def shift(self, auc: float) -> float:
        return 0.0 if auc == 0.5 else float(optimize.brentq(lambda d: self._auc(d) - auc, 0, 60))

    def latent(self, normal: Floats, shift: Shift) -> Floats:
        return np.asarray(np.clip(np.rint(2 + 3 * normal + 3 * np.asarray(shift)), 0, 21), dtype=np.float64)

    def tpr(self, shift: float, fpr: float) -> float:
        beyond = 1 - np.cumsum(self._chances(0.0))
        level = int(np.argmax(beyond <= fpr + 1e-12))
        return float(self._chances(shift)[level + 1 :].sum())


@dataclass(frozen=True)
class Hits:
    """Two values, like "the right name was found": the ROC curve is one step, at a false-positive rate `step`."""

    step: float

    @property
    def name(self) -> str:
        return f"two values, step at {100 * self.step:g} %"

    @property
    def _cut(self) -> float:
        return float(special.ndtri(1 - self.step))

    def shift(self, auc: float) -> float:
        # The AUC is 1/2 + (TPR - FPR) / 2; as much of it as one step can hold.
        return float(special.ndtri(min(0.999, self.step + 2 * (auc - 0.5)))) + self._cut

    def latent(self, normal: Floats, shift: Shift) -> Floats:
        return np.asarray(normal + shift > self._cut, dtype=np.float64)

    def tpr(self, shift: float, fpr: float) -> float:
        return float(special.ndtr(shift - self._cut)) if self.step <= fpr else 0.0


WORLDS: tuple[World, ...] = (Gaussian(), Votes(), Heavy())


@dataclass(frozen=True)
class Cell:
    """One cell of a table: `repeats` data sets of m members and n non-members."""

    table: str
    place: int
    world: World
    m: int
    n: int
    auc: float
    repeats: int
    extra: float = 0.0

    @property
    def seed(self) -> int:
        return zlib.crc32(f"{self.table}/{self.place}".encode())

    @property
    def members(self) -> npt.NDArray[np.bool_]:
        return np.arange(self.m + self.n) < self.m

    def samples(self, *, methods: int = 1, correlation: float = 0.0) -> Iterator[Floats]:
        """`repeats` score arrays (methods, m + n); the methods' noise has the given correlation."""
        generator = np.random.default_rng(self.seed)
        shift, spread = self.world.shift(self.auc), getattr(self.world, "spread", 1.0)
        own, shared = math.sqrt(1 - correlation), math.sqrt(correlation)
        for _ in range(self.repeats):
            common = generator.normal(size=self.m + self.n)
            normal = shared * common + own * generator.normal(size=(methods, self.m + self.n))
            normal[:, : self.m] *= spread
            yield self.world.latent(normal, shift * self.members)


Shares = tuple[float | None, ...]  # one cell's row, in the order of the columns; None where nothing can be measured


def _share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits)


def measure_auc(cell: Cell) -> Shares:
    """Coverage of the four AUC intervals that need no resampling."""
    hits: list[list[bool]] = [[], [], [], []]
    for (scores,) in cell.samples():
        found = (
            metrics.delong_interval(scores, cell.members),
            metrics.delong_interval_logit(scores, cell.members),
            metrics.newcombe_interval(metrics.auc(scores, cell.members), cell.m, cell.n),
            metrics.auc_interval(scores, cell.members),
        )
        for column, interval in zip(hits, found, strict=True):
            column.append(cell.auc in interval)
    return tuple(map(_share, hits))


def measure_bootstrap(cell: Cell) -> Shares:
    """Coverage of the bootstrap percentile interval, AUC and TPR at 10 % and 1 % FPR."""
    truths = {"auc": cell.auc} | {f"tpr@{f:g}": cell.world.tpr(cell.world.shift(cell.auc), f) for f in (0.1, 0.01)}
    hits: dict[str, list[bool]] = {name: [] for name in truths}
    for place, (scores,) in enumerate(cell.samples()):
        result = metrics.bootstrap(scores, cell.members, (0.1, 0.01), draws=300, seed=place)
        for name, truth in truths.items():
            interval = result.interval(name)
            if isinstance(interval, metrics.Interval):
                hits[name].append(interval.low - 1e-12 <= truth <= interval.high + 1e-12)
    return tuple(_share(column) if column else None for column in hits.values())


def measure_tpr(cell: Cell) -> Shares:
    """Coverage for TPR at one FPR (`cell.extra`): threshold taken as given, and with its uncertainty; mean width."""
    truth = cell.world.tpr(cell.world.shift(cell.auc), cell.extra)
    given, carried, widths = [], [], []
    for (scores,) in cell.samples():
        rate = metrics.tpr_at_fpr(scores, cell.members, cell.extra)
        interval = metrics.tpr_at_fpr_interval(scores, cell.members, cell.extra)
        if isinstance(rate, metrics.RateAtFpr) and isinstance(interval, metrics.Interval):
            given.append(truth in rate.interval)
            carried.append(truth in interval)
            widths.append(interval.width)
    return (_share(given), _share(carried), float(np.mean(widths)))


def measure_pool(cell: Cell) -> Shares:
    """Means over `READINGS` readings with noise of correlation `cell.extra`: coverage and width over ideal width."""
    shift = cell.world.shift(cell.auc)
    truths = [cell.auc, *(cell.world.tpr(shift, fpr) for fpr in POOL_FPRS)]
    found = [
        metrics.pooled(rows, cell.members, fprs=POOL_FPRS)
        for rows in cell.samples(methods=READINGS, correlation=cell.extra)
    ]
    return _pool_shares(found, truths)


def measure_crossed(cell: Cell) -> Shares:
    """One attack on targets A and B, the members of each the non-members of the other, and three seeds of each."""
    shift = cell.world.shift(cell.auc)
    truths = [cell.auc, *(cell.world.tpr(shift, fpr) for fpr in POOL_FPRS)]
    generator, found = np.random.default_rng(cell.seed), []
    own, shared = math.sqrt(1 - cell.extra), math.sqrt(cell.extra)
    inside = np.repeat([cell.members, ~cell.members], 3, axis=0)
    for _ in range(cell.repeats):
        noise = shared * generator.normal(size=cell.m + cell.n) + own * generator.normal(size=inside.shape)
        found.append(metrics.pooled(cell.world.latent(noise, shift * inside), inside, fprs=POOL_FPRS))
    return _pool_shares(found, truths)


def _pool_shares(found: Sequence[metrics.Pooled], truths: Sequence[float]) -> Shares:
    """Coverage of each statistic, and of the rates the mean width as a multiple of 3.92 standard deviations."""
    covered: list[float | None] = [_share([truths[0] in one.auc.interval for one in found])]
    widths: list[float | None] = []
    for place, truth in enumerate(truths[1:]):
        rates = [one.rates[place] for one in found]
        known = [rate for rate in rates if isinstance(rate, metrics.PooledRate)]
        if not known:
            covered.append(None)
            widths.append(None)
            continue
        covered.append(_share([rate.interval.low - 1e-12 <= truth <= rate.interval.high + 1e-12 for rate in known]))
        ideal = 3.92 * float(np.std([rate.value for rate in known]))
        widths.append(float(np.mean([rate.interval.width for rate in known])) / ideal if ideal else None)
    return (*covered, *widths)


def measure_band(cell: Cell) -> Shares:
    """Does the ROC band hold the whole true curve? Checked at every rate of its grid."""
    shift, hits = cell.world.shift(cell.auc), []
    grid = np.geomspace(0.5 / cell.n, 1, 60)
    truth = np.array([cell.world.tpr(shift, float(f)) for f in grid])
    for (scores,) in cell.samples():
        band = metrics.roc_band(scores, cell.members, points=grid.size)
        assert np.allclose(band.fpr, grid)
        hits.append(bool(np.all((band.low <= truth + 1e-9) & (truth <= band.high + 1e-9))))
    return (_share(hits),)


def measure_pair(cell: Cell) -> Shares:
    """Two methods of equal AUC (correlation `cell.extra`): how often each test rejects at 5 %."""
    rejected: list[list[bool]] = [[], [], []]
    for a, b in cell.samples(methods=2, correlation=cell.extra):
        cut = float(np.median(a))
        decided = metrics.mcnemar(a >= cut, b >= cut, cell.members)
        found = (metrics.delong_test(a, b, cell.members).p, decided.p, decided.p_mid)
        for column, p in zip(rejected, found, strict=True):
            column.append(p <= 0.05)
    return tuple(map(_share, rejected))


def measure_pair_tpr(cell: Cell) -> Shares:
    """Two methods of equal TPR: how often the paired bootstrap rejects at 5 %, at 10 % and 1 % FPR."""
    rejected: list[list[bool]] = [[], []]
    for place, (a, b) in enumerate(cell.samples(methods=2, correlation=cell.extra)):
        found = metrics.compare(a, b, cell.members, fprs=(0.1, 0.01), draws=400, seed=place).tpr
        for column, rate in zip(rejected, found, strict=True):
            if isinstance(rate, metrics.TprDifference):
                column.append(rate.p <= 0.05)
    return tuple(_share(column) if column else None for column in rejected)


def measure_chance(cell: Cell) -> Shares:
    """An attack at chance: how often each test rejects at 5 %, and how often the contrast's interval holds 0.5."""
    two, one, contrast, held, trend = [], [], [], [], []
    bins = np.where(cell.members, np.arange(cell.m + cell.n) % 3, 0)
    for place, (a, b) in enumerate(cell.samples(methods=2, correlation=0.5)):
        found = metrics.permutation_test(a, cell.members, draws=499, seed=place)
        two.append(found.p_two_sided <= 0.05)
        one.append(found.p_greater <= 0.05)
        paired = metrics.paired_contrast(a, b, cell.members, draws=499, seed=place)
        contrast.append(paired.p <= 0.05)
        held.append(0.5 in paired.interval)
        rising = metrics.trend_test(a[cell.members], bins[cell.members], draws=499, seed=place)
        trend.append(rising.p_two_sided <= 0.05)
    return tuple(map(_share, (two, one, contrast, trend, held)))


def measure_difference(cell: Cell) -> Shares:
    """Method b has an AUC lower by `cell.extra`: coverage of the difference; equivalence claimed at that margin."""
    shifts = [cell.world.shift(cell.auc), cell.world.shift(cell.auc - cell.extra)]
    covered, claimed = [], []
    generator = np.random.default_rng(cell.seed)
    for _ in range(cell.repeats):
        a, b = _two(cell, generator, shifts)
        covered.append(cell.extra in metrics.delong_test(a, b, cell.members).interval)
        claimed.append(metrics.equivalence(a, b, cell.members, margin=cell.extra).equivalent)
    return (_share(covered), _share(claimed))


def measure_power(cell: Cell) -> Shares:
    """Power at the smallest AUC that the formula calls detectable at 80 %, by the normal test it is meant for."""
    found = [metrics.permutation_test(s, cell.members, draws=499, seed=k) for k, (s,) in enumerate(cell.samples())]
    return (cell.auc, _share([test.p_two_sided <= 0.05 for test in found]))


def measure_power_difference(cell: Cell) -> Shares:
    """Power of the paired test at the smallest difference that the formula calls detectable at 80 %."""
    generator = np.random.default_rng(cell.seed)
    correlation = _auc_correlation(cell, generator)
    gap = metrics.minimum_detectable_difference(cell.m, cell.n, auc_value=cell.auc, correlation=correlation)
    shifts = [cell.world.shift(cell.auc + sign * gap / 2) for sign in (1, -1)]
    rejected = []
    for _ in range(cell.repeats):
        a, b = _two(cell, generator, shifts)
        rejected.append(metrics.delong_test(a, b, cell.members).p <= 0.05)
    return (correlation, gap, _share(rejected))


def _two(cell: Cell, generator: np.random.Generator, shifts: Sequence[float]) -> tuple[Floats, Floats]:
    common = generator.normal(size=cell.m + cell.n)
    noise = math.sqrt(0.5) * (common + generator.normal(size=(2, cell.m + cell.n)))
    return (
        cell.world.latent(noise[0], shifts[0] * cell.members),
        cell.world.latent(noise[1], shifts[1] * cell.members),
    )


def _auc_correlation(cell: Cell, generator: np.random.Generator) -> float:
    shifts = [cell.world.shift(cell.auc)] * 2
    found = [[metrics.auc(s, cell.members) for s in _two(cell, generator, shifts)] for _ in range(2000)]
    return float(np.corrcoef(np.array(found).T)[0, 1])


def measure_ranks(cell: Cell) -> Shares:
    """Six methods, the last three equal: do all rank intervals hold at once, and is a false order ever claimed?"""
    return _rank_shares(cell, np.array([cell.auc, cell.auc, cell.auc - 0.05, 0.6, 0.6, 0.6]))


def measure_equal(cell: Cell) -> Shares:
    """`cell.extra` equal methods: how often any of them is claimed to be better than another."""
    return _rank_shares(cell, np.full(int(cell.extra), cell.auc))[1:2]


def _rank_shares(cell: Cell, values: Floats) -> Shares:
    shifts = np.array([cell.world.shift(float(v)) for v in values])[:, None]
    generator = np.random.default_rng(cell.seed)
    held, false_order, width = [], [], []
    for _ in range(cell.repeats):
        common = generator.normal(size=cell.m + cell.n)
        noise = math.sqrt(0.5) * (common + generator.normal(size=(values.size, cell.m + cell.n)))
        found = metrics.delong_covariance(cell.world.latent(noise, shifts * cell.members), cell.members)
        places = metrics.rank_intervals(found)
        best, worst = 1 + (values[None] > values[:, None]).sum(1), (values[None] >= values[:, None]).sum(1)
        right = bool(((places.low <= best) & (worst <= places.high)).all())
        held.append(right)
        false_order.append(not right)
        width.append(float(np.mean(places.high - places.low + 1)))
    return (_share(held), _share(false_order), float(np.mean(width)))


def measure_rank_rates(cell: Cell) -> Shares:
    """Six methods of equal TPR: how often `ranks` by TPR claims any order, at 10 % and 1 % FPR."""
    names, wrong = [str(k) for k in range(6)], []
    for fpr in POOL_FPRS:
        found = [
            metrics.ranks(scores, cell.members, names, fpr=fpr, draws=100, seed=place)
            for place, scores in enumerate(cell.samples(methods=6, correlation=0.5))
        ]
        claimed = [bool(one.better.any()) for one in found if isinstance(one, metrics.Ranking)]
        wrong.append(_share(claimed) if claimed else None)
    return tuple(wrong)


@dataclass(frozen=True)
class Table:
    """One table of the page.

    Attributes:
        name: key on the command line and part of the seeds.
        title: heading.
        text: what is measured and what follows, in a paragraph.
        columns: headings of what `measure` returns.
        kinds: per column "coverage" or "size" (marked if off by more than two points) or "number".
        measure: one cell's work.
        cells: what to measure.
    """

    name: str
    title: str
    text: str
    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    measure: Callable[[Cell], Shares]
    cells: tuple[Cell, ...]
    extra: str = ""


READINGS = 18  # six targets, three seeds of each
POOL_FPRS = (0.1, 0.01)
SIZES = ((8, 8), (540, 8), (50, 50), (100, 100), (1000, 1000))
STEPPED = (Hits(0.0099), Hits(0.0101), Hits(0.008), Hits(0.005))
WIDE = Gaussian("members 3x as wide", 3.0)


def _grid(
    table: str,
    worlds: Sequence[World],
    sizes: Sequence[tuple[int, int]],
    aucs: Sequence[float],
    repeats: Callable[[int], int],
    extras: Sequence[float] = (0.0,),
) -> tuple[Cell, ...]:
    keys = product(worlds, sizes, aucs, extras)
    return tuple(Cell(table, k, w, m, n, a, repeats(m + n), e) for k, (w, (m, n), a, e) in enumerate(keys))


def _later(begin: int, cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """The cells of a second grid of one table: with seeds of their own, whatever the first grid grows to."""
    return tuple(replace(cell, place=begin + cell.place) for cell in cells)


def tables() -> tuple[Table, ...]:
    """All tables of the page, in order."""
    usual, ends = (0.5, 0.7, 0.9, 0.95, 0.99), (0.5, 0.9, 0.99)
    return (
        Table(
            name="auc",
            title="AUC intervals",
            text=AUC_TEXT,
            columns=("delong_interval", "delong_interval_logit", "newcombe_interval", "auc_interval"),
            kinds=("coverage",) * 4,
            measure=measure_auc,
            cells=_grid("auc", (*WORLDS, WIDE), SIZES, usual, lambda n: 1000 if n < 2000 else 500),
        ),
        Table(
            name="bootstrap",
            title="Bootstrap percentile intervals",
            text=BOOTSTRAP_TEXT,
            columns=("AUC", "TPR at 10 % FPR", "TPR at 1 % FPR"),
            kinds=("coverage",) * 3,
            measure=measure_bootstrap,
            cells=_grid("bootstrap", WORLDS, SIZES[:1] + SIZES[2:], ends, lambda n: 400 if n < 2000 else 200),
        ),
        Table(
            name="tpr",
            title="TPR at a fixed FPR",
            text=TPR_TEXT,
            columns=("threshold as given", "tpr_at_fpr_interval", "its mean width"),
            kinds=("coverage", "coverage", "number"),
            measure=measure_tpr,
            cells=_grid("tpr", WORLDS, SIZES[3:], (0.7, 0.9, 0.99), lambda _: 500, (0.1, 0.01)),
            extra="FPR",
        ),
        Table(
            name="steps",
            title="TPR where tied scores make a step",
            text=STEPS_TEXT,
            columns=("threshold as given", "tpr_at_fpr_interval", "its mean width"),
            kinds=("coverage", "coverage", "number"),
            measure=measure_tpr,
            cells=_grid("steps", STEPPED, ((504, 504), (1000, 1000)), (0.52, 0.65, 0.95), lambda _: 500, (0.01,))
            + _later(
                100,
                _grid("steps", (Hits(0.099), Hits(0.101)), ((63, 63), (540, 30)), (0.65, 0.9), lambda _: 500, (0.1,)),
            ),
            extra="FPR",
        ),
        Table(
            name="pools",
            title="Means over six targets and three seeds",
            text=POOLS_TEXT,
            columns=("AUC", "TPR at 10 %", "TPR at 1 %", "width at 10 %", "width at 1 %"),
            kinds=("coverage", "coverage", "coverage", "number", "number"),
            measure=measure_pool,
            cells=_grid("pools", WORLDS, ((504, 504),), (0.5, 0.7, 0.9, 0.99), lambda _: 200, (0.0, 0.5, 0.9))
            + _later(100, _grid("pools", WORLDS[:1], ((100, 100),), (0.5, 0.9), lambda _: 200, (0.0, 0.5)))
            + _later(200, _grid("pools", STEPPED[:1], ((504, 504),), (0.52, 0.65), lambda _: 200, (0.0, 0.5))),
            extra="correlation of readings",
        ),
        Table(
            name="crossed",
            title="Means over two targets with each other's members",
            text=CROSSED_TEXT,
            columns=("AUC", "TPR at 10 %", "TPR at 1 %", "width at 10 %", "width at 1 %"),
            kinds=("coverage", "coverage", "coverage", "number", "number"),
            measure=measure_crossed,
            cells=_grid("crossed", WORLDS, ((504, 504), (63, 63)), (0.5, 0.9), lambda _: 200, (0.0, 0.9)),
            extra="correlation of readings",
        ),
        Table(
            name="band",
            title="ROC band",
            text=BAND_TEXT,
            columns=("whole curve inside",),
            kinds=("coverage",),
            measure=measure_band,
            cells=_grid("band", WORLDS, SIZES[:1] + SIZES[2:], (0.7, 0.95), lambda _: 400),
        ),
        Table(
            name="chance",
            title="Tests at chance",
            text=CHANCE_TEXT,
            columns=("permutation, two-sided", "one-sided", "paired_contrast", "trend", "contrast interval"),
            kinds=("size", "size", "size", "size", "coverage"),
            measure=measure_chance,
            cells=_grid("chance", WORLDS, ((8, 8), (20, 20), (100, 100)), (0.5,), lambda _: 600),
        ),
        Table(
            name="pair",
            title="Two methods, equally good",
            text=PAIR_TEXT,
            columns=("delong_test", "mcnemar p", "mcnemar p_mid"),
            kinds=("size",) * 3,
            measure=measure_pair,
            cells=_grid("pair", WORLDS, SIZES, (0.5, 0.9), lambda _: 1000, (0.5, 0.95)),
            extra="correlation",
        ),
        Table(
            name="pair-tpr",
            title="Two methods, equally good at a low FPR",
            text=PAIR_TPR_TEXT,
            columns=("10 % FPR", "1 % FPR"),
            kinds=("size",) * 2,
            measure=measure_pair_tpr,
            cells=_grid("pair-tpr", WORLDS, SIZES[3:], (0.8,), lambda n: 400 if n < 2000 else 200, (0.5,)),
            extra="correlation",
        ),
        Table(
            name="difference",
            title="Two methods that differ, and equivalence",
            text=DIFFERENCE_TEXT,
            columns=("delong_test interval", "equivalence claimed"),
            kinds=("coverage", "size"),
            measure=measure_difference,
            cells=_grid("difference", WORLDS, SIZES, (0.7, 0.95), lambda _: 1000, (0.05,)),
            extra="true difference = margin",
        ),
        Table(
            name="power",
            title="Smallest detectable AUC",
            text=POWER_TEXT,
            columns=("minimum_detectable_auc", "power there"),
            kinds=("number", "power"),
            measure=measure_power,
            cells=tuple(
                Cell("power", k, Gaussian(), m, n, metrics.minimum_detectable_auc(m, n), 600)
                for k, (m, n) in enumerate(SIZES)
            ),
        ),
        Table(
            name="power-difference",
            title="Smallest detectable difference",
            text=POWER_DIFFERENCE_TEXT,
            columns=("correlation of the AUCs", "minimum_detectable_difference", "power there"),
            kinds=("number", "number", "power"),
            measure=measure_power_difference,
            cells=_grid("power-difference", (Gaussian(),), SIZES[2:], (0.7, 0.8), lambda _: 1000),
        ),
        Table(
            name="ranks",
            title="Ranks",
            text=RANKS_TEXT,
            columns=("all rank intervals right", "any false order claimed", "mean number of ranks in an interval"),
            kinds=("coverage", "size", "number"),
            measure=measure_ranks,
            cells=_grid("ranks", WORLDS[:2], ((540, 8), (540, 30), *SIZES[2:4]), (0.7, 0.9), lambda _: 300),
        ),
        Table(
            name="equal",
            title="Ranks of equal methods",
            text=EQUAL_TEXT,
            columns=("any order claimed",),
            kinds=("size",),
            measure=measure_equal,
            cells=_grid("equal", WORLDS, ((8, 8), (540, 8), (540, 30), (100, 100)), (0.5, 0.9), lambda _: 500, (2, 6)),
            extra="methods",
        ),
        Table(
            name="rank-rates",
            title="Ranks by TPR of equal methods",
            text=RANK_RATES_TEXT,
            columns=("10 % FPR", "1 % FPR"),
            kinds=("size",) * 2,
            measure=measure_rank_rates,
            cells=_grid("rank-rates", WORLDS[::2], ((540, 30), (100, 100)), (0.5,), lambda _: 60),
        ),
    )


AUC_TEXT = """
True AUC inside the 95 % interval. `auc_interval` is what idbench uses. It stays within two points of nominal or above,
but for eight people in each class with heavy tails and AUC 0.99 (0.922), and errs on the wide side at AUC 0.99 and
where one class has eight people only.

- `delong_interval`: within two points from 50 people in each class up to AUC 0.7, from 100 up to about 0.9, from 1000
  up to 0.95 (0.99 with normal tails). Not for eight non-members, whatever the number of members.
- `delong_interval_logit`: within two points or wide from 50 in each class up to AUC 0.9, from 100 up to 0.95; at 0.99
  only if the tails are light. Not for eight non-members against many members.
- `newcombe_interval`: within two points or wide where both classes are spread alike with light tails; up to nine
  points short with heavy tails, and not better for larger samples, as it knows the AUC and the class sizes only.
"""
BOOTSTRAP_TEXT = """
True value inside the 95 % percentile interval of 300 draws. For the AUC: within about two points from 100 people in
each class up to AUC 0.9, and far too narrow for eight. For the TPR: from about ten allowed false positives on (100
non-members at 10 % FPR, 1000 at 1 %), as long as the TPR itself is not near 1. idbench therefore uses `auc_interval`
and `tpr_at_fpr_interval` for single methods, `pooled` for means over seeds, targets and strata, and the bootstrap for
differences of the TPR alone.
"""
TPR_TEXT = """
True TPR at exactly this FPR inside the 95 % interval. "Threshold as given" is the Clopper-Pearson interval inside
`tpr_at_fpr`: right for the threshold that was found, far too narrow for the FPR that was asked for, since the
threshold rests on a handful of non-members. `tpr_at_fpr_interval` carries that too and is never short. It is wide
where one false positive is allowed: there the data do not say where the threshold belongs, and no method that assumes
nothing of the distribution can.
"""
STEPS_TEXT = """
As above, for scores of two values, whose ROC curve is one step. The truth is the rate at the largest attainable FPR of
at most the one asked for: with the step just below it the rate of the step, with the step just above it 0. The data
cannot tell the two apart, and the interval holds both: it is wide because it must be.
"""
POOLS_TEXT = """
True means inside the intervals of `pooled`, over 18 readings of the same people whose noise has the given correlation,
as six targets with three seeds have; widths as multiples of 3.92 standard deviations of the estimate, which is 1 for
an ideal interval. On which side of a step a rate lies does not average out: with ties, and with a curve that rises like
a step (heavy tails, AUC 0.99, 1 % FPR), intervals of independent readings are two to five times as wide as ideal.
"""
CROSSED_TEXT = """
The same over six readings, three seeds each of two targets, the members of each being the non-members of the other.
"""
EQUAL_TEXT = """
Two or six methods of one AUC, their noise correlated by one half: how often `rank_intervals` at 5 % claims any of them
to be better than any other. Before, by the largest studentized difference over normal draws, six methods were ordered
in 28 % of the data sets with 540 members and 8 non-members, two in 11 %.
"""
RANK_RATES_TEXT = """
Six methods of one TPR: how often `ranks` by TPR claims any order (100 draws).
"""
BAND_TEXT = """
Whole true curve inside `roc_band` (95 %), from half the resolution to 1. The guarantee holds for both distribution
functions at once, which is more than the curve needs, so that the band is conservative for every size and shape.
"""
CHANCE_TEXT = """
How often a test at 5 % rejects where there is nothing to find, and how often the interval of `paired_contrast` holds
0.5. Up to 100 people in all the permutation tests are exact, beyond they are drawn (499 draws here). With eight
people in each class and tied scores few p-values are possible, and the tests reject less often than 5 %.
"""
PAIR_TEXT = """
How often a test at 5 % rejects for two methods of the same AUC whose noise has the given correlation; `mcnemar`
compares their decisions at one threshold. `delong_test` refers to Student's t: with the normal distribution instead it
rejected about 8 % of the time against eight non-members. Both err on the safe side where few identities are out of
order (small classes, high AUC); `p_mid` is the more powerful of McNemar's p-values and keeps its level here. The one
row in bold is chance: 1500 other data sets of that kind gave 0.051.
"""
PAIR_TPR_TEXT = """
How often `bootstrap_test_tpr` at 5 % rejects for two methods of the same TPR (400 draws). It errs on the safe side:
the TPR moves in steps, and a draw without any difference counts for both sides.
"""
DIFFERENCE_TEXT = """
Method b is worse by 0.05 AUC. Left: true difference inside the 95 % interval of `delong_test`. Right: how often
`equivalence` claims "the same within 0.05", which is just not true, at 5 %; small samples never claim it. Both hold
except for eight non-members against many members at AUC 0.95: there nearly all of the variance comes from people that
eight do not contain. Do not use the interval or `equivalence` with a handful of non-members and AUCs above 0.9.
"""
POWER_TEXT = """
`minimum_detectable_auc` claims 80 % power for normal scores; measured with `permutation_test` at 5 %.
"""
POWER_DIFFERENCE_TEXT = """
`minimum_detectable_difference` claims 80 % power; measured with `delong_test` at 5 % on methods whose AUCs lie half
of the difference on either side of the given AUC. The correlation of the two AUCs is estimated first, from 2000 data
sets. Measured power lies up to five points
from the claim: read the difference as a guide, not as a third decimal.
"""
RANKS_TEXT = """
Six methods: two equal ones at the given AUC, one 0.05 below, three equal ones at 0.6. Left: all six rank intervals
hold the ranks that truth allows, at once. Middle: any pair claimed in an order that is not true, ties included.
"""


def _mark(kind: str, share: float | None) -> str:
    if share is None:
        return "not estimable"
    off = {"coverage": share - LEVEL, "size": share - (1 - LEVEL), "power": share - 0.8}.get(kind, 0.0)
    bad = {"coverage": off < -SLACK, "size": off > SLACK, "power": abs(off) > 2 * SLACK}.get(kind, False)
    wide = {"coverage": off > SLACK, "size": off < -SLACK}.get(kind, False)
    return f"**{share:.3f}**" if bad else f"{share:.3f} +" if wide else f"{share:.3f}"


def rendered(table: Table, rows: Sequence[Shares]) -> str:
    """One table in Markdown."""
    heads = ["scores", "members", "non-members", "AUC", *([table.extra] if table.extra else []), *table.columns]
    lines = [f"## {table.title}", "", table.text.strip(), "", _row(heads), _row(["---"] * len(heads))]
    for cell, shares in zip(table.cells, rows, strict=True):
        place = [cell.world.name, str(cell.m), str(cell.n), f"{cell.auc:.3g}"]
        extra = [f"{cell.extra:g}"] if table.extra else []
        lines.append(_row([*place, *extra, *map(_mark, table.kinds, shares)]))
    spans = [
        f"{column} {min(values):.3f} to {max(values):.3f}"
        for column, kind, *shares in zip(table.columns, table.kinds, *rows, strict=True)
        if kind != "number" and (values := [share for share in shares if share is not None])
    ]
    lines += ["", f"Least and most: {'; '.join(spans)}."]
    repeats = sorted({cell.repeats for cell in table.cells}, reverse=True)
    lines += ["", f"Data sets per row: {' or '.join(map(str, repeats))}; seed of row k: crc32 of `{table.name}/k`.", ""]
    return "\n".join(lines)


def page(numbers: dict[str, list[list[float | None]]]) -> str:
    """The whole page from the measured numbers."""
    parts = [
        rendered(table, [tuple(row) for row in numbers[table.name]]) for table in tables() if table.name in numbers
    ]
    return "\n".join([INTRODUCTION.strip() + "\n", rates_table(), *parts]).rstrip() + "\n"


def _row(entries: Sequence[str]) -> str:
    return "| " + " | ".join(entries) + " |"


def rates_table() -> str:
    """Coverage of the rate intervals, summed over all outcomes: no simulation needed."""
    lines = [
        "## Rates",
        "",
        RATES_TEXT.strip(),
        "",
        _row(["n", "Clopper-Pearson, least", "mean", "Wilson, least", "mean"]),
        _row(["---"] * 5),
    ]
    shares = np.linspace(0.005, 0.995, 199)
    for n in (8, 50, 100, 1000):
        outcomes = np.arange(n + 1)
        entries = [str(n)]
        for interval in (metrics.clopper_pearson, metrics.wilson):
            ends = [interval(int(k), n) for k in outcomes]
            inside = np.array([[end.low <= p <= end.high for end in ends] for p in shares])
            coverage = (stats.binom.pmf(outcomes, n, shares[:, None]) * inside).sum(axis=1)
            entries += [f"{coverage.min():.3f}", f"{coverage.mean():.3f}"]
        lines.append(_row(entries))
    return "\n".join([*lines, "", "Exact sums over 199 true rates from 0.005 to 0.995.", ""])


RATES_TEXT = """
Coverage of the 95 % intervals of a rate, over all true rates. Clopper-Pearson never falls below; Wilson is right on
average and falls short for single rates near 0 and 1.
"""
INTRODUCTION = """
# Coverage: how far the intervals and tests can be trusted

Measured, not assumed, by `python benchmark/perf/coverage.py` (numbers in `coverage.json`). An interval at 95 % should
hold the true value in 95 % of all data sets; a test at 5 % should reject in 5 % of those where there is nothing to
find. **Bold**: off by more than two points on the unsafe side (or, for power, by more than four on either side). A
plus sign: off by more than two points on the safe side. With 1000 data sets per row a share of 0.95 has a standard
error of 0.007, with 400 of 0.011, with 200 of 0.015: single rows in bold in the tables with few data sets may be
chance.

Scores: *Gaussian* is the normal distribution, members shifted; *0..21, tied* are whole numbers like counts of right
prompts, heavily tied at 0; *heavy tails* is Student's t with two degrees of freedom; *members 3x as wide* is the
normal distribution with unequal spread.
"""


def main(arguments: Sequence[str]) -> None:
    """Measure what is asked for; with no names, everything; and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*(table.name for table in tables()), []], help="none: all tables")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--share", type=float, default=1.0, help="share of the data sets, for a quick look")
    parser.add_argument("--render", action="store_true", help="measure nothing, write the page again")
    options = parser.parse_args(arguments)
    numbers = json.loads(NUMBERS.read_text(encoding="utf-8")) if NUMBERS.exists() else {}
    chosen = [table for table in tables() if not options.names or table.name in options.names]
    with ProcessPoolExecutor(options.processes) as pool:
        for table in [] if options.render else chosen:
            cells = [replace(cell, repeats=max(2, round(cell.repeats * options.share))) for cell in table.cells]
            rows = list(pool.map(table.measure, cells))
            print(rendered(replace(table, cells=tuple(cells)), rows), flush=True)
            if options.share == 1.0:
                numbers[table.name] = [[s if s is None else round(s, 4) for s in row] for row in rows]
                NUMBERS.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    if options.share == 1.0:
        PAGE.write_text(page(numbers), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
