"""Files of records: what is there is read again, what was cut off is measured again, what is of something else is refused."""

import json
import re

import fsspec
import pytest

from gansteer.errors import UserError
from gansteer.evaluation.records import append, check_records, read_records, recording, resume
from gansteer.places import place, read_bytes

HEAD = {"model": "abc", "range": (1, 2), "minutes": None}


def test_goes_on_where_it_was(tmp_path):
    path = tmp_path / "found.jsonl"
    assert resume(path, HEAD, dict) == []
    append(path, {"drag": 1})
    append(path, {"drag": 2, "left": float("nan")})
    before = path.read_bytes()
    assert [json.loads(line) for line in before.decode().splitlines()[:2]] == [
        json.loads(json.dumps(HEAD)),
        {"drag": 1},
    ]
    assert [record["drag"] for record in resume(path, HEAD, dict)] == [1, 2]
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_records_at_an_address_are_those_of_a_file(tmp_path):
    fsspec.filesystem("memory").store.clear()
    there, here = place("memory://records/found.jsonl"), tmp_path / "found.jsonl"

    def stopped(where):
        with recording(where, HEAD, dict) as (known, add):
            assert known == []
            for number in range(3):
                add({"drag": number})
            raise KeyboardInterrupt

    for where in (there, here):
        with pytest.raises(KeyboardInterrupt):
            stopped(where)  # what there is until then is kept
        with recording(where, HEAD, dict) as (known, add):
            assert [record["drag"] for record in known] == [0, 1, 2]
            add({"drag": 3})
        with (
            pytest.raises(UserError, match=f"{re.escape(str(where))} is of other weights"),
            recording(where, {**HEAD, "model": "other"}, dict),
        ):
            raise AssertionError
    assert read_bytes(there) == read_bytes(here)
    fsspec.filesystem("memory").pipe_file("/records/found.jsonl", b"a letter\n")
    with pytest.raises(UserError, match="no file of records, or a damaged one"), recording(there, HEAD, dict):
        raise AssertionError
    with recording(None, HEAD, dict) as (known, add):
        add({"drag": 0})
        assert known == []
    assert list(tmp_path.iterdir()) == [here]


@pytest.mark.parametrize("length", range(1, len('{"drag": 2}\n')))
def test_a_line_that_was_cut_off_is_as_if_it_had_never_been(tmp_path, length):
    path = tmp_path / "found.jsonl"
    resume(path, HEAD, dict)
    append(path, {"drag": 1})
    whole = path.read_text()
    path.write_text(whole + '{"drag": 2}\n'[:length])
    assert read_records(path, dict)[1] == [{"drag": 1}]
    assert resume(path, HEAD, dict) == [{"drag": 1}]
    append(path, {"drag": 2})
    assert path.read_text() == whole + '{"drag": 2}\n'


def test_a_file_of_something_else_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "found.jsonl"
    resume(path, HEAD, dict)
    path.write_text(path.read_text() + '{"dr')
    before = path.read_text()
    with pytest.raises(UserError, match=re.escape(f"{path} is of other weights or settings")):
        resume(path, {**HEAD, "model": "other"}, dict)
    for text in (
        "",
        "a letter to my mother",
        '{"model": "abc"}\n{"drag"\n{"drag": 2}\n',
        '{"model": "abc"}\n1\n',
        "\xff\n",
    ):
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(UserError, match="no file of records, or a damaged one"):
            resume(path, HEAD, dict)
        assert path.read_bytes() == text.encode("latin-1")
    path.write_text(before)
    assert resume(path, HEAD, dict) == []


def test_complaints_come_before_the_work(tmp_path):
    check_records(None, None)
    check_records(tmp_path / "new.jsonl", 0.1)
    for path, minutes, message in (
        (None, 0, "--minutes must be above 0, not 0"),
        (None, float("nan"), "--minutes must be above 0"),
        (tmp_path / "found.json", 1, "ends in .jsonl"),
        (tmp_path / "none" / "found.jsonl", 1, "there is no folder"),
    ):
        with pytest.raises(UserError, match=message):
            check_records(path, minutes)
