"""The materials of the portrait scene, as Blender node graphs."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import bpy
from sample import Color


@cache
def image(path: Path) -> bpy.types.Image:
    return bpy.data.images.load(str(path))


class Graph:
    """A new material with its principled shader, and the few ways of adding to it that are needed here."""

    def __init__(self, name: str, roughness: float, specular: float) -> None:
        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.shader = self.tree.nodes["Principled BSDF"]
        self.output = self.tree.nodes["Material Output"]
        self.shader.inputs["Roughness"].default_value = roughness
        self.shader.inputs["Specular IOR Level"].default_value = specular

    def add(self, kind: str, **values: object) -> bpy.types.Node:
        node = self.tree.nodes.new(f"ShaderNode{kind}")
        for name, value in values.items():
            setattr(node, name, value)
        return node

    def link(self, output: bpy.types.NodeSocket, target: bpy.types.NodeSocket) -> None:
        self.tree.links.new(output, target)

    def texture(self) -> bpy.types.Node:
        return self.add("TexImage", interpolation="Linear")

    def tinted(self, color: bpy.types.NodeSocket) -> bpy.types.Node:
        """Multiply by a colour; that colour is input 7 of the node, the result output 2."""
        node = self.add("Mix", data_type="RGBA", blend_type="MULTIPLY")
        node.inputs[0].default_value = 1
        self.link(color, node.inputs[6])
        node.inputs[7].default_value = (1, 1, 1, 1)
        return node


@dataclass(frozen=True)
class Skin:
    material: bpy.types.Material
    texture: bpy.types.Node
    tint: bpy.types.Node


def skin() -> Skin:
    """Texture times tint, and bumps from the texture's luminance.

    Scattering under the skin would cost a fifth of the picture's time, and is not seen at this size.
    """
    graph = Graph("skin", 0.5, 0.3)
    texture = graph.texture()
    tint = graph.tinted(texture.outputs[0])
    graph.link(tint.outputs[2], graph.shader.inputs["Base Color"])
    luminance = graph.add("RGBToBW")
    graph.link(texture.outputs[0], luminance.inputs[0])
    bump = graph.add("Bump")
    bump.inputs["Strength"].default_value = 0.07
    bump.inputs["Distance"].default_value = 0.002
    graph.link(luminance.outputs[0], bump.inputs["Height"])
    graph.link(bump.outputs[0], graph.shader.inputs["Normal"])
    return Skin(graph.material, texture, tint)


@dataclass(frozen=True)
class Strands:
    """Hair, brows or lashes: any texture takes any colour, since only its luminance is used."""

    material: bpy.types.Material
    texture: bpy.types.Node
    contrast: bpy.types.Node
    tint: bpy.types.Node

    def dress(self, picture: bpy.types.Image, color: Color) -> None:
        self.texture.image = picture
        self.tint.inputs[7].default_value = (*color, 1)

    def stretch(self, low: float, high: float) -> None:
        """Luminances that become 0.35 and 1.6 times the colour."""
        self.contrast.inputs[1].default_value = low
        self.contrast.inputs[2].default_value = max(high, low + 1e-3)


def strands(name: str, roughness: float, specular: float) -> Strands:
    graph = Graph(name, roughness, specular)
    texture = graph.texture()
    luminance, contrast = graph.add("RGBToBW"), graph.add("MapRange", clamp=False)
    graph.link(texture.outputs[0], luminance.inputs[0])
    graph.link(luminance.outputs[0], contrast.inputs[0])
    contrast.inputs[3].default_value = 0.35
    contrast.inputs[4].default_value = 1.6
    tint = graph.tinted(contrast.outputs[0])
    graph.link(tint.outputs[2], graph.shader.inputs["Base Color"])
    graph.link(texture.outputs[1], graph.shader.inputs["Alpha"])
    return Strands(graph.material, texture, contrast, tint)


def textured(name: str, roughness: float, specular: float, picture: Path, tint: Color) -> bpy.types.Material:
    graph = Graph(name, roughness, specular)
    texture = graph.texture()
    texture.image = image(picture)
    tinted = graph.tinted(texture.outputs[0])
    tinted.inputs[7].default_value = (*tint, 1)
    graph.link(tinted.outputs[2], graph.shader.inputs["Base Color"])
    graph.link(texture.outputs[1], graph.shader.inputs["Alpha"])
    return graph.material


def plain(name: str, roughness: float, specular: float) -> Graph:
    return Graph(name, roughness, specular)


def eye() -> tuple[bpy.types.Material, bpy.types.Node]:
    """The material and its texture node: opaque where the texture is, a clear glossy cornea elsewhere."""
    graph = Graph("eye", 0.15, 0.3)
    texture = graph.texture()
    graph.link(texture.outputs[0], graph.shader.inputs["Base Color"])
    clear, glossy, fresnel = graph.add("BsdfTransparent"), graph.add("BsdfGlossy"), graph.add("Fresnel")
    glossy.inputs["Roughness"].default_value = 0.03
    fresnel.inputs[0].default_value = 1.38
    cornea, whole = graph.add("MixShader"), graph.add("MixShader")
    for mix, factor, first, second in (
        (cornea, fresnel.outputs[0], clear.outputs[0], glossy.outputs[0]),
        (whole, texture.outputs[1], cornea.outputs[0], graph.shader.outputs[0]),
    ):
        graph.link(factor, mix.inputs[0])
        graph.link(first, mix.inputs[1])
        graph.link(second, mix.inputs[2])
    graph.link(whole.outputs[0], graph.output.inputs[0])
    return graph.material, texture
