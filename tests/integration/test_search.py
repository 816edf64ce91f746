"""`bench data search` and `bench data face-classifier` as a person types them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.conftest import Bench, refused

from idbench.search.clip import Clip
from idbench.splits import encode_png
from idbench.splits.avatars import TINY_SPEC
from idbench.splits.avatars.world import World


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three shards of fictional captions."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "0.tsv").write_text("Ann Lee at a gala\thttp://x/0\nMary Ann Lee sings\thttp://x/1\n")
    (folder / "1.tsv").write_text("a cat\thttp://x/2\njörn påske\thttp://x/3\n", encoding="utf-8")
    pq.write_table(pa.table({"caption": ["Ann Lee's house", None, "Joann Lee"]}), folder / "2.parquet")
    return folder


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "names.txt"
    path.write_text("p1\tAnn Lee\np2\tMary Ann Lee\np3\tJörn Påske\np4\tTom Ek\n", encoding="utf-8")
    return path


def people(output: str) -> dict[str, dict[str, object]]:
    return {person["identity"]: person for person in json.loads(output)["people"]}


def test_names_in_captions(bench: Bench, corpus: Path, names: Path) -> None:
    done = bench("data", "search", str(corpus), "--names", str(names), "--exact")
    assert done.returncode == 0, done.stderr
    for words in (
        "Mary Ann Lee",
        "0.tsv:1 Ann Lee at a gala",
        "7 captions in 3 files (exact, word boundaries; 1 empty)",
    ):
        assert words in done.stdout, done.stdout
    found = people(bench("data", "search", str(corpus), "--names", str(names), "--exact", "--json").stdout)
    assert [found[p]["occurrences"] for p in ("p1", "p2", "p3", "p4")] == [3, 1, 0, 0]
    assert [found[p]["verdict"] for p in ("p1", "p3")] == ["mentioned", "non-member"]
    assert found["p1"]["in_longer_names"] == 1
    folded = ("--fold-case", "--fold-accents", "--substring", "--processes", "2", "--json")
    found = people(bench("data", "search", str(corpus), "--names", str(names), *folded).stdout)
    assert [found[p]["occurrences"] for p in ("p1", "p2", "p3", "p4")] == [4, 1, 1, 0]


def test_labels(bench: Bench, corpus: Path, names: Path, tmp_path: Path) -> None:
    arguments = ("data", "search", str(corpus), "--names", str(names), "--labels", "labels.parquet", "--exact")
    assert "--labels needs --corpus-name" in refused(bench(*arguments))
    plain = tmp_path / "plain.txt"
    plain.write_text("p1\tAnn Lee\nTom Ek\n", encoding="utf-8")
    error = refused(bench(*arguments[:3], "--names", str(plain), *arguments[5:], "--corpus-name", "toy"))
    assert "'Tom Ek' has no id" in error
    assert not (tmp_path / "labels.parquet").exists()
    done = bench(*arguments, "--corpus-name", "toy")
    assert done.returncode == 0, done.stderr
    rows = {row["identity"]: row for row in pq.read_table(tmp_path / "labels.parquet").to_pylist()}
    assert {identity: row["member"] for identity, row in rows.items()} == {
        "p1": True, "p2": True, "p3": False, "p4": False,
    }  # fmt: skip
    assert "caption search v2: mentioned; exact, word boundaries; 3 of 7 captions of toy" in rows["p1"]["how"]


def test_bad_input(bench: Bench, corpus: Path, names: Path, tmp_path: Path) -> None:
    listed = ("--names", str(names))
    assert "There is nothing to search" in refused(bench("data", "search", *listed))
    assert "no people to search for" in refused(bench("data", "search", str(corpus)))
    assert "does not exist" in refused(bench("data", "search", "nowhere", *listed))
    assert "does not exist" in refused(bench("data", "search", str(corpus), "--names", "nobody.txt"))
    assert "no split called" in refused(bench("data", "search", str(corpus), "--split", "avatar"))
    assert "exclude" in refused(bench("data", "search", str(corpus), *listed, "--code-points", "--fold-case"))
    assert "cannot be a list of names" in refused(bench("data", "search", str(corpus), "--names", str(tmp_path)))
    (corpus / "2.parquet").write_bytes(b"hello")
    error = refused(bench("data", "search", str(corpus), *listed))
    assert "2.parquet is damaged" in error
    assert "--skip-damaged" in error
    done = bench("data", "search", str(corpus), *listed, "--skip-damaged")
    assert done.returncode == 0, done.stderr
    assert "left out" in done.stdout
    (tmp_path / "album" / "p1").mkdir(parents=True)
    (tmp_path / "album" / "p1" / "0.png").write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8)))
    dead = bench("data", "search", *listed, "--service", "http://127.0.0.1:9", "--photos", "album")
    assert "127.0.0.1:9/knn-service does not answer" in refused(dead)


def test_neighbours_and_faces(bench: Bench, tmp_path: Path) -> None:
    """A tiny world: pictures of two people lie in the index, those of a third do not; captions say nothing."""
    world = World(TINY_SPEC)
    chosen = world.people[:4]
    shown = {person.id: world.attack([person], 0, 6).render(range(6)) for person in chosen}
    for person in chosen:
        place = tmp_path / "album" / person.id
        place.mkdir(parents=True)
        for number, picture in enumerate(shown[person.id]):
            (place / f"{number}.png").write_bytes(encode_png(picture))
    done = bench("data", "face-classifier", "train", "album", "--out", "faces.safetensors", "--arch", "resnet18",
                 "--image-size", "32", "--crop", "none", "--epochs", "2", "--batch-size", "10", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(json.loads(done.stdout)["people"]) == sorted(person.id for person in chosen)

    pictures = [path for person in chosen[:2] for path in sorted((tmp_path / "album" / person.id).iterdir())]
    embeddings = Clip("avatars-a").embed([path.read_bytes() for path in pictures])
    (tmp_path / "index" / "img_emb").mkdir(parents=True)
    (tmp_path / "index" / "metadata").mkdir()
    np.save(tmp_path / "index" / "img_emb" / "0.npy", embeddings)
    table = {"caption": ["a drawing"] * len(pictures), "image_path": [str(p.relative_to(tmp_path)) for p in pictures]}
    pq.write_table(pa.table(table), tmp_path / "index" / "metadata" / "0.parquet")
    (tmp_path / "names.txt").write_text("".join(f"{person.id}\t{person.name}\n" for person in chosen))
    arguments = ("data", "search", "--names", "names.txt", "--photos", "album", "--index", "index", "-k", "4")
    assert "--index needs --model" in refused(bench(*arguments))
    looked = ("--model", "avatars-a", "--pictures", ".", "--face-classifier", "faces.safetensors", "--clip-hits")
    done = bench(*arguments, *looked, "--json")
    assert done.returncode == 0, done.stderr
    found = people(done.stdout)
    for person in chosen:
        near = found[person.id]["neighbours"]
        assert isinstance(near, dict)
        assert (near["photos"], near["neighbours"], near["pictures"]) == (6, 24, 24)
        assert 0 <= near["face_rate"] <= 1
        assert 0 <= near["clip_rate"] <= 1
        # A photo that lies in the index is its own nearest neighbour.
        assert (near["nearest"][0]["similarity"] > 0.999) == (person in chosen[:2])


def test_what_stands_in_a_corpus_is_text(bench: Bench, names: Path, tmp_path: Path) -> None:
    """Brackets that look like the terminal's markup, and a file's name that is not UTF-8."""
    bench.environment["PYTHONIOENCODING"] = "utf-8:strict"
    shard = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.tsv")
    Path(shard).write_text("Ann Lee [/b] [red]x\thttp://x/0\n")
    for json_too in ((), ("--json",)):
        done = bench("data", "search", shard, "--names", str(names), *json_too)
        assert done.returncode == 0, done.stderr
        assert "udcff.tsv:1" in done.stdout
        assert "Ann Lee [/b] [red]x" in done.stdout


def test_told_before_the_work(bench: Bench, corpus: Path, names: Path, tmp_path: Path) -> None:
    arguments = ("data", "search", str(corpus), "--names", str(names))
    assert "no neighbours to look at" in refused(bench(*arguments, "--photos", "."))
    wrong = ("--index", ".", "--model", "avatars-a", "--pictures", "nowhere")
    assert "nowhere is not a folder" in refused(bench(*arguments, *wrong))
    done = bench(*arguments, "--labels", f"{names}/x.parquet", "--corpus-name", "toy")
    assert "x.parquet cannot be written" in refused(done)
    assert not done.stdout


def test_captions_are_searched_as_people_write_names(bench: Bench, names: Path, tmp_path: Path) -> None:
    """The default finds them; `--exact` and `--substring` find what a plain search for the letters finds."""
    captions = ["ANN\u00a0LEE", "ann_lee.jpg", "A\u00adnn Lee", "Ann&nbsp;Lee", "Ann\nLee"]
    captions += ["J\u00c3\u00b6rn P\u00c3\u00a5ske", "Joann Lee"]
    pq.write_table(pa.table({"caption": captions}), tmp_path / "c.parquet")
    arguments = ("data", "search", "c.parquet", "--names", str(names))
    done = bench(*arguments)
    assert done.returncode == 0, done.stderr
    assert "(case, accents and writing folded, word boundaries; 0 empty)" in done.stdout
    assert "non-member: not found as searched; not looked for: a part of the name alone" in " ".join(
        done.stdout.split()
    )
    for options, counts in (
        ((), [5, 0, 1, 0]),
        (("--fold-case", "--fold-accents"), [5, 0, 1, 0]),
        (("--fold-accents",), [3, 0, 1, 0]),
        (("--exact",), [0, 0, 0, 0]),
        (("--substring",), [0, 0, 0, 0]),
        (("--code-points", "--substring"), [0, 0, 0, 0]),
    ):
        found = people(bench(*arguments, *options, "--json").stdout)
        assert [found[p]["occurrences"] for p in ("p1", "p2", "p3", "p4")] == counts, options


def test_no_terminal_obeys_a_caption(bench: Bench, names: Path, tmp_path: Path) -> None:
    commands = "\x1b]0;title\x07\x1b[2J\x9b31m\u202e\r"
    pq.write_table(pa.table({"caption": [f"Ann Lee{commands}\nmore"]}), tmp_path / "c\x1b[31m.parquet")
    for json_too in ((), ("--json",)):
        done = bench("data", "search", ".", "--names", str(names), *json_too)
        assert done.returncode == 0, done.stderr
        assert "Ann Lee" in done.stdout
        assert not set(done.stdout) & set("\x1b\x07\x9b\u202e\r")
    (tmp_path / "c\x1b[31m.parquet").write_bytes(b"x")
    printed = bench("data", "search", ".", "--names", str(names))
    assert printed.returncode != 0
    assert "\x1b" not in printed.stderr
