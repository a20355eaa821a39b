"""The portrait scene in Blender (Cycles on the CPU): head, hair, eyes, mouth, collar, camera."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import bpy
import materials
import numpy as np
from light import Lights, look_at, pixels, towards
from model import MOUTH_VERTEX, Camera, Fitted, Floats, Head, Ints, Mesh, aimed, placed, posed, to_scene
from sample import Look, Person, Place

LINING, TEETH, TONGUE = (0.36, 0.09, 0.08), (1.0, 0.94, 0.84), (1.0, 0.8, 0.78)
"""Linear RGB of the inside of the mouth; what the textures of teeth and tongue are multiplied by."""
LUMA = np.array([0.2126, 0.7152, 0.0722])
"""How bright red, green and blue light look."""
CORNEA = 0.008
"""The radius of its curvature, metres."""
CLEARING = np.array([0.3, 0.24])
"""Half the width and height of the region around the middle of an eye that hair keeps out of, decimetres."""
INDEX = {"body": 1, "hair": 2, "eyes": 3, "cloth": 4, "mouth": 5, "lash": 6, "brow": 7}
"""What a pixel shows, in the pass that says so."""


class Part:
    """A mesh object whose vertices are set anew for each picture."""

    def __init__(self, name: str, mesh: Mesh, material: bpy.types.Material, shows: str, subdivisions: int = 0) -> None:
        self.data = bpy.data.meshes.new(name)
        self.data.from_pydata([(0, 0, 0)] * len(mesh.vertices), [], mesh.faces)
        uvs = np.concatenate([mesh.uvs[corners] for corners in mesh.face_uvs]).astype(np.float32)
        self.data.uv_layers.new(name="uv").data.foreach_set("uv", uvs.ravel())
        self.data.polygons.foreach_set("use_smooth", [True] * len(mesh.faces))
        self.data.materials.append(material)
        self.object = bpy.data.objects.new(name, self.data)
        self.object.pass_index = INDEX[shows]
        bpy.context.scene.collection.objects.link(self.object)
        if subdivisions:
            modifier = self.object.modifiers.new("subdivision", "SUBSURF")
            modifier.levels = modifier.render_levels = subdivisions

    def place(self, vertices: Floats) -> Floats:
        """Set `vertices [V, 3]` given in MakeHuman's coordinates; returns them in the scene's."""
        places = to_scene(vertices)
        self.data.vertices.foreach_set("co", places.ravel())
        self.data.update()
        return places

    def show(self, shown: bool) -> None:
        self.object.hide_render = not shown


class Worn(Part):
    """A part that is fitted to the head."""

    def __init__(self, path: Path, head: Head, material: bpy.types.Material, shows: str) -> None:
        self.fitted = Fitted(path)
        self.weights = self.fitted.inherit(head.weights)
        super().__init__(path.stem, self.fitted.mesh, material, shows)

    def wear(self, vertices: Floats, moves: list[Floats]) -> Floats:
        """Fit to a head that looks straight ahead, `vertices [V, 3]`, and turn with it."""
        return self.place(posed(self.weights, moves, self.fitted.fit(vertices)))


@dataclass(frozen=True)
class Shot:
    """Where things are in the scene for one picture."""

    vertices: Floats
    """`[V, 3]`, metres, of the posed head."""
    camera: Camera
    eyes: Floats
    """`[2, 3]`: centres of the right and left eyeball."""
    mouth: Floats
    """`[3]`."""
    pupils: Floats
    """`[2, 3]`: the foremost points of the right and left eye."""
    reflections: Floats
    """`[2, 3]`: where the right and the left cornea reflect the lamp that eyes show."""
    albedo: float
    """The share of light that the skin reflects."""


class Scene:
    """Everything that can be drawn, loaded once; `arrange` shows one person, `render` writes the picture."""

    def __init__(self, assets: Path, size: int, samples: int, threads: int) -> None:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.scene = bpy.context.scene
        settings(self.scene, size, samples, threads)
        self.assets = assets / "base"
        self.head = head = Head(assets)
        self.skin = materials.skin()
        body, self.body_vertices = head.mesh.part(bust(head.mesh))
        self.body = Part("body", body, self.skin.material, "body", 1)
        self._line_mouth(body)
        self.strands = {
            "hair": materials.strands("hair", 0.5, 0.3),
            "brow": materials.strands("brow", 0.8, 0.1),
            "lash": materials.strands("lash", 0.9, 0.0),
        }
        self.choices = {
            kind: {path.stem: Worn(path, head, self.strands[kind].material, kind) for path in self._fitted(folder)}
            for kind, folder in (("hair", "hair"), ("brow", "eyebrows"), ("lash", "eyelashes"))
        }
        for worn in self.choices["hair"].values():
            part_hair(worn.fitted, head)
        self.hair_textures = {
            name: diffuse_texture(worn.fitted.material) for name, worn in self.choices["hair"].items()
        }
        self.hair_ranges = {name: luminance_range(path) for name, path in self.hair_textures.items()}
        eye_material, self.eye_texture = materials.eye()
        self.eyes = Worn(self.assets / "eyes/high-poly/high-poly.mhclo", head, eye_material, "eyes")
        self.pupils = foremost(self.eyes.fitted.fit(head.mesh.vertices))
        teeth = materials.textured("teeth", 0.25, 0.5, self.assets / "teeth/materials/teeth.png", TEETH)
        tongue = materials.textured("tongue", 0.35, 0.5, self.assets / "tongue/tongue01/tongue01_diffuse.png", TONGUE)
        self.mouth_parts = (
            Worn(self.assets / "teeth/teeth_base/teeth_base.mhclo", head, teeth, "mouth"),
            Worn(self.assets / "tongue/tongue01/tongue01.mhclo", head, tongue, "mouth"),
        )
        self.cloth_graph = materials.plain("cloth", 0.85, 0.15)
        cloth, self.cloth_vertices = head.mesh.part(collar(head.mesh))
        self.cloth = Part("cloth", cloth, self.cloth_graph.material, "cloth", 1)
        self.lights = Lights(self.scene, [part.object for part in (self.eyes, *self.mouth_parts)])
        self.camera = bpy.data.cameras.new("camera")
        self.camera.clip_start = 0.1
        self.camera_object = bpy.data.objects.new("camera", self.camera)
        self.scene.collection.objects.link(self.camera_object)
        self.scene.camera = self.camera_object

    def _line_mouth(self, body: Mesh) -> None:
        """The inside of the mouth is a material of its own: it has the light of the mouth's lamp as its own glow."""
        self.lining = materials.plain("lining", 0.4, 0.4)
        self.lining.shader.inputs["Base Color"].default_value = (*LINING, 1)
        self.lining.shader.inputs["Emission Color"].default_value = (*LINING, 1)
        self.body.data.materials.append(self.lining.material)
        inside = [lining(body.uvs[corners]) for corners in body.face_uvs]
        self.body.data.polygons.foreach_set("material_index", inside)

    def _skin(self, name: str) -> Path:
        return self.assets / f"skins/textures/{name}.jpg"

    def _fitted(self, folder: str) -> list[Path]:
        return sorted((self.assets / folder).glob("*/*.mhclo"))

    def arrange(self, person: Person, look: Look, place: Place) -> Shot:
        """Show this person in this light, at this place of the picture."""
        head, label = self.head, person.label
        vertices, neutral = head.shaped(person.shape)
        moves = head.neck(neutral, label["yaw"], label["pitch"], label["roll"])
        turned = posed(head.weights, moves, vertices)
        self.body.place(turned[self.body_vertices])
        self.cloth.place(turned[self.cloth_vertices])
        glass = self.eyes.wear(head.gazing(vertices, *label["gaze"]), moves)
        for part in self.mouth_parts:
            part.wear(vertices, moves)
        for kind, worn in self.choices.items():
            for name, part in worn.items():
                part.show(name == label[kind])
                if name == label[kind]:  # of the hair there is none for bald heads
                    # Hair is fitted without the expression: a raised brow must not lift the hairline.
                    part.wear(neutral if kind == "hair" else vertices, moves)
        self._colour(label, look)

        points = to_scene(turned)
        eyes = np.stack([points[head.eyes[side]].mean(0) for side in "rl"])
        neck = to_scene(posed(head.weights, moves, neutral))[head.joints["head"]].mean(0)
        albedo = float(np.mean(label["skin_tint"])) * reflectance(self._skin(label["skin"]))
        camera = placed(aimed(eyes, points[MOUTH_VERTEX], neck), place.right, place.down, place.scale)
        pupils = np.stack([glass[vertices].mean(0) for vertices in self.pupils])
        shot = Shot(points, camera, eyes, points[MOUTH_VERTEX], pupils, reflections(eyes, pupils, camera, look), albedo)
        self.camera.angle = camera.angle
        look_at(self.camera_object, camera.location, camera.target)
        glow = self.lights.light(look, aimed(eyes, points[MOUTH_VERTEX], neck).target, shot.albedo)
        self.lining.shader.inputs["Emission Strength"].default_value = glow
        return shot

    def _colour(self, label: dict, look: Look) -> None:
        self.skin.texture.image = materials.image(self._skin(label["skin"]))
        self.skin.tint.inputs[7].default_value = (*label["skin_tint"], 1)
        hair, brow, lash = label["hair"], label["brow"], label["lash"]
        if hair in self.hair_textures:  # not for bald heads
            self.strands["hair"].dress(materials.image(self.hair_textures[hair]), look.hair)
            self.strands["hair"].stretch(*self.hair_ranges[hair])
        brow_color = tuple(0.7 * min(x, 0.12) for x in look.hair)
        self.strands["brow"].dress(materials.image(self.assets / f"eyebrows/{brow}/{brow}.png"), brow_color)
        self.strands["lash"].dress(materials.image(self.assets / f"eyelashes/{lash}/{lash}.png"), (0.004,) * 3)
        self.eye_texture.image = materials.image(self.assets / "eyes/materials" / label["eyes"])
        self.cloth_graph.shader.inputs["Base Color"].default_value = (*look.cloth, 1)

    def render(self, path: Path, seed: int) -> None:
        """Write what is arranged as an EXR: linear RGBA without background, and a pass of `INDEX`."""
        self.scene.cycles.seed = seed % 2**31
        self.scene.render.filepath = str(path)
        bpy.ops.render.render(write_still=True)


def settings(scene: bpy.types.Scene, size: int, samples: int, threads: int) -> None:
    """Few samples and a denoiser: a picture in about a second of one core."""
    render, cycles = scene.render, scene.cycles
    render.engine, cycles.device = "CYCLES", "CPU"
    cycles.samples, cycles.use_adaptive_sampling = samples, False
    cycles.use_denoising, cycles.denoiser, cycles.denoising_prefilter = True, "OPENIMAGEDENOISE", "FAST"
    cycles.denoising_quality = "FAST"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces, cycles.transmission_bounces = 2, 1, 1, 2
    cycles.use_light_tree = False  # it is for hundreds of lamps
    cycles.transparent_max_bounces = 16
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_direct, cycles.sample_clamp_indirect = 5, 3  # no lonely bright pixels
    # Textures and probes stay loaded from one picture to the next.
    render.use_persistent_data = True
    render.film_transparent = True
    render.resolution_x = render.resolution_y = size
    render.resolution_percentage = 100
    render.threads_mode, render.threads = "FIXED", threads
    scene.view_layers[0].use_pass_object_index = True
    render.image_settings.media_type = "MULTI_LAYER_IMAGE"
    render.image_settings.file_format, render.image_settings.color_depth = "OPEN_EXR_MULTILAYER", "16"


def bust(mesh: Mesh) -> list[int]:
    """The polygons of head, neck and shoulders."""
    xs, ys = mesh.vertices[:, 0], mesh.vertices[:, 1]
    return [
        i for i, (face, group) in enumerate(zip(mesh.faces, mesh.groups, strict=True))
        if group == "body" and ys[face].min() > 3.2 and abs(xs[face]).max() < 3.2
    ]  # fmt: skip


def collar(mesh: Mesh) -> list[int]:
    """The polygons of a plain garment: the upper part of the helper for tights."""
    xs, ys = mesh.vertices[:, 0], mesh.vertices[:, 1]
    return [
        i for i, (face, group) in enumerate(zip(mesh.faces, mesh.groups, strict=True))
        if group == "helper-tights" and ys[face].min() > 2.5 and ys[face].max() < 6.0 and abs(xs[face]).max() < 3.0
    ]  # fmt: skip


def part_hair(hair: Fitted, head: Head) -> None:
    """Push hair that hangs before an eye aside, so that it passes by above or beside it."""
    places = hair.fit(head.mesh.vertices)
    for index in head.eyes.values():
        centre = head.mesh.vertices[index].mean(0)
        away = (places - centre)[:, :2] / CLEARING
        away[:, 1] = np.abs(away[:, 1])
        far = np.linalg.norm(away, axis=1).clip(1e-3)
        inside = (far < 1) & (places[:, 2] > centre[2])
        hair.offsets[inside, :2] += (away * (1 / far - 1)[:, None] * CLEARING)[inside]


def reflections(eyes: Floats, pupils: Floats, camera: Camera, look: Look) -> Floats:
    """`[2, 3]`: where corneas before `pupils [2, 3]` of eyeballs about `eyes [2, 3]` reflect a far lamp to the camera."""
    found = []
    for eye, pupil in zip(eyes, pupils, strict=True):
        ahead = (pupil - eye) / np.linalg.norm(pupil - eye)
        to_camera = (camera.location - pupil) / np.linalg.norm(camera.location - pupil)
        to_lamp = towards(look.catch_azimuth, look.catch_elevation)
        halfway = to_camera + to_lamp / np.linalg.norm(to_lamp)
        found.append(pupil + CORNEA * (halfway / np.linalg.norm(halfway) - ahead))
    return np.stack(found)


def lining(uvs: Floats) -> bool:
    """Whether a polygon with these places in the skin's texture `[n, 2]` is inside the mouth."""
    return bool((uvs[:, 0] > 0.755).all() and (uvs[:, 1] < 0.145).all())


def foremost(eyes: Floats) -> tuple[Ints, Ints]:
    """The four vertices in front of the right and of the left pupil, of eyes `[V, 3]` that look straight ahead."""
    left = eyes[:, 0] > 0
    order = np.argsort(eyes[:, 2])
    return order[~left[order]][-4:], order[left[order]][-4:]


@cache
def reflectance(texture: Path) -> float:
    """Mean reflectance of the face in a skin texture, weighted as the eye does."""
    picture = materials.image(texture)
    width, height = picture.size
    values = pixels(picture).reshape(height, width, 4)[:, :, :3]  # from the bottom up
    face = values[int(0.3 * height) : int(0.75 * height), int(0.68 * width) : int(0.95 * width)] ** 2.2
    return float(face.mean((0, 1)) @ LUMA)


def diffuse_texture(material: Path) -> Path:
    """The colour texture that a MakeHuman material names."""
    lines = (line.split() for line in material.read_text().splitlines())
    return next(material.parent / fields[1] for fields in lines if fields[:1] == ["diffuseTexture"])


def luminance_range(texture: Path) -> tuple[float, float]:
    """The darkest and lightest 5 % of a hair texture's opaque pixels (linear)."""
    values = pixels(materials.image(texture))
    opaque = values[:, 3] > 0.5
    luminance = (values[opaque if opaque.any() else slice(None), :3] ** 2.2).mean(1)
    low, high = np.percentile(luminance, [5, 95])
    return float(low), float(high)
