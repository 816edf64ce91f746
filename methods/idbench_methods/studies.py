"""The curves of the papers whose methods are here: what `bench study` runs and draws."""

from __future__ import annotations

from idbench.api.studies import AdaptedBy, BudgetAxis, BudgetStudy, DefenseStudy, EpochStudy, PhotoStudy

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
TUNI_AT_LENGTH = BudgetStudy(
    name="tuni-at-length",
    title="TUNI by number of steps, on the people seen most often",
    source="Li, Cheng, Jia, arXiv 2405.14517, and its released code",
    attack="tuni",
    parameters={"runs": 10},
    axes=(
        BudgetAxis(parameter="steps", values=(16, 64, 256, 1024), usual=16, title="Gradient steps, 10 optimizations"),
    ),
    variants={
        "Adam": {"optimizer": "adam"},
        # Plain ascent as in the released code, which never stops early.
        "SGD as released": {"optimizer": "sgd", "learning_rate": 0.02, "tolerance": 0.0},
    },
    people=128,
    chosen="most seen",
)
BY_EPOCHS = EpochStudy(
    name="by-epochs",
    title="Attacks by length of the target's training",
    source="which of the attacks here begins to see at which loss?",
    # All that ask the target and train no shadow models; `tuni-early` is `tuni`, decided earlier.
    attacks=(
        *("cosine", "ramia", "aea", "prmid", "gradient", "wsa", "stack", "idia"),
        *("deja-vu", "binding", "binding-similarity", "text-statistic", "umid", "tuni", "mint", "batchnorm"),
    ),
    epochs=(5, 11, 22, 50),
)
DEFENSES = DefenseStudy(
    name="defenses",
    title="Defenses against the attacker who knows them",
    source="the strongest of several attacks, as they are and adapted, as UnlearnDiffAtk (ECCV 2024) does",
    defenses=(
        *("drop-people", "drop-names", "replace-names", "shuffle-captions", "cap-pictures", "blur-faces"),
        *("label-smoothing", "dp-clip"),
        *("text-backdoor", "image-backdoor", "null-space", "identity-projection", "slug"),
        *("gradient-ascent", "fine-tune"),
        *("round", "noise", "labels-only", "top-k", "query-budget", "refuse-names"),
    ),
    seeds=3,
    # Every one that asks the target, so that the strongest is among them; the names alone, for what no defense hides.
    # But `tuni-early`, which draws the very images of `tuni` and fewer of them.
    attacks=(
        *("cosine", "idia", "gradient", "aea", "ramia", "stack", "prmid", "wsa", "deja-vu", "binding"),
        *("binding-similarity", "text-statistic", "tuni", "mint", "umid", "batchnorm"),
        *("rmia", "ramia-shadow", "lira", "shadow-classifier", "blind-names"),
    ),
    adapted=("cosine", "idia"),
    adaptations=(
        *(AdaptedBy(name=name) for name in ("name-variants", "other-prompts", "average-answers")),
        *(AdaptedBy(name=name) for name in ("photos-for-names", "names-for-photos", "nonlinear-probe")),
        *(AdaptedBy(name="relearn", parameters={"steps": steps}) for steps in (5, 20, 80)),
        *(AdaptedBy(name=name) for name in ("clean-clip", "par", "int8", "int4")),
    ),
)
