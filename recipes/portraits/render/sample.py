"""What a seed draws: a person (what the label says) and the light and colours of the picture (what it doesn't say)."""

import colorsys
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from model import Shape

SHAPES = Path(__file__).with_name("shapes.json")
"""The shape targets in the order in which their strengths are drawn, so that a seed is the same person everywhere."""
OUTLINES = ("diamond", "oval", "rectangular", "round", "square", "triangular", "invertedtriangular")

EXPRESSIONS: dict[str, tuple[float, dict[str, float]]] = {
    "neutral": (3, {}),
    "smile": (3, {"mouthSmileLeft": 0.7, "mouthSmileRight": 0.7, "cheekSquintLeft": 0.5, "cheekSquintRight": 0.5,
                  "mouthDimpleLeft": 0.2, "mouthDimpleRight": 0.2}),
    "grin": (3, {"mouthSmileLeft": 0.75, "mouthSmileRight": 0.75, "jawOpen": 0.18, "mouthUpperUpLeft": 0.45,
                 "mouthUpperUpRight": 0.45, "mouthLowerDownLeft": 0.3, "mouthLowerDownRight": 0.3,
                 "cheekSquintLeft": 0.6, "cheekSquintRight": 0.6, "eyeSquintLeft": 0.3, "eyeSquintRight": 0.3}),
    "sad": (1, {"mouthFrownLeft": 0.7, "mouthFrownRight": 0.7, "browInnerUp": 0.8, "mouthShrugLower": 0.3}),
    "angry": (1, {"browDownLeft": 0.9, "browDownRight": 0.9, "noseSneerLeft": 0.5, "noseSneerRight": 0.5,
                  "mouthPressLeft": 0.5, "mouthPressRight": 0.5, "eyeSquintLeft": 0.3, "eyeSquintRight": 0.3}),
    "surprise": (1, {"browInnerUp": 0.8, "browOuterUpLeft": 0.8, "browOuterUpRight": 0.8, "eyeWideLeft": 0.7,
                     "eyeWideRight": 0.7, "jawOpen": 0.45}),
    "open": (1, {"jawOpen": 0.5}),
    "kiss": (0.7, {"mouthPucker": 0.8}),
    "blink": (0.35, {"eyeBlinkLeft": 0.9, "eyeBlinkRight": 0.9}),
}  # fmt: skip
"""How often each is drawn (relative), and its face units at strength 1."""
STIRRED = (
    "browInnerUp", "browDownLeft", "browDownRight", "mouthLeft", "mouthRight", "jawOpen", "mouthSmileLeft",
    "mouthSmileRight", "eyeSquintLeft", "eyeSquintRight", "eyeBlinkLeft", "eyeBlinkRight",
)  # fmt: skip
"""Face units to which a little noise is added, so that no face is quite symmetric."""

SKINS = {
    ("young", "light"): ("young_lightskinned_{}_diffuse", "young_lightskinned_{}_diffuse2"),
    ("young", "asian"): ("young_lightskinned_{}_diffuse3",),
    ("young", "dark"): ("young_darkskinned_{}_diffuse",),
    ("middleage", "light"): ("middleage_lightskinned_{}_diffuse",),
    ("middleage", "asian"): ("middleage_lightskinned_{}_diffuse2",),
    ("middleage", "dark"): ("middleage_darkskinned_{}_diffuse",),
    ("old", "light"): ("old_lightskinned_{}_diffuse",),
    ("old", "asian"): ("old_lightskinned_{}_diffuse2",),
    ("old", "dark"): ("old_darkskinned_{}_diffuse",),
}
"""Textures by age and family; {} is the sex."""
HAIR_COLORS = {
    "black": (0.012, 0.010, 0.009), "darkbrown": (0.045, 0.024, 0.014), "brown": (0.12, 0.06, 0.03),
    "blond": (0.55, 0.36, 0.16), "red": (0.32, 0.09, 0.03), "grey": (0.35, 0.34, 0.33), "white": (0.7, 0.69, 0.67),
}  # fmt: skip
"""Linear RGB."""
EYES = tuple(
    f"{c}_eye.png"
    for c in ("blue", "bluegreen", "brown", "brownlight", "deepblue", "green", "grey", "ice", "lightblue")
)
BROWS = tuple(f"eyebrow{i:03d}" for i in range(1, 13))
LASHES = tuple(f"eyelashes{i:02d}" for i in range(1, 5))
LIGHTS = ("studio", "interior", "courtyard", "city", "forest", "sunrise", "sunset")
"""The light probes that come with Blender."""

Color = tuple[float, float, float]
"""Linear RGB."""


@dataclass(frozen=True)
class Person:
    """Who is drawn."""

    label: dict
    """The label line, except for what only the render knows (`lm`, `eyes2d`, `file`)."""
    targets: dict[str, float]
    """Strength of each shape target."""

    @property
    def shape(self) -> Shape:
        label = self.label
        return Shape(
            label["gender"], label["age"], label["race"], label["weight"], label["muscle"], self.targets, label["facs"]
        )


@dataclass(frozen=True)
class Look:
    """Light and colours."""

    hair: Color
    cloth: Color
    light: str
    """One of `LIGHTS`."""
    light_turn: float
    """Radians about the vertical."""
    light_strength: float
    """The light probe's mean radiance."""
    lamp_azimuth: float
    lamp_elevation: float
    """Radians; where the lamp stands, seen from the face."""
    lamp_power: float
    """Watts."""
    lamp_color: Color
    fill_azimuth: float
    fill_elevation: float
    fill_power: float
    """The same of a weaker light beside the camera."""
    catch_azimuth: float
    catch_elevation: float
    catch: float
    """Where the lamp stands that is seen in the eyes, and how bright it looks there (linear, 1 is nearly white)."""
    mouth_light: float
    """What eyes and the inside of the mouth get besides, as a share of the light on a white face."""
    exposure: float
    """Stops above or below what the skin asks for."""
    background: tuple[Color, Color]
    """Bottom and top."""


@dataclass(frozen=True)
class Place:
    """Where and how large the head is in the picture."""

    right: float
    down: float
    """How far from where it would stand, as shares of the picture's side."""
    scale: float
    """How many times as large."""


SHIFT, SCALE, ROLL = 0.12, (0.8, 1.15), 10.0
"""Largest shift, range of scales, largest roll in degrees."""


def hsv(h: float, s: float, v: float) -> Color:
    """Linear RGB of a hue, saturation and value as shown."""
    r, g, b = (x**2.2 for x in colorsys.hsv_to_rgb(h, s, v))
    return r, g, b


def draw(seed: int) -> tuple[Person, Look, Place]:
    """What a seed shows. The order of the draws is part of the recipe: the same seed, the same data."""
    rng = np.random.default_rng(seed)
    person = draw_person(rng)
    look = draw_look(rng, person.label["hair_color"])
    return person, look, draw_place(rng)


def draw_place(rng: np.random.Generator) -> Place:
    right, down = rng.uniform(-SHIFT, SHIFT, 2)
    # Uniform in the logarithm: twice as large is as likely as half.
    return Place(float(right), float(down), float(np.exp(rng.uniform(*np.log(SCALE)))))


def draw_person(rng: np.random.Generator) -> Person:
    gender = float(np.clip(rng.choice([0.08, 0.92]) + rng.normal(0, 0.08), 0, 1))
    age = float(rng.uniform(0, 1))
    race = rng.dirichlet([0.35, 0.35, 0.35]).tolist()
    sex = "male" if gender > 0.5 else "female"
    label: dict = {"gender": gender, "age": age, "race": race, "sex": sex}
    label["weight"] = float(np.clip(rng.normal(0, 0.35), -0.8, 1))
    label["muscle"] = float(np.clip(rng.normal(0, 0.3), -0.7, 0.7))
    targets = draw_targets(rng)
    label |= draw_expression(rng)
    label["yaw"] = float(np.clip(rng.normal(0, 18), -45, 45))
    label["pitch"] = float(np.clip(rng.normal(2, 7), -18, 20))
    label["roll"] = float(rng.uniform(-ROLL, ROLL))
    label["gaze"] = [
        float(-label["yaw"] * 0.4 + rng.normal(0, 4)),
        float(-label["pitch"] * 0.3 + rng.normal(0, 3)),
    ]
    label |= draw_skin(rng, sex, age, race) | draw_hair(rng, sex, age, race)
    brown = [eye for eye in EYES if "brown" in eye]
    dark_eyed = (race[0] > 0.4 or race[1] > 0.4) and rng.random() < 0.9
    label["eyes"] = str(rng.choice(brown if dark_eyed else EYES))
    label["brow"] = str(rng.choice(BROWS))
    label["lash"] = LASHES[0] if sex == "male" else str(rng.choice(LASHES))
    return Person(label, targets)


def draw_targets(rng: np.random.Generator) -> dict[str, float]:
    """Every pair of opposed shape targets gets a small strength, sides nearly alike; then the head's outline and a
    few asymmetric ones.
    """
    shapes = json.loads(SHAPES.read_text())
    targets: dict[str, float] = {}
    for less, more in shapes["whole"]:
        x = float(np.clip(rng.normal(0, 0.22), -0.6, 0.6))
        x *= 0.6 if "scale" in less else 1
        targets[less if x < 0 else more] = abs(x)
    for less, more in shapes["sided"]:
        x = float(np.clip(rng.normal(0, 0.25), -0.7, 0.7))
        folder, name = (less if x < 0 else more).split("/")
        for side in "lr":
            targets[f"{folder}/{side}-{name}"] = abs(x + rng.normal(0, 0.02))
    outline = rng.choice(OUTLINES)
    targets[f"head/head-{outline}"] = float(rng.uniform(0, 0.6))
    for name in rng.choice(shapes["lopsided"], 4, replace=False):
        targets[str(name)] = float(rng.uniform(0, 0.35))
    return targets


def draw_expression(rng: np.random.Generator) -> dict:
    chances = np.array([chance for chance, _ in EXPRESSIONS.values()])
    name = str(rng.choice(list(EXPRESSIONS), p=chances / chances.sum()))
    strength = 1.0 if name == "blink" else float(rng.uniform(0.4, 1.1))
    units = {unit: value * strength for unit, value in EXPRESSIONS[name][1].items()}
    for unit in STIRRED:
        units[unit] = units.get(unit, 0) + float(abs(rng.normal(0, 0.04)))
    return {"expression": name, "expr_strength": strength, "facs": units}


def draw_skin(rng: np.random.Generator, sex: str, age: float, race: list[float]) -> dict:
    stage = "young" if age < 0.4 else ("middleage" if age < 0.72 else "old")
    family = "dark" if race[0] > 0.5 else ("asian" if race[1] > 0.5 else "light")
    skin = str(rng.choice(SKINS[stage, family])).format(sex)
    light = float(rng.uniform(0.85, 1.02))
    tint = light * np.array([rng.uniform(0.97, 1.03), 1, rng.uniform(0.94, 1.04)])
    if family == "dark":  # the dark textures are darker and redder than skin
        tint *= np.array([1, 1.2, 1.35]) * rng.uniform(1.1, 2.3)
    else:  # and the pale ones paler
        tint *= 1 - rng.uniform(0.3, 1.0) * np.array([0.1, 0.27, 0.38])
    return {"skin": skin, "skin_tint": tint.tolist()}


def draw_hair(rng: np.random.Generator, sex: str, age: float, race: list[float]) -> dict:
    dark, asian = race[0], race[1]
    if sex == "male":
        chances = {"short01": 3, "short02": 3, "short03": 0.4, "short04": 1.2, "afro01": 0.6 + 2 * dark, "bald": 0.9}
    else:
        chances = {
            "long01": 3.2, "ponytail01": 3.2, "braid01": 2.6, "short03": 0.4,
            "afro01": 0.4 + 1.2 * dark, "short04": 0.5,
        }  # fmt: skip
    p = np.array(list(chances.values()))
    hair = str(rng.choice(list(chances), p=p / p.sum()))
    if age > 0.65:
        colors = {"grey": 0.55, "white": 0.3, "darkbrown": 0.15}
    elif dark > 0.5 or asian > 0.5:
        colors = {"black": 0.7, "darkbrown": 0.3}
    else:
        colors = {"black": 0.15, "darkbrown": 0.25, "brown": 0.27, "blond": 0.23, "red": 0.1}
    return {"hair": hair, "hair_color": str(rng.choice(list(colors), p=list(colors.values())))}


def draw_look(rng: np.random.Generator, hair_color: str) -> Look:
    r, g, b = np.array(HAIR_COLORS[hair_color]) * rng.uniform(0.75, 1.3)
    cloth = hsv(rng.random(), rng.uniform(0, 0.6), rng.uniform(0.15, 0.75))
    light = LIGHTS[rng.integers(len(LIGHTS))]
    turn, strength = rng.uniform(0, 6.28), rng.uniform(0.35, 0.6)
    azimuth, elevation = rng.uniform(-1.2, 1.2), rng.uniform(0.1, 0.9)
    power = rng.uniform(2.0, 6.5)
    lamp = (1.0, rng.uniform(0.88, 1), rng.uniform(0.78, 1))
    fill = rng.uniform(-0.35, 0.35), rng.uniform(-0.1, 0.3), rng.uniform(2.0, 4.0)
    catch = rng.uniform(-0.4, 0.4), rng.uniform(0.0, 0.35), rng.uniform(1.5, 3.0)
    mouth_light, exposure = rng.uniform(0.4, 0.7), rng.uniform(-0.25, 0.25)
    hue, saturation, value = rng.random(), rng.uniform(0, 0.3), rng.uniform(0.25, 0.8)
    background = hsv(hue, saturation, value * 0.7), hsv(hue, saturation, min(1, value * 1.25))
    return Look(
        (float(r), float(g), float(b)), cloth, light, turn, strength, azimuth, elevation, power, lamp, *fill, *catch,
        mouth_light, exposure, background,
    )  # fmt: skip
