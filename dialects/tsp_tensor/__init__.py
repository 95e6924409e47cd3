"""The `tsp_tensor` dialect: what is computed. Value semantics on builtin tensors of static shape."""

from __future__ import annotations

from xdsl.ir import Dialect

from .compute import ConvOp, MapOp, MatmulOp, PoolOp, ReduceOp, YieldOp
from .movement import ConcatOp, ConstantOp, GatherOp, PadOp, ParameterOp, ReshapeOp, ScatterOp, SliceOp, TransposeOp
from .named import AttentionOp, AvgPoolOp, GeluOp, LayerNormOp, NamedOp, RmsNormOp, RopeOp, SigmoidOp, SiluOp, SoftmaxOp
from .types import NAME, WEIGHTS, tensor_names
from .window import Window

__all__ = [
    "NAME",
    "TSP_TENSOR",
    "WEIGHTS",
    "AttentionOp",
    "AvgPoolOp",
    "ConcatOp",
    "ConstantOp",
    "ConvOp",
    "GatherOp",
    "GeluOp",
    "LayerNormOp",
    "MapOp",
    "MatmulOp",
    "NamedOp",
    "PadOp",
    "ParameterOp",
    "PoolOp",
    "ReduceOp",
    "ReshapeOp",
    "RmsNormOp",
    "RopeOp",
    "ScatterOp",
    "SigmoidOp",
    "SiluOp",
    "SliceOp",
    "SoftmaxOp",
    "TransposeOp",
    "Window",
    "YieldOp",
    "tensor_names",
]

TSP_TENSOR = Dialect(
    "tsp_tensor",
    [
        ParameterOp,
        ConstantOp,
        MatmulOp,
        ConvOp,
        MapOp,
        YieldOp,
        ReduceOp,
        PoolOp,
        GatherOp,
        ScatterOp,
        ReshapeOp,
        TransposeOp,
        SliceOp,
        ConcatOp,
        PadOp,
        SoftmaxOp,
        LayerNormOp,
        RmsNormOp,
        GeluOp,
        SiluOp,
        SigmoidOp,
        RopeOp,
        AttentionOp,
        AvgPoolOp,
    ],
)
