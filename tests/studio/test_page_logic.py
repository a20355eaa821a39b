"""The page's modules without a page: the pure ones against Python, all of them by TypeScript, and the protocol's types."""

import base64
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import node
from scipy import ndimage

from gansteer.edits.record import edit_from_json, edit_to_json
from gansteer.studio.typescript import FILE, typescript
from support.waiting import PATIENCE

WEB = FILE.parent
ROOT = Path(__file__).parents[2]


def run(script: str) -> Any:
    """What a script prints as JSON; it may import the page's modules."""
    command = [node(), "--input-type=module", "-e", f"const web = {json.dumps(WEB.as_uri())};\n{script}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
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
        (0, [4.26], limit, "No step brought it nearer · 4.3 px to go · 2.0 s"),
        (0, [0.2], arrived, "It was there already · 2.0 s"),
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


BROWSER = """
globalThis.navigator ??= { platform: "" };
globalThis.document = { querySelector: () => null };
const { KINDS } = await import(`${web}/edits/index.js`);
const { initial, goesOn, asIf } = await import(`${web}/state.js`);
const d = await import(`${web}/draft.js`);
const p = await import(`${web}/paint.js`);
const points = await import(`${web}/points.js`);
const state = (draft, session, more) => ({ ...initial(KINDS), session: { resolution: 13, current: 1, ...session },
  trails: { 1: { past: [], present: draft } }, ...more });
const kind = (name) => KINDS.find(({ needs }) => needs === name);
"""
"""What the modules of the kinds expect of a browser, and a page of 13 x 13 pixels."""


def test_a_drag_of_the_page_is_one_of_the_library():
    script = """
    let draft = d.empty(KINDS, 13);
    draft = { ...draft, pairs: points.add(points.add([], [1.26, 2], 13, [99, -4]), [5, 5], 13) };
    draft = { ...draft, paint: p.fill(draft.paint, p.HELD, (x, y) => (x * 7 + y * 3) % 5 === 0) };
    const settings = { limit: 7, strength: 3, freedom: "usual", numbers: { method: "draggan" } };
    const edit = kind("drag").toEdit(state(draft, {}, { settings }));
    const back = asIf(state(d.empty(KINDS, 13), {}), edit, { points: [[3, 4]] });
    const text = d.toText(KINDS, draft);
    console.log(JSON.stringify({ edit, back: [...back.live.paint], pairs: back.live.pairs, settings: back.settings,
      kept: d.fromText(KINDS, text, 13).pairs, other: d.fromText(KINDS, text, 14), broken: d.fromText(KINDS, "{", 13) }));
    """
    out = run(BROWSER + script)
    edit = edit_from_json(out["edit"])
    assert (edit.handles, edit.targets, edit.steps, edit.learning_rate) == (((1.3, 2.0),), ((12.0, 0.0),), 7, 0.01)
    y, x = np.mgrid[:13, :13]
    held = (x * 7 + y * 3) % 5 == 0
    assert np.array_equal(edit.mask.numpy(), ~held)
    assert np.array_equal(np.reshape(out["back"], (13, 13)), 2 * held)
    assert out["pairs"] == [{"id": 1, "from": [3, 4], "to": [12, 0]}]
    assert (out["settings"]["limit"], out["settings"]["strength"]) == (7, 3)
    assert [pair["to"] for pair in out["kept"]] == [[12, 0], None]
    assert out["other"] is None
    assert out["broken"] is None


def test_how_a_drag_is_carried_out_is_what_the_library_reads_and_comes_back():
    """Each choice of the page, made an edit, told as the server tells it, and made a choice again."""
    plain = {"limit": 300, "strength": 2, "freedom": "usual", "numbers": {}}
    asked: list[dict[str, Any]] = [
        plain,
        {**plain, "freedom": "faithful", "strength": 4, "limit": 9, "numbers": {"method": "draggan"}},
        {**plain, "freedom": "free", "numbers": {"method": "gauss-newton", "space": "w"}},
        {**plain, "numbers": {"tracker": "confident", "r1": 4, "r2": 9.5, "lambda_mask": 3}},
        {**plain, "numbers": {"method": "freedrag"}, "strength": 1},
        {**plain, "numbers": {"method": "transformer"}},
    ]
    how = f"const h = await import(`${{web}}/edits/drag_how.js`); const asked = {json.dumps(asked)};"
    fields = run(how + "console.log(JSON.stringify(asked.map(h.fieldsOf)));")
    edits = [edit_from_json({"kind": "drag", "handles": [[1, 2]], "targets": [[3, 4]], **one}) for one in fields]
    assert [edit.reach for edit in edits] == [0, 10, 0, 0, 0, 0]
    assert [edit.rows for edit in edits] == [6, 6, 99, 6, 6, 6]
    assert [edit.learning_rate for edit in edits] == [None, 2e-2, None, None, 2e-3, None]
    assert [edit.method for edit in edits][2:] == ["gauss-newton", None, "freedrag", "transformer"]
    told = [edit_to_json(edit) for edit in edits]
    script = f"console.log(JSON.stringify({json.dumps(told)}.map((edit) => h.settingsOf(edit, {json.dumps(plain)}))));"
    assert run(how + script) == asked
    script = """
    const some = { r1: 4, method: "freedrag" };
    console.log(JSON.stringify([h.withNumber(some, "r1", null), h.withNumber(some, "method", ""),
      h.withNumber(some, "lambda_mask", 10), h.withNumber(some, "r2", 5)]));
    """
    assert run(how + script) == [
        {"method": "freedrag"},
        {"r1": 4},
        {"r1": 4, "method": "freedrag"},
        {"r1": 4, "method": "freedrag", "r2": 5},
    ]


def test_a_face_that_came_apart_is_said_and_can_be_had_again():
    script = """
    const edit = { kind: "drag", handles: [[2, 2]], targets: [[10, 6]] };
    const before = { nodes: [{ id: 1, parent: null, kind: "seed" }, { id: 2, parent: 1, kind: "drag" }], current: 2, edit };
    const out = { asked: [], sent: [], said: [] };
    const session = { ...before, trail: [], ended: "all handles have arrived" };
    for (const whole of [{ 1: true, 2: false }, { 1: true, 2: true }, { 1: false, 2: false }, { 1: null, 2: null }]) {
      const studio = {
        state: { ...initial(KINDS), session, trails: { 2: { past: [], present: d.empty(KINDS, 13) } }, welcome: { answers: ["whole"] } },
        ask: async (about, more, node) => (out.asked.push([about, node]), whole[node]),
        keepOwn: ({ tab }, change) => (studio.state.own = { ...studio.state.own, [tab]: { ...studio.state.own[tab], ...change } }),
        prefer: (change) => (studio.state.settings = { ...studio.state.settings, ...change }),
        send: (message) => out.sent.push(message), undo: () => out.sent.push("undo"),
      };
      kind("drag").ended(studio);
      await new Promise((done) => setTimeout(done));
      const outcome = kind("drag").outcome(studio.state, session.ended);
      out.said.push(outcome?.says ?? null);
      for (const { act } of outcome?.offers ?? []) act(studio);
    }
    console.log(JSON.stringify(out));
    """
    out = run(BROWSER + script)
    assert out["asked"][:2] == [["whole", 1], ["whole", 2]]
    assert [said and said.split(":")[0] for said in out["said"]] == ["The face came apart", None, None, None]
    face, half, back = out["sent"]
    assert (face["node"], face["edit"]["targets"], face["edit"]["reach"]) == (1, [[10, 6]], 10)
    assert half["edit"]["targets"] == [[6, 4]]
    assert back == "undo"


def test_what_was_stopped_goes_on_unless_something_else_is_prepared():
    """Asked of every kind with something to start, with and without an undo trail."""
    script = """
    const layer = p.fill(p.blank(13), p.FREE, p.rectangle([2, 2], [6, 6]));
    const pairs = points.add([], [3, 3], 13, [8, 8]);
    const drafts = { ...d.empty(KINDS, 13), pairs, area: layer };
    const own = { area: { name: "smile", amount: 1.5 } };
    const settings = { limit: 300, strength: 2, freedom: "usual", numbers: { method: "draggan" } };
    const out = {};
    for (const [tab, name] of [["drag", "drag"], ["area", "intervention"]]) {
      const edit = { other: 1, ...kind(name).toEdit(state(drafts, {}, { own, settings })) };
      const session = { can_resume: true, edit, trail: [{ points: name === "drag" ? [[4, 4]] : [] }] };
      const empty = state(d.empty(KINDS, 13), session, { tab });
      const same = { ...asIf(empty, edit, session.trail[0]), live: null };
      same.trails = { 1: { past: [1, 2], present: asIf(empty, edit, session.trail[0]).live } };
      const { present } = same.trails[1];
      const but = (change, more) => goesOn({ ...same, ...more, trails: { 1: { past: [], present: { ...present, ...change } } } });
      out[name] = {
        same: goesOn(same),
        point: but({ pairs: points.add(present.pairs, [1, 1], 13, [2, 2]) }),
        target: but({ pairs: points.place(present.pairs, 1, "to", [9, 9], 13) }),
        paint: but({ paint: layer }),
        area: but({ area: p.fill(layer, p.FREE, p.rectangle([0, 0], [1, 1])) }),
        speed: but({}, { settings: { ...same.settings, strength: 4 } }),
        amount: but({}, { own: { area: { ...same.own.area, amount: 2 } } }),
        done: goesOn({ ...same, session: { ...same.session, can_resume: false } }),
      };
    }
    console.log(JSON.stringify(out));
    """
    out = run(BROWSER + script)
    on = {"same": True, "done": False}
    assert out["drag"] == {**on, "point": False, "target": False, "paint": False, "area": True, "speed": False, "amount": True}  # fmt: skip
    assert out["intervention"] == {**on, "point": True, "target": True, "paint": True, "area": False, "speed": True, "amount": False}  # fmt: skip


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
    again = "python -m gansteer.studio.typescript"
    assert typescript() == FILE.read_text(), f"protocol.py has changed: run `{again}`"


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the tools of package.json, installed once for each set of versions."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("the page's JavaScript is checked where npm is at hand")
    wanted = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    packages = [f"{name}@{number}" for name, number in sorted(wanted.items())]
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gansteer" / "-".join(packages)
    if not (home / "complete").exists():
        home.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--prefix", home, "--no-audit", "--no-fund", *packages]
        if subprocess.run(command, capture_output=True, timeout=PATIENCE).returncode:  # type: ignore[arg-type]
            pytest.skip(f"{', '.join(packages)} can't be had from here")
        (home / "complete").touch()
    return home / "node_modules" / ".bin"


def checked(*command: Any) -> None:
    """Run a tool over the page; it finds nothing."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=PATIENCE, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_typescript_finds_no_mistake(tools, tmp_path):
    options = {
        "strict": True, "checkJs": True, "allowJs": True, "noEmit": True, "target": "es2022", "module": "es2022",
        "moduleResolution": "bundler", "lib": ["es2023", "dom", "dom.iterable"], "types": [],
        "noUnusedLocals": True, "noUnusedParameters": True,
    }  # fmt: skip
    config = {"compilerOptions": options, "include": [f"{WEB}/**/*.js", f"{WEB}/**/*.d.ts"]}
    (tmp_path / "tsconfig.json").write_text(json.dumps(config))
    checked(tools / "tsc", "-p", tmp_path)


def test_the_page_is_formatted_and_lint_finds_nothing(tools):
    checked(tools / "prettier", "--check", WEB)
    checked(tools / "eslint", "--max-warnings", "0", WEB)


def test_no_line_and_no_file_of_the_page_is_too_long():
    """Drawings in icons.js apart, which are one string each."""
    for path in WEB.rglob("*.js"):
        if path.parent.name == "vendor":
            continue
        lines = path.read_text().splitlines()
        assert len(lines) <= 400, path
        long = [line for line in lines if len(line) > 120 and not re.fullmatch(r"  \w+: \"[\w .-]+\",", line)]
        assert long == [], path


def test_the_page_fetches_nothing_from_elsewhere():
    for path in WEB.rglob("*.*"):
        if path.suffix in (".js", ".css", ".html", ".svg"):
            found = re.findall(r"https?://[^\s\"'`)]+", path.read_text())
            assert all(address.startswith("http://www.w3.org/") for address in found), path  # names, not addresses
    assert "preact" in (WEB / "vendor" / "LICENSE").read_text().lower()


def test_type_follows_the_browsers_text_size():
    """No size in pixels, but for what stands on the picture, which is a drawing."""
    for path in (WEB / "style").glob("*.css"):
        rules = re.findall(r"([^{}]+)\{([^{}]*)\}", path.read_text())
        fixed = [name.strip() for name, body in rules if re.search(r"font(-size)?:[^;]*?\dpx", body)]
        assert [name for name in fixed if name not in (".end text", ".blob text")] == [], path
