"""Measures what docs/binding.md shows, and draws its picture: binding.json, binding.svg, binding.png.

python docs/binding/make.py measure [--results results]    minutes; runs binding where there is no record
python docs/binding/make.py tokens [--results results]     a minute; the part about numbers of tokens alone
python docs/binding/make.py draw                           the picture, from binding.json

Partners are counted on the calibration part alone. The test part is read once, from the records of binding's defaults.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import idbench
from idbench import metrics
from idbench.api import Access, Silent
from idbench.splits import Split, load_split
from idbench.targets import resolve_target
from idbench.targets.load import load_target
from idbench.targets.view import View
from idbench_methods.attacks.binding import BindingParams
from idbench_methods.attacks.binding.interaction import Answers, Partners, draw_partners, interactions
from idbench_methods.name_parts import Parts, parts_of, pool_of
from idbench_methods.photographed import unit_rows
from idbench_methods.prompts import fill

HERE = Path(__file__).parent
NUMBERS = HERE / "binding.json"
RELATIVES = ("vit-b-32", "rn101", "rn50x4", "vit-l-14", "vit-b-16")
TARGETS = ("avatars-a", "avatars-b", *(f"avatars-a-{name}" for name in RELATIVES))
COUNTS = (2, 4, 8, 16, 32, 60, 90)
DRAWS = 5
SHOWN = 10  # first and last names in the picture's table
BLUE, ORANGE, GREY = "#2E86D0", "#E69F00", "#8A8A8A"


def table_answers(target: str, given: Sequence[str], family: Sequence[str]) -> Answers:
    """Mean unit embedding over the default prompts of every full name of the table, asked once."""
    view = View(load_target(resolve_target(target)), Access.TEXT_EMBEDDING)
    names = [Parts(f, s).whole for f in given for s in family]
    templates = BindingParams().templates
    rows = sum(unit_rows(view.embed_texts([fill(template, name) for name in names])) for template in templates)
    place = {name: i for i, name in enumerate(names)}
    table = np.asarray(rows) / len(templates)
    return lambda texts: table[[place[text] for text in texts]]


def lengths(names: Sequence[Parts], partners: Partners, answers: Answers) -> NDArray[np.float64]:
    """Binding's score of each name."""
    found: NDArray[np.float64] = np.linalg.norm(interactions(names, partners, answers), axis=1)
    return found


def measure(results: Path) -> dict[str, Any]:
    """Everything that the picture shows."""
    by_level = levels(results)
    split = load_split("avatars", Silent())
    pools = pool_of(split.candidate_names, "before-family")
    calibration = np.array([identity.part == "calibration" for identity in split.identities])
    people = [
        parts for i in split.identities if (parts := parts_of(i.name, "before-family")) and i.part == "calibration"
    ]
    knee: dict[int, list[float]] = {count: [] for count in COUNTS}
    table: dict[str, Any] = {}
    for target in TARGETS:
        answers = table_answers(target, *pools)
        members = split.labels("avatars-b" if target == "avatars-b" else "avatars-a").member[calibration]
        for count in COUNTS:
            draws = range(1 if count >= max(map(len, pools)) else DRAWS)
            scores = [lengths(people, draw_partners(pools, count, np.random.default_rng(i)), answers) for i in draws]
            knee[count].append(float(np.mean([metrics.auc(score, members) for score in scores])))
        if target == "avatars-a":
            table = example(split, calibration, people, pools, answers)
    numbers = {"knee": knee, "targets": TARGETS, "draws": DRAWS, "table": table, "levels": by_level}
    return numbers | {"tokens": tokens(results)}


def tokens(results: Path) -> dict[str, list[float]]:
    """AUC on the calibration part of each target: numbers of tokens, the score, and what tokens leave of it."""
    from open_clip import SimpleTokenizer

    split, encode = load_split("avatars", Silent()), SimpleTokenizer().encode
    ids = [identity.id for identity in split.identities]
    calibration = np.array([identity.part == "calibration" for identity in split.identities])
    counts = np.array([len(encode(identity.name)) for identity in split.identities], dtype=np.float64)
    found: dict[str, list[float]] = {"count": [], "score": [], "without": []}
    for target in TARGETS:
        members = split.labels("avatars-b" if target == "avatars-b" else "avatars-a").member[calibration]
        found["count"].append(float(metrics.auc(counts[calibration], members)))
        for name, regress in (("score", False), ("without", True)):
            run = idbench.run("binding", target=target, params={"regress_tokens": regress}, results=results).run
            table = run.scores()
            score = dict(zip(table.identities, table.scores, strict=True))
            own = np.array([score[one] for one in ids])[calibration]
            found[name].append(float(metrics.auc(own, members)))
    return found


def example(
    split: Split,
    calibration: NDArray[np.bool_],
    people: Sequence[Parts],
    pools: tuple[list[str], list[str]],
    answers: Answers,
) -> dict[str, Any]:
    """Lengths in a corner of the table around the first calibration person with most training pictures."""
    occurrences = split.labels("avatars-a").occurrences[calibration]
    person = people[int(np.argmax(occurrences))]
    given = [person.given, *[part for part in pools[0] if part != person.given][: SHOWN - 1]]
    family = [person.family, *[part for part in pools[1] if part != person.family][: SHOWN - 1]]
    cells = [Parts(f, s) for f in given for s in family]
    found = lengths(cells, Partners(*map(tuple, pools)), answers)
    rows = [
        {"given": c.given, "family": c.family, "length": round(float(v), 4)} for c, v in zip(cells, found, strict=True)
    ]
    return {"person": person.whole, "pictures": int(occurrences.max()), "cells": rows}


def levels(results: Path) -> list[dict[str, Any]]:
    """AUC on the test part by number of training pictures, and on the control, with binding's defaults."""
    rows = []
    for target in ("avatars-a", "avatars-b", "avatars-0"):
        summary = idbench.run("binding", target=target, results=results).summary
        rows.append({"target": target, "pictures": "all", **_estimate(summary.auc)})
        if not summary.control:
            rows += [{"target": target, "pictures": str(one.occurrences), **_estimate(one.auc)} for one in summary.bins]
    return rows


def _estimate(value: Any) -> dict[str, float]:
    return {"auc": round(value.value, 4), "low": round(value.low, 4), "high": round(value.high, 4)}


def draw(numbers: dict[str, Any]) -> Any:
    """Three panels: a corner of the table, AUC by training pictures, AUC by partners."""
    import altair as alt

    table, person = alt.Data(values=numbers["table"]["cells"]), numbers["table"]["person"]
    heat = (
        alt.Chart(table, title=f"Length of R around {person}, {numbers['table']['pictures']} training pictures")
        .mark_rect()
        .encode(
            x=alt.X("family:N", sort=None, title="last name"),
            y=alt.Y("given:N", sort=None, title="first name"),
            color=alt.Color("length:Q", scale=alt.Scale(scheme="blues"), title="length"),
        )
        .properties(width=260, height=230)
    )
    own = [row for row in numbers["levels"] if row["pictures"] != "all"]
    control = next(row for row in numbers["levels"] if row["target"] == "avatars-0")
    colour = alt.Color("target:N", scale=alt.Scale(domain=["avatars-a", "avatars-b"], range=[BLUE, ORANGE]))
    base = alt.Chart(alt.Data(values=own), title="Test part: AUC by training pictures")
    x = alt.X("pictures:O", sort=None, title="training pictures")
    scale = alt.Scale(domain=[0.35, 0.95])
    y = alt.Y("auc:Q", scale=scale, title="AUC, 95 %")
    lines = base.mark_line(point=True).encode(x=x, y=y, color=colour)
    bars = base.mark_rule().encode(x=x, y="low:Q", y2="high:Q", color=colour)
    shade = alt.Chart(alt.Data(values=[control])).mark_rect(color=GREY, opacity=0.3)
    band = shade.encode(y=alt.Y("low:Q", scale=scale), y2="high:Q")
    chance = alt.Chart(alt.Data(values=[{"auc": 0.5}])).mark_rule(strokeDash=[4, 4], color=GREY).encode(y="auc:Q")
    by_level = (band + chance + bars + lines).properties(width=230, height=230)
    points = [{"partners": int(k), "auc": float(np.mean(v))} for k, v in numbers["knee"].items()]
    knee = (
        alt.Chart(alt.Data(values=points), title="Calibration part: mean AUC by partners")
        .mark_line(point=True, color=BLUE)
        .encode(
            x=alt.X("partners:O", sort=None, title="first names, and last names, as partners"),
            y=alt.Y("auc:Q", scale=alt.Scale(domain=[0.5, 0.66]), title="mean AUC"),
        )
        .properties(width=230, height=230)
    )
    return alt.hconcat(heat, by_level, knee).resolve_scale(color="independent")


def main() -> None:
    """Measure or draw."""
    import vl_convert

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["measure", "tokens", "draw"])
    parser.add_argument("--results", type=Path, default=Path("results"))
    given = parser.parse_args()
    if given.what == "measure":
        NUMBERS.write_text(json.dumps(measure(given.results), indent=1) + "\n", encoding="utf-8")
    if given.what == "tokens":
        numbers = json.loads(NUMBERS.read_text(encoding="utf-8")) | {"tokens": tokens(given.results)}
        NUMBERS.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
        return
    spec = draw(json.loads(NUMBERS.read_text(encoding="utf-8"))).to_json()
    (HERE / "binding.svg").write_text(vl_convert.vegalite_to_svg(spec), encoding="utf-8")
    (HERE / "binding.png").write_bytes(vl_convert.vegalite_to_png(spec, scale=2.0))


if __name__ == "__main__":
    main()
