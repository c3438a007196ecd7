"""Which shard takes a line: exactly one, and the same one for all records of a key."""

from __future__ import annotations

import json
from collections import Counter
from hashlib import blake2b
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batcher.core.record import RecordReader
from batcher.core.shard import KeyShard, RangeShard
from batcher.core.soap import VERSIONS
from batcher.core.template import Template
from batcher.operations import load
from batcher.values import Shard

COUNT = 5
TEXTS = st.one_of(st.text(max_size=8), st.sampled_from(["S-1", "é", "0", "a\\b", "{", '"', "SourceID", "\\u0053"]))
VALUES = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(allow_nan=False), TEXTS)
NAMES = st.sampled_from(["SourceID", "SourceType", "VeetroID", "X", '"SourceID', ":SourceID"])
OBJECTS = st.lists(st.tuples(NAMES, st.one_of(VALUES, st.fixed_dictionaries({"SourceID": VALUES}))), max_size=5)


def reader(order_by: tuple[str, ...], **defaults: Any) -> RecordReader:
    return RecordReader(Template(load("SetOutlookSyncRecord"), VERSIONS["1.1"], defaults), order_by)


def shards(order_by: tuple[str, ...], count: int = COUNT, **defaults: Any) -> list[KeyShard]:
    key_of = reader(order_by, **defaults).key_of
    return [KeyShard(Shard(index, count), order_by, key_of) for index in range(count)]


def taker(found: list[KeyShard], raw: bytes) -> int:
    """The number of the one shard that takes *raw*, of which every shard says the same."""
    [index] = [each.shard.index for each in found if each.takes(raw)]
    assert {each.number_of(raw) % each.shard.count for each in found} == {index}
    return index


def written(members: list[tuple[str, Any]], separators: tuple[str, str], *, ascii_only: bool) -> bytes:
    """An object with these members, of which names may stand twice."""
    comma, colon = separators
    texts = [
        json.dumps(name) + colon + json.dumps(value, ensure_ascii=ascii_only, separators=separators)
        for name, value in members
    ]
    return ("{" + comma.join(texts) + "}").encode(errors="replace")


@pytest.mark.parametrize("order_by", [("SourceID",), ("SourceType", "SourceID"), ("VeetroID",), ()])
@given(raw=st.one_of(st.binary(max_size=40), st.sampled_from([b"{", b'"SourceID":"', b'{"SourceID": "a', b"[]", b"1"])))
def test_any_bytes_are_taken_by_exactly_one_shard(order_by: tuple[str, ...], raw: bytes) -> None:
    """Whatever they are: what is no record has to be told of once, too."""
    taker(shards(order_by), raw)


@given(
    members=OBJECTS,
    separators=st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : "), (",", ":  ")]),
    ascii_only=st.booleans(),
)
@example(members=[("SourceID", "a"), ("SourceID", "b")], separators=(",", ":"), ascii_only=True)
@example(members=[("SourceID", "a"), ("X", {"SourceID": "b"})], separators=(",", ":"), ascii_only=True)
@example(members=[("SourceID", "a"), ("X", "SourceID")], separators=(", ", ": "), ascii_only=True)
@example(members=[("SourceID", "")], separators=(",", ":"), ascii_only=True)
def test_a_key_decides_as_the_record_has_it(
    members: list[tuple[str, Any]], separators: tuple[str, str], *, ascii_only: bool
) -> None:
    """Of any object, however it is written, the shard is that of the key that reading it gives; without one, any."""
    raw = written(members, separators, ascii_only=ascii_only)
    [key] = reader(("SourceID",)).key_of(raw)
    index = taker(shards(("SourceID",)), raw)
    if key is None:
        assert index == int(blake2b(raw, digest_size=8).hexdigest(), 16) % COUNT
    else:
        assert index == taker(shards(("SourceID",)), orjson.dumps({"SourceID": key}))


def test_values_that_are_the_same_key_meet() -> None:
    """A default counts as if it stood there, and a field that has no value does not part those that share the rest."""
    found = shards(("SourceID",), SourceID="S-7")
    assert taker(found, b'{"SourceID":"S-7"}') == taker(found, b'{"VeetroID":1}') == taker(found, b'{"SourceID":null}')
    pair = shards(("SourceType", "SourceID"))
    assert taker(pair, b'{"SourceID":"S-7"}') == taker(pair, b'{"SourceType":"","SourceID":"S-7","X":1}')


def test_where_a_key_goes_never_changes() -> None:
    """It is the same in any process and version: a shard that is resumed takes its own records."""
    found = shards(("SourceID",), 16)
    assert [taker(found, b'{"SourceID":"S-%d"}' % number) for number in range(1, 9)] == [7, 13, 3, 4, 3, 4, 6, 1]
    assert taker(shards((), 16), b'{"SourceID":"S-1"}') == 11


@pytest.mark.parametrize("pattern", ["S-%d", "%d", "%08d", "%08x00", "00000000%08XE00074C5B7101A82E008"])
def test_keys_are_spread_evenly(pattern: str) -> None:
    """Of numbered keys no shard of 16 has a tenth more or less than its share."""
    found = shards(("SourceID",), 16)
    lines = [orjson.dumps({"SourceID": pattern % number}) for number in range(1000, 9000)]
    taken = Counter(each.shard.index for each in found for raw in lines if each.takes(raw))
    assert sum(taken.values()) == len(lines)
    assert min(taken.values()) > 450
    assert max(taken.values()) < 550


@given(size=st.integers(0, 10**13), count=st.integers(1, 300))
def test_parts_follow_each_other(size: int, count: int) -> None:
    """The first begins with the file, the last ends with it, and none is a byte larger than another."""
    parts = [RangeShard(Shard(index, count)).part(size) for index in range(count)]
    assert [part.begin for part in parts] == [0, *(part.end for part in parts[:-1])]
    assert parts[-1].end == size
    sizes = {part.end - part.begin for part in parts}
    assert max(sizes) - min(sizes) <= 1


@given(
    keys=st.lists(st.integers(0, 9), max_size=20), own=st.integers(1, 4), others=st.lists(st.integers(1, 5), max_size=3)
)
def test_lines_are_numbered_as_by_the_shards_of_other_divisions(keys: list[int], own: int, others: list[int]) -> None:
    """Each shard knows of its own lines where they stand in others, and how many lines these have."""
    raws = [b'{"SourceID":"S-%d"}' % key for key in keys]
    expected: list[tuple[tuple[int, int], ...]] = [()] * len(raws)
    for count in others:
        for index in range(count):
            other = KeyShard(Shard(index, count), ("SourceID",), lambda _raw: ())
            for ordinal, at in enumerate((at for at, raw in enumerate(raws) if other.takes(raw)), 1):
                expected[at] += ((index, ordinal),)
    for index in range(own):
        shard = KeyShard(Shard(index, own), ("SourceID",), lambda _raw: ())
        shard.number_by(others)
        taken = [at for at, raw in enumerate(raws) if shard.takes(raw)]
        assert list(shard.places) == [expected[at] for at in taken if others]
        assert [sum(counts) for counts in shard.counts] == [len(raws)] * len(others)
