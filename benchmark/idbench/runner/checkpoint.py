"""Writes a defended target as a folder that open_clip loads, with its lineage and a card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from idbench.api import Guarantee, Knowledge, names_of
from idbench.errors import IdbenchError, MethodError
from idbench.escaping import markdown, markdown_code
from idbench.outputs import Note, check_folder, made_folder
from idbench.results import DefenseRef
from idbench.runner.defend import Applying, defense_ref
from idbench.storage import storage_errors
from idbench.targets import TargetSpec
from idbench.targets.fetch import TargetFiles, fetch_target
from idbench.wording import counted

WEIGHTS, CONFIG, LINEAGE, CARD = "open_clip_model.safetensors", "open_clip_config.json", "lineage.json", "README.md"
_KIND = "defended checkpoint"


def check_exportable(applying: Applying, out: Path, listed: Path, force: bool, note: Note) -> None:
    """Refuse what cannot be written as a checkpoint, before anything is computed.

    Args:
        applying: the defense.
        out: the folder to write.
        listed: file that names the people to protect.
        force: replace whatever is in the folder.
        note: receives a sentence on what that removes.

    Raises:
        MethodError: the defense changes answers, and there is no checkpoint of answers.
        StorageError: the folder must not be written.
    """
    if not applying.changes_weights:
        raise MethodError(
            f"{applying.name} changes what a target answers, not its weights, so there is no checkpoint to write.",
            hint=f"Put a target behind it: bench run --method NAME --defense {applying.name}",
        )
    check_folder(out, _KIND, [listed], force=force, note=note)


def write_checkpoint(applying: Applying, base: TargetSpec, spec: TargetSpec, out: Path, listed: Path) -> DefenseRef:
    """Write weights, configuration, tokenizer, lineage and card of a defended target.

    Nothing of it names a protected person.

    Args:
        applying: the defense.
        base: the target before it, pinned.
        spec: the target after it; its weights lie in the cache.
        out: the folder to write; replaced as a whole.
        listed: file that names the people to protect; must lie apart from `out`.

    Returns:
        what was applied, as records say it, without who is protected.

    Raises:
        StorageError: no space, no permission, or the folder must not be written.
        TargetError: the weights have changed since they were made.
    """
    files = fetch_target(spec)
    ref = defense_ref(applying, base).model_copy(update={"protected": ()})
    with made_folder(out, _KIND, [listed], force=True) as folder, storage_errors(out):
        shutil.copyfile(files.weights, folder / WEIGHTS)
        _write_json(folder / CONFIG, _config(files))
        if files.merges is not None:
            shutil.copyfile(files.merges, folder / files.merges.name)
        lineage = {"target": spec.model_dump(mode="json"), "defense": ref.model_dump(mode="json")}
        _write_json(folder / LINEAGE, lineage | {"protected_people": len(applying.people)})
        (folder / CARD).write_text(_card(applying, base, ref, files), encoding="utf-8")
    return ref


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _config(files: TargetFiles) -> dict[str, object]:
    """What `open_clip.create_model("local-dir:...")` reads."""
    preprocessing = files.preprocessing.model_dump(mode="json")
    return {"model_cfg": files.config, "preprocess_cfg": preprocessing}


def _promise(one: Guarantee) -> str:
    unit = "one pair" if one.unit == "pair" else f"all pairs of a person, {one.pairs} at most,"
    epsilon = "no finite epsilon" if one.epsilon is None else f"epsilon {one.epsilon:.4g}"
    return f"{epsilon} at delta {one.delta:g} when {unit} may be others ({markdown(one.accountant)})"


def _card(applying: Applying, base: TargetSpec, ref: DefenseRef, files: TargetFiles) -> str:
    card = applying.registered.kind.card
    knows = ", ".join(names_of(applying.defense.knowledge & ~Knowledge.NONE)).lower() or "nothing of them"
    cost = ref.cost
    if cost is None:
        raise IdbenchError(f"{base.name} was not defended here.", hint="Repeat the command.")
    tokenizer = "" if files.merges is None else f"The tokenizer's merges are `{files.merges.name}`.\n"
    people = counted(len(applying.people), "person", "people")
    source = f"Source: {markdown(card.paper)}\n\n" if card.paper else ""
    return (
        f"# {markdown(base.name)} behind {markdown(ref.name)}\n\n"
        f"{markdown(base.title)}, after the defense {markdown_code(ref.name)} {markdown(ref.version)}: "
        f"{markdown(card.title)}.\n\n{markdown(card.summary)}\n\n{source}"
        f"- protects: {people}; what the defense was given of them: {knows}\n"
        f"- before: {markdown_code(base.name)} {markdown(base.version)}, weights {base.sha256}\n"
        f"- after: weights {ref.weights_sha256}\n"
        f"- lineage: {ref.lineage}\n"
        f"- parameters: {markdown_code(json.dumps(ref.parameters))}, seed {ref.seed}\n"
        f"- brought by: {markdown(ref.distribution)}, code {ref.code_sha256}\n"
        f"- cost: {cost.seconds:.1f} s, {cost.steps} optimizer steps, on {markdown(cost.device)}\n"
        f"{''.join(f'- privacy: {_promise(one)}{chr(10)}' for one in ref.guarantees)}"
        f"- license: {markdown(base.license or 'that of the target before')}\n\n"
        f'    open_clip.create_model("local-dir:FOLDER")\n\n{tokenizer}'
        "\nThat a defense was applied does not mean that it protects: measure it with "
        f"{markdown_code(f'bench run --method all --defense {ref.name}')}.\n"
    )
