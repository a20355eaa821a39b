"""A morphable head from the MakeHuman base mesh and its shape targets: shaping, fitted parts, pose, camera. NumPy only.

Coordinates are MakeHuman's decimetres: x to the head's left (the picture's right), y up, z forward.
"""

import gzip
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

NECK = ("neck01", "neck02", "neck03", "head")
"""The bones that turn the head, from the bottom up ..."""
NECK_SHARES = (0.15, 0.2, 0.25, 0.4)
"""... and how much of the turn each takes."""
FAMILIES = ("african", "asian", "caucasian")
MOUTH_VERTEX = 491
"""The middle of the upper lip's lower edge."""


@dataclass(frozen=True)
class Mesh:
    """A polygon mesh as an .obj file holds it."""

    vertices: Floats
    """`[V, 3]`."""
    uvs: Floats
    """`[T, 2]`: places in the texture."""
    faces: list[list[int]]
    """Vertices of each polygon."""
    face_uvs: list[list[int]]
    """The `uvs` of each polygon's corners."""
    groups: list[str]
    """Name of the part to which each polygon belongs."""

    def part(self, keep: Iterable[int]) -> tuple["Mesh", Ints]:
        """Those polygons alone, and which vertices `[n]` of this mesh they use."""
        chosen = list(keep)
        used = sorted({v for i in chosen for v in self.faces[i]})
        place = {v: k for k, v in enumerate(used)}
        faces = [[place[v] for v in self.faces[i]] for i in chosen]
        mesh = Mesh(
            self.vertices[used], self.uvs, faces, [self.face_uvs[i] for i in chosen], [self.groups[i] for i in chosen]
        )
        return mesh, np.array(used)


def read_obj(path: Path) -> Mesh:
    vertices, uvs, faces, face_uvs, groups = [], [], [], [], []
    group = ""
    for line in path.read_text().splitlines():
        match line.split():
            case ["v", x, y, z, *_]:
                vertices.append([float(x), float(y), float(z)])
            case ["vt", u, v, *_]:
                uvs.append([float(u), float(v)])
            case ["g" | "o", *names]:
                group = names[0] if names else ""
            case ["f", *corners]:
                numbers = [corner.split("/") for corner in corners]
                faces.append([int(n[0]) - 1 for n in numbers])
                face_uvs.append([int(n[1]) - 1 if len(n) > 1 and n[1] else 0 for n in numbers])
                groups.append(group)
    return Mesh(np.array(vertices, np.float32), np.array(uvs, np.float32), faces, face_uvs, groups)


@cache
def read_target(path: Path) -> tuple[Ints, Floats]:
    """A shape target: vertices `[n]` and how far each moves `[n, 3]` at weight 1."""
    index, offset = [], []
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        for line in file:
            fields = line.split()
            if len(fields) == 4 and not line.startswith("#"):
                index.append(int(fields[0]))
                offset.append([float(x) for x in fields[1:]])
    return np.array(index, np.int64), np.array(offset, np.float32).reshape(-1, 3)


class Fitted:
    """A mesh worn by the head (.mhclo): each of its vertices hangs on three vertices of the head."""

    def __init__(self, path: Path) -> None:
        self.scales: dict[int, tuple[int, int, float]] = {}
        rows: list[list[float]] = []
        section = ""
        for line in path.read_text().splitlines():
            fields = line.split()
            if not fields or fields[0].startswith("#"):
                continue
            key = fields[0]
            if key == "obj_file":
                self.mesh = read_obj(path.parent / fields[1])
            elif key == "material":
                self.material = path.parent / fields[1]
            elif key in ("x_scale", "y_scale", "z_scale"):
                self.scales["xyz".index(key[0])] = (int(fields[1]), int(fields[2]), float(fields[3]))
            elif not key.lstrip("-").isdigit():
                section = key
            elif section == "verts":
                rows.append([float(x) for x in fields])
        self.corners = np.zeros((len(rows), 3), np.int64)
        self.weights = np.zeros((len(rows), 3), np.float32)
        self.offsets = np.zeros((len(rows), 3), np.float32)
        for i, row in enumerate(rows):
            if len(row) == 1:  # sits on one vertex
                self.corners[i], self.weights[i, 0] = int(row[0]), 1
            else:
                self.corners[i], self.weights[i] = [int(x) for x in row[:3]], row[3:6]
                self.offsets[i] = row[6:9] if len(row) >= 9 else 0

    def fit(self, vertices: Floats) -> Floats:
        """Where its vertices `[n, 3]` are on a head with these `vertices [V, 3]`."""
        scale = np.ones(3, np.float32)
        for axis, (a, b, length) in self.scales.items():
            scale[axis] = abs(vertices[a, axis] - vertices[b, axis]) / length
        return (vertices[self.corners] * self.weights[..., None]).sum(1) + self.offsets * scale

    def inherit(self, weights: Floats) -> Floats:
        """The bone weights `[n, 5]` of its vertices, given the head's `weights [V, 5]`."""
        own = (weights[self.corners] * self.weights[..., None]).sum(1)
        return own / own.sum(1, keepdims=True)


@dataclass(frozen=True)
class Shape:
    """What determines a head before it is turned."""

    gender: float
    """0 female to 1 male."""
    age: float
    """0 young to 1 old."""
    families: list[float]
    """Shares of `FAMILIES`, summing to 1."""
    weight: float
    """-1 thin to 1 fat."""
    muscle: float
    """-1 to 1."""
    targets: dict[str, float]
    """Strength of each shape target, by its path without suffix."""
    face_units: dict[str, float]
    """Strength of each ARKit-like face unit."""


class Head:
    """The base mesh with its shape targets and the weights of the neck's bones."""

    def __init__(self, assets: Path) -> None:
        self.assets = assets
        self.mesh = read_obj(assets / "mpfb2/3dobjs/base.obj")
        skeleton = json.loads((assets / "rigs/default.mhskel").read_text())
        parents = {name: bone["parent"] for name, bone in skeleton["bones"].items()}
        self.joints = {name: skeleton["joints"][skeleton["bones"][name]["head"]] for name in NECK}
        weights = np.zeros((len(self.mesh.vertices), 5), np.float32)
        for name, pairs in json.loads((assets / "rigs/default_weights.mhw").read_text())["weights"].items():
            bone = name
            while bone is not None and bone not in NECK:
                bone = parents.get(bone)
            column = 4 if bone is None else NECK.index(bone)  # the last column stays where it is
            for vertex, weight in pairs:
                weights[vertex, column] += weight
        weights[weights.sum(1) == 0, 4] = 1
        self.weights = weights / weights.sum(1, keepdims=True)
        """`[V, 5]`: how much each vertex follows each bone of `NECK`, and the resting body."""
        self.eyes = {side: self._vertices_of(f"helper-{side}-eye") for side in "lr"}
        """The vertices of the left and right eyeball."""

    def _vertices_of(self, group: str) -> Ints:
        faces = zip(self.mesh.faces, self.mesh.groups, strict=True)
        return np.array(sorted({v for face, g in faces if g == group for v in face}))

    def shaped(self, shape: Shape) -> tuple[Floats, Floats]:
        """Vertices `[V, 3]` with the expression, and without it."""
        vertices = self.mesh.vertices.copy()

        def add(path: str, weight: float) -> None:
            if abs(weight) > 1e-4:
                index, offset = read_target(self.assets / path)
                vertices[index] += offset * weight

        for gender, g in (("male", shape.gender), ("female", 1 - shape.gender)):
            for age, a in (("young", 1 - shape.age), ("old", shape.age)):
                for family, f in zip(FAMILIES, shape.families, strict=True):
                    add(f"mpfb2/targets/macrodetails/{family}-{gender}-{age}.target.gz", g * a * f)
                for muscle, m in around_average(shape.muscle, "muscle"):
                    for weight, w in around_average(shape.weight, "weight"):
                        name = f"universal-{gender}-{age}-{muscle}-{weight}"
                        add(f"mpfb2/targets/macrodetails/{name}.target.gz", g * a * m * w)
        for name, weight in shape.targets.items():
            add(f"mpfb2/targets/{name}.target.gz", weight)
        neutral = vertices.copy()
        for name, weight in shape.face_units.items():
            add(f"faceunits/{name}.target", weight)
        return vertices, neutral

    def neck(self, neutral: Floats, yaw: float, pitch: float, roll: float) -> list[Floats]:
        """How each bone (and the resting body) moves: five `[4, 4]`. Degrees; see `rotation`."""
        chain, moves = np.eye(4), []
        for bone, share in zip(NECK, NECK_SHARES, strict=True):
            joint = neutral[self.joints[bone]].mean(0)
            turn = rotation(yaw * share, pitch * share, roll * share)
            move = np.eye(4)
            move[:3, :3], move[:3, 3] = turn, joint - turn @ joint
            chain = chain @ move
            moves.append(chain)
        return [*moves, np.eye(4)]

    def gazing(self, vertices: Floats, right: float, up: float) -> Floats:
        """The vertices with both eyeballs turned, degrees."""
        vertices = vertices.copy()
        for index in self.eyes.values():
            centre = vertices[index].mean(0)
            vertices[index] = (vertices[index] - centre) @ rotation(right, -up, 0).T + centre
        return vertices


def around_average(value: float, name: str) -> tuple[tuple[str, float], tuple[str, float]]:
    """Shares of the two targets between which a value from -1 to 1 lies."""
    extreme = f"max{name}" if value >= 0 else f"min{name}"
    return (f"average{name}", 1 - abs(value)), (extreme, abs(value))


def rotation(yaw: float, pitch: float, roll: float) -> Floats:
    """`[3, 3]`, degrees: yaw turns to the picture's right, pitch down, roll anticlockwise in the picture."""
    y, p, r = np.deg2rad([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def posed(weights: Floats, moves: list[Floats], vertices: Floats) -> Floats:
    """Linear blend skinning: `vertices [n, 3]` that follow the bones by `weights [n, 5]`."""
    homogeneous = np.concatenate([vertices, np.ones((len(vertices), 1))], 1)
    out = np.zeros((len(vertices), 3))
    for bone, move in enumerate(moves):
        out += weights[:, bone : bone + 1] * (homogeneous @ move.T)[:, :3]
    return out


def to_scene(vertices: Floats) -> Floats:
    """MakeHuman's decimetres, y up, to Blender's metres, z up, the face looking along -y."""
    return np.stack([vertices[:, 0], -vertices[:, 2], vertices[:, 1]], 1).astype(np.float32) * 0.1


@dataclass(frozen=True)
class Camera:
    """A camera in the scene's coordinates that looks along +y."""

    target: Floats
    """`[3]`: what is in the middle of the picture."""
    half: float
    """Half the picture's width at the target, metres."""
    distance: float = 1.25

    @property
    def location(self) -> Floats:
        return np.array([self.target[0], self.target[1] - self.distance, self.target[2]])

    @property
    def angle(self) -> float:
        """Radians, from side to side."""
        return 2 * math.atan(self.half / self.distance)

    def project(self, points: Floats, size: int) -> Floats:
        """`points [n, 3]` to (x, y) `[n, 2]` in pixels of a picture of `size`, whose top-left corner is (0, 0)."""
        d = points - self.location
        scale = self.distance / self.half * 0.5 / d[:, 1]
        return np.stack([(d[:, 0] * scale + 0.5) * size, (0.5 - d[:, 2] * scale) * size], 1)


def aimed(eyes: Floats, mouth: Floats, neck: Floats) -> Camera:
    """The camera aligned on a face: its `eyes [2, 3]`, `mouth [3]` and the joint of head and `neck [3]`."""
    between = (eyes[0] + eyes[1]) / 2
    target = between + (mouth - between) * 0.28
    target[0] = 0.65 * target[0] + 0.35 * neck[0]  # a turned head stays nearly in the middle
    target[1] += 0.05
    return Camera(target, 0.118 * float(np.clip(np.linalg.norm(mouth - between) / 0.062, 0.85, 1.2)))


def placed(camera: Camera, right: float, down: float, scale: float) -> Camera:
    """The camera that shows what is in the middle of this one's picture `right` and `down` by these shares of the
    picture's side, and `scale` times as large.
    """
    half = camera.half / scale
    return Camera(camera.target + 2 * half * np.array([-right, 0.0, down]), half, camera.distance)
