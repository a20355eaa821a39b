"""Files of records: what is there is read again, what was cut off is measured again, what is of something else is refused."""

import json
import re

import pytest

from gansteer.errors import UserError
from gansteer.evaluation.records import append, check_records, read_records, resume

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
