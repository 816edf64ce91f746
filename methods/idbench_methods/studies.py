"""The curves of the papers whose methods are here: what `bench study` runs and draws."""

from __future__ import annotations

from idbench.api.studies import BudgetAxis, BudgetStudy, PhotoStudy

IDIA_BY_PHOTOS = PhotoStudy(
    name="idia-by-photos",
    title="IDIA by number of attack photos",
    source="Hintersdorf et al., JAIR 80 (2024), figure 4",
    attack="idia-draws",
    instrument="idbench_methods.attacks.idia_draws:IdiaDraws",
    parameters={"draws": 20, "pool_size": 1000},  # the paper's
    over="photos",
    photos_parameter="sizes",
    most_photos=30,  # the paper's
    detail="right_{photos}_",
    threshold=1,  # tau of the paper
    rule="one prompt of 21 is right",
)
IDIA_BY_TRAINING_PICTURES = IDIA_BY_PHOTOS.model_copy(
    update={
        "name": "idia-by-training-pictures",
        "title": "IDIA by number of training pictures of a member",
        "source": "Hintersdorf et al., JAIR 80 (2024), figure 5",
        "over": "training pictures",
    }
)
TUNI_BY_BUDGET = BudgetStudy(
    name="tuni-by-budget",
    title="TUNI by number of optimizations and of steps",
    source="Li, Cheng, Jia, arXiv 2405.14517, sections 3 and 4",
    attack="tuni",
    axes=(
        BudgetAxis(
            parameter="steps",
            values=(4, 16, 64),
            usual=16,
            title="Gradient steps, {runs} optimizations of each name",
        ),
        BudgetAxis(parameter="runs", values=(2, 4, 8), usual=4, title="Optimizations of each name, {steps} steps"),
    ),
    people=240,
)
