"""What lights a portrait: a probe all around, a lamp, a fill beside the camera, and a lamp for eyes and mouth alone."""

import math
from pathlib import Path

import bpy
import materials
import numpy as np
from mathutils import Vector
from model import Floats
from sample import LIGHTS, Look


def pixels(picture: bpy.types.Image) -> Floats:
    """`[H * W, 4]`."""
    values = np.empty(len(picture.pixels), np.float32)
    picture.pixels.foreach_get(values)
    return values.reshape(-1, 4)


def look_at(thing: bpy.types.Object, place: Floats, target: Floats) -> None:
    thing.location = tuple(place)
    thing.rotation_euler = (Vector(target) - Vector(place)).to_track_quat("-Z", "Y").to_euler()


def towards(azimuth: float, elevation: float) -> Floats:
    """Where a lamp stands, seen from the face: `[3]`, about of length 1; radians to the picture's right and up."""
    return np.array([math.sin(azimuth), -math.cos(azimuth), math.sin(elevation)])


class World:
    """A light probe; the camera doesn't see it: what is behind a head is laid under the finished picture."""

    def __init__(self, scene: bpy.types.Scene) -> None:
        world = scene.world = bpy.data.worlds.new("world")
        world.use_nodes = True
        # Sampling from a large map costs a tenth of a picture's time, and all probes are small.
        world.cycles.sampling_method, world.cycles.sample_map_resolution = "MANUAL", 128
        tree = world.node_tree
        tree.nodes.clear()
        kinds = ("TexCoord", "Mapping", "TexEnvironment", "Background")
        coordinates, self.turn, self.probe, self.strength = (tree.nodes.new(f"ShaderNode{kind}") for kind in kinds)
        output = tree.nodes.new("ShaderNodeOutputWorld")
        tree.links.new(coordinates.outputs["Generated"], self.turn.inputs[0])
        tree.links.new(self.turn.outputs[0], self.probe.inputs[0])
        tree.links.new(self.probe.outputs[0], self.strength.inputs[0])
        tree.links.new(self.strength.outputs[0], output.inputs[0])
        folder = Path(bpy.utils.resource_path("LOCAL")) / "datafiles/studiolights/world"
        self.probes = {name: materials.image(folder / f"{name}.exr") for name in LIGHTS}
        self.radiance = {
            name: float(np.minimum(pixels(probe)[:, :3], 50).mean()) for name, probe in self.probes.items()
        }

    def light(self, look: Look) -> None:
        self.probe.image = self.probes[look.light]
        self.turn.inputs["Rotation"].default_value = (0, 0, look.light_turn)
        self.strength.inputs[1].default_value = look.light_strength / self.radiance[look.light]


class Lamp:
    """A square area light that looks at a face."""

    def __init__(self, name: str, side: float, distance: float) -> None:
        self.side, self.distance = side, distance
        self.data = bpy.data.lights.new(name, "AREA")
        self.data.size = side
        self.object = bpy.data.objects.new(name, self.data)
        bpy.context.scene.collection.objects.link(self.object)

    def only(self, objects: list[bpy.types.Object]) -> None:
        """Light nothing but these."""
        chosen = bpy.data.collections.new(self.data.name)
        for thing in objects:
            chosen.objects.link(thing)
        self.object.light_linking.receiver_collection = chosen

    def shine(self, target: Floats, azimuth: float, elevation: float, watts: float) -> None:
        look_at(self.object, target + self.distance * towards(azimuth, elevation), target)
        self.data.energy = watts


class Lights:
    """All of them. Light that only eyes and mouth see is bound to the strength of what a white face gets."""

    def __init__(self, scene: bpy.types.Scene, shaded: list[bpy.types.Object]) -> None:
        self.world = World(scene)
        self.lamp, self.fill = Lamp("lamp", 0.8, 1.3), Lamp("fill", 0.5, 1.2)
        self.soft = Lamp("soft", 0.5, 1.2)
        # It lights the whites of the eyes and the inside of a mouth, and isn't seen in the cornea.
        self.soft.only(shaded)
        self.soft.object.visible_glossy = False

    def light(self, look: Look, target: Floats, albedo: float) -> float:
        """Light a face at `target` whose skin reflects a share of `albedo`; returns how bright white is in its mouth."""
        self.world.light(look)
        self.lamp.shine(target, look.lamp_azimuth, look.lamp_elevation, look.lamp_power)
        self.lamp.data.color = look.lamp_color
        self.fill.shine(target, look.fill_azimuth, look.fill_elevation, look.fill_power)
        white = look.light_strength + sum(
            watts / (math.pi * lamp.distance) ** 2
            for lamp, watts in ((self.lamp, look.lamp_power), (self.fill, look.fill_power))
        )
        # The exposure follows the skin, so what is not skin is lit less where the skin is dark.
        mouth = look.mouth_light * white * min(1.0, math.sqrt(albedo / 0.3))
        # A little below the eyes, where it reaches the palate as well as the tongue.
        self.soft.shine(target, 0.0, -0.05, mouth * (math.pi * self.soft.distance) ** 2)
        return mouth
