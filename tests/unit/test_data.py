"""Labelled posts: what is read, what is refused and where, and that the shipped ones are valid and split cleanly."""

import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from models import corpora, data
from models.data import KINDS, REGISTERS, DataError, LabelledPost, read, read_file, read_real
from models.labels import LABEL_IDS
from models.near import near_duplicates
from models.normalize import canonical, plain

HIDDEN = "内緒の文章"
SPLIT_NAMES: tuple[data.Split, ...] = ("train", "validation", "test")
SHIPPED_FILES = sorted(data.SHIPPED.glob("*.jsonl"))


def line(**changes: Any) -> str:
    """A good line, changed; None removes a field."""
    found = {"text": HIDDEN, "labels": ["insult"], "kind": "plain", "register": "board", "pair": "p1", **changes}
    return json.dumps({name: value for name, value in found.items() if value is not None}, ensure_ascii=False)


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def test_fields_are_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / "batch-a.jsonl", line(labels=["threat", "insult"], more="ignored"), line(labels=[], kind=None)
    )
    first, second = read_file(path)
    assert first == LabelledPost(HIDDEN, frozenset({"insult", "threat"}), "batch-a", "plain", "board", "p1")
    assert second == LabelledPost(HIDDEN, frozenset(), "batch-a", "", "board", "p1")
    assert first.targets == [float(label in ("insult", "threat")) for label in LABEL_IDS]
    assert second.targets == [0.0] * len(LABEL_IDS)


def test_only_text_and_labels_are_needed(tmp_path: Path) -> None:
    (found,) = read_file(write(tmp_path / "a.jsonl", '{"text": "あ", "labels": []}'))
    assert found == LabelledPost("あ", frozenset(), "a")


def test_line_ends_inside_a_text_end_no_line(tmp_path: Path) -> None:
    text = "一\u2028二\u2029三\x85四\x0b五"
    path = tmp_path / "a.jsonl"
    path.write_bytes(("\ufeff" + line(text=text) + "\r\n\r\n  \n" + line()).encode())
    assert [post.text for post in read_file(path)] == [text, HIDDEN]


def test_a_directory_is_its_files_in_order_of_name(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        write(tmp_path / f"{name}.jsonl", line(text=name))
    write(tmp_path / "notes.txt", "not read")
    assert [(post.text, post.batch) for post in read(tmp_path)] == [("a", "a"), ("b", "b"), ("c", "c")]
    assert [post.text for post in read(tmp_path / "b.jsonl")] == ["b"]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("{" + HIDDEN, "not JSON"),
        (f'"{HIDDEN}"', "not a JSON object"),
        ("[]", "not a JSON object"),
        ("[" * 100_000, "not JSON"),
        (line(text=None), "`text`"),
        (line(text=5), "`text`"),
        (line(text=" \n"), "`text`"),
        (line(labels=None), "`labels`"),
        (line(labels="insult"), "`labels`"),
        (line(labels=["insult", "spam"]), "`labels`"),
        (line(labels=[5]), "`labels`"),
        (line(labels=[["insult"]]), "`labels`"),
        (line(labels={"insult": 1}), "`labels`"),
        (line(kind="odd"), "`kind`"),
        (line(kind=["plain"]), "`kind`"),
        (line(kind=""), "`kind`"),
        (line(register="loud"), "`register`"),
        (line(register={}), "`register`"),
        (line(labels=[], kind="plain"), "does not go with labels"),
        (line(kind="game"), "does not go with labels"),
    ],
)
def test_an_error_names_file_and_line_and_never_the_text(tmp_path: Path, broken: str, said: str) -> None:
    path = write(tmp_path / "posts.jsonl", line(), "", broken, line())
    with pytest.raises(DataError) as raised:
        read(path)
    message = str(raised.value)
    assert message.startswith(f"{path}:3: ")
    assert said in message
    assert HIDDEN not in message
    assert "\n" not in message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl: cannot be read: FileNotFoundError"):
        read(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match=r"no \.jsonl file in it"):
        read(tmp_path)
    (tmp_path / "latin.jsonl").write_bytes(b'{"text": "\xe9", "labels": []}\n')
    with pytest.raises(DataError, match=r"latin\.jsonl: cannot be read: UnicodeDecodeError"):
        read(tmp_path)
    (tmp_path / "latin.jsonl").write_bytes(b"\n\n")
    with pytest.raises(DataError, match="no post in it"):
        read(tmp_path)


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_real_posts_are_found_by_hash_and_split_by_hash(tmp_path: Path) -> None:
    texts = [f"本物{i}" for i in range(300)]
    labels = [["insult"] if i % 2 else [] for i in range(300)]
    rows = [{"sha256": digest_of(text), "labels": carried} for text, carried in zip(texts, labels, strict=True)]
    path = write(tmp_path / "real.jsonl", *map(json.dumps, rows), json.dumps({"sha256": "0" * 64, "labels": []}))
    found = read_real(path, [*texts[50:], "a text without labels"])
    assert [post.text for post in found] == texts[50:]
    sides: tuple[data.Split, ...] = ("test", "test", "validation", "train", "train", "train")
    for post in found:
        assert sorted(post.labels) == labels[texts.index(post.text)]
        assert post.kind == ("" if post.labels else "plain_chat")
        assert data.split_of(post.batch) == sides[int(digest_of(post.text), 16) % 6]
    assert {side: len(data.select(found, side)) > 20 for side in SPLIT_NAMES} == dict.fromkeys(SPLIT_NAMES, True)


def test_chat_that_nobody_labelled_is_never_measured_on() -> None:
    texts = [f"雑談{i}" for i in range(100)]
    found = data.assumed_benign("mrmp_chat", texts, 50, seed=1)
    assert found == data.assumed_benign("mrmp_chat", texts, 50, seed=1)
    assert len({post.text for post in found}) == 50
    assert not any(post.labels for post in found)
    sides = [data.split_of(post.batch) for post in found]
    assert (sides.count("validation"), sides.count("train"), sides.count("test")) == (10, 40, 0)
    assert len(data.assumed_benign("mrmp_chat", texts, 500, seed=1)) == 100


@pytest.mark.parametrize("digest", [None, 5, "abc", "G" * 64, "a" * 63])
def test_a_bad_hash_names_its_line(tmp_path: Path, digest: object) -> None:
    good = json.dumps({"sha256": "0" * 64, "labels": []})
    path = write(tmp_path / "real.jsonl", good, json.dumps({"sha256": digest, "labels": []}))
    with pytest.raises(DataError, match=r"real\.jsonl:2: `sha256`"):
        read_real(path, [])


def test_select_takes_each_post_once(tmp_path: Path) -> None:
    posts = read(data.SHIPPED)
    sides = {split: data.select(posts, split) for split in SPLIT_NAMES}
    assert sum(map(len, sides.values())) == len(posts)
    assert all(sides.values())
    assert data.split_of("anything-else") == "train"


@pytest.mark.parametrize("path", SHIPPED_FILES, ids=[path.stem for path in SHIPPED_FILES])
def test_every_shipped_file_is_valid(path: Path) -> None:
    posts = read_file(path)
    assert posts
    assert all(post.kind in KINDS and post.register in REGISTERS for post in posts)
    pairs: dict[str, list[LabelledPost]] = defaultdict(list)
    for post in posts:
        if post.pair:
            pairs[post.pair].append(post)
    for pair, both in pairs.items():
        assert len(both) == 2, f"{path.name}: pair {pair} has {len(both)} posts"
        assert both[0].labels != both[1].labels, f"{path.name}: pair {pair} has the same labels twice"


def test_the_shipped_real_labels_are_valid() -> None:
    rows = [json.loads(row) for row in data.REAL.read_text("utf-8").splitlines()]
    digests = [row["sha256"] for row in rows]
    assert len(set(digests)) == len(digests)
    assert all(set(row) == {"sha256", "labels"} for row in rows), "labels by hash only, never a text"
    assert read_real(data.REAL, []) == []


def test_no_batch_stands_on_two_sides() -> None:
    splits = json.loads(data.SPLITS.read_text("utf-8"))
    assert set(splits) == {"test", "validation"}
    assert not set(splits["test"]) & set(splits["validation"])
    assert all(len(names) == len(set(names)) for names in splits.values())
    made = {"real-test", "real-validation"} | {f"{name}-validation" for name in corpora.ASSUMED_BENIGN}
    known = {path.stem for path in SHIPPED_FILES} | made
    assert {*splits["test"], *splits["validation"]} <= known, "a batch that does not exist"


def test_every_label_is_on_every_side() -> None:
    posts = read(data.SHIPPED)
    for split in SPLIT_NAMES:
        carried = {label for post in data.select(posts, split) for label in post.labels}
        assert carried == set(LABEL_IDS), split


def split_sides(key: Any) -> dict[str, dict[data.Split, set[str]]]:
    """What `key` makes of a text → the splits it stands in, with the batches."""
    found: dict[str, dict[data.Split, set[str]]] = defaultdict(lambda: defaultdict(set))
    for post in read(data.SHIPPED):
        found[key(post.text)][data.split_of(post.batch)].add(post.batch)
    return found


def test_no_text_stands_on_two_sides() -> None:
    twice = [sides for sides in split_sides(str).values() if len(sides) > 1]
    assert not twice


def test_no_two_posts_are_nearly_alike() -> None:
    """But for minimal pairs, and a text beside its own evasion spelling."""
    posts = data.read(data.SHIPPED)
    found = [
        (posts[i].batch, posts[j].batch, round(similarity, 2))
        for i, j, similarity in near_duplicates([post.text for post in posts])
        if (posts[i].batch, posts[i].pair) != (posts[j].batch, posts[j].pair) or not posts[i].pair
        if "evasion" not in (posts[i].kind, posts[j].kind) or posts[i].text == posts[j].text
    ]
    assert found == []


def test_no_text_of_the_test_split_is_elsewhere_in_another_spelling() -> None:
    def spelling(text: str) -> str:
        return "".join(canonical(plain(text)).text.lower().split())

    twice = [sides for sides in split_sides(spelling).values() if "test" in sides and len(sides) > 1]
    assert not twice
