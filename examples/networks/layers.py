"""What a convolutional network consists of: layers with names and shapes, and a `Network` that lines them up.

A description in zoo.py calls the methods of `Network`; module.py writes the layers as a module of tsp_tensor, and
reference.py computes them with numpy. Images are [batch, rows, columns, channels], everything behind a global pool
[batch, features].
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import ceil

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """A value of the network: what it is called, and its shape."""

    name: str
    shape: Shape

    @property
    def channels(self) -> int:
        return self.shape[-1]


@dataclass(frozen=True)
class Window:
    """Where a kernel meets an image."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    """Top, left, bottom, right."""

    @staticmethod
    def of(x: Layer, kernel: int, stride: int, pad: int, ceil_mode: bool = False) -> Window:
        """A square window. With `ceil_mode` the last place may lie partly beyond the image, as in Caffe: that is more
        padding below and on the right."""
        beyond = [0, 0]
        if ceil_mode:
            free = [d + 2 * pad - kernel for d in x.shape[1:3]]
            beyond = [max(0, ceil(f / stride) * stride - f) for f in free]
        pads = (pad, pad, pad + beyond[0], pad + beyond[1])
        return Window((kernel, kernel), (stride, stride), pads)

    def places(self, x: Layer) -> tuple[int, int]:
        """Rows and columns of what comes out. Raises ValueError where the window does not fit the image."""
        top, left, bottom, right = self.pads
        sizes = [
            (d + more - k) // s + 1
            for d, more, k, s in zip(x.shape[1:3], (top + bottom, left + right), self.kernel, self.strides, strict=True)
        ]
        if min(sizes) < 1:
            raise ValueError(f"a window {self.kernel} does not fit {x.name} {x.shape}; take a larger image")
        return sizes[0], sizes[1]


@dataclass(frozen=True)
class Image(Layer):
    """The input."""


@dataclass(frozen=True)
class Conv(Layer):
    """A convolution, a bias and a scale per channel, the other branch of the block, and an activation."""

    source: Layer
    window: Window
    groups: int
    other: Layer | None
    activation: str | None
    """`relu`, `relu6` (which ends at 6; in i8 at the end of the type), or none."""

    @property
    def depth(self) -> int:
        """Products in a sum."""
        return self.window.kernel[0] * self.window.kernel[1] * self.source.channels // self.groups


@dataclass(frozen=True)
class Dense(Layer):
    """A product with a matrix, and what a convolution has behind it; the last of a network gives its sums."""

    source: Layer
    activation: str | None
    last: bool

    @property
    def depth(self) -> int:
        return self.source.channels


@dataclass(frozen=True)
class Affine(Layer):
    """A scale and a bias per channel, as of a batch normalisation that follows no convolution, and relu."""

    source: Layer


@dataclass(frozen=True)
class Pool(Layer):
    """The maximum or the average over a window; an average counts the padding."""

    source: Layer
    kind: str
    window: Window


@dataclass(frozen=True)
class Mean(Layer):
    """The average over all pixels."""

    source: Layer


@dataclass(frozen=True)
class Concat(Layer):
    """Channels side by side."""

    sources: tuple[Layer, ...]


@dataclass(frozen=True)
class Shuffle(Layer):
    """Channels of `groups` groups interleaved, so that each group gets some of every other one."""

    source: Layer
    groups: int


@dataclass(frozen=True)
class Flatten(Layer):
    """All of an image as one row."""

    source: Layer


@dataclass(frozen=True)
class Lrn(Layer):
    """Local response normalisation across channels: x (bias + alpha / size * sum of squares of the next channels)
    ^ -0.75."""

    source: Layer
    size: int
    alpha: float
    bias: float


class Network:
    """A network while it is described. All methods give the layer that they add.

    `size` are the rows and columns of the image, `width` multiplies the channels (`wide`) and `depth` the blocks in a
    row (`deep`), `classes` are the results.
    """

    def __init__(self, size: int = 224, batch: int = 1, width: float = 1.0, depth: float = 1.0, classes: int = 1000):
        self.width = width
        self.depth = depth
        self.classes = classes
        self.image = Image("image", (batch, size, size, 3))
        self.layers: list[Layer] = [self.image]
        self.names: Counter[str] = Counter()

    def wide(self, channels: int, multiple: int = 1) -> int:
        """Channels of a layer times the width multiplier, a multiple of `multiple`."""
        return max(1, round(channels * self.width / multiple)) * multiple

    def deep(self, blocks: int) -> int:
        """Blocks in a row times the depth multiplier."""
        return max(1, round(blocks * self.depth))

    def add(self, layer: Layer) -> Layer:
        self.layers.append(layer)
        return layer

    def name(self, kind: str) -> str:
        self.names[kind] += 1
        return f"{kind}{self.names[kind] - 1}"

    def conv(
        self,
        x: Layer,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        pad: int | None = None,
        groups: int = 1,
        other: Layer | None = None,
        activation: str | None = "relu",
    ) -> Layer:
        """A convolution; without `pad`, that with which stride 1 keeps the size of the image."""
        window = Window.of(x, kernel, stride, kernel // 2 if pad is None else pad)
        shape = (x.shape[0], *window.places(x), outputs)
        if x.channels % groups or outputs % groups:
            raise ValueError(f"{groups} groups do not divide {x.channels} channels and {outputs} outputs")
        if other is not None and other.shape != shape:
            raise ValueError(f"{other.name} {other.shape} is added to {shape}")
        return self.add(Conv(self.name("conv"), shape, x, window, groups, other, activation))

    def depthwise(self, x: Layer, kernel: int, stride: int, activation: str | None = "relu") -> Layer:
        return self.conv(x, x.channels, kernel, stride, groups=x.channels, activation=activation)

    def affine(self, x: Layer) -> Layer:
        return self.add(Affine(self.name("affine"), x.shape, x))

    def pool(self, x: Layer, kind: str, kernel: int, stride: int, pad: int = 0, ceil_mode: bool = False) -> Layer:
        window = Window.of(x, kernel, stride, pad, ceil_mode)
        return self.add(Pool(self.name("pool"), (x.shape[0], *window.places(x), x.channels), x, kind, window))

    def mean(self, x: Layer) -> Layer:
        return self.add(Mean(self.name("mean"), (x.shape[0], x.channels), x))

    def concat(self, *sources: Layer) -> Layer:
        shape = (*sources[0].shape[:-1], sum(s.channels for s in sources))
        return self.add(Concat(self.name("concat"), shape, sources))

    def shuffle(self, x: Layer, groups: int) -> Layer:
        return self.add(Shuffle(self.name("shuffle"), x.shape, x, groups))

    def lrn(self, x: Layer, alpha: float = 1e-4, bias: float = 1.0, size: int = 5) -> Layer:
        return self.add(Lrn(self.name("lrn"), x.shape, x, size, alpha, bias))

    def flatten(self, x: Layer) -> Layer:
        n, *rest = x.shape
        return self.add(Flatten(self.name("flat"), (n, rest[0] * rest[1] * rest[2]), x))

    def dense(self, x: Layer, outputs: int) -> Layer:
        """A layer in the middle, with relu."""
        return self.add(Dense(self.name("dense"), (x.shape[0], outputs), x, "relu", last=False))

    def logits(self, x: Layer) -> Layer:
        """The last layer: its sums are the result."""
        return self.add(Dense("logits", (x.shape[0], self.classes), x, None, last=True))
