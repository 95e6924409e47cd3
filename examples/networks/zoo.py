"""Convolutional networks in their true shapes: what is behind what. Each function adds the layers of one to a network.

SqueezeNet, ShuffleNet, ResNet-50, DenseNet-121, Inception, AlexNet, ZFNet and VGG-19 have the layers of the models
`light_*.onnx` of the `onnx` package. Where these come from Caffe, pools go by its ceil mode, which the models have in
part only. A batch normalisation behind a convolution is part of its scale and bias, a dropout is nothing, and softmax
is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .layers import Layer, Network


def squeezenet(net: Network, stem: tuple[int, int], fires: Sequence[int], pools: Sequence[int]) -> None:
    """F. N. Iandola et al., "SqueezeNet", 2016: fire modules squeeze to few channels and expand to eight times as many.

    `stem` are outputs and kernel of the first convolution, `fires` the channels after squeezing, `pools` the numbers of
    the modules with a pool before them.
    """
    w = net.wide
    x = net.conv(net.image, w(stem[0]), stem[1], 2, pad=0)
    for i, squeezed in enumerate(fires):
        if i in pools:
            x = net.pool(x, "max", 3, 2, ceil_mode=True)
        s = net.conv(x, w(squeezed))
        x = net.concat(net.conv(s, w(4 * squeezed)), net.conv(s, w(4 * squeezed), 3))
    net.mean(net.conv(x, net.classes))


def squeezenet10(net: Network) -> None:
    squeezenet(net, (96, 7), (16, 16, 32, 32, 48, 48, 64, 64), (0, 3, 7))


def squeezenet11(net: Network) -> None:
    squeezenet(net, (64, 3), (16, 16, 32, 32, 48, 48, 64, 64), (0, 2, 4))


def bottleneck(net: Network, x: Layer, inner: int, outputs: int, stride: int, first: bool, early: bool) -> Layer:
    """A block of ResNet-50; the `first` of a stage changes the channels. The stride is that of the first convolution
    (`early`) or of the second."""
    w = net.wide
    inside = net.conv(x, w(inner), 1, stride if early else 1)
    inside = net.conv(inside, w(inner), 3, 1 if early else stride)
    around = net.conv(x, w(outputs), 1, stride, activation=None) if first else x
    return net.conv(inside, w(outputs), other=around)


def bottlenecks(net: Network, x: Layer, inner: int, outputs: int, early: bool) -> Layer:
    """The four stages of ResNet-50, each of twice as many channels as the one before."""
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            x = bottleneck(net, x, inner << stage, outputs << stage, stride, block == 0, early)
    return x


def resnet50(net: Network) -> None:
    """K. He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, 4.09 GMAC."""
    x = net.conv(net.image, net.wide(64), 7, 2)
    x = net.pool(x, "max", 3, 2, pad=1)
    net.logits(net.mean(bottlenecks(net, x, 64, 256, early=False)))


def open_nsfw(net: Network) -> None:
    """Yahoo's open_nsfw, 2016: ResNet-50 with half of the channels, in Caffe. It has two classes by itself."""
    x = net.conv(net.image, net.wide(64), 7, 2)
    x = net.pool(x, "max", 3, 2, ceil_mode=True)
    net.logits(net.mean(bottlenecks(net, x, 32, 128, early=True)))


def vgg19(net: Network) -> None:
    """K. Simonyan and A. Zisserman, "Very Deep Convolutional Networks", ICLR 2015."""
    w, x = net.wide, net.image
    for channels, layers in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(layers):
            x = net.conv(x, w(channels), 3)
        x = net.pool(x, "max", 2, 2)
    net.logits(net.dense(net.dense(net.flatten(x), w(4096)), w(4096)))


Description = Callable[[Network], None]

NETWORKS: dict[str, Description] = {
    "squeezenet10": squeezenet10,
    "squeezenet11": squeezenet11,
    "resnet50": resnet50,
    "open_nsfw": open_nsfw,
    "vgg19": vgg19,
}
"""By the name that the command takes."""
