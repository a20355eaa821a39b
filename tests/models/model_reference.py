"""StyleGAN2 from the papers' equations, one picture at a time in float64 NumPy with plain loops: slow and plain."""

import math

import numpy as np


def weights(module):
    """The state of a module as float64 arrays."""
    return {name: tensor.detach().cpu().double().numpy() for name, tensor in module.state_dict().items()}


def lrelu(x, clamp=None):
    x = np.where(x > 0, x, 0.2 * x) * math.sqrt(2)
    return x if clamp is None else np.minimum(np.maximum(x, -clamp), clamp)


def normalize(x):
    return x / math.sqrt((x**2).mean() + 1e-8)


def dense(x, w, name, lr=1.0):
    """Equalised learning rate: the stored weight times lr / sqrt(fan-in)."""
    weight, bias = w[f"{name}.weight"], w[f"{name}.bias"]
    y = np.zeros(len(weight))
    for o in range(len(weight)):
        y[o] = sum(weight[o, i] * lr / math.sqrt(len(x)) * x[i] for i in range(len(x))) + bias[o] * lr
    return y


def pad(x, before, after):
    return np.pad(x, ((0, 0), (before, after), (before, after)))


def correlate(x, w, stride=1):
    """`x [I, H, W]`, `w [O, I, k, k]`, no padding."""
    k = w.shape[-1]
    rows, cols = (x.shape[1] - k) // stride + 1, (x.shape[2] - k) // stride + 1
    y = np.zeros((len(w), rows, cols))
    for a in range(rows):
        for b in range(cols):
            patch = x[:, a * stride : a * stride + k, b * stride : b * stride + k]
            y[:, a, b] = (w * patch).sum(axis=(1, 2, 3))
    return y


def insert_zeros(x):
    y = np.zeros((x.shape[0], 2 * x.shape[1], 2 * x.shape[2]))
    y[:, ::2, ::2] = x
    return y


def fir(x, gain=1.0):
    """[1, 3, 3, 1] along both axes (sum 64), without padding."""
    taps = np.array([1.0, 3.0, 3.0, 1.0])
    y = np.zeros((x.shape[0], x.shape[1] - 3, x.shape[2] - 3))
    for a in range(4):
        for b in range(4):
            y += gain * taps[a] * taps[b] / 64 * x[:, a : a + y.shape[1], b : b + y.shape[2]]
    return y


def upsample(x):
    return fir(pad(insert_zeros(x), 2, 1), gain=4)


def downsample(x):
    return fir(pad(x, 1, 1))[:, ::2, ::2]


def up_convolution(x, w):
    """Zeros between the pixels, a full convolution with the kernel turned around (a transposed one), then the filter."""
    y = correlate(pad(insert_zeros(x)[:, :-1, :-1], 2, 2), w[:, :, ::-1, ::-1])  # [O, 2H + 1, 2W + 1]
    return fir(pad(y, 1, 1), gain=4)


def modulated(x, w, s, up=False, demodulate=True):
    """Eq. 1 to 3: weights of this sample, then an ordinary convolution."""
    w = w * s[None, :, None, None]
    if demodulate:
        for o in range(len(w)):
            w[o] = w[o] / math.sqrt((w[o] ** 2).sum() + 1e-8)
    return up_convolution(x, w) if up else correlate(pad(x, w.shape[-1] // 2, w.shape[-1] // 2), w)


def layer(x, w, name, s, noise, up, clamp=None):
    x = modulated(x, w[f"{name}.weight"], s, up)
    if noise is not None:
        x = x + w[f"{name}.noise_strength"] * noise
    return lrelu(x + w[f"{name}.bias"][:, None, None], clamp)


def to_rgb(x, w, name, s, clamp=None):
    weight = w[f"{name}.weight"] / math.sqrt(x.shape[0])
    y = modulated(x, weight, s, demodulate=False) + w[f"{name}.bias"][:, None, None]
    return y if clamp is None else np.minimum(np.maximum(y, -clamp), clamp)


def mapping(w, z, label=None):
    """z to w; `w` is the state of the mapping network."""
    x = normalize(z)
    if label is not None:
        x = np.concatenate([x, normalize(dense(label, w, "embed"))])
    i = 0
    while f"layers.{i}.weight" in w:
        x = lrelu(dense(x, w, f"layers.{i}", lr=0.01))
        i += 1
    return x


def synthesis(w, ws, resolution, *, offsets=None, noise="fixed", clamp=None, stop=None):
    """`ws [num_ws, w_dim]` to the picture, or to the features after the layer `stop`."""
    offsets = offsets or {}
    x, image = w["constant"], None

    def style(name, where, row):
        return dense(ws[row], w, f"{where}.affine") + offsets.get(name, 0.0)

    row = 0
    for n, r in enumerate(2 ** np.arange(2, int(math.log2(resolution)) + 1)):
        for conv in ("conv0", "conv1"):
            where = f"blocks.{n}.convs.{conv}"
            if f"{where}.weight" not in w:
                continue
            field = w[f"{where}.noise_fixed"] if noise == "fixed" else noise and noise[f"b{r}.{conv}"]
            name = f"b{r}.{conv}"
            x = layer(x, w, where, style(name, where, row), field, conv == "conv0", clamp)
            row += 1
            if name == stop:
                return x
        where = f"blocks.{n}.torgb"
        rgb = to_rgb(x, w, where, style(f"b{r}.torgb", where, row), clamp)
        image = rgb if image is None else upsample(image) + rgb
    return image


def conv(x, w, name, down=False, activate=True, gain=1.0, clamp=None):
    """The discriminator's convolution."""
    weight = w[f"{name}.weight"]
    k = weight.shape[-1]
    weight = weight / math.sqrt(weight.shape[1] * k * k)
    if down and k == 1:
        x = correlate(downsample(x), weight)
    elif down:
        x = correlate(fir(pad(x, 2, 2)), weight, stride=2)
    else:
        x = correlate(pad(x, k // 2, k // 2), weight)
    if f"{name}.bias" in w:
        x = x + w[f"{name}.bias"][:, None, None]
    x = (lrelu(x) if activate else x) * gain
    return x if clamp is None else np.minimum(np.maximum(x, -clamp * gain), clamp * gain)


def minibatch_stddev(batch, group):
    """`batch [B, C, H, W]`: groups of pictures that lie B / group apart."""
    count = len(batch)
    apart = count // group
    result = []
    for i in range(count):
        members = [batch[j] for j in range(count) if j % apart == i % apart]
        mean = sum(members) / len(members)
        variance = sum((m - mean) ** 2 for m in members) / len(members)
        value = np.sqrt(variance + 1e-8).mean()
        result.append(np.concatenate([batch[i], np.full((1, *batch.shape[2:]), value)]))
    return np.stack(result)


def discriminator(w, pictures, resolution, labels=None, clamp=None):
    """`pictures [B, 3, r, r]` to logits `[B]`."""
    deep = []
    for x in pictures:
        x = conv(x, w, "from_rgb", clamp=clamp)
        for n in range(int(math.log2(resolution)) - 2):
            y = conv(x, w, f"blocks.{n}.conv0", clamp=clamp)
            y = conv(y, w, f"blocks.{n}.conv1", down=True, gain=math.sqrt(0.5), clamp=clamp)
            x = y + conv(x, w, f"blocks.{n}.skip", down=True, activate=False, gain=math.sqrt(0.5))
        deep.append(x)
    deep = minibatch_stddev(np.stack(deep), math.gcd(4, len(deep)))
    logits = []
    for i, x in enumerate(deep):
        x = conv(x, w, "conv", clamp=clamp).reshape(-1)
        x = dense(lrelu(dense(x, w, "dense")), w, "out")
        logits.append(x[0] if labels is None else x @ dense(labels[i], w, "embed") / math.sqrt(len(x)))
    return np.array(logits)
