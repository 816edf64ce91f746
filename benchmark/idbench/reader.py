"""The process that imports a stranger's plug-in and answers questions about it; started by `idbench.strangers`.

Started as `python -P -m idbench.reader FOLDER NAME PLUGIN DISTRIBUTION`. FOLDER holds the question, a JSON list:
the entry-point group, and what is asked of a plug-in of this group. The answer is written next to it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from idbench.api import Access, Progress, names_of
from idbench.api.method import Method
from idbench.errors import IdbenchError
from idbench.plugins import Plugin
from idbench.processes import begin, give_back, keep_back
from idbench.runner.cards import KINDS, Description, Parameter, RunParameters
from idbench.runner.messages import shortened
from idbench.strangers import ANSWER, QUESTION, Refusal

_MEMORY = 8 << 30  # bytes: the supervisor ends what holds as much, and what asks for it in one go gets none of it


def main() -> int:
    """Answer the question in a folder; the exit status is 0 if there is an answer."""
    folder, (name, value, distribution) = Path(sys.argv[1]), sys.argv[2:]
    progress = begin()
    spare = keep_back()
    plugin = Plugin(name, value, distribution)
    group, question = json.loads((folder / QUESTION).read_text(encoding="utf-8"))
    if not _builds(group, question):
        _hold_back()
        progress.update(0, 1, f"importing {name}")  # from here on the time is the plug-in's
    try:
        answer: BaseModel = _ANSWERS[group](plugin, question, progress)
    except IdbenchError as error:
        answer = Refusal(message=shortened(error.message), hint=shortened(error.hint))
    except Exception as error:  # noqa: BLE001  a plug-in may raise anything
        answer = Refusal(message=shortened(f"{value} failed: {type(error).__name__}: {error}."), hint="")
    give_back(spare)
    (folder / ANSWER).write_text(answer.model_dump_json(), encoding="utf-8")
    return 0


def _builds(group: str, question: dict[str, Any] | None) -> bool:
    """Whether a plug-in builds or fetches something here, which takes its time and may need far more memory."""
    return group == "idbench.splits" and question is not None and "plan" not in question


def _hold_back() -> None:
    """Bound the memory of a plug-in that only describes itself; the supervisor bounds the rest."""
    if sys.platform == "win32":
        return
    import resource

    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    bound = _MEMORY if hard == resource.RLIM_INFINITY else min(_MEMORY, hard)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))


def _method(plugin: Plugin, question: dict[str, Any] | None, group: str) -> Description | RunParameters:
    """The card and the parameters; with a question, the parameters of a run and the knowledge that they need."""
    from idbench.runner.registry import ADAPTATIONS, ATTACKS, DEFENSES, Registered, make_method, params_dict

    registry: Any = {registry.group: registry for registry in (ATTACKS, DEFENSES, ADAPTATIONS)}[group]
    found: Registered[Any] = Registered(plugin, registry.imported(plugin))
    if question is None:
        return _description(found.kind)
    method = make_method(found, None, question)
    return RunParameters(parameters=params_dict(method.params), knowledge=tuple(names_of(method.knowledge)))


def _description(kind: type[Method[Any]]) -> Description:
    from idbench.runner.registry import copy_card

    card = kind.card  # read once: it may be another one each time
    access, answers = (names_of(getattr(card, name, Access.NONE)) for name in ("access", "answers"))
    copy = copy_card(card, kind.Params, access)
    return Description(
        kind=next(name for name, (base, _) in KINDS.items() if issubclass(kind, base)),
        facts=card.model_dump(mode="json", exclude={"access", "answers", "knowledge", "optional_knowledge"}),
        access=copy.access,
        answers=tuple(answers),
        knowledge=copy.knowledge,
        optional_knowledge=copy.optional_knowledge,
        fields=tuple(Parameter(**one.model_dump()) for one in copy.parameters),
        parameters=kind.Params.model_json_schema(),
    )


def _target(plugin: Plugin) -> BaseModel:
    from idbench.targets import TARGETS

    return TARGETS.imported(plugin)


def _study(plugin: Plugin) -> BaseModel:
    from idbench.studies.catalogue import STUDIES, Declared

    return Declared(study=STUDIES.imported(plugin))


def _split(plugin: Plugin, question: dict[str, Any] | None, progress: Progress) -> BaseModel:
    from idbench.splits import SPLITS
    from idbench.splits.elsewhere import answer

    return answer(SPLITS.imported(plugin), question, progress)


_ANSWERS: dict[str, Callable[[Plugin, Any, Progress], BaseModel]] = {
    "idbench.adaptations": lambda plugin, question, _: _method(plugin, question, "idbench.adaptations"),
    "idbench.attacks": lambda plugin, question, _: _method(plugin, question, "idbench.attacks"),
    "idbench.defenses": lambda plugin, question, _: _method(plugin, question, "idbench.defenses"),
    "idbench.splits": _split,
    "idbench.studies": lambda plugin, *_: _study(plugin),
    "idbench.targets": lambda plugin, *_: _target(plugin),
}


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # Threads and exit handlers that a plug-in left must not keep the process alive.
    os._exit(status)
