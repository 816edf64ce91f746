"""Plug-ins that mean harm: to the process that waits for them, to other methods' runs, to the terminal."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from idbench.api import Access, Attack, Case, Context, Knowledge, MethodCard, MethodParams, Scores, TargetView
from idbench.errors import StorageError


def card(name: str, access: Access = Access.NONE, knowledge: Knowledge = Knowledge.NAME) -> MethodCard:
    return MethodCard(name=name, version="1", title=f"Sample: {name}", access=access, knowledge=knowledge)


def leave() -> None:
    """End at once, as if all had gone well."""
    os._exit(0)


def forge(**changes: object) -> None:
    """Write a result as the runner does, with changes."""
    result = {"load": 0.1, "fit": 0.1, "score": 0.1, "device": "cpu", "peak_memory_mb": 1.0, "queries": {}} | changes
    Path("result.json").write_text(json.dumps(result))


def forge_scores(**arrays: np.ndarray) -> None:
    from safetensors.numpy import save_file

    save_file(arrays, "scores.safetensors")


class Pipes(Attack[MethodParams]):
    """Puts a pipe that nobody writes to in the place of each file that the runner will read."""

    card = card("sample-pipes")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        for name in ("result.json", "failure.json", "scores.safetensors", "worker.log"):
            os.mkfifo(name)
        leave()
        raise AssertionError


class PipedScores(Attack[MethodParams]):
    """A good result, and a pipe instead of scores."""

    card = card("sample-piped-scores")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        forge()
        os.mkfifo("scores.safetensors")
        leave()
        raise AssertionError


class Linked(Attack[MethodParams]):
    """A link to a device that never ends, instead of a result."""

    card = card("sample-linked")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        os.symlink("/dev/zero", "result.json")
        leave()
        raise AssertionError


class ForgedResult(Attack[MethodParams]):
    """A result that says more than a result may, and costs that cannot be."""

    card = card("sample-forged-result")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        n = len(cases)
        forge_scores(values=np.zeros(n), abstained=np.zeros(n, dtype=bool), photos_used=np.zeros(n, dtype=np.int64))
        forge(queries={"texts": -5}, verification="reproduced")
        leave()
        raise AssertionError


class ForgedScores(Attack[MethodParams]):
    """Scores that passed no check: NaN that is not abstained."""

    card = card("sample-forged-scores")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        n = len(cases)
        values = np.full(n, np.nan)
        forge_scores(values=values, abstained=np.zeros(n, dtype=bool), photos_used=np.zeros(n, dtype=np.int64))
        forge()
        leave()
        raise AssertionError


class ManyPhotos(Attack[MethodParams]):
    """Says that it used a million photos of each person."""

    card = card("sample-many-photos")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        return Scores(np.zeros(len(cases)), photos_used=np.full(len(cases), 10**6))


class Loud(Attack[MethodParams]):
    """Writes 200 MB on one line where progress goes, and 200 MB into the log."""

    card = card("sample-loud")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        stream = context.progress._stream  # type: ignore[attr-defined]
        print("the beginning of the log", flush=True)
        for _ in range(200):
            stream.write("x" * 10**6)
            os.write(2, b"y" * 10**6)
        stream.write("\n")
        stream.flush()
        print("the end of the log", flush=True)
        return Scores(np.arange(len(cases), dtype=float) % 7)


class Leaves(Attack[MethodParams]):
    """Finishes, and leaves a process of another session behind that holds standard output and reports for ever."""

    card = card("sample-leaves")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        code = "import os, sys, time\nif os.fork(): os._exit(0)\nos.setsid()\n"
        code += "open(sys.argv[1], 'w').write(str(os.getpid()))\n"
        code += 'message = b\'{"done": 1, "total": 2, "description": "still here"}\\n\'\n'
        code += "while True:\n    os.write(int(sys.argv[2]), message)\n    time.sleep(0.01)\n"
        pid = context.cache / "left"
        stream = context.progress._stream.fileno()  # type: ignore[attr-defined]
        command = [sys.executable, "-c", code, str(pid), str(stream)]
        subprocess.run(command, check=True, env={}, pass_fds=[stream])
        while not (pid.exists() and pid.read_text()):
            time.sleep(0.01)
        return Scores(np.zeros(len(cases)))


class StopsTheGrid(Attack[MethodParams]):
    """Raises the error that would stop everybody's runs."""

    card = card("sample-stops-the-grid")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        raise StorageError("No space left on any disk.", hint="Give up.")


class Brackets(Attack[MethodParams]):
    """Reports progress in words that a terminal, and a library for terminals, would obey."""

    card = card("sample-brackets")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        for i in range(100):
            context.progress.update(i, 100, f"[/red][bold {i}\x1b]0;owned\x07\x1b[2J")
            time.sleep(0.005)
        return Scores(np.zeros(len(cases)))


class Recomputes(Attack[MethodParams]):
    """Computes who is behind each case from the public code: the order, as it would follow from anything known."""

    card = card("sample-recomputes", knowledge=Knowledge.NONE)

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        from idbench.runner.bundle import plan_cases
        from idbench.splits import load_split

        split = load_split("avatars-tiny")
        members = split.labels("avatars-tiny-a").member
        places: dict[str, int] = {}
        for number in (*range(100), *_numbers_nearby()):
            plan = plan_cases(split, number)
            places = dict(zip(plan.ids, plan.order, strict=True))
            if {case.id for case in cases} == set(places):
                return Scores(np.array([float(members[places[case.id]]) for case in cases]))
        return Scores(np.zeros(len(cases)))


def _numbers_nearby() -> list[int]:
    """Whatever looks like a run id in a name or a text in reach."""
    words = " ".join([*map(str, Path.cwd().parents), *sys.argv, *os.environ.values()])
    return [
        int(word, 16) for word in words.replace("/", " ").split() if len(word) == 16 and word.isalnum() and _hex(word)
    ]


def _hex(word: str) -> bool:
    return all(c in "0123456789abcdef" for c in word)


class Poisons(Attack[MethodParams]):
    """Gives members photos that look like their names, wherever the next method would read them."""

    card = card("sample-poisons", Access.SIMILARITY, Knowledge.NAME | Knowledge.PHOTOS)

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        members = self._labels()
        # What the runner keeps by itself when the run is over: the table behind the view, on its way to the disk.
        for case in cases:
            target.similarities(case.photos, [case.name])
        encoder = next(v for k, v in vars(target).items() if k.endswith("__photos"))
        texts = next(v for k, v in vars(target).items() if k.endswith("__texts"))
        sign = {p.digest: 1.0 if members.get(case.name) else -1.0 for case in cases for p in case.photos}
        name = {p.digest: case.name for case in cases for p in case.photos}
        digests = list(sign)
        forged = np.stack([sign[d] * texts.embed([name[d]])[0].numpy() for d in digests])
        encoder.shards.write(digests, forged)
        # And what lies on disk, by force.
        done = [str(path) for path in self._everywhere() if self._forge(path, digests, forged)]
        print("forged:", done)
        return Scores(np.zeros(len(cases)))

    def _labels(self) -> dict[str, bool]:
        from idbench.splits import load_split

        split = load_split("avatars-tiny")
        return dict(
            zip((i.name for i in split.identities), map(bool, split.labels("avatars-tiny-a").member), strict=True)
        )

    def _everywhere(self) -> list[Path]:
        from idbench.storage import cache_dir

        return [folder for folder in cache_dir("embeddings").glob("*") if folder.is_dir()]

    def _forge(self, folder: Path, digests: list[str], forged: np.ndarray) -> bool:
        from idbench.targets.images import EmbeddingShards

        try:
            for path in folder.glob("*.safetensors"):
                path.unlink()
            before = set(folder.glob("*"))
            EmbeddingShards(folder, forged.shape[1]).write(digests, forged)
            return set(folder.glob("*")) != before
        except OSError as error:
            print("not allowed:", error)
            return False


class Scribbles(Attack[MethodParams]):
    """Tries to write into everything that outlives the run and is not its own."""

    card = card("sample-scribbles", Access.SIMILARITY, Knowledge.NAME | Knowledge.PHOTOS)

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        from idbench.storage import cache_dir

        wrote = []
        own = (context.cache, Path.cwd())
        for path in [p for p in cache_dir().rglob("*") if p.is_file() and not any(p.is_relative_to(o) for o in own)]:
            try:
                os.chmod(path, 0o666)
                with path.open("r+b") as file:
                    byte = file.read(1)
                    file.seek(0)
                    file.write(byte)  # what was there: the test looks at who could, not at what broke
                wrote.append(path.relative_to(cache_dir()).parts[0])
            except OSError:
                continue
        print("wrote:", json.dumps(sorted(set(wrote))))
        return Scores(np.zeros(len(cases)))


class Changing:
    """Stands where a card would be: another one each time, and where the attack runs it declares everything."""

    def __get__(self, instance: object, owner: type) -> MethodCard:
        running = getattr(sys.modules["__main__"].__spec__, "name", "") == "idbench.runner.worker"
        return MethodCard(
            name="sample-two-faces",
            version=f"{time.time_ns()}",
            title="Sample: two faces",
            access=Access.WEIGHTS | Access.SIMILARITY if running else Access.NONE,
            knowledge=Knowledge.NAME,
        )


class TwoFaces(Attack[MethodParams]):
    """Declares no access where it is listed, and everything where it runs."""

    card = Changing()  # type: ignore[assignment]

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        for _ in range(10):
            assert self.card.title
        target.weights()
        return Scores(np.zeros(len(cases)))
