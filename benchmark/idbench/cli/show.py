"""`bench show`: one attack, defense, split, target or run in full."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from idbench.cli import console, options, text
from idbench.errors import IdbenchError, NoSuchRun, UnknownNameError
from idbench.storage import is_there
from idbench.wording import at_fpr, counted

_RUN_ID = re.compile("[0-9a-f]{6,16}")

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from idbench.api import Guarantee
    from idbench.results import AdaptationRef, DefenseRef, Environment
    from idbench.runner.registry import Registered, RegisteredAdaptation, RegisteredAttack, RegisteredDefense
    from idbench.splits.sources import Disagreements


def show(
    what: Annotated[str, typer.Argument(help="Name of a method, defense, split or target; or a run: its path or id.")],
    plot: Annotated[
        Path | None, typer.Option(help="For a run: draw its ROC curve and scores into FILE.png, .svg or .pdf.")
    ] = None,
    bibtex: Annotated[bool, typer.Option("--bibtex", help="For a method or defense: its source, to be cited.")] = False,
    results: options.Results = options.RESULTS,
    json: options.Json = False,
) -> None:
    """Show everything about a method, defense, split, target or run."""
    from idbench.runner.registry import ADAPTATIONS, ATTACKS, DEFENSES, load_adaptation, load_attack, load_defense
    from idbench.splits import split_names
    from idbench.targets import TARGETS, resolve_target

    splits, targets = split_names(), TARGETS.names()
    attacks, defenses, adaptations = ATTACKS.names(), DEFENSES.names(), ADAPTATIONS.names()
    known = [*attacks, *defenses, *adaptations, *splits, *targets]
    is_target = what in targets or (":" in what and not is_there(Path(what)))
    if plot is not None and (what in known or is_target or _is_split_folder(what)):
        how = f"bench show RUN --plot FILE, or bench compare {what} OTHER --plot FILE"
        hint = f"Draw one of its runs: {how}." if what in attacks else "Name a run: `bench list runs` shows them."
        raise IdbenchError(f"--plot draws a run, and {what} is not one.", hint=hint)
    if bibtex:
        _cite(what, attacks, defenses)
    elif what in attacks:
        _attack(load_attack(what), json)
    elif what in defenses:
        _defense(load_defense(what), json)
    elif what in adaptations:
        _defense(load_adaptation(what), json)
    elif what in splits or _is_split_folder(what) or _is_published_split(what):
        _split(what, json)
    elif is_target:
        dumped = resolve_target(what).model_dump(mode="json", exclude_none=True)
        _pairs(what, dumped if json else _flat(dumped), json)
    else:
        options.check_results(results)
        try:
            _run(what, results, plot, json)
        except NoSuchRun as error:
            if _RUN_ID.fullmatch(what):
                raise
            raise UnknownNameError("method, defense, split, target or run", what, known) from error


def _cite(what: str, attacks: Sequence[str], defenses: Sequence[str]) -> None:
    """Print the BibTeX entry of a method's source."""
    from idbench.runner.registry import load_attack, load_defense
    from idbench_leaderboard.downloads import method_entry

    if what not in (*attacks, *defenses):
        raise UnknownNameError("method or defense", what, (*attacks, *defenses))
    card = load_attack(what).card if what in attacks else load_defense(what).kind.card
    if not card.paper:
        raise IdbenchError(f"{what} has no source: it is a baseline of this benchmark.", hint="Cite idbench itself.")
    console.command(method_entry(card))


def _attack(registered: RegisteredAttack, json: bool) -> None:
    from idbench.api import names_of

    card = registered.card
    flags = {"access": names_of(card.access), "knowledge": names_of(card.knowledge), "track": card.track.value}
    facts = (("track", card.track.value), ("asks the target for", ", ".join(names_of(card.access)) or "nothing"))
    _method(registered, facts, flags, "bench run --param NAME=VALUE", json)


def _defense(registered: RegisteredDefense | RegisteredAdaptation, json: bool) -> None:
    from idbench.api import names_of

    _method(registered, (), {"knowledge": names_of(registered.kind.card.knowledge)}, "NAME=VALUE", json)


def _method(
    registered: Registered[Any],
    facts: Sequence[tuple[str, str]],
    flags: dict[str, Any],
    how: str,
    json: bool,
) -> None:
    """Card and parameters; `facts` and `flags` are what attacks and defenses do not have in common."""
    from idbench.api import Card, names_of

    card: Card = registered.kind.card
    schema = registered.kind.Params.model_json_schema()
    if json:
        dumped = card.model_dump(mode="json", exclude={"access", "knowledge", "optional_knowledge"})
        console.write_json(dumped | flags | {"parameters": schema.get("properties", {})})
        return
    console.say(f"{card.name} {card.version}: {card.title}\n")
    if card.summary:
        console.say(card.summary + "\n")
    rest = (
        ("knows", ", ".join(names_of(card.knowledge)) or "nothing"),
        ("may also use", ", ".join(names_of(card.optional_knowledge)) or "nothing"),
        ("presets", ", ".join(card.presets) or "none"),
        ("from", registered.plugin.distribution),
    )
    paper = ("paper", card.paper or "none: a baseline of this benchmark")
    console.table("", ("fact", "value"), (paper, *facts, *rest))
    rows = [
        (field, _kind(details), _default(details), str(details.get("description", "")))
        for field, details in schema.get("properties", {}).items()
    ]
    if rows:
        console.table(f"parameters ({how})", ("name", "type", "default", "meaning"), rows)
    if card.choices:
        console.table(
            "what the source leaves open", ("what", "chosen", "why"), [(c.what, c.chosen, c.why) for c in card.choices]
        )


def _default(details: dict[str, Any]) -> str:
    """A default as it is typed: lists with commas, nothing in Python's own spelling."""
    if "default" not in details:
        return "-"
    return _plain(details["default"])


def _plain(value: object) -> str:
    """A value as it is typed."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(each)}" for key, each in value.items()) or "none"
    if value is None or isinstance(value, bool):
        return "none" if value is None else str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _kind(details: dict[str, Any]) -> str:
    kinds = [str(d.get("type", "?")) for d in details.get("anyOf", [details])]
    return " or ".join(dict.fromkeys(kinds)) + _bounds(details)


def _bounds(details: dict[str, Any]) -> str:
    """The range of a number, e.g. ` 1..5`, ` > 0`, ` >= 1`; of one that may be missing, that of the number."""
    for one in details.get("anyOf", [details]):
        low, high = one.get("minimum"), one.get("maximum")
        above, below = one.get("exclusiveMinimum"), one.get("exclusiveMaximum")
        if low is not None and high is not None:
            return f" {low:g}..{high:g}"
        ends = ((">", above), (">=", low), ("<", below), ("<=", high))
        if found := [f"{sign} {end:g}" for sign, end in ends if end is not None]:
            return " " + ", ".join(found)
    return ""


def _is_split_folder(what: str) -> bool:
    from idbench.splits.manifest import MANIFEST_FILE

    return bool(what.strip()) and is_there(Path(what) / MANIFEST_FILE)


def _is_published_split(what: str) -> bool:
    """Whether `hub:ORG/NAME@COMMIT` is a data set that is at hand, for a model may be meant as well."""
    from idbench.errors import HubError
    from idbench.hub import is_hub_ref
    from idbench.splits import load_split

    if not is_hub_ref(what) or "?" in what:
        return False
    try:
        load_split(what)
    except HubError:
        return False
    return True


def _split(name: str, json: bool) -> None:
    from idbench.errors import LabelsWithheld
    from idbench.splits import load_split
    from idbench.splits.sources import disagreements
    from idbench.splits.subsets import subset_names

    with console.bars() as progress:
        split = load_split(name, progress)
    parts = [identity.part for identity in split.identities]
    facts: dict[str, Any] = {
        "name": split.manifest.name,
        "version": split.manifest.version,
        "title": split.manifest.title,
        "license": split.manifest.license,
        "digest": split.digest,
        "test identities": parts.count("test"),
        "calibration identities": parts.count("calibration"),
        "photos": sum(len(identity.photos) for identity in split.identities),
        "candidate names": len(split.candidate_names),
    }
    for corpus in split.corpora:
        try:
            facts[f"members of {corpus}"] = int(split.labels(corpus).member.sum())
        except LabelsWithheld:
            facts[f"members of {corpus}"] = "withheld"
    if addresses := split.rows("urls"):
        facts["addresses of photos"] = len(addresses)
        facts["identities with addresses"] = len({row[0] for row in addresses})
    facts["subsets"] = ", ".join(subset_names(split))
    found = disagreements(split)
    if json:
        console.write_json(facts | {"label_sources": found.rows})
        return
    if found.people:
        facts["label sources"] = found.sentence
    _pairs(name, facts, json)
    if found.people:
        _contested(found)


def _contested(found: Disagreements) -> None:
    """Of whom the sources of labels disagree; those whom only the last one lists are counted."""
    rows = [row for row in found.table if row[-1] != "added"]
    console.table("what the sources of labels say", ("identity", "corpus", *found.sources, "outcome"), rows)
    if added := len(found.people) - len(rows):
        console.say(f"{counted(added, 'person is', 'people are')} in the last source alone: --json lists them, too")


def _flat(facts: Mapping[str, Any], of: str = "") -> dict[str, str]:
    """Nested facts in rows of their own, e.g. `recipe: epochs`; lists with commas, nothing in Python's own spelling."""
    rows: dict[str, str] = {}
    for key, value in facts.items():
        name = f"{of}: {key}" if of else key
        rows |= _flat(value, name) if isinstance(value, dict) else {name: _plain(value)}
    return rows


def _pairs(title: str, facts: dict[str, Any], json: bool) -> None:
    if json:
        console.write_json(facts)
    else:
        console.table(title, ("fact", "value"), [(key, str(value)) for key, value in facts.items()])


def _run(reference: str, results: Path, plot: Path | None, json: bool) -> None:
    from idbench.results import find_run

    run = find_run(results, reference)
    summary = run.summary()
    abstentions = run.scores().abstentions() if run.record.n_abstained else {}
    if plot is not None:
        _plot(run, plot)
    if json:
        metrics = summary and summary.model_dump(mode="json")
        record_json = run.record.model_dump(mode="json")
        console.write_json({"record": record_json, "metrics": metrics, "abstentions": abstentions})
        return
    record = run.record
    where = record.environment
    facts = {
        "run": record.run_id,
        "path": run.path,
        "created": f"{record.created:%Y-%m-%d %H:%M} UTC",
        "split": f"{record.split.name} v{record.split.version}, digest {record.split.digest[:12]}",
        "target": f"{record.target.name} ({record.target.architecture}), weights {record.target.sha256[:12]}",
        "method": f"{record.attack.name} {record.attack.version} ({record.attack.distribution}), {record.attack.track}",
        **({} if record.defense is None else {"defense": _defended(record.defense)}),
        **({} if record.adaptation is None else {"adapted by": _adapted(record.adaptation)}),
        "parameters": text.parameters(record.parameters),
        **({} if record.parameters_passed is None else {"passed": text.passed(record.parameters_passed)}),
        "seed": record.seed,
        "cases": f"{record.n_cases}, abstained {record.n_abstained}, photos per case {record.photos_per_case:g}",
        **({"abstained because of": text.reasons(abstentions)} if abstentions else {}),
        "queries": ", ".join(f"{text.amount(n)} {name}" for name, n in record.queries.model_dump().items() if n)
        or "none",
        "time": f"{text.seconds(record.timings.total)} (load {text.seconds(record.timings.load)}, "
        f"fit {text.seconds(record.timings.fit)}, score {text.seconds(record.timings.score)})",
        **({} if record.shadows is None else {"shadow models": _shadows(record.shadows)}),
        "peak memory": f"{record.peak_memory_mb:.0f} MiB",
        "device": _device(where),
        "packages": ", ".join(f"{name} {version}" for name, version in where.packages.items()),
        "engine": record.engine or "of schema 1, which does not say",
    }
    if summary is None:
        facts["metrics"] = f"none that fit these scores; compute them: bench score {record.run_id[:8]}"
    else:
        facts |= {
            "labels of": summary.corpus + (" (control)" if summary.control else ""),
            "AUC": text.estimate(summary.auc),
            **dict(text.defended(record.defense, summary)),
            **{at_fpr(rate.fpr): text.rate(rate) for rate in summary.tpr},
            "p against chance": text.p_value(summary.p_chance),
            "against blind": text.blind(summary.blind),
            "AUC by training pictures": text.bins(summary.bins),
            "rises with them?": "-" if summary.trend_p is None else f"p {text.compared(summary.trend_p)}",
            "mean AUC over the bins": "-" if summary.macro_auc is None else text.estimate(summary.macro_auc),
        }
        if summary.decision is not None:
            d = summary.decision
            facts["at the calibrated threshold"] = f"TPR {d.tpr:.1%}, FPR {d.fpr:.1%}, accuracy {d.accuracy:.1%}"
    console.table("", ("fact", "value"), [(key, str(value)) for key, value in facts.items()])


def _defended(defense: DefenseRef) -> str:
    weights = "" if defense.weights_sha256 is None else f", weights {defense.weights_sha256[:12]}"
    return (
        f"{defense.name} {defense.version} ({defense.distribution}), protects {len(defense.protected)} people"
        f"{weights}, parameters {text.parameters(defense.parameters)}"
        f"{''.join(f'; {_promise(one)}' for one in defense.guarantees)}"
    )


def _promise(one: Guarantee) -> str:
    epsilon = "no bound" if one.epsilon is None else f"epsilon {one.epsilon:.3g}"
    unit = "one pair" if one.unit == "pair" else f"one person of up to {one.pairs} pairs"
    return f"differential privacy for {unit}: {epsilon} at delta {one.delta:g}"


def _adapted(adaptation: AdaptationRef) -> str:
    weights = "" if adaptation.weights_sha256 is None else f", weights {adaptation.weights_sha256[:12]}"
    return (
        f"{adaptation.name} {adaptation.version} ({adaptation.distribution}){weights}, "
        f"parameters {text.parameters(adaptation.parameters)}"
    )


def _device(where: Environment) -> str:
    model = "" if where.device_model is None else f" ({where.device_model})"
    threads = "" if where.threads is None else f", {where.threads} torch thread{'s' * (where.threads != 1)}"
    return f"{where.device}{model}, {where.processors} processors{threads}, {where.system}"


def _shadows(costs: Any) -> str:
    kept = costs.count - costs.trained
    return (
        f"{costs.count}, {costs.steps:,} training steps, {text.seconds(costs.seconds)} of training in all; "
        f"{kept} from the cache, {costs.trained} trained by this run, {text.seconds(costs.waited)} until all were there"
    )


def _plot(run: Any, path: Path) -> None:
    from idbench.cli.plots import plot_run

    for written in plot_run(run, path):
        console.note(f"wrote {written}")
