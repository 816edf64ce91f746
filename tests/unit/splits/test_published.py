"""The published splits from their authors' lists: the real ones where they lie beside the checkout, else invented ones.

All names here are invented.
"""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.web import write_faces

from idbench.api import Silent
from idbench.errors import DataError, TargetError
from idbench.runner.selection import choose_targets
from idbench.splits import Split, find_recipe, lint
from idbench.splits.avatars.names import FIRST_NAMES, LAST_NAMES
from idbench.splits.honesty import examine
from idbench.splits.published import cc3m_idia, facescrub, laion, photos, upstream
from idbench.splits.published.candidates import draw_candidates
from idbench.splits.published.facescrub import Fixes, Spelling, digest_of_name
from idbench.splits.published.injected_lists import FILES, read_lists
from idbench.splits.recipe import SourcedRecipe, Sources
from idbench.splits.sources import disagreements
from idbench.splits.subsets import matched_people, people_of_subset, write_subset
from idbench.targets.full_size.idia import FILES as FILES_OF
from idbench.targets.full_size.idia import LEVELS, checkpoint_file

NEEDED = ("num_samples_with_name_in_cap", "openclip_percentage_correct_preds", "resnet50_percentage_correct_preds")


UPSTREAM = Path(__file__).parents[4] / "shared" / "facts" / "upstream"
real = pytest.mark.skipif(not UPSTREAM.is_dir(), reason="the authors' lists do not lie beside the checkout")


def write_last_names(folder: Path) -> None:
    rows = "".join(f'{name.upper()},{i + 1},"{9000 - i:,}"\n' for i, name in enumerate(LAST_NAMES))
    (folder / "common_last_names_US_2010.csv").write_text(
        f'\ufeffSURNAME,RANK,FREQUENCY (COUNT)\n{rows},,\n"Source: invented.",,\n', encoding="utf-8"
    )


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sources:
    """Twenty people with four photos each; members are those whom CC3M shows more of."""
    monkeypatch.setenv("BENCH_ATTACK_PHOTOS", "3")
    monkeypatch.setenv("BENCH_PICTURE_SIDE", "48")
    faces = write_faces(tmp_path / "faces", 24, 4)
    names = sorted(place.name for place in faces.iterdir())[:20]
    lists = tmp_path / "lists"
    lists.mkdir()
    for i, file in enumerate(FILES):
        mine = names[i * 5 : i * 5 + 5]
        rates = [0.1 + 0.01 * k if "non" not in file else 0.02 + 0.02 * k for k in range(5)]
        table = pd.DataFrame({"name": mine, "num_samples_with_name_in_cap": range(100, 105), "gender": "m"})
        table["openclip_percentage_correct_preds"] = rates
        table["resnet50_percentage_correct_preds"] = [0.05] * 5
        table.to_csv(lists / file)
    write_last_names(lists)
    return Sources(faces=faces, source=lists)


def rewrite(folder: Path, file: str, **columns: object) -> None:
    pd.read_csv(folder / file, index_col=0).assign(**columns).to_csv(folder / file)


def folder(sources: Sources) -> Path:
    assert sources.source is not None
    return sources.source


def test_lists_are_read_with_their_own_evidence(sources: Sources) -> None:
    lists = read_lists(folder(sources))
    assert [one.member for one in lists.people].count(True) == 10
    assert all("_" not in one.name for one in lists.people)
    assert {one.confidence for one in lists.people if one.member} == {1.0}
    # 1 minus the larger of the two rates
    assert sorted({one.confidence for one in lists.people if not one.member}) == [0.9, 0.92, 0.94, 0.95]
    assert lists.confounding["num_samples_with_name_in_cap"] == 0.5
    assert lists.confounding["openclip_percentage_correct_preds"] == 0.98  # 96 pairs in order and 4 ties of 100
    assert "openclip_percentage_correct_preds alone" in lists.warning
    assert "AUC 0.98" in lists.warning


def test_the_split_says_that_membership_was_not_random(sources: Sources, tmp_path: Path) -> None:
    out = tmp_path / "split"
    out.mkdir()
    notes = cc3m_idia.build(sources, out, tmp_path / "corpora", Silent())
    assert any("not assigned at random" in note for note in notes)
    assert [finding for finding in lint(out) if finding.severity == "error"] == []
    split = Split(out)
    assert split.corpora == ("cc3m+1", "cc3m+5", "cc3m+10", "cc3m+25", "cc3m+50", "cc3m+75")
    assert split.manifest.parts == {"test": 16, "calibration": 4}
    labels = split.labels("cc3m+25")
    assert set(labels.how) == {"author's list"}
    assert set(labels.occurrences[labels.member]) == {25}
    assert labels.member.sum() == 10
    assert all(len(one.photos) == 3 for one in split.identities)
    calibration = np.array([one.part == "calibration" for one in split.identities])
    assert labels.member[calibration].sum() == 2  # drawn among members and non-members apart
    assert not any(corpus.control for corpus in split.manifest.corpora)
    assert "not random" in (out / "README.md").read_text(encoding="utf-8")


def test_all_its_targets_are_the_checkpoints_of_the_authors(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "split").mkdir()
    cc3m_idia.build(sources, tmp_path / "split", tmp_path / "corpora", Silent())
    split = Split(tmp_path / "split")
    monkeypatch.setenv("BENCH_IDIA_CHECKPOINTS", str(tmp_path))
    with pytest.raises(TargetError, match=r"rn50_top75_epoch_50\.pt of the authors of IDIA is not in") as caught:
        choose_targets(split, "all")
    assert "release page" in caught.value.hint
    with pytest.raises(DataError, match="No registered target fits") as refused:
        choose_targets(split, None)
    assert "idia:*" in refused.value.hint
    for architecture in FILES_OF:
        for level in LEVELS:
            (tmp_path / checkpoint_file(architecture, level)).write_bytes(b"")
    found = choose_targets(split, "all")
    assert len(found) == 18
    assert {target.corpus for target in found} == set(split.corpora)


def test_people_without_enough_photos_are_left_out_and_counted(sources: Sources, tmp_path: Path) -> None:
    assert sources.faces is not None
    for photo in sorted((sources.faces / read_lists(folder(sources)).people[0].name.replace(" ", "_")).iterdir())[:2]:
        photo.unlink()
    out = tmp_path / "split"
    out.mkdir()
    notes = cc3m_idia.build(sources, out, tmp_path / "corpora", Silent())
    assert "1 of 20 people have fewer than 3 photos, left out." in notes


def test_too_few_people_are_refused(sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_ATTACK_PHOTOS", "5")
    with pytest.raises(DataError, match="Only 0 members of the lists have 5 photos"):
        cc3m_idia.build(sources, tmp_path / "split", tmp_path / "corpora", Silent())


@pytest.mark.parametrize("column", ["name", *NEEDED])
def test_a_missing_column_is_named(sources: Sources, column: str) -> None:
    path = folder(sources) / FILES[0]
    pd.read_csv(path, index_col=0).drop(columns=column).to_csv(path)
    with pytest.raises(DataError, match=f"actors_members.csv lacks the column {column}"):
        read_lists(folder(sources))


def test_bad_lists_are_refused_in_one_sentence(sources: Sources) -> None:
    lists = folder(sources)
    rewrite(lists, FILES[1], openclip_percentage_correct_preds=["a lot"] * 5)
    with pytest.raises(DataError, match="values that are not numbers"):
        read_lists(lists)
    rewrite(lists, FILES[1], openclip_percentage_correct_preds=[float("nan")] * 5)
    with pytest.raises(DataError, match="values that are not numbers"):
        read_lists(lists)
    rewrite(lists, FILES[1], openclip_percentage_correct_preds=[12.0] * 5)
    with pytest.raises(DataError, match="values that are not numbers"):
        read_lists(lists)
    (lists / FILES[1]).write_text("")
    with pytest.raises(DataError, match="not a list of people"):
        read_lists(lists)
    (lists / FILES[1]).write_text(f"name,{','.join(NEEDED)}\n")
    with pytest.raises(DataError, match="lists nobody"):
        read_lists(lists)
    (lists / FILES[1]).unlink()
    with pytest.raises(DataError, match="There is no list"):
        read_lists(lists)


def test_nobody_may_be_a_member_and_a_non_member(sources: Sources) -> None:
    lists = folder(sources)
    twin = pd.read_csv(lists / FILES[0])["name"][0]
    rewrite(lists, FILES[3], name=[twin.upper(), "b", "c", "d", "e"])
    with pytest.raises(DataError, match="more than once"):
        read_lists(lists)


def test_it_is_registered_and_trains_nothing() -> None:
    recipe = find_recipe("cc3m-idia")
    assert isinstance(recipe, SourcedRecipe)
    assert (recipe.needs, recipe.takes, recipe.corpora) == ((), ("source", "faces"), ())


COUNTS = {0: 4, 1: 3, 40: 5, 299: 4, 300: 4, 5000: 5}
"""How many invented people have how many captions."""


def name(i: int) -> str:
    return f"{FIRST_NAMES[i % len(FIRST_NAMES)]} {LAST_NAMES[i * 7 % len(LAST_NAMES)]}"


@pytest.fixture
def counted(tmp_path: Path) -> Path:
    """Lists like the authors': 25 people with counts, eight of them with addresses, and an older list of four."""
    folder = tmp_path / "upstream"
    folder.mkdir()
    counts = [count for count, times in COUNTS.items() for _ in range(times)]
    table = pd.DataFrame({"name": [name(i) for i in range(len(counts))], "count": counts})
    table["membership"] = ["member" if count else "non_member" for count in counts]
    table["bin"] = ["[0, 25)" if count < 25 else "[25, 300)" if count < 300 else "[300, 1000000)" for count in counts]
    table.to_csv(folder / laion.COUNTS)
    write_last_names(folder)
    for i in range(8):
        place = folder / "laion_european_celebs" / ("actors" if i % 2 else "actresses")
        place.mkdir(parents=True, exist_ok=True)
        lines = "".join(f"https://photos.invalid/{i}/{k}.jpg\n" for k in range(3))
        (place / f"{name(i).replace(' ', '_')}.txt").write_text(lines + lines.partition("\n")[0])  # one repeated
    old = folder / "laion_german_non_members"
    old.mkdir()
    for who in (name(0), name(4), name(5), "Nobody Known"):
        (old / f"{who.replace(' ', '_')}.txt").write_text("https://photos.invalid/old.jpg\n")
    return folder


def built(kind: object, sources: Sources, out: Path) -> tuple[Split, tuple[str, ...]]:
    out.mkdir()
    notes = kind(sources, out, out.parent / "corpora", Silent())  # type: ignore[operator]
    assert [finding for finding in lint(out) if finding.severity == "error"] == []
    return Split(out), notes


def test_counts_become_labels_with_bins_confidence_and_addresses(counted: Path, tmp_path: Path) -> None:
    split, notes = built(laion.build_facescrub, Sources(source=counted), tmp_path / "split")
    assert split.manifest.parts == {"test": 25, "calibration": 0}
    labels = split.labels("laion400m")
    assert sorted(labels.occurrences) == sorted(count for count, times in COUNTS.items() for _ in range(times))
    assert (labels.member == (labels.occurrences > 0)).all()
    assert set(labels.confidence[labels.occurrences == 1]) == {round(0.95 * 0.7, 4)}
    assert set(labels.confidence[~labels.member]) == {0.5}
    assert all("caption search" in how for how in labels.how)
    assert len(split.rows("bins")) == 25
    assert len(split.rows("urls")) == 8 * 3
    assert all(row[2:] == ("", "", "") for row in split.rows("urls"))  # nobody fetched them
    assert len(people_of_subset(split, "few-captions")) == 16
    assert set(split.candidate_names) > {identity.name for identity in split.identities}
    assert len(split.prompts) == 21
    assert any("is not the pinned list" in note for note in notes)


def test_photos_make_the_subset_of_the_papers(counted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(laion, "PHOTOS", 2)
    faces = write_faces(tmp_path / "scrub" / "actors" / "images", 10, 3)
    gone = faces / name(1).replace(" ", "_")
    for photo in sorted(gone.iterdir())[:2]:
        photo.unlink()
    split, notes = built(laion.build_facescrub, Sources(source=counted, faces=tmp_path / "scrub"), tmp_path / "split")
    photos = {identity.name: len(identity.photos) for identity in split.identities}
    assert (photos[name(0)], photos[name(1)], photos[name(20)]) == (2, 1, 0)
    assert len(people_of_subset(split, "papers")) == 9
    assert any("15 people have no photo" in note for note in notes)
    (tmp_path / "papers").mkdir()
    write_subset(split, people_of_subset(split, "papers"), "papers", tmp_path / "papers", Silent())
    subset = Split(tmp_path / "papers")
    assert (subset.manifest.name, len(subset.identities)) == ("laion-facescrub-papers", 9)
    assert all(len(identity.photos) == 2 for identity in subset.identities)
    assert [finding for finding in lint(tmp_path / "papers") if finding.severity == "error"] == []


def test_another_spelling_is_matched_and_written_down(
    counted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = write_faces(tmp_path / "faces", 3, 1)
    (faces / name(0).replace(" ", "_")).rename(faces / "Mispelt_Name")
    known = Spelling(spelling=digest_of_name("Mispelt Name"), name=digest_of_name(name(0)), source="a test")
    fixes = Fixes(what="", spellings=(known,), first_generation=())
    monkeypatch.setattr(facescrub, "read_fixes", lambda: fixes)
    split, _ = built(laion.build_facescrub, Sources(source=counted, faces=faces), tmp_path / "split")
    (row,) = split.rows("spellings")
    assert row[1:] == ("Mispelt Name", "a test")
    (person,) = [identity for identity in split.identities if identity.id == row[0]]
    assert (person.name, len(person.photos)) == (name(0), 1)


def test_facescrubs_own_lists_give_addresses_with_hashes(counted: Path, tmp_path: Path) -> None:
    rows = f"{name(20)}\t1\t2\thttp://photos.invalid/a b.jpg\t1,2,3,4\t{'AB' * 32}\n\tbroken\n"
    (counted / "facescrub_actors.txt").write_text(f"name\timage_id\tface_id\turl\tbbox\tsha256\n{rows}")
    split, _ = built(laion.build_facescrub, Sources(source=counted), tmp_path / "split")
    assert [row[1:3] for row in split.rows("urls") if row[2]] == [("http://photos.invalid/a b.jpg", "ab" * 32)]
    (counted / "facescrub_actors.txt").write_text("a\tb\n1\t2\n")
    with pytest.raises(DataError, match="is not FaceScrub's list"):
        built(laion.build_facescrub, Sources(source=counted), tmp_path / "again")


def test_what_was_fetched_is_written_down_beside_the_addresses(counted: Path, tmp_path: Path) -> None:
    faces = write_faces(tmp_path / "faces", 10, 3)
    row = photos.Availability("any", "https://photos.invalid/0/1.jpg", photos.FETCHED, "a" * 64, "b" * 16)
    photos.write_table(
        faces / photos.TABLE, [row, photos.Availability("any", "https://photos.invalid/1/0.jpg", "dead")]
    )
    split, _ = built(laion.build_facescrub, Sources(source=counted, faces=faces), tmp_path / "split")
    found = {row[1]: row[2:] for row in split.rows("urls") if row[4]}
    assert found == {
        "https://photos.invalid/0/1.jpg": ("a" * 64, "b" * 16, "fetched"),
        "https://photos.invalid/1/0.jpg": ("", "", "dead"),
    }


def test_two_generations_of_labels_are_compared(counted: Path, tmp_path: Path) -> None:
    split, _ = built(laion.build_german, Sources(source=counted), tmp_path / "split")
    assert len(split.identities) == 8
    found = disagreements(split)
    assert found.sentence == "2 of 4 in the first source changed sides, 1 stayed, 1 were dropped; 5 were added"
    dropped = [one for one in found.people if one.outcome == "dropped"]
    assert dropped[0].identity not in {identity.id for identity in split.identities}
    assert not any("Nobody" in str(cell) for row in found.table for cell in row)


def test_candidates_follow_the_rule_of_the_paper(counted: Path) -> None:
    real_names = [name(i) for i in range(20)]
    without = draw_candidates(upstream.open_upstream(counted, Silent()), real_names, "seed")
    assert "the pool differs" in without.note
    sexes = ("boy", "girl")
    rows = [(1880 + y, f"{sex}{i}", (500 - i) / 1e5, sex) for y in (0, 1) for sex in sexes for i in range(300)]
    firsts = pd.DataFrame(rows, columns=["year", "name", "percent", "sex"])
    firsts.to_csv(counted / "common_first_names.csv", index=False)
    drawn = draw_candidates(upstream.open_upstream(counted, Silent()), real_names, "seed")
    assert len(drawn.names) == 1000 == len(set(drawn.names))
    assert set(real_names) < set(drawn.names)
    assert all(sum(one.startswith(sex) for one in drawn.names) == 490 for sex in sexes)
    assert drawn.names == draw_candidates(upstream.open_upstream(counted, Silent()), real_names, "seed").names
    assert {one.split()[-1] for one in drawn.names} <= {last.title() for last in LAST_NAMES} | set(LAST_NAMES)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("count", "many", "no name, no count or no membership"),
        ("count", "0", "the membership contradicts the count"),
        ("membership", "perhaps", "no name, no count or no membership"),
        ("name", " ", "no name, no count or no membership"),
        ("name", name(1), "stands on an earlier line"),
    ],
)
def test_bad_counts_are_refused(counted: Path, column: str, value: str, message: str) -> None:
    path = counted / laion.COUNTS
    table = pd.read_csv(path, index_col=0, dtype=str)
    table.loc[9, column] = value
    table.to_csv(path)
    with pytest.raises(DataError, match=message):
        laion.read_counts(path)


@pytest.fixture
def host(counted: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """A server that sends archives of commits, by path, as the real one does; pins are those of the invented lists."""
    archives: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = archives.get(self.path)
            self.send_response(404 if data is None else 200)
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
            pass

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        tar.add(counted, "repo-commit/data")
        link = tarfile.TarInfo("repo-commit/data/laion_european_celebs/evil.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    wanted = (upstream.COUNTS, upstream.LAST_NAMES, upstream.EUROPEANS)
    pins = {upstream.COUNTS: upstream.sha256_file(counted / upstream.COUNTS)}
    archive = upstream.Archive("somebody/lists", "c" * 40, wanted, pins)
    archives["/somebody/lists/tar.gz/" + "c" * 40] = out.getvalue()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(upstream, "HOST", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(upstream, "LISTS", archive)
    monkeypatch.setenv("BENCH_CACHE", str(counted.parent / "cache"))
    yield archives
    server.shutdown()
    server.server_close()


def test_pinned_lists_are_fetched_once(host: dict[str, bytes], tmp_path: Path) -> None:
    split, notes = built(laion.build_german, Sources(), tmp_path / "split")
    assert len(split.identities) == 8
    assert any(note.startswith("Without the list of US first names") for note in notes)
    host.clear()  # and they come from the cache then
    again, _ = built(laion.build_german, Sources(), tmp_path / "again")
    assert again.digest == split.digest
    assert not list(tmp_path.glob("cache/upstream/**/evil.txt"))


def test_what_is_not_the_pinned_list_is_refused(
    host: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = host
    whole = host[path]
    host[path] = whole[: len(whole) // 2]
    with pytest.raises(DataError, match="not a complete archive"):
        built(laion.build_german, Sources(), tmp_path / "cut")
    host.clear()
    with pytest.raises(DataError, match="answers 404"):
        built(laion.build_german, Sources(), tmp_path / "gone")
    host[path] = whole
    wrong = {upstream.COUNTS: "0" * 64}
    monkeypatch.setattr(upstream, "LISTS", upstream.Archive("somebody/lists", "c" * 40, (upstream.COUNTS,), wrong))
    with pytest.raises(DataError, match="has SHA-256"):
        built(laion.build_german, Sources(), tmp_path / "wrong")
    assert not list(tmp_path.glob("cache/upstream/*/c*"))  # nothing of it is kept


def test_matching_leaves_no_column_that_tells(sources: Sources, tmp_path: Path) -> None:
    lists = folder(sources)
    for i, file in enumerate(FILES):  # one of five members looks like a non-member
        rates = [0.019, 0.15, 0.16, 0.18, 0.19] if "non" not in file else [0.02, 0.01, 0.012, 0.015, 0.005]
        rewrite(lists, file, openclip_percentage_correct_preds=[rate + i * 1e-5 for rate in rates])
    split, _ = built(cc3m_idia.build, Sources(source=lists), tmp_path / "split")
    before = examine(split, Silent())
    assert before.verdict.startswith("confounded")
    pairs = matched_people(split, Silent())
    assert pairs.covariates == ("openclip_percentage_correct_preds",)
    members = dict(zip((one.id for one in split.identities), split.labels("cc3m+75").member, strict=True))
    assert sum(members[one] for one in pairs.identities) * 2 == len(pairs.identities)
    (tmp_path / "matched").mkdir()
    write_subset(split, pairs.identities, "matched", tmp_path / "matched", Silent())
    after = examine(Split(tmp_path / "matched"), Silent())
    assert not any(one.telling for one in after.corpora)


@real
def test_the_real_lists_come_out_as_the_cards_say(tmp_path: Path) -> None:
    people, _ = built(laion.build_facescrub, Sources(source=UPSTREAM), tmp_path / "laion")
    labels = people.labels("laion400m")
    assert (len(people.identities), int(labels.member.sum())) == (548, 540)
    assert int(labels.occurrences.max()) == 36_981
    honest = examine(people, Silent())
    assert honest.verdict == "confounded, too few"
    assert honest.sentences[0] == "8 non-members resolve no rate below 12.5 %"
    assert len(people.candidate_names) == 1000
    assert len(people_of_subset(people, "few-captions")) == 173
    german, notes = built(laion.build_german, Sources(source=UPSTREAM), tmp_path / "german")
    assert disagreements(german).sentence.startswith("11 of 16 in the first source changed sides")
    assert len(german.identities) == 18
    assert not any("pinned" in note for note in notes)


@real
def test_the_real_cc3m_lists_are_as_confounded_as_the_card_says(tmp_path: Path) -> None:
    lists = read_lists(UPSTREAM / "conceptual_captions_facescrub_member_info")
    assert [one.member for one in lists.people].count(True) == 100
    assert len(lists.people) == 200
    assert lists.confounding == pytest.approx(dict(zip(NEEDED, (0.64, 0.93, 0.75), strict=True)), abs=0.006)
    split, _ = built(cc3m_idia.build, Sources(source=UPSTREAM), tmp_path / "cc3m")
    honest = examine(split, Silent())
    assert honest.sentences[0] == (
        "one column of the selection separates members from non-members with AUC 0.93; "
        "not evidence of identity inference without a control"
    )
    assert "80 non-members resolve no rate below 1.25 %" in honest.sentences
