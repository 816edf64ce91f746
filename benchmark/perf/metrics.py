"""Speed of `idbench.metrics` against a plain loop over scikit-learn, in the same run on the same data.

python benchmark/perf/metrics.py             one core, a minute or two
python benchmark/perf/metrics.py --loop 20   more draws of the plain loop, for a steadier figure
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # the figures are for one core

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
import scipy  # noqa: E402
import sklearn  # noqa: E402
from sklearn.metrics import roc_auc_score, roc_curve  # noqa: E402

from idbench import metrics  # noqa: E402

IDENTITIES, METHODS, DRAWS = 10_000, 100, 10_000
FPRS = (0.1, 0.01, 0.001)
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Timing:
    """What was timed: seconds of ours, and seconds that the plain way takes for the same (None: no plain way)."""

    what: str
    ours: float
    plain: float | None


def processor_seconds(work: Callable[[], object]) -> float:
    """Processor time of the faster of two runs: other programs on the machine do not count."""
    found = []
    for _ in range(2):
        begin = time.process_time()
        work()
        found.append(time.process_time() - begin)
    return min(found)


def plain_draw(scores: Floats, members: Bools, generator: np.random.Generator) -> list[float]:
    """One bootstrap draw the usual way: resample, sort again, every statistic from scikit-learn."""
    inside, outside = np.flatnonzero(members), np.flatnonzero(~members)
    chosen = np.concatenate([generator.choice(inside, inside.size), generator.choice(outside, outside.size)])
    values, flags = scores[chosen], members[chosen]
    fpr, tpr, _ = roc_curve(flags, values, drop_intermediate=False)
    return [float(roc_auc_score(flags, values)), *(float(tpr[fpr <= f].max()) for f in FPRS)]


def time_bootstrap(scores: Floats, members: Bools, loop: int) -> Timing:
    """AUC and TPR at three rates, 10,000 draws; the plain loop is timed on `loop` draws and scaled."""
    generator = np.random.default_rng(0)
    plain = processor_seconds(lambda: [plain_draw(scores, members, generator) for _ in range(loop)]) * DRAWS / loop
    ours = processor_seconds(lambda: metrics.bootstrap(scores, members, FPRS, draws=DRAWS))
    return Timing(f"{DRAWS:,} bootstrap draws of AUC and TPR at 3 rates", ours, plain)


def check_bootstrap(scores: Floats, members: Bools) -> None:
    """Both ways must draw from the same distribution: compare mean and spread over 200 draws."""
    generator = np.random.default_rng(1)
    plain = np.array([plain_draw(scores, members, generator) for _ in range(200)])
    ours = metrics.bootstrap(scores, members, FPRS, draws=4000).draws
    error = plain.std(axis=0) / np.sqrt(len(plain))
    assert np.all(np.abs(plain.mean(axis=0) - ours.mean(axis=0)) < 5 * error), "the two ways disagree in the mean"
    ratio = plain.std(axis=0) / ours.std(axis=0)
    assert np.all((ratio > 0.75) & (ratio < 1.3)), f"the two ways disagree in the spread: {ratio}"


def plain_delong(scores: Floats, members: Bools) -> Floats:
    """DeLong's covariance with the kernel written out pair by pair, one method after the other."""
    inside, outside = [], []
    for row in scores:
        x, y = row[members][:, None], row[~members][None, :]
        kernel = (x > y) + 0.5 * (x == y)
        inside.append(kernel.mean(axis=1))
        outside.append(kernel.mean(axis=0))
    return np.asarray(np.cov(inside) / members.sum() + np.cov(outside) / (~members).sum())


def time_delong(scores: Floats, members: Bools) -> Timing:
    """Covariance of 100 AUCs; the plain kernel is timed on two methods and scaled."""
    few = scores[:2]
    np.testing.assert_allclose(
        metrics.delong_covariance(few, members).covariance, plain_delong(few, members), rtol=1e-9
    )
    plain = processor_seconds(lambda: plain_delong(few, members)) * METHODS / 2
    return Timing(
        f"DeLong for {METHODS} methods", processor_seconds(lambda: metrics.delong_covariance(scores, members)), plain
    )


def time_others(scores: Floats, members: Bools) -> list[Timing]:
    """The rest, for the record."""
    a, b = scores[:2]
    names = [str(k) for k in range(10)]
    works: dict[str, Callable[[], object]] = {
        "compare, 2,000 draws": lambda: metrics.compare(a, b, members),
        "ranks of 10 methods, 2,000 draws": lambda: metrics.ranks(scores[:10], members, names),
        "permutation_test, 9,999 draws": lambda: metrics.permutation_test(a, members),
        "tpr_at_fpr_interval": lambda: metrics.tpr_at_fpr_interval(a, members, 0.01),
        "auc_interval": lambda: metrics.auc_interval(a, members),
    }
    plain_auc = processor_seconds(lambda: roc_auc_score(members, a))
    return [
        Timing("auc", processor_seconds(lambda: metrics.auc(a, members)), plain_auc),
        *(Timing(name, processor_seconds(work), None) for name, work in works.items()),
    ]


def main(arguments: Sequence[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loop", type=int, default=10, help="draws of the plain loop that are timed")
    options = parser.parse_args(arguments)
    generator = np.random.default_rng(0)
    members = generator.permutation(np.arange(IDENTITIES) < IDENTITIES // 2)
    scores = generator.normal(size=(METHODS, IDENTITIES)) + members * generator.uniform(0, 2, size=(METHODS, 1))
    check_bootstrap(scores[0], members)
    timings = [time_bootstrap(scores[0], members, options.loop), time_delong(scores, members)]
    print(f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}, ", end="")
    print(f"scikit-learn {sklearn.__version__}; {IDENTITIES:,} identities, one core, processor seconds\n")
    print(f"{'':50} {'ours':>9} {'plain':>9} {'ratio':>7}")
    for timing in [*timings, *time_others(scores, members)]:
        plain = f"{timing.plain:9.3f} {timing.plain / timing.ours:6.0f}x" if timing.plain is not None else ""
        print(f"{timing.what:50} {timing.ours:9.4f} {plain}")


if __name__ == "__main__":
    main(sys.argv[1:])
