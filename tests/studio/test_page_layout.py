"""What the page makes of a person's moves of blobs: the edits that it sends, in which order, and where blobs are shown."""

from typing import Any

import pytest
from test_page_logic import run

BLOBS = [
    {"x": 10.0, "y": 20.0, "size": 5.0, "there": True, "level": 0, "parent": None},
    {"x": 30.0, "y": 40.0, "size": 8.0, "there": True, "level": 0, "parent": 0},
    {"x": 50.0, "y": 60.0, "size": 4.0, "there": False, "level": 0, "parent": 1},
]

STUDIO = """
const { Arranger, changed } = await import(`${web}/edits/arranging.js`);
const blobs = JSON.parse(process.env.BLOBS ?? "null") ?? BLOBS_HERE;
const sent = [], told = [], later = [];
globalThis.setTimeout = (what) => later.push(what);
const studio = {
  state: { session: { current: 7, run: null, resolution: 128 }, link: "open" },
  send(message) { sent.push(message); return true; },
  tell(text) { sent.push(text); },
  keepOwn() {},
};
const arranger = new Arranger(studio, (known) => told.push(known));
const arrive = (current) => { studio.state.session = { ...studio.state.session, current }; arranger.told(); };
arranger.learn(7, blobs);
"""


def sent(script: str) -> Any:
    """What is sent to the server by a script that has `arranger`, `studio` and `arrive(node)`."""
    import json

    whole = STUDIO.replace("BLOBS_HERE", json.dumps(BLOBS)) + script + "\nconsole.log(JSON.stringify(sent));"
    return run(whole)


def test_blobs_are_shown_where_they_are_wanted() -> None:
    """Against the same written in Python: a family moves together, sizes are multiplied, hidden ones come and go."""
    import json

    change = {"moves": {"0": [3, -2], "1": [1, 1]}, "resizes": {"1": 1.5}, "removes": [0], "shows": [2]}
    found = run(
        f"const a = await import(`${{web}}/edits/arranging.js`);"
        f"console.log(JSON.stringify(a.changed({json.dumps(BLOBS)}, {json.dumps(change)})));"
    )
    places = [(13, 18), (34, 39), (54, 59)]
    assert [(b["x"], b["y"]) for b in found] == [(pytest.approx(x), pytest.approx(y)) for x, y in places]
    assert [b["size"] for b in found] == [5, 12, 4]
    assert [b["there"] for b in found] == [False, True, True]


def test_moves_of_one_gesture_are_one_entry_of_the_history() -> None:
    messages = sent(
        """
        arranger.held = true;
        arranger.move(1, 2, 0, true);
        arranger.move(1, 3, 1, true);  // while the first is on its way
        arranger.move(1, 1, 1, true);
        arrive(8);
        arrive(9);
        arranger.release();
        """
    )
    assert messages == [
        {"type": "start", "edit": {"kind": "arrangement", "moves": {"1": [2, 0]}}, "node": 7},
        {"type": "start", "edit": {"kind": "arrangement", "moves": {"1": [6, 2]}}, "node": 7, "replacing": 8},
    ]


def test_another_gesture_is_another_entry_on_top_of_the_first() -> None:
    messages = sent(
        """
        arranger.held = true;
        arranger.move(1, 2, 0, true);
        arrive(8);
        arranger.release();
        arranger.resize(0, 2);  // what the first left is not told yet
        if (!arranger.stale) throw new Error("the blobs must be asked for");
        arranger.learn(8, changed(blobs, { moves: { 1: [2, 0] } }));
        arrive(9);
        """
    )
    assert messages == [
        {"type": "start", "edit": {"kind": "arrangement", "moves": {"1": [2, 0]}}, "node": 7},
        {"type": "start", "edit": {"kind": "arrangement", "resizes": {"0": 2}}, "node": 8},
    ]


def test_every_throw_of_the_dice_and_every_button_is_an_entry() -> None:
    messages = sent(
        """
        arranger.restyle(1);
        arrive(8);
        arranger.learn(8, blobs);
        arranger.show(1, false);
        arrive(9);
        arranger.learn(9, blobs);
        arranger.show(2, true);
        arrive(10);
        arranger.learn(10, blobs);
        arranger.duplicate(0);
        arrive(11);
        arranger.learn(11, blobs);
        arranger.remove(0);
        arrive(12);
        arranger.learn(12, blobs);
        arranger.add([1.25, 2.04]);
        """
    )
    edits = [message["edit"] for message in messages]
    assert [message["node"] for message in messages] == [7, 8, 9, 10, 11, 12]
    assert not any("replacing" in message for message in messages)
    assert 0 <= edits[0]["restyles"]["1"] < 2**31
    assert edits[1:5] == [
        {"kind": "arrangement", "removes": [1]},
        {"kind": "arrangement", "shows": [2]},
        {"kind": "arrangement", "duplicates": [0]},
        {"kind": "arrangement", "deletes": [0]},
    ]
    (added,) = edits[5]["adds"]
    assert (added["x"], added["y"]) == (1.3, 2.0)


def test_sizes_stay_between_a_pixel_and_the_picture() -> None:
    messages = sent(
        """
        arranger.resize(0, 1e6);
        arrive(8);
        arranger.release();
        arranger.learn(8, blobs);
        arranger.resize(0, 1e-6);
        arranger.resize(0, NaN);
        """
    )
    assert [message["edit"]["resizes"]["0"] for message in messages] == [128 / 5, 1 / 5]


def test_typed_numbers_go_to_that_place() -> None:
    messages = sent("arranger.place(0, 0, 25); arranger.place(0, 1, 7.5); arrive(8);")
    assert [message["edit"]["moves"]["0"] for message in messages] == [[15, 0], [15, -12.5]]


def test_a_refusal_forgets_what_was_wanted_and_asks_anew() -> None:
    messages = sent(
        """
        arranger.move(1, 2, 0, true);
        arranger.refused();
        if (!arranger.stale) throw new Error("the blobs must be asked for");
        arranger.move(1, 2, 0, true);  // nothing is known: nothing is sent
        """
    )
    assert len(messages) == 1


def test_the_page_is_drawn_anew_once_the_blobs_may_be_asked_for() -> None:
    """The state in which the edit is done may be drawn before the arranger has heard of it: then nothing else is drawn."""
    sent(
        """
        arranger.show(1, false);
        const before = told.length;
        if (arranger.stale) throw new Error("the blobs are on their way");
        arrive(8);
        if (!arranger.stale) throw new Error("the blobs must be asked for");
        if (told.length === before) throw new Error("nobody hears of it");
        """
    )


def test_what_is_let_go_while_an_edit_is_on_its_way_is_neither_sent_twice_nor_lost() -> None:
    messages = sent(
        """
        arranger.held = true;
        arranger.move(1, 2, 0, true);
        arranger.move(1, 3, 0, true);
        arranger.release();
        if (arranger.stale) throw new Error("the blobs are on their way");
        arranger.held = true;
        for (const dx of [1, 1, 1]) arranger.move(0, dx, 0, true);
        arranger.release();
        arrive(8);
        arrive(9);
        arranger.learn(9, blobs);
        arrive(10);
        """
    )
    assert [(m["node"], m.get("replacing"), m["edit"]["moves"]) for m in messages] == [
        (7, None, {"1": [2, 0]}),
        (7, 8, {"1": [5, 0]}),
        (9, None, {"0": [1, 0]}),
        (9, 10, {"0": [3, 0]}),
    ]


def test_what_comes_to_nothing_without_a_word_is_waited_for_only_a_while() -> None:
    sent(
        """
        arranger.show(1, false);
        studio.state.session = { ...studio.state.session, run: { node: 8 } };
        later.pop()();
        if (!arranger.busy) throw new Error("it runs");
        studio.state.session = { ...studio.state.session, run: null };
        arranger.told();  // stopped before its first step: the picture is what it was
        if (!arranger.busy) throw new Error("as it was before it began");
        later.pop()();
        if (!arranger.stale) throw new Error("the blobs must be asked for");
        """
    )


def test_nothing_is_arranged_while_another_edit_runs() -> None:
    messages = sent("studio.state.session.run = { node: 9 }; arranger.move(1, 2, 0, true);")
    assert messages == ["Stop first, then arrange."]
