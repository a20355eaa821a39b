"""StyleGAN2 in float64 NumPy, one release's convention at a time, with loops: slow and plain."""

import re

import numpy as np

TAPS = np.array([1.0, 3.0, 3.0, 1.0]) / 8


def second_moment(x):
    return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-8)


def lrelu(x, clamp=None):
    x = np.where(x > 0, x, 0.2 * x) * np.sqrt(2)
    return x if clamp is None else np.clip(x, -clamp, clamp)


def correlate(x, w):
    """`x [I, H, W]`, `w [O, I, k, k]`, no padding."""
    k = w.shape[-1]
    h, v = x.shape[1] - k + 1, x.shape[2] - k + 1
    return sum(np.einsum("oi,ihw->ohw", w[:, :, a, b], x[:, a : a + h, b : b + v]) for a in range(k) for b in range(k))


def pad(x, before, after):
    return np.pad(x, ((0, 0), (before, after), (before, after)))


def zero_insert(x):
    y = np.zeros((x.shape[0], 2 * x.shape[1], 2 * x.shape[2]))
    y[:, ::2, ::2] = x
    return y


def fir(x):
    """The filter with gain 4, without padding."""
    rows = sum(t * x[:, i : x.shape[1] - 3 + i] for i, t in enumerate(2 * TAPS))
    return sum(t * rows[:, :, i : rows.shape[2] - 3 + i] for i, t in enumerate(2 * TAPS))


def upsample(x):
    return fir(pad(zero_insert(x), 2, 1))


def scatter(x, w):
    """Transposed convolution of stride 2: every pixel of `x` adds its copy of the weights."""
    y = np.zeros((w.shape[0], 2 * x.shape[1] + 1, 2 * x.shape[2] + 1))
    for h in range(x.shape[1]):
        for v in range(x.shape[2]):
            y[:, 2 * h : 2 * h + 3, 2 * v : 2 * v + 3] += np.einsum("oiab,i->oab", w, x[:, h, v])
    return y


def up_transposed(x, w):
    """The up-convolution of the PyTorch releases."""
    return fir(pad(scatter(x, w), 1, 1))


def up_tensorflow(x, w):
    """The up-convolution of the TensorFlow release: upsample, then correlate, without a border between the two."""
    wide = fir(pad(zero_insert(x), 6, 5))  # 4 more pixels before and after than `upsample` gives
    full = correlate(wide, w)  # 3 more on either side than the padded correlation gives
    return full[:, 3:-3, 3:-3]


def modulate(w, s, demodulate):
    w = w * s[None, :, None, None]
    return w / np.sqrt((w**2).sum(axis=(1, 2, 3), keepdims=True) + 1e-8) if demodulate else w


def resolutions(names, pattern):
    return sorted({int(m[1]) for name in names if (m := re.match(pattern, name))})


def nvidia(t, z, c=None, clamp=None, psi=1.0):
    """Picture `[C, H, W]` of the arrays `t` under the names of the PyTorch release, with their fixed noise."""
    x = second_moment(z)
    if c is not None:
        y = c @ t["mapping.embed.weight"].T / np.sqrt(c.shape[1]) + t["mapping.embed.bias"]
        x = np.concatenate([x, second_moment(y)], axis=1)
    i = 0
    while (name := f"mapping.fc{i}.weight") in t:
        w = t[name]
        x = lrelu(x @ w.T * 0.01 / np.sqrt(w.shape[1]) + 0.01 * t[f"mapping.fc{i}.bias"])
        i += 1
    w_latent = t["mapping.w_avg"] + psi * (x[0] - t["mapping.w_avg"])

    def style(name):
        w = t[f"{name}.affine.weight"]
        return w @ w_latent / np.sqrt(w.shape[1]) + t[f"{name}.affine.bias"]

    def layer(name, x, up):
        w = modulate(t[f"{name}.weight"], style(name), True)
        x = up_transposed(x, w) if up else correlate(pad(x, 1, 1), w)
        x = x + t[f"{name}.noise_const"] * t[f"{name}.noise_strength"]
        return lrelu(x + t[f"{name}.bias"][:, None, None], clamp)

    x, image = t["synthesis.b4.const"], None
    for r in resolutions(t, r"synthesis\.b(\d+)\."):
        if r > 4:
            x = layer(f"synthesis.b{r}.conv0", x, True)
        x = layer(f"synthesis.b{r}.conv1", x, False)
        name = f"synthesis.b{r}.torgb"
        rgb = correlate(x, modulate(t[f"{name}.weight"], style(name) / np.sqrt(x.shape[0]), False))
        rgb = rgb + t[f"{name}.bias"][:, None, None]
        rgb = rgb if clamp is None else np.clip(rgb, -clamp, clamp)
        image = rgb if image is None else upsample(image) + rgb
    return image


def tensorflow(t, z):
    """Picture of the arrays under the names and in the layouts of the TensorFlow release, where every coefficient counts."""
    x = second_moment(z)
    i = 0
    while (name := f"mapping/Dense{i}/weight") in t:
        w = t[name]
        x = lrelu(x @ (w * (0.01 / np.sqrt(w.shape[0]))) + 0.01 * t[f"mapping/Dense{i}/bias"])
        i += 1
    w_latent = x[0]

    def weights(name, demodulate):
        mod = t[f"{name}/mod_weight"]
        s = w_latent @ (mod / np.sqrt(mod.shape[0])) + t[f"{name}/mod_bias"] + 1
        w = t[f"{name}/weight"]
        w = w / np.sqrt(w.shape[0] * w.shape[1] * w.shape[2])
        return modulate(w.transpose(3, 2, 0, 1), s, demodulate)  # still to be correlated, as TensorFlow does

    def layer(name, x, up, noise):
        w = weights(name, True)
        x = up_tensorflow(x, w) if up else correlate(pad(x, 1, 1), w)
        x = x + t[f"synthesis/noise{noise}"][0, 0] * t[f"{name}/noise_strength"]
        return lrelu(x + t[f"{name}/bias"][:, None, None])

    x, image, noise = t["synthesis/4x4/Const/const"][0], None, 0
    for r in resolutions(t, r"synthesis/(\d+)x"):
        name = f"synthesis/{r}x{r}"
        if r > 4:
            x = layer(f"{name}/Conv0_up", x, True, noise)
            noise += 1
        x = layer(f"{name}/Conv1" if r > 4 else f"{name}/Conv", x, False, noise)
        noise += 1
        rgb = correlate(x, weights(f"{name}/ToRGB", False)) + t[f"{name}/ToRGB/bias"][:, None, None]
        image = rgb if image is None else upsample(image) + rgb
    return image


def rosinality(t, z):
    """Picture of the arrays under the names and in the layouts of rosinality's implementation."""
    x = second_moment(z)
    i = 1
    while (name := f"style.{i}.weight") in t:
        w = t[name]
        x = lrelu(x @ (w * (0.01 / np.sqrt(w.shape[1]))).T + 0.01 * t[f"style.{i}.bias"])
        i += 1
    w_latent = x[0]

    def weights(name, demodulate):
        w, mod = t[f"{name}.conv.weight"][0], t[f"{name}.conv.modulation.weight"]
        s = (mod / np.sqrt(mod.shape[1])) @ w_latent + t[f"{name}.conv.modulation.bias"]
        return modulate(w / np.sqrt(w[0].size), s, demodulate)

    def layer(name, x, up, noise):
        w = weights(name, True)
        x = up_transposed(x, w) if up else correlate(pad(x, 1, 1), w)
        x = x + t[f"noises.noise_{noise}"][0, 0] * t[f"{name}.noise.weight"][0]
        return lrelu(x + t[f"{name}.activate.bias"][:, None, None])

    x = layer("conv1", t["input.input"][0], False, 0)
    image = correlate(x, weights("to_rgb1", False)) + t["to_rgb1.bias"][0]
    k = 0
    while f"to_rgbs.{k}.bias" in t:
        x = layer(f"convs.{2 * k}", x, True, 2 * k + 1)
        x = layer(f"convs.{2 * k + 1}", x, False, 2 * k + 2)
        image = upsample(image) + correlate(x, weights(f"to_rgbs.{k}", False)) + t[f"to_rgbs.{k}.bias"][0]
        k += 1
    return image
