"""Convolutional networks in their true shapes: what is behind what. Each function adds the layers of one to a network.

SqueezeNet, ShuffleNet, ResNet-50, DenseNet-121, Inception, AlexNet, ZFNet and VGG-19 have the layers of the models
`light_*.onnx` of the `onnx` package. Where these come from Caffe, pools use its ceil mode, which the models have in
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
        for block in range(net.deep(blocks)):
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
        for _ in range(net.deep(layers)):
            x = net.conv(x, w(channels), 3)
        x = net.pool(x, "max", 2, 2)
    net.logits(net.dense(net.dense(net.flatten(x), w(4096)), w(4096)))


def alexnet(net: Network) -> None:
    """A. Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012, in Caffe."""
    w = net.wide
    x = net.conv(net.image, w(96, 2), 11, 4, pad=0)
    x = net.pool(net.lrn(x), "max", 3, 2, ceil_mode=True)
    x = net.conv(x, w(256, 2), 5, groups=2)
    x = net.pool(net.lrn(x), "max", 3, 2, ceil_mode=True)
    x = net.conv(x, w(384, 2), 3)
    x = net.conv(x, w(384, 2), 3, groups=2)
    x = net.conv(x, w(256, 2), 3, groups=2)
    x = net.pool(x, "max", 3, 2, ceil_mode=True)
    net.logits(net.dense(net.dense(net.flatten(x), w(4096)), w(4096)))


def zfnet512(net: Network) -> None:
    """M. D. Zeiler and R. Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, with 512 channels
    in the last three convolutions."""
    w = net.wide
    x = net.conv(net.image, w(96), 7, 2, pad=0)
    x = net.pool(net.lrn(x, alpha=5e-4, bias=2.0), "max", 3, 2)
    x = net.conv(x, w(256), 5, 2, pad=0)
    x = net.pool(net.lrn(x, alpha=5e-4, bias=2.0), "max", 3, 2)
    for _ in range(3):
        x = net.conv(x, w(512), 3)
    x = net.pool(x, "max", 2, 2)
    net.logits(net.dense(net.dense(net.flatten(x), w(4096)), w(1024)))


def inception_v1(net: Network) -> None:
    """GoogLeNet: C. Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, in Caffe."""
    w = net.wide
    x = net.conv(net.image, w(64), 7, 2)
    x = net.lrn(net.pool(x, "max", 3, 2, ceil_mode=True))
    x = net.lrn(net.conv(net.conv(x, w(64)), w(192), 3))
    x = net.pool(x, "max", 3, 2, ceil_mode=True)
    modules = (  # outputs of the 1 x 1, of the 3 x 3 and of the 5 x 5, each behind a smaller one, and of the pool
        ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
        (
            (192, 96, 208, 16, 48, 64),
            (160, 112, 224, 24, 64, 64),
            (128, 128, 256, 24, 64, 64),
            (112, 144, 288, 32, 64, 64),
            (256, 160, 320, 32, 128, 128),
        ),
        ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
    )
    for stage, group in enumerate(modules):
        if stage > 0:
            x = net.pool(x, "max", 3, 2, ceil_mode=True)
        for one, small3, three, small5, five, pooled in group[: net.deep(len(group))]:
            x = net.concat(
                net.conv(x, w(one)),
                net.conv(net.conv(x, w(small3)), w(three), 3),
                net.conv(net.conv(x, w(small5)), w(five), 5),
                net.conv(net.pool(x, "max", 3, 1, pad=1), w(pooled)),
            )
    net.logits(net.mean(x))


def inception_v2(net: Network) -> None:
    """BN-Inception: S. Ioffe and C. Szegedy, "Batch Normalization", ICML 2015, in Caffe."""
    w = net.wide
    x = net.conv(net.image, w(64), 7, 2)
    x = net.pool(x, "max", 3, 2, ceil_mode=True)
    x = net.conv(net.conv(x, w(64)), w(192), 3)
    x = net.pool(x, "max", 3, 2, ceil_mode=True)

    def halved(x: Layer, small: int, three: int, smaller: int, double: int) -> Layer:
        """A module of stride 2, which passes the channels of its pool on."""
        return net.concat(
            net.conv(net.conv(x, w(small)), w(three), 3, 2),
            net.conv(net.conv(net.conv(x, w(smaller)), w(double), 3), w(double), 3, 2),
            net.pool(x, "max", 3, 2, ceil_mode=True),
        )

    def module(x: Layer, one: int, small: int, three: int, smaller: int, double: int, kind: str, pooled: int) -> Layer:
        """Outputs of the 1 x 1, of the 3 x 3 and of two 3 x 3 behind smaller ones, and of the pool."""
        return net.concat(
            net.conv(x, w(one)),
            net.conv(net.conv(x, w(small)), w(three), 3),
            net.conv(net.conv(net.conv(x, w(smaller)), w(double), 3), w(double), 3),
            net.conv(net.pool(x, kind, 3, 1, pad=1), w(pooled)),
        )

    modules = (
        ((64, 64, 64, 64, 96, "average", 32), (64, 64, 96, 64, 96, "average", 64)),
        (
            (224, 64, 96, 96, 128, "average", 128),
            (192, 96, 128, 96, 128, "average", 128),
            (160, 128, 160, 128, 160, "average", 96),
            (96, 128, 192, 160, 192, "average", 96),
        ),
        ((352, 192, 320, 160, 224, "average", 128), (352, 192, 320, 192, 224, "max", 128)),
    )
    for stage, group in enumerate(modules):
        if stage > 0:
            x = halved(x, *((128, 160, 64, 96), (128, 192, 192, 256))[stage - 1])
        for numbers in group[: net.deep(len(group))]:
            x = module(x, *numbers)
    net.logits(net.mean(x))


def densenet121(net: Network) -> None:
    """G. Huang et al., "Densely Connected Convolutional Networks", CVPR 2017."""
    w = net.wide
    x = net.conv(net.image, w(64), 7, 2)
    x = net.pool(x, "max", 3, 2, pad=1)
    for block, layers in enumerate((6, 12, 24, 16)):
        if block > 0:
            x = net.conv(net.affine(x), x.channels // 2, activation=None)
            x = net.pool(x, "average", 2, 2)
        for _ in range(net.deep(layers)):
            more = net.conv(net.affine(x), w(128))
            x = net.concat(x, net.conv(more, w(32), 3, activation=None))
    net.logits(net.mean(net.affine(x)))


def shufflenet(net: Network, groups: int, outputs: int, narrow: int) -> None:
    """X. Zhang et al., "ShuffleNet", CVPR 2018: `outputs` channels behind the first stage, `narrow` times fewer inside
    of a unit."""
    x = net.conv(net.image, net.wide(24, groups), 3, 2)
    x = net.pool(x, "max", 3, 2, pad=1)
    for stage, units in enumerate((4, 8, 4)):
        channels = net.wide(outputs << stage, groups * narrow)
        for unit in range(net.deep(units)):
            stride = 2 if unit == 0 else 1
            branch = channels - x.channels if stride == 2 else channels
            inner = branch if narrow == 1 else channels // narrow
            inside = net.shuffle(net.conv(x, inner, groups=groups), groups)
            inside = net.depthwise(inside, 3, stride, activation=None)
            if stride == 1:
                x = net.conv(inside, branch, groups=groups, other=x)
            else:  # relu behind the concatenation, which changes nothing of an average of what relu gave
                x = net.concat(net.conv(inside, branch, groups=groups), net.pool(x, "average", 3, 2, pad=1))
    net.logits(net.mean(x))


def shufflenet_g3(net: Network) -> None:
    """The one of the paper, with 3 groups, but that the first convolution of its first unit has groups too."""
    shufflenet(net, 3, 240, 4)


def shufflenet_g4(net: Network) -> None:
    """The one of the `onnx` package, with half of the channels of the paper's and all of them inside of a unit."""
    shufflenet(net, 4, 136, 1)


def mobilenet_v2(net: Network) -> None:
    """M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018."""
    w = net.wide
    x = net.conv(net.image, w(32), 3, 2, activation="relu6")
    stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expansion, channels, blocks, stride in stages:
        for block in range(net.deep(blocks)):
            inside = net.conv(x, x.channels * expansion, activation="relu6") if expansion > 1 else x
            inside = net.depthwise(inside, 3, stride if block == 0 else 1, activation="relu6")
            x = net.conv(inside, w(channels), other=x if block > 0 else None, activation=None)
    net.logits(net.mean(net.conv(x, w(1280), activation="relu6")))


Description = Callable[[Network], None]

NETWORKS: dict[str, Description] = {
    "alexnet": alexnet,
    "densenet121": densenet121,
    "inception_v1": inception_v1,
    "inception_v2": inception_v2,
    "mobilenet_v2": mobilenet_v2,
    "open_nsfw": open_nsfw,
    "resnet50": resnet50,
    "shufflenet_g3": shufflenet_g3,
    "shufflenet_g4": shufflenet_g4,
    "squeezenet10": squeezenet10,
    "squeezenet11": squeezenet11,
    "vgg19": vgg19,
    "zfnet512": zfnet512,
}
"""By the name that the command takes."""
