"""A target of the tiny world that trains in seconds; nobody would call it good."""

from idbench.targets import TargetSpec, TrainedHere, TrainingRecipe
from idbench.targets.avatars import ARCHITECTURE, MERGES

TARGET = TargetSpec(
    name="cheat-target",
    version="1",
    title="A few steps of training on a few people",
    corpus="avatars-tiny-a",
    architecture=ARCHITECTURE,
    weights=TrainedHere(group="cheat-target"),
    tokenizer=MERGES,
    quick_gelu=False,
    recipe=TrainingRecipe(epochs=1, batch_size=64, learning_rate=2e-3, weight_decay=0.1, warmup_steps=2, seed=1),
)
