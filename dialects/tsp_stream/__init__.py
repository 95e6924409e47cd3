"""The `tsp_stream` dialect: where values flow.

Buffers are places in SRAM, streams are runs of vectors on the move. Each attribute that a pass decides (place, plane,
ALUs, direction, stream, cycle) is absent before that pass and required after it; the verifiers check what is there.
"""

from __future__ import annotations

from typing import ClassVar, cast

from xdsl.dialects import arith
from xdsl.dialects.builtin import (
    I64,
    DenseArrayBase,
    IntegerAttr,
    StringAttr,
    TensorType,
    f16,
    f32,
    i8,
    i32,
)
from xdsl.ir import Attribute, Dialect, Operation, SSAValue
from xdsl.irdl import (
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    var_operand_def,
)
from xdsl.utils.exceptions import VerifyException

from ..elements import element_bytes
from ..literals import Literal
from ..machine.layout import AccessPattern
from ..placement import LayoutAttr, Place, PlaceAttr, check_host_tensor, check_place
from ..target_attr import target_of
from ..tsp_isa import BIND_KINDS
from .alu_ops import SCALAR_OPS, YieldOp, check_alu_region
from .alu_ops import AddSatOp as AddSatOp
from .alu_ops import CompareOp as CompareOp
from .alu_ops import ConvertOp as ConvertOp
from .alu_ops import DelayOp as DelayOp
from .alu_ops import MulSatOp as MulSatOp
from .alu_ops import ReluOp as ReluOp
from .alu_ops import SelectOp as SelectOp
from .alu_ops import SubSatOp as SubSatOp
from .base import DrivingOp, StreamOp, TimedOp, check_lanes
from .lanes import LANE_OPS, PartOp
from .lanes import DistributeOp as DistributeOp
from .lanes import LaneOp as LaneOp
from .lanes import LaneSelectOp as LaneSelectOp
from .lanes import PermuteOp as PermuteOp
from .lanes import RotateOp as RotateOp
from .lanes import ShiftOp as ShiftOp
from .lanes import TransposeOp as TransposeOp
from .lanes import origin as origin
from .types import BufferType, FlightType, PatternAttr, StreamType, WeightsType


@irdl_op_definition
class BufferOp(StreamOp):
    """A tensor in SRAM: an input, output, parameter or constant of the program, or scratch."""

    name = "tsp_stream.buffer"
    KINDS: ClassVar[tuple[str, ...]] = (*BIND_KINDS, "scratch")
    kind = prop_def(StringAttr)
    tensor_name = opt_prop_def(StringAttr)
    value = opt_prop_def(Attribute)
    place = opt_prop_def(PlaceAttr)
    external = opt_prop_def(TensorType)
    """The type by which the host knows the tensor, where a reshape makes it another one."""
    returned = opt_prop_def(StringAttr)
    """The name of the output that an input has become when the program ends: the host finds it in the same words."""
    parts = opt_prop_def(DenseArrayBase[I64])
    """The first words of the parts into which stream-place should cut it."""
    owners = opt_prop_def(DenseArrayBase[I64])
    """The group of slices in which each part should lie; each in its own without it."""
    copies = opt_prop_def(IntegerAttr[I64])
    """How many copies stream-place should make room for."""
    buffer = result_def(BufferType)
    assembly_format = (
        "$kind ($tensor_name^)? (`value` custom<Literal>($value)^)? "
        "(`as` $external^)? (`returned` $returned^)? (`chip` $chip^)? "
        "(`place` $place^)? "
        "(`parts` $parts^)? (`in` $owners^)? (`copies` $copies^)? attr-dict `:` type($buffer)"
    )
    custom_directives = (Literal,)

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
        if self.returned is not None and self.kind.data != "input":
            raise VerifyException(f"only an input can be `returned`, not a buffer of kind {self.kind.data}")
        check_host_tensor(self.kind.data, self.type.tensor, self.host_type, self.value)
        place = None if self.place is None else self.place.data
        check_place(self.type.tensor, self.type.layout, place, target_of(self).chip)
        if reason := self.wanted.cut_fault(self.type.layout):
            raise VerifyException(reason)

    @property
    def output_name(self) -> str | None:
        """The name of the output whose words these are, if there is one."""
        name = self.returned if self.returned is not None else self.tensor_name if self.kind.data == "output" else None
        return None if name is None else name.data

    @property
    def wanted(self) -> Place:
        """How stream-place should cut and copy it, without slices."""
        starts = tuple(self.parts.get_values()) if self.parts is not None else (0,)
        owners = tuple(self.owners.get_values()) if self.owners is not None else ()
        return Place((), starts, owners, 1 if self.copies is None else self.copies.value.data)


def check_access(op: AccessOp, type_: StreamType) -> None:
    """Raises VerifyException unless the visits fit the buffer and the stream."""
    check_lanes(op, type_)
    layout, pattern, byte = cast(BufferType, op.buffer.type).layout, op.words.data, only_byte(op)
    if pattern.low < 0 or pattern.high >= layout.depth:
        raise VerifyException(f"words {pattern.low}..{pattern.high} are outside the buffer's 0..{layout.depth - 1}")
    if pattern.count != type_.vectors:
        raise VerifyException(f"the pattern visits {pattern.count} words, the stream has {type_.vectors} vectors")
    width = layout.width if byte is None else 1
    if type_.width != width:
        raise VerifyException(f"{type_} has {type_.width} streams side by side, but {width} slices take part")
    if byte is not None and not 0 <= byte < layout.width:
        raise VerifyException(f"byte {byte} is outside the element's 0..{layout.width - 1}")


def only_byte(op: AccessOp) -> int | None:
    """The number of the only slice that an access visits, of those side by side; None for all."""
    return None if op.byte is None else op.byte.value.data


def ascends(times: AccessPattern) -> bool:
    """Whether every visit is later than the one before it."""
    span = 0
    for count, step in times.levels:
        if step <= span:
            return False
        span += (count - 1) * step
    return True


@irdl_op_definition
class ReadOp(DrivingOp):
    """Reads words of a buffer onto a stream, one a cycle, or at the `cycles` that a pattern gives; from copy number
    `copy` of a buffer that has several."""

    name = "tsp_stream.read"
    buffer = operand_def(BufferType)
    words = prop_def(PatternAttr)
    byte = opt_prop_def(IntegerAttr[I64])
    copy = opt_prop_def(IntegerAttr[I64])
    cycles = opt_prop_def(PatternAttr)
    stream = result_def(StreamType)
    assembly_format = (
        "$buffer `words` $words (`byte` $byte^)? (`copy` $copy^)? (`cycles` $cycles^)? (`chip` $chip^)? "
        "(`toward` $direction^)? (`on` $on^)? (`at` $at^)? attr-dict `:` type($buffer) `->` type($stream)"
    )

    @property
    def from_copy(self) -> int:
        return 0 if self.copy is None else self.copy.value.data

    def verify_(self) -> None:
        super().verify_()
        check_access(self, self.stream.type)
        if self.cycles is not None:
            times = self.cycles.data
            if times.offset != 0 or times.count != self.stream.type.vectors:
                raise VerifyException(f"cycles {times} begin at 0 and are one for each of {self.stream.type.vectors}")
            if not ascends(times):
                raise VerifyException(f"cycles {times} do not ascend: each level steps past the ones within it")
        place = self.buffer.owner.place if isinstance(self.buffer.owner, BufferOp) else None
        if place is not None and not 0 <= self.from_copy < place.data.copies:
            raise VerifyException(f"copy {self.from_copy}: the buffer has {place.data.copies}")


@irdl_op_definition
class WriteOp(TimedOp):
    """Writes a stream to words of a buffer, in all of its copies."""

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
        check_access(self, cast(StreamType, self.stream.type))


def _check_map(op: Operation, map_: SSAValue, stream: StreamType) -> None:
    """Raises VerifyException unless the map has a vector of i8 for each of the stream's."""
    check_lanes(op, type_ := cast(StreamType, map_.type))
    if type_.element_type != i8 or type_.shape != (stream.vectors, stream.shape[-1]):
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
        _check_map(self, self.map, self.stream.type)
        check_access(self, self.stream.type)


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
        stream = cast(StreamType, self.stream.type)
        _check_map(self, self.map, stream)
        check_access(self, stream)


AccessOp = ReadOp | WriteOp | GatherOp | ScatterOp
"""The ops that touch SRAM. All have `buffer`, `words`, `byte` and `stream`."""


@irdl_op_definition
class LoadWeightsOp(TimedOp):
    """Loads weights from a group of streams into a plane's buffer and installs them, once for every pass of the product
    that uses them. The rows of fp16 weights come twice, first their low bytes and then their high bytes, which go to
    the other plane of the pair."""

    name = "tsp_stream.load_weights"
    stream = operand_def(StreamType)
    plane = opt_prop_def(IntegerAttr[I64])
    weights = result_def(WeightsType)
    assembly_format = (
        "$stream (`plane` $plane^)? (`chip` $chip^)? (`at` $at^)? attr-dict `:` type($stream) `->` type($weights)"
    )

    @property
    def passes(self) -> int:
        return self.weights.type.shape[0]

    @property
    def groups(self) -> int:
        """Groups of rows that are loaded into one plane in a pass."""
        return self.weights.type.shape[1] // target_of(self).chip.weight_streams

    @property
    def bytes(self) -> int:
        """Planes that a pass takes: one for each byte of a weight."""
        return element_bytes(self.weights.type.element_type)

    def verify_(self) -> None:
        super().verify_()
        check_lanes(self, self.stream.type)
        chip = target_of(self).chip
        passes, k, n = self.weights.type.shape
        if k > chip.lanes or n > chip.lanes or k % chip.weight_streams:
            raise VerifyException(
                f"a plane holds {chip.lanes} x {chip.lanes} weights in groups of {chip.weight_streams} rows, "
                f"not {k} x {n}"
            )
        if self.weights.type.element_type not in (i8, f16):
            raise VerifyException(f"weights are i8 or f16, not {self.weights.type.element_type}")
        stream = cast(StreamType, self.stream.type)
        side = (chip.weight_streams,) if chip.weight_streams > 1 else ()
        wanted = (passes * self.bytes * self.groups, *side, chip.lanes)
        if stream.shape != wanted or stream.element_type != i8:
            raise VerifyException(f"{self.weights.type} come as {StreamType.of(wanted, i8)}, not {stream}")
        if len(list(self.weights.uses)) > 1:
            raise VerifyException("weights have one product that uses them; load them once for each")
        check_plane(self, self.plane, self.bytes)


def check_plane(op: Operation, plane: IntegerAttr[I64] | None, width: int) -> None:
    """Raises VerifyException unless the chip has the plane, and the other of the pair where `width` is 2."""
    chip = target_of(op).chip
    if plane is None:
        return
    if not 0 <= plane.value.data < chip.planes:
        raise VerifyException(f"plane {plane.value.data}: the chip has 0..{chip.planes - 1}")
    if width == 2 and chip.paired_plane(plane.value.data) is None:
        raise VerifyException(f"plane {plane.value.data} is not the first of a pair")


@irdl_op_definition
class MatmulOp(DrivingOp):
    """Multiplies activation vectors by the weights of one pass after the other and adds up: of `passes` times n vectors
    come n sums. With the weights of a single pass all activations meet the same.

    int8 vectors give int32 sums, fp16 vectors fp32 sums.
    """

    name = "tsp_stream.matmul"
    activations = operand_def(StreamType)
    weights = operand_def(WeightsType)
    plane = opt_prop_def(IntegerAttr[I64])
    result = result_def(StreamType)
    assembly_format = (
        "$activations `,` $weights (`plane` $plane^)? (`chip` $chip^)? "
        "(`toward` $direction^)? (`on` $on^)? (`at` $at^)? attr-dict "
        "`:` type($activations) `,` type($weights) `->` type($result)"
    )

    @property
    def passes(self) -> int:
        """Vectors that are added up in each sum."""
        return cast(StreamType, self.activations.type).vectors // self.result.type.vectors

    def verify_(self) -> None:
        super().verify_()
        check_lanes(self, self.activations.type)
        activations, result = cast(StreamType, self.activations.type), self.result.type
        weights = cast(WeightsType, self.weights.type)
        if (activations.element_type, result.element_type) not in ((i8, i32), (f16, f32)):
            raise VerifyException(f"i8 gives i32 and f16 gives f32, not {activations} gives {result}")
        if weights.element_type != activations.element_type:
            raise VerifyException(f"activations {activations} do not match weights {weights}")
        if len(activations.shape) != 2 or len(result.shape) != 2 or result.shape[1] != activations.shape[1]:
            raise VerifyException(f"{activations} and {result} must be plain runs of vectors")
        if activations.vectors % result.vectors or weights.shape[0] not in (1, self.passes):
            raise VerifyException(
                f"{activations.vectors} vectors, {weights.shape[0]} passes of weights and {result.vectors} sums do not "
                "fit: each pass takes as many vectors as there are sums"
            )
        entries = target_of(self).chip.accumulators
        if self.passes > 1 and result.vectors > entries:
            raise VerifyException(f"{result.vectors} sums over several passes do not fit into {entries} accumulators")
        check_plane(self, self.plane, element_bytes(activations.element_type))
        load = self.weights.owner
        planes = (load.plane, self.plane) if isinstance(load, LoadWeightsOp) else (None, None)
        if planes[0] is not None and planes[1] is not None and planes[0] != planes[1]:
            first, second = planes[0].value.data, planes[1].value.data
            raise VerifyException(f"weights and product must be on one plane, not {first} and {second}")


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


SUM_BYTES = 4
"""Bytes of a sum of products, i32 or f32, which are the streams that it takes."""

TSP_STREAM = Dialect(
    "tsp_stream",
    [
        *(BufferOp, ReadOp, WriteOp, GatherOp, ScatterOp, LoadWeightsOp, MatmulOp, VxmOp, *SCALAR_OPS),
        *(*LANE_OPS, PartOp, SendOp, ReceiveOp),
    ],
    [BufferType, StreamType, WeightsType, FlightType, LayoutAttr, PlaceAttr, PatternAttr],
)
