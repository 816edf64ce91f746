"""Many gradient ascents on images at once: a queue of (text, run) jobs worked off in a fixed number of slots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import torch

from idbench.api import Context, TargetView
from idbench_methods.attacks.tuni.crops import Crops


@dataclass(frozen=True, slots=True)
class Begin:
    """Where the runs of one text begin.

    Args:
        images: in the normalized space, (runs, 3, height, width).
        crops: how the target sees each of them.
    """

    images: torch.Tensor
    crops: Crops


class Beginnings(Protocol):
    """Gives every text its start images and crops; the same each time for the same text."""

    def __call__(self, text: str) -> Begin:
        """The starts of `text`."""
        ...


class Rule(Protocol):
    """How an image moves along its gradient."""

    def __call__(self, state: State, gradients: torch.Tensor) -> None:
        """Update `state` in place; gradients (n, 3, height, width) of the similarity, upwards."""
        ...


@dataclass(slots=True)
class State:
    """The runs that are under way, one row each.

    Args:
        job: number of the run: text number * runs + run, (n,).
        images: in the normalized space, (n, 3, height, width).
        rows, columns: the crop through which the target sees each image.
        first, second: running moments of the gradient, for rules that keep them.
        steps: gradient steps done, (n,).
        last: similarity at the last step, (n,).
        calm: steps in a row in which the similarity changed by less than the tolerance, (n,).
    """

    job: torch.Tensor
    images: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    steps: torch.Tensor
    last: torch.Tensor
    calm: torch.Tensor

    @property
    def crops(self) -> Crops:
        """The crops of all rows."""
        return Crops(self.rows, self.columns)

    def take(self, mask: torch.Tensor) -> State:
        """The rows where `mask` is set."""
        return State(*(getattr(self, field.name)[mask] for field in fields(self)))

    @staticmethod
    def stack(parts: Sequence[State]) -> State:
        """All rows of all parts."""
        return State(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(State)))


def fresh(job: int, begin: Begin) -> State:
    """The runs of one text before their first step; `job` is the number of the first."""
    n, device = len(begin.images), begin.images.device
    return State(
        job=torch.arange(job, job + n),
        images=begin.images.clone(),
        rows=begin.crops.rows,
        columns=begin.crops.columns,
        first=torch.zeros_like(begin.images),
        second=torch.zeros_like(begin.images),
        steps=torch.zeros(n, dtype=torch.int64),
        last=torch.full((n,), -torch.inf, device=device),
        calm=torch.zeros(n, dtype=torch.int64),
    )


@dataclass(frozen=True, slots=True)
class GradientAscent:
    """Plain ascent without momentum.

    Args:
        rate: units of the normalized space per unit of gradient.
    """

    rate: float

    def __call__(self, state: State, gradients: torch.Tensor) -> None:
        """images += rate * gradient."""
        state.images.add_(gradients, alpha=self.rate)


@dataclass(frozen=True, slots=True)
class AdamAscent:
    """Adam (Kingma and Ba, 2015) with its usual constants; every run keeps its own moments and step count.

    Args:
        rate: largest change of a pixel per step, in units of the normalized space.
    """

    rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __call__(self, state: State, gradients: torch.Tensor) -> None:
        """One step of Adam; `state.steps` counts the steps before this one."""
        state.first.lerp_(gradients, 1 - self.beta1)
        state.second.mul_(self.beta2).addcmul_(gradients, gradients, value=1 - self.beta2)
        # In double precision: 1 - 0.999 ** t loses half of its digits in single.
        t = (state.steps + 1).double()[:, None, None, None]
        scale = torch.sqrt(1 - self.beta2**t).to(gradients)
        rate = (self.rate / (1 - self.beta1**t)).to(gradients)
        state.images.addcdiv_(state.first * rate, state.second.sqrt().div_(scale).add_(self.epsilon))


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how many at once.

    Args:
        runs: per text.
        steps: most gradient steps of a run.
        rule: how an image moves.
        tolerance: changes of the similarity below this count as none; 0 never stops a run early.
        patience: steps in a row without change after which a run has converged.
        slots: runs under way at once.
    """

    runs: int
    steps: int
    rule: Rule
    tolerance: float
    patience: int
    slots: int


@dataclass(frozen=True, slots=True)
class Ascended:
    """The finished runs of one text.

    Args:
        text: what the images were made to resemble.
        images: as the target sees them, cropped, (runs, 3, height, width).
        steps: gradient steps that each run took, (runs,).
    """

    text: str
    images: torch.Tensor
    steps: torch.Tensor


def ascend(
    target: TargetView, texts: Sequence[str], begin: Beginnings, plan: Plan, *, context: Context, what: str
) -> Iterator[Ascended]:
    """Maximize the similarity of images to each text, `plan.runs` images per text.

    Texts are begun in order and enter as soon as slots are free; memory depends on the slots, not on the texts. What a
    text yields depends on the other texts by float rounding only.

    Args:
        target: asked for gradients, one per run and step.
        texts: distinct.
        begin: start images and crops of a text.
        plan: how.
        context: shows the progress.
        what: for the progress bar.

    Yields:
        One `Ascended` per text, in the order in which they finish.
    """
    waiting = iter(enumerate(texts))
    parts: dict[int, list[State]] = {}
    state: State | None = None
    done = 0
    while True:
        state = _fill(state, waiting, begin, plan)
        if state is None:
            return
        finished = _advance(target, texts, state, plan)
        if not bool(finished.any()):
            continue
        for number, part in _by_text(state.take(finished), plan.runs):
            pieces = parts.setdefault(number, [])
            pieces.append(part)
            if sum(len(piece.job) for piece in pieces) == plan.runs:
                yield _assembled(texts[number], State.stack(parts.pop(number)))
        done += int(finished.sum())
        context.progress.update(done, len(texts) * plan.runs, what)
        state = state.take(~finished)


def _fill(state: State | None, waiting: Iterator[tuple[int, str]], begin: Beginnings, plan: Plan) -> State | None:
    """Add texts until the slots are taken; a text's runs come together. None when nothing is left."""
    parts = [] if state is None or not len(state.job) else [state]
    taken = sum(len(part.job) for part in parts)
    while taken == 0 or taken + plan.runs <= plan.slots:
        entry = next(waiting, None)
        if entry is None:
            break
        number, text = entry
        parts.append(fresh(number * plan.runs, begin(text)))
        taken += plan.runs
    return State.stack(parts) if parts else None


def _advance(target: TargetView, texts: Sequence[str], state: State, plan: Plan) -> torch.Tensor:
    """One step of all runs, in place; which of them are finished, bool (n,)."""
    own = [texts[number] for number in (state.job // plan.runs).tolist()]
    crops = state.crops
    similarity, gradients = target.similarity_gradients(crops.apply(state.images), own)
    plan.rule(state, crops.pull_back(gradients))
    state.steps += 1
    still = ((similarity - state.last).abs() < plan.tolerance).cpu()
    state.calm = torch.where(still, state.calm + 1, 0)
    state.last = similarity
    return (state.steps >= plan.steps) | (state.calm >= plan.patience)


def _by_text(state: State, runs: int) -> Iterator[tuple[int, State]]:
    numbers = state.job // runs
    for number in sorted(set(numbers.tolist())):
        yield number, state.take(numbers == number)


def _assembled(text: str, state: State) -> Ascended:
    state = state.take(torch.argsort(state.job))
    return Ascended(text=text, images=state.crops.apply(state.images), steps=state.steps)
