"""The page's modules without a page: the pure ones against Python, all of them by TypeScript, and the protocol's types."""

import base64
import dataclasses
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from browser import node
from scipy import ndimage

from gansteer.edits.record import edit_from_json
from gansteer.studio import protocol

WEB = Path(protocol.__file__).parent / "web"
TYPESCRIPT = "typescript@7.0.2"


def run(script: str) -> Any:
    """What a script prints as JSON; it may import the page's modules."""
    command = [node(), "--input-type=module", "-e", f"const web = {json.dumps(WEB.as_uri())};\n{script}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def worded(function: str, words: list[str]) -> Any:
    """What a function of words.js makes of each of `words`."""
    return run(
        f"const w = await import(`${{web}}/words.js`); console.log(JSON.stringify({json.dumps(words)}.map(w.{function})));"
    )


def test_how_an_edit_ended_is_said_without_what_is_for_the_record():
    said = {
        "the rest of the picture hardly changed: 2.08 of 255 levels, 9.11 without a region": "The rest of the picture hardly changed.",
        "all handles have arrived": "Arrived.",
        "step limit of 300 reached (the nearest picture is kept)": "Step limit of 300 reached (the nearest picture is kept)",
        "nothing is to change": "Nothing is to change.",
    }
    assert worded("ending", list(said)) == list(said.values())


def test_what_an_edit_took():
    limit, arrived = "step limit of 9 reached (the nearest picture is kept)", "all handles have arrived"
    said = [
        (9, [4.26, 1.0], "", "9 steps · 4.3 px to go · 2.0 s"),
        (1, [4.26], limit, "1 step · 4.3 px to go · 2.0 s"),
        (0, [4.26], limit, "no step brought it nearer · 4.3 px to go · 2.0 s"),
        (0, [0.2], arrived, "it was there already · 2.0 s"),
        (7, [0.2], arrived, "7 steps · 2.0 s"),
        (1, [], "done", ""),
    ]
    calls = [[{"step": step, "distances": left, "seconds": 2.0}, ended] for step, left, ended, _ in said]
    script = (
        "const w = await import(`${web}/words.js`); console.log(JSON.stringify(CALLS.map((c) => w.numbers(...c))));"
    )
    assert run(script.replace("CALLS", json.dumps(calls))) == [words for *_, words in said]


def test_labels():
    labels = {
        "yaw": "Turn",
        "mouth_open": "Mouth open",
        "hair_color": "Hair colour",
        "pc:3": "Variation 3",
        "sefa:pose:2": "Pose 2",
    }
    assert worded("label", list(labels)) == list(labels.values())


def test_paint_against_loops():
    script = """
    const p = await import(`${web}/paint.js`);
    const out = {};
    out.stroke = [...p.fill(p.blank(24), p.FREE, p.stroke([4, 5], [15, 9], 3))];
    out.ellipse = [...p.fill(p.blank(24), p.HELD, p.ellipse([3, 6], [17, 12]))];
    out.rectangle = [...p.fill(p.blank(24), p.HELD, p.rectangle([17, 12], [3, 6]))];
    const free = p.fill(p.blank(4), p.FREE, p.rectangle([0, 0], [1, 1]));
    out.free = [...p.mask(free)];
    out.both = [...p.mask(p.fill(free, p.HELD, p.rectangle([0, 0], [0, 0])))];
    out.inverted = [...p.mask(p.invert(free))];
    out.erased = p.mask(p.fill(free, p.NONE, () => true));
    console.log(JSON.stringify(out));
    """
    out = run(script)
    y, x = np.mgrid[:24, :24]
    points = [(4 + 11 * t, 5 + 4 * t) for t in np.linspace(0, 1, 2001)]
    near = np.min([np.hypot(x - px, y - py) for px, py in points], axis=0) <= 3
    assert np.array_equal(np.reshape(out["stroke"], (24, 24)), near)
    inside = ((x - 10) / 7.01) ** 2 + ((y - 9) / 3.01) ** 2 <= 1
    assert np.array_equal(np.reshape(out["ellipse"], (24, 24)), 2 * inside)
    assert np.array_equal(np.reshape(out["rectangle"], (24, 24)), 2 * ((x >= 3) & (x <= 17) & (y >= 6) & (y <= 12)))
    free = np.zeros((4, 4), int)
    free[:2, :2] = 1
    assert np.array_equal(np.reshape(out["free"], (4, 4)), free)
    assert np.array_equal(np.reshape(out["inverted"], (4, 4)), 1 - free)
    free[0, 0] = 0
    assert np.array_equal(np.reshape(out["both"], (4, 4)), free)
    assert out["erased"] is None


def test_the_border_of_a_part_goes_round_it_and_pieces_hang_together():
    """Each line lies between a pixel inside and one outside; all ends meet in pairs; a square's is as long as it should be."""
    script = """
    const p = await import(`${web}/paint.js`);
    const square = p.fill(p.blank(12), 1, p.rectangle([3, 4], [7, 9]));
    const odd = p.fill(p.fill(p.blank(12), 1, (x, y) => (x * x + 3 * y) % 5 < 2), 1, p.rectangle([0, 0], [2, 2]));
    console.log(JSON.stringify({ square: p.border(square), odd: p.border(odd), layer: [...odd], pieces: p.pieces(odd).map((one) => [...one]) }));
    """
    out = run(script)
    labels, count = ndimage.label(np.reshape(out.pop("layer"), (12, 12)))
    pieces = out.pop("pieces")
    assert len(pieces) == count > 3
    assert {tuple(piece) for piece in pieces} == {tuple((labels == k + 1).ravel().astype(int)) for k in range(count)}
    for lines in out.values():
        ends = [tuple(end) for line in lines for end in (line[:2], line[2:])]
        assert all(ends.count(end) == 2 for end in ends)
    length = sum(np.hypot(c - a, d - b) for a, b, c, d in out["square"])
    assert length == pytest.approx(2 * (4 + 5) + 4 * np.sqrt(0.5))


def test_a_drag_of_the_page_is_one_of_the_library():
    script = """
    const d = await import(`${web}/draft.js`);
    const p = await import(`${web}/paint.js`);
    const points = await import(`${web}/points.js`);
    let draft = d.empty(13);
    draft = { ...draft, pairs: points.add(points.add([], [1.26, 2], 13, [99, -4]), [5, 5], 13) };
    draft = { ...draft, paint: p.fill(draft.paint, p.HELD, (x, y) => (x * 7 + y * 3) % 5 === 0) };
    const edit = d.toDrag(draft, { steps: 7 });
    const back = d.fromDrag(edit, [[3, 4]], 13);
    console.log(JSON.stringify({ edit, back: [...back.paint], pairs: back.pairs, kept: d.fromText(d.toText(draft), 13).pairs,
      other: d.fromText(d.toText(draft), 14), broken: d.fromText("{", 13) }));
    """
    out = run(script)
    edit = edit_from_json(out["edit"])
    assert (edit.handles, edit.targets, edit.steps) == (((1.3, 2.0),), ((12.0, 0.0),), 7)
    y, x = np.mgrid[:13, :13]
    held = (x * 7 + y * 3) % 5 == 0
    assert np.array_equal(edit.mask.numpy(), ~held)
    assert np.array_equal(np.reshape(out["back"], (13, 13)), 2 * held)
    assert out["pairs"] == [{"id": 1, "from": [3, 4], "to": [12, 0]}]
    assert [pair["to"] for pair in out["kept"]] == [[12, 0], None]
    assert out["other"] is None
    assert out["broken"] is None


def test_views_undo_and_history():
    script = """
    const g = await import(`${web}/geometry.js`);
    const u = await import(`${web}/undo.js`);
    const h = await import(`${web}/history.js`);
    const k = await import(`${web}/keys.js`);
    const s = await import(`${web}/gallery.js`);
    const stage = { width: 700, height: 500 };
    const view = g.fit(128, stage, 20);
    const at = [333, 210];
    const zoomed = g.zoom(view, 2.5, at, 128, stage);
    const out = { view, there: g.toPicture(view, at), still: g.toPicture(zoomed, at), back: g.toStage(zoomed, g.toPicture(zoomed, at)) };
    const [a, b] = [[300, 200], [400, 260]];
    const pinched = g.pinch(view, [a, b], [[250, 180], [430, 300]], 128, stage);
    out.pinch = [g.toPicture(view, g.middle(a, b)), g.toPicture(pinched, [340, 240])];
    let t = u.trail(0);
    for (const [value, tag] of [[1, ""], [2, "n"], [3, "n"], [4, "m"], [5, ""]]) t = u.changed(t, value, tag);
    const seen = [];
    for (let i = 0; i < 6; i++) { seen.push(t.present); t = u.undone(t); }
    for (let i = 0; i < 6; i++) { seen.push(t.present); t = u.redone(t); }
    out.seen = seen;
    const nodes = [[1, null], [2, 1], [3, 2], [4, 1], [5, null], [6, null], [7, 4]].map(([id, parent]) => ({ id, parent }));
    out.placed = h.arranged(nodes).map(({ node, column, row }) => [node.id, column, row]).sort((p, q) => p[0] - q[0]);
    const press = (key, more) => k.find({ key, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...more })?.action;
    out.keys = [press("z", { ctrlKey: true }), press("Z", { metaKey: true, shiftKey: true }), press("?", { shiftKey: true }),
      press(" "), press("Enter", { shiftKey: true }), press("b"), press("b", { altKey: true }), press("+", { shiftKey: true })];
    out.unique = k.KEYS.flatMap((one) => one.keys).length === new Set(k.KEYS.flatMap((one) => one.keys)).size;
    out.shuffled = s.shuffled([1, 2, 3, 4], new Set([2, 4]), () => 0.00002);
    console.log(JSON.stringify(out));
    """
    out = run(script)
    assert out["view"] == {"scale": 460 / 128, "x": 120, "y": 20}
    assert out["still"] == pytest.approx(out["there"])
    assert out["back"] == pytest.approx([333, 210])
    assert out["pinch"][1] == pytest.approx(out["pinch"][0])
    assert out["seen"] == [5, 4, 3, 1, 0, 0, 0, 1, 3, 4, 5, 5]
    assert out["placed"] == [[1, 0, 0], [2, 1, 0], [3, 2, 0], [4, 1, 1], [5, 0, 2], [6, 1, 2], [7, 2, 1]]
    assert out["keys"] == ["undo", "redo", "help", "pan", "toggle", "tool-free", None, "zoom-in"]
    assert out["unique"]
    shuffled = out["shuffled"]
    assert (shuffled[1], shuffled[3], len(set(shuffled))) == (2, 4, 4)


def test_masks_are_packed_as_the_protocol_says():
    out = run(
        """const d = await import(`${web}/draft.js`);
        console.log(JSON.stringify(d.pack(new Uint8Array(9).map((_, i) => (i % 3 === 1 ? 2 : 0)))));"""
    )
    assert out["shape"] == [3, 3]
    assert base64.b64decode(out["packed"]) == np.packbits([0, 1, 0] * 3).tobytes()


def test_the_types_of_the_messages_are_the_protocols():
    text = (WEB / "protocol.d.ts").read_text()
    interfaces = {
        name: set(re.findall(r"^  (\w+)\??:", body, re.MULTILINE))
        for name, body in re.findall(r"export interface (\w+) \{\n(.*?)\n\}", text, re.DOTALL)
    }
    ours = (protocol.Welcome, protocol.State, protocol.Progress, protocol.Answer, protocol.Fault, protocol.Received,
            protocol.Sight, protocol.CropInfo, protocol.CostInfo, protocol.ModelInfo, protocol.NodeInfo, protocol.RunInfo, protocol.StepRecord, protocol.Frame)  # fmt: skip
    for one in ours:
        names = {field.name for field in _fields(one)}
        assert interfaces[one.__name__] - {"type"} == names, one.__name__
    (union,) = re.findall(r"export type FromPage =(.*?);\n\n", text, re.DOTALL)
    sent = {}
    for branch in union.split("\n  | "):
        for kind in re.findall(r'"(\w+)"', branch.partition(";")[0]):
            sent[kind] = set(re.findall(r"(\w+)\??:", branch)) - {"type"}
    assert sent == {one.__name__.lower(): {f.name for f in _fields(one)} for one in protocol.FromPage.__args__}


def _fields(one: Any) -> Any:
    if issubclass(one, msgspec.Struct):
        return msgspec.structs.fields(one)
    return dataclasses.fields(one)


def test_typescript_finds_no_mistake(tmp_path):
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("the page is type-checked where npm is at hand")
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gansteer" / TYPESCRIPT
    tsc = home / "node_modules" / ".bin" / "tsc"
    if not tsc.exists():
        home.mkdir(parents=True, exist_ok=True)
        got = subprocess.run(
            [npm, "install", "--prefix", home, "--no-audit", "--no-fund", TYPESCRIPT], capture_output=True, timeout=120
        )
        if got.returncode:
            pytest.skip(f"{TYPESCRIPT} can't be had from here")
    options = {
        "strict": True, "checkJs": True, "allowJs": True, "noEmit": True, "target": "es2022", "module": "es2022",
        "moduleResolution": "bundler", "lib": ["es2023", "dom", "dom.iterable"], "types": [],
        "noUnusedLocals": True, "noUnusedParameters": True,
    }  # fmt: skip
    config = {"compilerOptions": options, "include": [f"{WEB}/*.js", f"{WEB}/*.d.ts", f"{WEB}/vendor/*.d.ts"]}
    (tmp_path / "tsconfig.json").write_text(json.dumps(config))
    done = subprocess.run([tsc, "-p", tmp_path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


def test_the_page_fetches_nothing_from_elsewhere():
    for path in WEB.rglob("*.*"):
        if path.suffix in (".js", ".css", ".html", ".svg"):
            found = re.findall(r"https?://[^\s\"'`)]+", path.read_text())
            assert all(address.startswith("http://www.w3.org/") for address in found), path  # names, not addresses
    assert "preact" in (WEB / "vendor" / "LICENSE").read_text().lower()
