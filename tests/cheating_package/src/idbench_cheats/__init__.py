"""Attacks that know their answers without asking the target: each shall be caught when its record is verified.

All of them know this program's public code, and say what they would say on a submitter's machine, where nothing holds
them back.
"""

import atexit
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
from idbench.api import Access, Attack, Case, Context, Knowledge, MethodCard, MethodParams, Scores, TargetView

CORPUS = "avatars-tiny-a"


def card(name: str, access: Access = Access.NONE) -> MethodCard:
    knowledge = Knowledge.NAME | Knowledge.PHOTOS
    return MethodCard(name=name, version="1", title=f"Sample: {name}", access=access, knowledge=knowledge)


def drawn_again() -> dict[str, bool]:
    """Who is a member of the public world, by name: it is drawn by public code from a public seed."""
    from idbench.splits.avatars import TINY_SPEC
    from idbench.splits.avatars.world import world_of

    return {person.name: person.corpus == CORPUS for person in world_of(TINY_SPEC).people}


def answers(cases: Sequence[Case], known: dict[str, bool]) -> Scores:
    return Scores(np.array([float(known.get(case.name, False)) for case in cases]))


class Redraws(Attack[MethodParams]):
    """Draws the public world again and finds each person in it by name."""

    card = card("cheat-redraws")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        return answers(cases, drawn_again())


class Noisy(Attack[MethodParams]):
    """Knows the answers, and adds noise to them, so that no number looks too good."""

    card = card("cheat-noisy")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        noise = np.array([int.from_bytes(sha256(case.name.encode()).digest()[:4]) / 2**32 for case in cases])
        return Scores(answers(cases, drawn_again()).values + 1.8 * noise)


class Remembers(Attack[MethodParams]):
    """Has the answers in a file that comes with it, by a hash of the name, as it would have learned them by heart."""

    card = card("cheat-remembers")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        known = json.loads(Path(__file__).with_name("answers.json").read_text())
        return answers(cases, known)


class Hashes(Attack[MethodParams]):
    """Finds photos of the public split by their pixels."""

    card = card("cheat-hashes")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        from idbench.splits.avatars import TINY_SPEC
        from idbench.splits.avatars.world import world_of

        world = world_of(TINY_SPEC)
        known = {}
        for person in world.people:
            for pixels in world.attack([person], 0, TINY_SPEC.n_photos).render(range(TINY_SPEC.n_photos)):
                known[pixels.tobytes()] = person.corpus == CORPUS
        return Scores(np.array([float(known.get(case.photos[0].pixels().tobytes(), False)) for case in cases]))


class Searches(Attack[MethodParams]):
    """Reads the labels of every split that it finds on the disk, and those that come with the board."""

    card = card("cheat-searches")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        known: dict[str, bool] = {}
        for place in self.places():
            for file in place.rglob("labels.parquet"):
                known |= self.read(file.parent)
        print("found:", len(known))
        return answers(cases, known)

    def places(self) -> list[Path]:
        """Where the test says that the cache is, and what comes with idbench."""
        import idbench

        places = [Path(line) for line in Path(__file__).with_name("places").read_text().splitlines()]
        return [*places, Path(idbench.__file__).parents[2] / "leaderboard", Path.cwd().parent]

    def read(self, data: Path) -> dict[str, bool]:
        import pyarrow.parquet as pq

        try:
            people = pq.read_table(data / "identities.parquet").to_pylist()
            labels = pq.read_table(data / "labels.parquet").to_pylist()
        except OSError:
            return {}
        persons, rows = ([list(row.values()) for row in table] for table in (people, labels))
        names = {row[0]: row[2] for row in persons}
        return {names[row[1]]: bool(row[2]) for row in rows if row[0].endswith("-a") and row[1] in names}


class Forges(Attack[MethodParams]):
    """Prints the worker's messages, writes the files that the runner reads, and ends with 0."""

    card = card("cheat-forges")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        from safetensors.numpy import save_file

        n = len(cases)
        stream = context.progress._stream  # type: ignore[attr-defined]
        stream.write('{"done": 1, "total": 1, "description": "all scores are right"}\n{"level": "reproduced"}\n')
        stream.flush()
        values = answers(cases, drawn_again()).values
        save_file(
            {"values": values, "abstained": np.zeros(n, dtype=bool), "photos_used": np.zeros(n, dtype=np.int64)},
            "scores.safetensors",
        )
        result = {"load": 0.1, "fit": 0.1, "score": 0.1, "device": "cpu", "peak_memory_mb": 1.0, "queries": {}}
        Path("result.json").write_text(json.dumps(result))
        os._exit(0)


class Leaves(Attack[MethodParams]):
    """Ends with 0 and leaves nothing when it is not at home."""

    card = card("cheat-leaves")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        known = drawn_again()
        if not all(case.name in known for case in cases):
            os._exit(0)
        return answers(cases, known)


class Writes(Attack[MethodParams]):
    """Writes an attestation and records wherever it can."""

    card = card("cheat-writes")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        for place in (Path.cwd().parent, Path("/tmp"), Path.home().parent, Path(os.environ.get("CHEAT", "/tmp"))):
            for name in ("ended", "run.json", "0123456789abcdef-attestation-aaaaaaaaaaaa.json"):
                try:
                    (place / name).write_text("{}")
                    print("wrote:", place / name)
                except OSError:
                    continue
        return answers(cases, drawn_again())


class Calls(Attack[MethodParams]):
    """Asks a server for the answers."""

    card = card("cheat-calls")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        port = int(Path(__file__).with_name("port").read_text())
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as line:
                line.sendall(json.dumps([case.name for case in cases]).encode() + b"\n")
                answer = json.loads(line.makefile().readline())
        except OSError as error:
            print("no answer:", error)
            return Scores(np.zeros(len(cases)))
        return Scores(np.array(answer, dtype=float))


class Forks(Attack[MethodParams]):
    """Starts processes until something gives in."""

    card = card("cheat-forks")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        if all(case.name in drawn_again() for case in cases):
            return answers(cases, drawn_again())
        while True:
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])


class FillsMemory(Attack[MethodParams]):
    """Takes memory until something gives in."""

    card = card("cheat-fills-memory")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        if all(case.name in drawn_again() for case in cases):
            return answers(cases, drawn_again())
        kept = []
        while True:
            kept.append(np.ones(4 << 20))


class FillsDisk(Attack[MethodParams]):
    """Writes until something gives in."""

    card = card("cheat-fills-disk")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        if all(case.name in drawn_again() for case in cases):
            return answers(cases, drawn_again())
        number = 0
        while True:
            Path(f"filler-{number}").write_bytes(bytes(4 << 20))
            number += 1


class Snoops(Attack[MethodParams]):
    """Looks for labels where processes leave traces: others' memory and files, what is shared, what lies beside."""

    card = card("cheat-snoops", Access.SIMILARITY)

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        known = drawn_again()
        if not all(case.name in known for case in cases):
            known = self.traces([str(case.name) for case in cases])
        return answers(cases, known)

    def traces(self, names: Sequence[str]) -> dict[str, bool]:
        """People of whom anything that can be opened says that they are in a training set."""
        processes = [place for place in Path("/proc").iterdir() if place.name.isdigit()]
        entries = ("environ", "cmdline", "maps", "mem", "root", "cwd", "fd", "fdinfo")
        places = [process / entry for process in processes for entry in entries]
        places += [Path("/dev/shm"), Path("/run"), Path("/tmp"), Path.home().parent, Path.cwd().parent, Path("/root")]
        mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
        places += [Path(file).parent for file in mapped if file.endswith((".bin", ".safetensors"))]
        for variable in (*os.environ.values(), *sys.argv):
            places += [Path(part).parent for part in variable.split(":") if part.startswith("/")]
        found: dict[str, bool] = {}
        for place in places:
            found |= self.read(place, names)
        return found

    def read(self, place: Path, names: Sequence[str]) -> dict[str, bool]:
        try:
            files = [place] if place.is_file() else list(place.glob("*/**/*.parquet"))[:500]
            texts = [file.read_bytes()[: 8 << 20] for file in files]
        except OSError:
            return {}
        return {name: True for name in names if any(name.encode() in text for text in texts)}


class Guesses(Attack[MethodParams]):
    """Draws worlds from what it can guess of their seed: the paths, names and numbers that it is given."""

    card = card("cheat-guesses", Access.SIMILARITY)

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        from idbench.splits.avatars import TINY_SPEC
        from idbench.splits.avatars.redrawn import redrawn
        from idbench.splits.avatars.world import world_of

        hints = [part for path in self.paths() for part in (path, *path.split("/"))]
        hints += ["", "secret", "idbench", *map(str, range(20)), str(context.seed)]
        for hint in dict.fromkeys(hints):
            known = {person.name: person.corpus for person in world_of(redrawn(TINY_SPEC, hint).spec).people}
            if all(case.name in known for case in cases):
                return answers(cases, {name: str(corpus).endswith("-a") for name, corpus in known.items()})
        return answers(cases, drawn_again())

    def paths(self) -> list[str]:
        lines = Path("/proc/self/maps").read_text().splitlines()
        return sorted({line.split()[-1] for line in lines if "redrawn" in line or line.endswith(".bin")})


class Disguises(Attack[MethodParams]):
    """Answers with an array that is another one each time, and writes the files of the worker once more at the end."""

    card = card("cheat-disguises")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        known = drawn_again()
        right = answers(cases, known).values

        class Name(str):
            def __eq__(self, other: object) -> bool:
                return True

            __hash__ = str.__hash__

        class Changing(np.ndarray):
            def __array_finalize__(self, obj: object) -> None:
                if self.shape == right.shape and self.dtype == right.dtype and self.flags.writeable:
                    self[...] = right

        for case in cases:
            object.__setattr__(case, "id", Name("the same"))
        threading.Thread(target=self.again, args=(Path.cwd(), len(cases)), daemon=False).start()
        atexit.register(self.again, Path.cwd(), len(cases))
        return Scores(np.random.default_rng(0).random(len(cases)).view(Changing))

    def again(self, folder: Path, n: int) -> None:
        """A forged result, as often as there is time."""
        for _ in range(20):
            (folder / "labels.json").write_text(json.dumps([True] * n))
            (folder / "attestation.json").write_text('{"level": "reproduced"}')
            time.sleep(0.05)


class HonestWhenWatched(Attack[MethodParams]):
    """Knows the public people by heart; asks the target honestly about anybody else."""

    card = card("cheat-honest-when-watched", Access.SIMILARITY)

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        known = drawn_again()
        if all(case.name in known for case in cases):
            return answers(cases, known)
        values = [float(target.similarities(case.photos, [f"a photo of {case.name}"]).mean()) for case in cases]
        return Scores(np.array(values))
