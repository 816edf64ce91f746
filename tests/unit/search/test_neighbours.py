"""Neighbours: exact embeddings and faiss agree, a real service is asked over HTTP, and what they show is counted."""

from __future__ import annotations

import base64
import json
import resource
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from idbench.errors import DataError
from idbench.search.neighbours import EmbeddingFolder, FaissIndex, Neighbour, Query, Service, folder, open_index
from idbench.search.neighbours.recognition import Look, Portraits, look_at_neighbours
from idbench.search.neighbours.web import PictureSource, WebError

DIM, ROWS = 8, 60


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Embeddings and metadata as clip-retrieval writes them, in three files each."""
    place = tmp_path / "index"
    (place / "img_emb").mkdir(parents=True)
    (place / "metadata").mkdir()
    rows = normalized(np.random.default_rng(0).normal(size=(ROWS, DIM)))
    for part in range(3):
        low, high = part * 20, part * 20 + 20
        np.save(place / "img_emb" / f"img_emb_{part}.npy", rows[low:high].astype(np.float16))
        table = {
            "image_path": [f"{i}.png" for i in range(low, high)],
            "caption": [f"Ann Lee {i}" if i % 3 == 0 else f"nobody {i}" for i in range(low, high)],
            "url": [f"http://x/{i}" for i in range(low, high)],
        }
        pq.write_table(pa.table(table), place / "metadata" / f"metadata_{part}.parquet", row_group_size=7)
    return place


def normalized(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def queries(n: int = 5) -> list[Query]:
    rows = normalized(np.random.default_rng(1).normal(size=(n, DIM)))
    return [Query(f"photo {i}".encode(), row) for i, row in enumerate(rows)]


def stored(index: Path) -> NDArray[np.float32]:
    parts = [np.load(path).astype(np.float32) for path in sorted((index / "img_emb").glob("*.npy"))]
    return np.asarray(np.concatenate(parts), dtype=np.float32)


def test_exact_search_is_what_sorting_all_cosines_gives(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = stored(index)
    for block in (7, 65_536):
        monkeypatch.setattr(folder, "BLOCK", block)
        for query, line in zip(queries(), EmbeddingFolder(index).nearest(queries(), 9), strict=True):
            assert query.embedding is not None
            cosines = rows @ query.embedding / np.linalg.norm(rows, axis=1)
            assert [near.id for near in line] == np.argsort(-cosines)[:9].tolist()
            assert [near.similarity for near in line] == pytest.approx(np.sort(cosines)[::-1][:9], abs=1e-5)
            for near in line:
                assert near.url == f"http://x/{near.id}"
                assert near.path == f"{near.id}.png"
                assert near.caption == (f"Ann Lee {near.id}" if near.id % 3 == 0 else f"nobody {near.id}")
    assert len(EmbeddingFolder(index).nearest(queries(1), 1000)[0]) == ROWS


def test_faiss_agrees_with_exact_search(index: Path) -> None:
    faiss = pytest.importorskip("faiss")
    flat = faiss.IndexFlatIP(DIM)
    rows = stored(index)
    flat.add(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    exact = open_index(index).nearest(queries(), 6)
    faiss.write_index(flat, str(index / "image.index"))
    source = open_index(index)
    assert isinstance(source, FaissIndex)
    found = source.nearest(queries(), 6)
    assert [[near.id for near in line] for line in found] == [[near.id for near in line] for line in exact]
    assert [near.similarity for near in found[0]] == pytest.approx([near.similarity for near in exact[0]], abs=1e-5)
    assert len(source.nearest(queries(1), 100)[0]) == ROWS, "faiss fills up with -1, which is no neighbour"


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda place: (place / "img_emb" / "img_emb_1.npy").write_bytes(b"hello"), "img_emb_1.npy is damaged"),
        (lambda place: np.save(place / "img_emb" / "img_emb_1.npy", np.zeros(3)), "not embeddings"),
        (lambda place: (place / "metadata" / "metadata_2.parquet").unlink(), "60 embeddings but 40 rows"),
        (lambda place: (place / "metadata" / "metadata_2.parquet").write_bytes(b"x"), "metadata_2.parquet is damaged"),
        (
            lambda place: np.save(place / "img_emb" / "img_emb_1.npy", np.zeros((20, 5))),
            "5 numbers, img_emb_0.npy of 8",
        ),
        (
            lambda place: pq.write_table(pa.table({"key": [""] * 20}), place / "metadata" / "metadata_2.parquet"),
            "metadata_2.parquet has none of the columns",
        ),
        (lambda place: [path.unlink() for path in (place / "img_emb").glob("*")], "holds no .npy"),
        (lambda place: (place / "img_emb").rename(place / "other"), "holds neither"),
    ],
)
def test_damaged_folders(index: Path, damage: Callable[[Path], object], says: str) -> None:
    damage(index)
    with pytest.raises(DataError, match=says):
        open_index(index)


def test_a_page_of_metadata_that_is_damaged(index: Path) -> None:
    path = index / "metadata" / "metadata_1.parquet"
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"metadata_1\.parquet is damaged"):
        open_index(index).nearest(queries(1), ROWS)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files cannot be counted")
def test_an_index_of_more_files_than_a_process_may_open(tmp_path: Path) -> None:
    rows = normalized(np.random.default_rng(0).normal(size=(60, DIM)))
    for name in ("img_emb", "metadata"):
        (tmp_path / name).mkdir()
    for part, row in enumerate(rows):
        np.save(tmp_path / "img_emb" / f"img_emb_{part:02d}.npy", row[None])
        pq.write_table(
            pa.table({"caption": [f"number {part}"]}), tmp_path / "metadata" / f"metadata_{part:02d}.parquet"
        )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 20, hard))
    try:
        (line,) = EmbeddingFolder(tmp_path).nearest([Query(b"", rows[41])], 60)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(line) == 60
    assert line[0].caption == "number 41"


def test_damaged_faiss_index(index: Path) -> None:
    pytest.importorskip("faiss")
    (index / "image.index").write_bytes(b"hello")
    with pytest.raises(DataError, match="not an index that faiss can read"):
        open_index(index)


def test_another_models_embeddings_are_refused(index: Path) -> None:
    with pytest.raises(DataError, match="embeddings of 8 numbers"):
        EmbeddingFolder(index).nearest([Query(b"", np.ones(5, dtype=np.float32))], 3)


class Server:
    """A service that speaks clip-retrieval's protocol over a real socket, in front of a real index."""

    def __init__(self, source: EmbeddingFolder, embed: Callable[[bytes], NDArray[np.float32]]) -> None:
        self.asked: list[dict[str, object]] = []
        self.answer: bytes | None = None
        self.failures = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append(body)
                if self.path != "/knn-service" or outer.failures > 0:
                    outer.failures -= 1
                    self.send_error(503 if self.path == "/knn-service" else 404)
                    return
                row = body["embedding_input"]
                vector = np.array(row, np.float32) if row is not None else embed(base64.b64decode(body["image"]))
                (line,) = source.nearest([Query(b"", vector)], body["num_images"])
                found = [
                    {"id": n.id, "similarity": n.similarity, "caption": n.caption, "url": n.url, "image_path": n.path}
                    for n in line
                ]
                content = json.dumps(found).encode() if outer.answer is None else outer.answer
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def do_GET(self) -> None:
                self.send_response(200 if self.path == "/good.png" else 404)
                self.end_headers()
                self.wfile.write(b"a picture")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(index: Path) -> Iterator[Server]:
    vectors = {query.photo: query.embedding for query in queries()}

    def embed(photo: bytes) -> NDArray[np.float32]:
        found = vectors[photo]
        assert found is not None
        return found

    made = Server(EmbeddingFolder(index), embed)
    yield made
    made.close()


def test_a_service_answers_as_the_index_behind_it(server: Server, index: Path) -> None:
    def plain(lines: list[list[Neighbour]]) -> list[list[tuple[object, ...]]]:
        return [[(n.id, round(n.similarity, 5), n.caption, n.url, n.path) for n in line] for line in lines]

    exact = plain(EmbeddingFolder(index).nearest(queries(), 7))
    for url in (server.url, f"{server.url}/knn-service/"):
        assert plain(Service(url, "toy").nearest(queries(), 7)) == exact
    by_photo = Service(server.url, "toy").nearest([Query(query.photo) for query in queries()], 7)
    assert plain(by_photo) == exact
    last = server.asked[-1]
    assert last["indice_name"] == "toy"
    assert last["num_images"] == 7
    assert last["deduplicate"] is False
    assert last["image"] == base64.b64encode(b"photo 4").decode()


def test_a_busy_service_is_asked_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("idbench.search.neighbours.web.PAUSE", 0.01)
    server.failures = 2
    assert len(Service(server.url, "toy").nearest(queries(1), 4)[0]) == 4
    server.failures = 5
    with pytest.raises(WebError, match="503"):
        Service(server.url, "toy").nearest(queries(1), 4)


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b'{"message": "no"}',
        b'[{"similarity": 1}]',
        b'[{"id": "x"}]',
        b"[3]",
        b'[{"id": 1, "similarity": NaN}]',
        b'[{"id": Infinity, "similarity": 1}]',
        b"[" * 100_000,
    ],
)
def test_a_service_that_talks_nonsense(server: Server, answer: bytes) -> None:
    server.answer = answer
    with pytest.raises(WebError, match="does not answer as clip-retrieval"):
        Service(server.url, "toy").nearest(queries(1), 4)


def test_a_dead_service(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("idbench.search.neighbours.web.PAUSE", 0.01)
    server.close()
    with pytest.raises(WebError, match="does not answer"):
        Service(server.url, "toy").nearest(queries(1), 4)
    with pytest.raises(WebError, match="not a web address"):
        Service("file:///etc", "toy").nearest(queries(1), 4)


def test_pictures_come_from_the_folder_or_the_web_and_never_from_outside(tmp_path: Path, server: Server) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    place = tmp_path / "pictures"
    place.mkdir()
    (place / "1.png").write_bytes(b"one")
    pictures = PictureSource(place)
    assert pictures.read(Neighbour(1, 1.0, path="1.png")) == b"one"
    for path in ("2.png", "../secret.png", str(tmp_path / "secret.png"), "."):
        assert pictures.read(Neighbour(1, 1.0, path=path)) is None
    good, dead = f"{server.url}/good.png", f"{server.url}/dead.png"
    assert pictures.read(Neighbour(1, 1.0, url=good)) is None, "nothing is fetched unasked"
    assert PictureSource(fetch=True).read(Neighbour(1, 1.0, url=good)) == b"a picture"
    assert PictureSource(fetch=True).read(Neighbour(1, 1.0, url=dead)) is None
    assert PictureSource(fetch=True).read(Neighbour(1, 1.0, url="file:///etc/passwd")) is None


class Reader:
    """Reads who is on a picture that says so."""

    people = frozenset({"Ann", "Tom"})

    def name(self, pictures: Sequence[bytes]) -> list[str | None]:
        return [picture.decode() for picture in pictures]


class Fixed:
    """Neighbours that are known beforehand."""

    embeds = True

    def nearest(self, asked: Sequence[Query], k: int) -> list[list[Neighbour]]:
        def near(number: int, name: str | None) -> Neighbour:
            return Neighbour(number, 0.5, f"caption of {name}", picture=None if name is None else name.encode())

        return [[near(0, "Ann"), near(1, "Tom"), near(i + 2, None if i else "Ann")][:k] for i in range(len(asked))]


def test_hits_are_shares_of_the_pictures_that_could_be_had() -> None:
    people = [
        Portraits("p1", frozenset({"p1", "Ann"}), (Query(b"a"), Query(b"b"))),
        Portraits("p2", frozenset({"p2", "Zoe"}), (Query(b"c"),)),
        Portraits("p3", frozenset({"Tom"}), ()),
    ]
    look = Look(face=Reader(), k=3)
    found = look_at_neighbours(people, 3, Fixed(), look, lambda person, text: text.split()[-1] in person.answers)
    ann, zoe, tom = (found[identity] for identity in ("p1", "p2", "p3"))
    # Six neighbours of two photos: pictures 0 and 1 twice, 2 once, and 3, which cannot be had.
    assert (ann.photos, ann.neighbours, ann.pictures, ann.face_hits, ann.captioned) == (2, 6, 5, 3, 2)
    assert ann.face_rate == 0.6
    assert (ann.clip_rate, ann.eligible, ann.suspicious) == (None, None, True)
    assert (zoe.face_hits, zoe.suspicious) == (None, None), "whom the namer does not know is not absent"
    assert (tom.photos, tom.neighbours) == (0, 0)
    assert [near.id for near in ann.nearest] == [0, 1, 2]


def test_eligible_as_the_authors_define_it() -> None:
    people = [Portraits("p1", frozenset({"Tom"}), (Query(b"a"),))]
    look = Look(k=3, clip=Reader(), face=Reader())
    tom = look_at_neighbours(people, 1, Fixed(), look, lambda *_: False)["p1"]
    assert tom.clip_rate == tom.face_rate == pytest.approx(1 / 3)
    assert tom.eligible is False
    people = [Portraits("p1", frozenset({"Ann"}), (Query(b"a"),))]
    look = Look(k=2, clip=Reader(), face=Reader())
    assert look_at_neighbours(people, 1, Fixed(), look, lambda *_: False)["p1"].clip_rate == 0.5
