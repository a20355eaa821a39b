"""The portrait scene in Blender (Cycles on the CPU): head, hair, eyes, collar, a light probe, a lamp, a camera."""

import math
from dataclasses import dataclass
from pathlib import Path

import bpy
import materials
import numpy as np
from mathutils import Vector
from model import MOUTH_VERTEX, Camera, Fitted, Floats, Head, Mesh, aimed, posed, to_scene
from sample import LIGHTS, Look, Person


class Part:
    """A mesh object whose vertices are set anew for each picture."""

    def __init__(self, name: str, mesh: Mesh, material: bpy.types.Material, subdivisions: int = 0) -> None:
        self.data = bpy.data.meshes.new(name)
        self.data.from_pydata([(0, 0, 0)] * len(mesh.vertices), [], mesh.faces)
        uvs = np.concatenate([mesh.uvs[corners] for corners in mesh.face_uvs]).astype(np.float32)
        self.data.uv_layers.new(name="uv").data.foreach_set("uv", uvs.ravel())
        self.data.polygons.foreach_set("use_smooth", [True] * len(mesh.faces))
        self.data.materials.append(material)
        self.object = bpy.data.objects.new(name, self.data)
        bpy.context.scene.collection.objects.link(self.object)
        if subdivisions:
            modifier = self.object.modifiers.new("subdivision", "SUBSURF")
            modifier.levels = modifier.render_levels = subdivisions

    def place(self, vertices: Floats) -> None:
        """`vertices [V, 3]` in MakeHuman's coordinates."""
        self.data.vertices.foreach_set("co", to_scene(vertices).ravel())
        self.data.update()

    def show(self, shown: bool) -> None:
        self.object.hide_render = not shown


class Worn(Part):
    """A part that is fitted to the head."""

    def __init__(self, path: Path, head: Head, material: bpy.types.Material) -> None:
        self.fitted = Fitted(path)
        self.weights = self.fitted.inherit(head.weights)
        super().__init__(path.stem, self.fitted.mesh, material)

    def wear(self, vertices: Floats, moves: list[Floats]) -> None:
        """Fit to a head that looks straight ahead, `vertices [V, 3]`, and turn with it."""
        self.place(posed(self.weights, moves, self.fitted.fit(vertices)))


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
        self.body = Part("body", body, self.skin.material, 1)
        self.strands = {
            "hair": materials.strands("hair", 0.42, 0.45),
            "brow": materials.strands("brow", 0.8, 0.1),
            "lash": materials.strands("lash", 0.9, 0.0),
        }
        self.choices = {
            kind: {path.stem: Worn(path, head, self.strands[kind].material) for path in self._fitted(folder)}
            for kind, folder in (("hair", "hair"), ("brow", "eyebrows"), ("lash", "eyelashes"))
        }
        self.hair_textures = {
            name: diffuse_texture(worn.fitted.material) for name, worn in self.choices["hair"].items()
        }
        self.hair_ranges = {name: luminance_range(path) for name, path in self.hair_textures.items()}
        eye_material, self.eye_texture = materials.eye()
        self.eyes = Worn(self.assets / "eyes/high-poly/high-poly.mhclo", head, eye_material)
        teeth = materials.textured("teeth", 0.25, 0.5, self.assets / "teeth/materials/teeth.png")
        tongue = materials.textured("tongue", 0.35, 0.5, self.assets / "tongue/tongue01/tongue01_diffuse.png")
        self.mouth_parts = (
            Worn(self.assets / "teeth/teeth_base/teeth_base.mhclo", head, teeth),
            Worn(self.assets / "tongue/tongue01/tongue01.mhclo", head, tongue),
        )
        self.cloth_graph = materials.plain("cloth", 0.85, 0.15)
        cloth, self.cloth_vertices = head.mesh.part(collar(head.mesh))
        self.cloth = Part("cloth", cloth, self.cloth_graph.material, 1)
        self.world = World(self.scene)
        self.lamp = bpy.data.lights.new("lamp", "AREA")
        self.lamp.size = 0.8
        self.lamp_object = bpy.data.objects.new("lamp", self.lamp)
        self.scene.collection.objects.link(self.lamp_object)
        self.camera = bpy.data.cameras.new("camera")
        self.camera.clip_start = 0.1
        self.camera_object = bpy.data.objects.new("camera", self.camera)
        self.scene.collection.objects.link(self.camera_object)
        self.scene.camera = self.camera_object

    def _fitted(self, folder: str) -> list[Path]:
        return sorted((self.assets / folder).glob("*/*.mhclo"))

    def arrange(self, person: Person, look: Look) -> Shot:
        """Show this person in this light."""
        head, label = self.head, person.label
        vertices, neutral = head.shaped(person.shape)
        moves = head.neck(neutral, label["yaw"], label["pitch"], label["roll"])
        turned = posed(head.weights, moves, vertices)
        self.body.place(turned[self.body_vertices])
        self.cloth.place(turned[self.cloth_vertices])
        self.eyes.wear(head.gazing(vertices, *label["gaze"]), moves)
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
        shot = Shot(points, aimed(eyes, points[MOUTH_VERTEX], neck), eyes, points[MOUTH_VERTEX])
        self.camera.angle = shot.camera.angle
        look_at(self.camera_object, shot.camera.location, shot.camera.target)
        self._light(look, shot.camera.target)
        return shot

    def _colour(self, label: dict, look: Look) -> None:
        self.skin.texture.image = materials.image(self.assets / f"skins/textures/{label['skin']}.jpg")
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

    def _light(self, look: Look, target: Floats) -> None:
        self.world.light(look)
        azimuth, elevation = look.lamp_azimuth, look.lamp_elevation
        towards = np.array([math.sin(azimuth), -math.cos(azimuth), math.sin(elevation)])
        look_at(self.lamp_object, target + 1.3 * towards, target)
        self.lamp.energy, self.lamp.color = look.lamp_power, look.lamp_color

    def render(self, path: Path, seed: int) -> None:
        """Write what is arranged as an 8-bit RGB PNG."""
        self.scene.cycles.seed = seed % 2**31
        self.scene.render.filepath = str(path)
        bpy.ops.render.render(write_still=True)


class World:
    """A light probe lights the scene; the camera sees a plain gradient behind the head instead of it."""

    def __init__(self, scene: bpy.types.Scene) -> None:
        world = scene.world = bpy.data.worlds.new("world")
        world.use_nodes = True
        world.cycles.sampling_method, world.cycles.sample_map_resolution = "MANUAL", 1024
        tree = world.node_tree
        tree.nodes.clear()
        kinds = ("TexCoord", "Mapping", "TexEnvironment", "Background", "Background", "Mix", "SeparateXYZ", "LightPath")
        coordinates, self.turn, self.probe, self.strength, plain, self.gradient, split, path = (
            tree.nodes.new(f"ShaderNode{kind}") for kind in kinds
        )
        self.gradient.data_type = "RGBA"
        mix, output = tree.nodes.new("ShaderNodeMixShader"), tree.nodes.new("ShaderNodeOutputWorld")
        for source, target in (
            (coordinates.outputs["Generated"], self.turn.inputs[0]),
            (self.turn.outputs[0], self.probe.inputs[0]),
            (self.probe.outputs[0], self.strength.inputs[0]),
            (coordinates.outputs["Window"], split.inputs[0]),
            (split.outputs[1], self.gradient.inputs[0]),
            (self.gradient.outputs[2], plain.inputs[0]),
            (path.outputs["Is Camera Ray"], mix.inputs[0]),
            (self.strength.outputs[0], mix.inputs[1]),
            (plain.outputs[0], mix.inputs[2]),
            (mix.outputs[0], output.inputs[0]),
        ):
            tree.links.new(source, target)
        folder = Path(bpy.utils.resource_path("LOCAL")) / "datafiles/studiolights/world"
        self.probes = {name: materials.image(folder / f"{name}.exr") for name in LIGHTS}
        self.radiance = {
            name: float(np.minimum(pixels(probe)[:, :3], 50).mean()) for name, probe in self.probes.items()
        }

    def light(self, look: Look) -> None:
        self.probe.image = self.probes[look.light]
        self.turn.inputs["Rotation"].default_value = (0, 0, look.light_turn)
        self.strength.inputs[1].default_value = look.light_strength / self.radiance[look.light]
        for socket, color in zip((6, 7), look.background, strict=True):
            self.gradient.inputs[socket].default_value = (*color, 1)


def settings(scene: bpy.types.Scene, size: int, samples: int, threads: int) -> None:
    """Few samples and a denoiser: a picture in some seconds of one core."""
    render, cycles, view = scene.render, scene.cycles, scene.view_settings
    render.engine, cycles.device = "CYCLES", "CPU"
    cycles.samples, cycles.use_adaptive_sampling = samples, False
    cycles.use_denoising, cycles.denoiser, cycles.denoising_prefilter = True, "OPENIMAGEDENOISE", "FAST"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces, cycles.transmission_bounces = 4, 2, 1, 2
    cycles.transparent_max_bounces = 16
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect = 3
    render.use_persistent_data = False
    render.resolution_x = render.resolution_y = size
    render.resolution_percentage = 100
    render.threads_mode, render.threads = "FIXED", threads
    render.image_settings.file_format, render.image_settings.color_mode = "PNG", "RGB"
    view.view_transform = "AgX"
    view.look = "AgX - Medium High Contrast"


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


def diffuse_texture(material: Path) -> Path:
    """The colour texture that a MakeHuman material names."""
    lines = (line.split() for line in material.read_text().splitlines())
    return next(material.parent / fields[1] for fields in lines if fields[:1] == ["diffuseTexture"])


def pixels(picture: bpy.types.Image) -> Floats:
    """`[H * W, 4]`."""
    values = np.empty(len(picture.pixels), np.float32)
    picture.pixels.foreach_get(values)
    return values.reshape(-1, 4)


def luminance_range(texture: Path) -> tuple[float, float]:
    """The darkest and lightest 5 % of a hair texture's opaque pixels (linear)."""
    values = pixels(materials.image(texture))
    opaque = values[:, 3] > 0.5
    luminance = (values[opaque if opaque.any() else slice(None), :3] ** 2.2).mean(1)
    low, high = np.percentile(luminance, [5, 95])
    return float(low), float(high)


def look_at(thing: bpy.types.Object, place: Floats, target: Floats) -> None:
    thing.location = tuple(place)
    thing.rotation_euler = (Vector(target) - Vector(place)).to_track_quat("-Z", "Y").to_euler()
