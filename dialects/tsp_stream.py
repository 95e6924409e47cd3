"""The `tsp_stream` dialect: where values flow.

Buffers are places in SRAM, streams are runs of vectors on the move. Each attribute that a pass decides (place, plane,
ALUs, direction, stream, cycle) is absent before that pass and required after it; the verifiers check what is there.
"""

from __future__ import annotations

from typing import ClassVar, cast

from xdsl.dialects import arith
from xdsl.dialects.builtin import I64, DenseArrayBase, IntegerAttr, IntegerType, StringAttr, TensorType, i32, i64
from xdsl.ir import Attribute, Dialect, Operation, SSAValue
from xdsl.irdl import (
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    var_operand_def,
)
from xdsl.utils.exceptions import VerifyException

from .alu_ops import SCALAR_OPS, YieldOp, check_alu_region
from .alu_ops import AddSatOp as AddSatOp
from .alu_ops import CompareOp as CompareOp
from .alu_ops import ConvertOp as ConvertOp
from .alu_ops import DelayOp as DelayOp
from .alu_ops import MulSatOp as MulSatOp
from .alu_ops import ReluOp as ReluOp
from .alu_ops import SelectOp as SelectOp
from .alu_ops import SubSatOp as SubSatOp
from .elements import element_bytes
from .layout import AccessPattern
from .placement import PlaceAttr, check_host_tensor
from .stream_base import DrivingOp, StreamOp, TimedOp, check_lanes
from .stream_lanes import LANE_OPS, PartOp
from .stream_lanes import DistributeOp as DistributeOp
from .stream_lanes import LaneOp as LaneOp
from .stream_lanes import LaneSelectOp as LaneSelectOp
from .stream_lanes import PermuteOp as PermuteOp
from .stream_lanes import RotateOp as RotateOp
from .stream_lanes import ShiftOp as ShiftOp
from .stream_lanes import TransposeOp as TransposeOp
from .stream_lanes import origin as origin
from .stream_types import BufferType, FlightType, PartialType, PatternAttr, StreamType, WeightsType
from .target_attr import target_of
from .tsp_isa import BIND_KINDS

_EVERY_1 = IntegerAttr(1, i64)


@irdl_op_definition
class BufferOp(StreamOp):
    """A tensor in SRAM: `tsp_stream.buffer "input" "x" : !tsp_stream.buffer<360x64xi8, rows>`, or `"scratch"`."""

    name = "tsp_stream.buffer"
    KINDS: ClassVar[tuple[str, ...]] = (*BIND_KINDS, "scratch")
    kind = prop_def(StringAttr)
    tensor_name = opt_prop_def(StringAttr)
    value = opt_prop_def(Attribute)
    place = opt_prop_def(PlaceAttr)
    external = opt_prop_def(TensorType)
    """The type by which the host knows the tensor, where a reshape makes it another one."""
    buffer = result_def(BufferType)
    assembly_format = (
        "$kind ($tensor_name^)? (`value` $value^)? (`as` $external^)? (`chip` $chip^)? (`place` $place^)? attr-dict "
        "`:` type($buffer)"
    )

    @property
    def type(self) -> BufferType:
        return self.buffer.type

    @property
    def host_type(self) -> TensorType[Attribute]:
        """The type by which the host knows the tensor."""
        return self.external or self.type.tensor

    def verify_(self) -> None:
        super().verify_()
        if self.kind.data not in self.KINDS:
            raise VerifyException(f"kind `{self.kind.data}` is none of {', '.join(self.KINDS)}")
        check_host_tensor(self.kind.data, self.type.tensor, self.host_type, self.value)
        if self.place is not None:
            if self.place.data.layout is not self.type.layout:
                raise VerifyException(
                    f"the place has layout {self.place.data.layout.value}, the type {self.type.layout.value}"
                )
            self.place.data.check(self.type.tensor, target_of(self).chip)


def _check_access(
    op: Operation, pattern: AccessPattern, buffer: BufferType, type_: StreamType, byte: int | None
) -> None:
    check_lanes(op, type_)
    chip = target_of(op).chip
    slices = buffer.layout.slices(element_bytes(buffer.tensor.element_type), chip)
    depth = buffer.layout.depth(buffer.shape, chip)
    if pattern.low < 0 or pattern.high >= depth:
        raise VerifyException(f"words {pattern.low}..{pattern.high} are outside the buffer's 0..{depth - 1}")
    if pattern.count != type_.vectors:
        raise VerifyException(f"the pattern visits {pattern.count} words, the stream has {type_.vectors} vectors")
    width = slices if byte is None else 1
    if type_.width != width:
        raise VerifyException(f"{type_} has {type_.width} streams side by side, but {width} slices take part")
    if byte is not None and not 0 <= byte < slices:
        raise VerifyException(f"byte {byte} is outside the element's 0..{slices - 1}")


@irdl_op_definition
class ReadOp(DrivingOp):
    """Reads words of a buffer onto a stream, one every `every` cycles; of one slice only where `byte` is given."""

    name = "tsp_stream.read"
    buffer = operand_def(BufferType)
    words = prop_def(PatternAttr)
    byte = opt_prop_def(IntegerAttr[I64])
    every = prop_def(IntegerAttr[I64], default_value=_EVERY_1)
    stream = result_def(StreamType)
    assembly_format = (
        "$buffer `words` $words (`byte` $byte^)? (`every` $every^)? (`chip` $chip^)? (`toward` $direction^)? "
        "(`on` $on^)? (`at` $at^)? attr-dict `:` type($buffer) `->` type($stream)"
    )

    def verify_(self) -> None:
        super().verify_()
        if self.every.value.data < 1:
            raise VerifyException(f"a vector every {self.every.value.data} cycles; give at least 1")
        byte = None if self.byte is None else self.byte.value.data
        _check_access(self, self.words.data, cast(BufferType, self.buffer.type), self.stream.type, byte)


@irdl_op_definition
class WriteOp(TimedOp):
    """Writes a stream to words of a buffer; to one slice only where `byte` is given."""

    name = "tsp_stream.write"
    stream = operand_def(StreamType)
    buffer = operand_def(BufferType)
    words = prop_def(PatternAttr)
    byte = opt_prop_def(IntegerAttr[I64])
    assembly_format = (
        "$stream `to` $buffer `words` $words (`byte` $byte^)? (`chip` $chip^)? (`at` $at^)? attr-dict "
        "`:` type($stream) `,` type($buffer)"
    )

    def verify_(self) -> None:
        super().verify_()
        byte = None if self.byte is None else self.byte.value.data
        _check_access(
            self, self.words.data, cast(BufferType, self.buffer.type), cast(StreamType, self.stream.type), byte
        )


def _check_map(op: Operation, map_: SSAValue, stream: StreamType) -> None:
    """Raises VerifyException unless the map has a vector of i8 for each of the stream's."""
    check_lanes(op, type_ := cast(StreamType, map_.type))
    if type_.element_type != IntegerType(8) or type_.shape != (stream.vectors, stream.shape[-1]):
        raise VerifyException(f"the map of {stream} is one stream of i8 with as many vectors, not {type_}")


@irdl_op_definition
class GatherOp(DrivingOp):
    """Reads words of a buffer onto a stream, as `read` does, but every tile from a word of its own: that of the pattern
    plus the number in the tile's first two lanes on the map stream, low byte first, modulo the words of a slice. A word
    outside the buffer is an error of the run at this level; below, the words of other buffers lie there."""

    name = "tsp_stream.gather"
    map = operand_def(StreamType)
    buffer = operand_def(BufferType)
    words = prop_def(PatternAttr)
    byte = opt_prop_def(IntegerAttr[I64])
    stream = result_def(StreamType)
    assembly_format = (
        "$map `,` $buffer `words` $words (`byte` $byte^)? (`chip` $chip^)? (`toward` $direction^)? (`on` $on^)? "
        "(`at` $at^)? attr-dict `:` type($map) `,` type($buffer) `->` type($stream)"
    )

    def verify_(self) -> None:
        super().verify_()
        byte = None if self.byte is None else self.byte.value.data
        _check_map(self, self.map, self.stream.type)
        _check_access(self, self.words.data, cast(BufferType, self.buffer.type), self.stream.type, byte)


@irdl_op_definition
class ScatterOp(TimedOp):
    """Writes a stream to words of a buffer, every tile to a word of its own; see `gather`. Of several vectors for one
    word the last stays."""

    name = "tsp_stream.scatter"
    map = operand_def(StreamType)
    stream = operand_def(StreamType)
    buffer = operand_def(BufferType)
    words = prop_def(PatternAttr)
    byte = opt_prop_def(IntegerAttr[I64])
    assembly_format = (
        "$map `,` $stream `to` $buffer `words` $words (`byte` $byte^)? (`chip` $chip^)? (`at` $at^)? attr-dict "
        "`:` type($map) `,` type($stream) `,` type($buffer)"
    )

    def verify_(self) -> None:
        super().verify_()
        byte = None if self.byte is None else self.byte.value.data
        stream = cast(StreamType, self.stream.type)
        _check_map(self, self.map, stream)
        _check_access(self, self.words.data, cast(BufferType, self.buffer.type), stream, byte)


AccessOp = ReadOp | WriteOp | GatherOp | ScatterOp
"""The ops that touch SRAM. All have `buffer`, `words`, `byte` and `stream`."""


@irdl_op_definition
class LoadWeightsOp(TimedOp):
    """Loads weights from 16 streams into a plane's buffer and installs them."""

    name = "tsp_stream.load_weights"
    stream = operand_def(StreamType)
    plane = opt_prop_def(IntegerAttr[I64])
    weights = result_def(WeightsType)
    assembly_format = (
        "$stream (`plane` $plane^)? (`chip` $chip^)? (`at` $at^)? attr-dict `:` type($stream) `->` type($weights)"
    )

    def verify_(self) -> None:
        super().verify_()
        check_lanes(self, self.stream.type)
        chip = target_of(self).chip
        k, n = self.weights.type.shape
        if k > chip.lanes or n > chip.lanes:
            raise VerifyException(f"a plane holds {chip.lanes} x {chip.lanes} weights, not {k} x {n}")
        stream = cast(StreamType, self.stream.type)
        groups = -(-k // chip.weight_streams)
        if stream.shape[:2] != (groups, chip.weight_streams):
            raise VerifyException(
                f"{k} rows of weights are {groups} steps of {chip.weight_streams} vectors side by side, not {stream}"
            )
        check_plane(self, self.plane)


def check_plane(op: Operation, plane: IntegerAttr[I64] | None) -> None:
    """Raises VerifyException unless the chip has the plane."""
    planes = target_of(op).chip.planes
    if plane is not None and not 0 <= plane.value.data < planes:
        raise VerifyException(f"plane {plane.value.data}: the chip has 0..{planes - 1}")


@irdl_op_definition
class MatmulOp(DrivingOp):
    """Multiplies int8 activation vectors by the installed weights, adding to `partial` sums where given. The result is
    a stream of int32, or further partial sums that stay in the accumulators."""

    name = "tsp_stream.matmul"
    activations = operand_def(StreamType)
    weights = operand_def(WeightsType)
    partial = opt_operand_def(PartialType)
    plane = opt_prop_def(IntegerAttr[I64])
    result = result_def(StreamType | PartialType)
    assembly_format = (
        "$activations `,` $weights (`add` $partial^ `:` type($partial))? (`plane` $plane^)? (`chip` $chip^)? "
        "(`toward` $direction^)? (`on` $on^)? (`at` $at^)? attr-dict "
        "`:` type($activations) `,` type($weights) `->` type($result)"
    )

    @property
    def emits(self) -> bool:
        """Whether the sums leave the accumulators."""
        return isinstance(self.result.type, StreamType)

    def verify_(self) -> None:
        super().verify_()
        check_lanes(self, self.activations.type)
        activations = cast(StreamType, self.activations.type)
        result = self.result.type
        if activations.element_type != IntegerType(8) or len(activations.shape) != 2:
            raise VerifyException(f"activations are one stream of i8, not {activations}")
        if result.shape != activations.shape or result.element_type != i32:
            raise VerifyException(f"{activations.vectors} activation vectors give as many of i32, not {result}")
        entries = target_of(self).chip.accumulators
        if (not self.emits or self.partial is not None) and activations.vectors > entries:
            raise VerifyException(f"{activations.vectors} partial sums do not fit into {entries} accumulators")
        if self.partial is not None and self.partial.type != PartialType.of(result.shape, i32):
            raise VerifyException(f"the partial sums are {self.partial.type}, the result {result}")
        if not self.emits and len(list(self.result.uses)) != 1:
            raise VerifyException("partial sums are used exactly once")
        check_plane(self, self.plane)
        together = [self, *(v.owner for v in (self.weights, self.partial) if v is not None)]
        planes = {
            op.plane.value.data for op in together if isinstance(op, LoadWeightsOp | MatmulOp) and op.plane is not None
        }
        if len(planes) > 1:
            raise VerifyException(f"weights, partial sums and product lie on one plane, not {sorted(planes)}")


@irdl_op_definition
class VxmOp(DrivingOp):
    """Applies a region of scalar ops to every lane of its streams; one ALU per op, numbered by `alus` once placed."""

    name = "tsp_stream.vxm"
    inputs = var_operand_def(StreamType)
    alus = opt_prop_def(DenseArrayBase[I64])
    body = region_def("single_block")
    stream = result_def(StreamType)
    assembly_format = (
        "$inputs (`alus` $alus^)? (`chip` $chip^)? (`toward` $direction^)? (`on` $on^)? (`at` $at^)? "
        "`:` functional-type($inputs, $stream) $body attr-dict"
    )

    @property
    def yielded(self) -> SSAValue:
        return cast(YieldOp, self.body.block.last_op).value

    @property
    def alu_ops(self) -> list[Operation]:
        """The ops that take an ALU, in order."""
        return [op for op in self.body.block.ops if not isinstance(op, arith.ConstantOp | YieldOp)]

    def verify_(self) -> None:
        super().verify_()
        check_alu_region(self.body)
        stream = self.stream.type
        for value, argument in zip(self.inputs, self.body.block.args, strict=False):
            input_type = cast(StreamType, value.type)
            if input_type.shape != stream.shape or input_type.element_type != argument.type:
                raise VerifyException(f"input {input_type} does not fit result {stream} and argument {argument.type}")
        if len(self.inputs) != len(self.body.block.args):
            raise VerifyException(f"{len(self.inputs)} inputs but {len(self.body.block.args)} region arguments")
        if self.yielded.type != stream.element_type:
            raise VerifyException(f"the region yields {self.yielded.type}, the stream is {stream}")
        check_lanes(self, stream)
        if self.alus is not None:
            alus = self.alus.get_values()
            if len(alus) != len(self.alu_ops) or len(set(alus)) != len(alus):
                raise VerifyException(f"{len(self.alu_ops)} ops need as many different ALUs, got {list(alus)}")
            if alus and not 0 <= min(alus) <= max(alus) < target_of(self).chip.alus:
                raise VerifyException(f"ALUs {list(alus)}: the chip has 0..{target_of(self).chip.alus - 1}")


@irdl_op_definition
class SendOp(TimedOp):
    """Sends a stream over `link` to another chip, a vector in every slot of the link."""

    name = "tsp_stream.send"
    stream = operand_def(StreamType)
    link = prop_def(IntegerAttr[I64])
    flight = result_def(FlightType)
    assembly_format = (
        "$stream `link` $link (`chip` $chip^)? (`at` $at^)? attr-dict `:` type($stream) `->` type($flight)"
    )

    def verify_(self) -> None:
        super().verify_()
        check_link(self, self.link, cast(StreamType, self.stream.type))


@irdl_op_definition
class ReceiveOp(DrivingOp):
    """Takes the vectors that arrive on `link` and drives them onto a stream."""

    name = "tsp_stream.receive"
    flight = operand_def(FlightType)
    link = prop_def(IntegerAttr[I64])
    stream = result_def(StreamType)
    assembly_format = (
        "$flight `link` $link (`chip` $chip^)? (`toward` $direction^)? (`on` $on^)? (`at` $at^)? attr-dict "
        "`:` type($flight) `->` type($stream)"
    )

    def verify_(self) -> None:
        super().verify_()
        check_link(self, self.link, self.stream.type)


def check_link(op: Operation, link: IntegerAttr[I64], stream: StreamType) -> None:
    """Raises VerifyException unless the chip has the link and the stream is one vector wide."""
    links = target_of(op).chip.links
    if not 0 <= link.value.data < links:
        raise VerifyException(f"link {link.value.data}: a chip has 0..{links - 1}")
    if stream.width != 1:
        raise VerifyException(f"a link carries one vector at a time, {stream} has {stream.width} side by side")


TSP_STREAM = Dialect(
    "tsp_stream",
    [
        *(BufferOp, ReadOp, WriteOp, GatherOp, ScatterOp, LoadWeightsOp, MatmulOp, VxmOp, *SCALAR_OPS),
        *(*LANE_OPS, PartOp, SendOp, ReceiveOp),
    ],
    [BufferType, StreamType, WeightsType, PartialType, FlightType, PlaceAttr, PatternAttr],
)
