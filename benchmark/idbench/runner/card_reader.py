"""The process that imports a method to read its card; started by `idbench.runner.cards`.

Started as `python -P -m idbench.runner.card_reader FOLDER NAME PLUGIN DISTRIBUTION`. FOLDER holds the question, a JSON
text: null for the card and the parameters, an object for the parameters of a run. The answer is written next to it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from idbench.api import names_of
from idbench.errors import IdbenchError
from idbench.plugins import Plugin
from idbench.runner.cards import ANSWER, QUESTION, Description, Parameter, Refusal, Setting
from idbench.runner.messages import shortened
from idbench.runner.registry import ATTACKS, RegisteredAttack, copy_card, make_method, params_dict


def main() -> int:
    """Answer the question in a folder; the exit status is 0 if there is an answer."""
    folder, (name, value, distribution) = Path(sys.argv[1]), sys.argv[2:]
    plugin = Plugin(name, value, distribution)
    question = json.loads((folder / QUESTION).read_text(encoding="utf-8"))
    try:
        found = RegisteredAttack(plugin, ATTACKS.imported(plugin))
        answer: BaseModel = _description(found) if question is None else _setting(found, question)
    except IdbenchError as error:
        answer = Refusal(message=shortened(error.message), hint=shortened(error.hint))
    (folder / ANSWER).write_text(answer.model_dump_json(), encoding="utf-8")
    return 0


def _description(found: RegisteredAttack) -> Description:
    copy = copy_card(found.card, found.kind.Params, names_of(found.card.access))
    return Description(
        facts=found.card.model_dump(mode="json", exclude={"access", "knowledge", "optional_knowledge"}),
        access=copy.access,
        knowledge=copy.knowledge,
        optional_knowledge=copy.optional_knowledge,
        fields=tuple(Parameter(**one.model_dump()) for one in copy.parameters),
        parameters=found.kind.Params.model_json_schema(),
    )


def _setting(found: RegisteredAttack, values: dict[str, Any]) -> Setting:
    attack = make_method(found, None, values)
    return Setting(parameters=params_dict(attack.params), knowledge=tuple(names_of(attack.knowledge)))


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # Threads and exit handlers that a plug-in left must not keep the process alive.
    os._exit(status)
