"""Bulk mode of the JIT engine against bare compiled loops, in one run and one thread.

An int8 matrix product on all four planes against a loop that multiplies vectors by one 320 x 320 array of weights;
short passes, as convolutions have them, against that product; an fp16 matrix product against numpy's float32 product of
the same shape; and a chain of eight ALUs from four streams to four streams against one loop that does the same
arithmetic on int32.

`python bench/bulk.py [--short]` prints a table of times and ratios; nothing is asserted but equal bits.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import re
import resource
import time
from typing import Any

import numpy as np
from measure import best, printed
from programs import SIDE, Chains, Elementwise, Gemm, HalfGemm, Maker
from tspc.runtime.jit import JitEngine

binding: Any = importlib.import_module("llvmlite.binding")

VECTORS = 6
"""Vectors that the bare product multiplies at once: with four columns of 16 sums each they fill the registers."""

_PRODUCT = """
declare <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32>, <16 x i32>, <16 x i32>)

; sums [n, 320] of i32 += inputs [n, 320] of u8 by weights [5, 80, 4, 16, 4] of i8, for n a multiple of VECTORS
define void @bare(ptr %x, ptr %w, ptr %sums, i64 %n) nounwind {
entry:
  br label %strip
strip:
  %s = phi i64 [0, %entry], [%s1, %strip_end]
  %ws.at = mul i64 %s, 20480
  %ws = getelementptr i8, ptr %w, i64 %ws.at
  br label %vectors
vectors:
  %v = phi i64 [0, %strip], [%v1, %vectors_end]
  %x.at = mul i64 %v, 320
  %xs = getelementptr i8, ptr %x, i64 %x.at
  br label %rows
rows:
  %r = phi i64 [0, %vectors], [%r1, %rows]
PHIS
  %w.at = mul i64 %r, 256
  %wr = getelementptr i8, ptr %ws, i64 %w.at
  %x.row = mul i64 %r, 4
BODY
  %r1 = add i64 %r, 1
  %more = icmp ult i64 %r1, 80
  br i1 %more, label %rows, label %vectors_end
vectors_end:
  %sum.at = mul i64 %v, 1280
  %sum.strip = mul i64 %s, 256
  %sum.offset = add i64 %sum.at, %sum.strip
  %to = getelementptr i8, ptr %sums, i64 %sum.offset
STORES
  %v1 = add i64 %v, VECTORS
  %v.more = icmp ult i64 %v1, %n
  br i1 %v.more, label %vectors, label %strip_end
strip_end:
  %s1 = add i64 %s, 1
  %s.more = icmp ult i64 %s1, 5
  br i1 %s.more, label %strip, label %end
end:
  ret void
}
"""

_CHAIN = """
declare float @llvm.rint.f32(float)
declare float @llvm.maximum.f32(float, float)
declare float @llvm.minimum.f32(float, float)

; y = i32(rint(clamp(x * 0.001 + 0.5, -100, 100) ** 2)) for n elements
define void @bare(ptr noalias %x, ptr noalias %y, i64 %n) nounwind {
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%i1, %loop]
  %from = getelementptr i32, ptr %x, i64 %i
  %a = load i32, ptr %from
  %b = sitofp i32 %a to float
BODY
  %to = getelementptr i32, ptr %y, i64 %i
  store i32 %result, ptr %to
  %i1 = add i64 %i, 1
  %more = icmp ult i64 %i1, %n
  br i1 %more, label %loop, label %end
end:
  ret void
}
"""

_PLAIN = """
  %c = fmul float %b, MUL
  %d = fadd float %c, 5.0e-1
  %low = fcmp ogt float %d, -1.0e2
  %e = select i1 %low, float %d, float -1.0e2
  %high = fcmp olt float %e, 1.0e2
  %f = select i1 %high, float %e, float 1.0e2
  %g = fmul float %f, %f
  %h = call float @llvm.rint.f32(float %g)
  %result = fptosi float %h to i32
"""
"""Right for the data of the bench: no NaN, nothing out of range."""

_EXACT = """
  %c = fmul float %b, MUL
CANONICAL c
  %d = fadd float %c.n, 5.0e-1
CANONICAL d
  %e = call float @llvm.maximum.f32(float %d.n, float -1.0e2)
CANONICAL e
  %f = call float @llvm.minimum.f32(float %e.n, float 1.0e2)
CANONICAL f
  %g = fmul float %f.n, %f.n
CANONICAL g
  %h = call float @llvm.rint.f32(float %g.n)
CANONICAL h
  %above = fcmp oge float %h.n, 0x41E0000000000000
  %below = fcmp olt float %h.n, 0xC1E0000000000000
  %nan = fcmp uno float %h.n, %h.n
  %out = or i1 %above, %below
  %wrong = or i1 %out, %nan
  %safe = select i1 %wrong, float 0.0, float %h.n
  %whole = fptosi float %safe to i32
  %upper = select i1 %above, i32 2147483647, i32 %whole
  %result = select i1 %below, i32 -2147483648, i32 %upper
"""
"""The arithmetic of the machine for any data: NaN comes through, as the canonical one, and conversions saturate."""


def chain(body: str) -> str:
    """The assembly of the bare chain."""
    body = body.replace("MUL", f"0x{np.float64(np.float32(0.001)).view(np.uint64):016X}")
    canonical = r"""  %\1.x = fcmp uno float %\1, %\1
  %\1.n = select i1 %\1.x, float 0x7FF8000000000000, float %\1"""
    return _CHAIN.replace("BODY", re.sub(r"CANONICAL (\w)", canonical, body))


class Bare:
    """A function `bare` of LLVM assembly, compiled for the host."""

    def __init__(self, text: str, arguments: int):
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        features = binding.get_host_cpu_features().flatten()
        target = binding.Target.from_default_triple()
        machine = target.create_target_machine(cpu=binding.get_host_cpu_name(), features=features, opt=3)
        module = binding.parse_assembly(text)
        module.triple, module.data_layout = machine.triple, str(machine.target_data)
        options = binding.create_pipeline_tuning_options(speed_level=3)
        options.loop_vectorization = options.slp_vectorization = True
        builder = binding.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
        self._engine = binding.create_mcjit_compiler(module, machine)
        self._engine.finalize_object()
        kinds = [ctypes.c_void_p] * (arguments - 1) + [ctypes.c_int64]
        self.call = ctypes.CFUNCTYPE(None, *kinds)(self._engine.get_function_address("bare"))


def product() -> str:
    """The assembly of the bare product."""
    phis, body, stores = [], [], []
    vector = "<16 x i32>"
    names = [(v, j) for v in range(VECTORS) for j in range(4)]
    for v, j in names:
        phis.append(f"  %t{v}_{j} = phi {vector} [zeroinitializer, %vectors], [%u{v}_{j}, %rows]")
        to = f"%to{v}_{j}"
        stores.append(f"  {to} = getelementptr i8, ptr %to, i64 {v * 4 * SIDE + 64 * j}")
        stores.append(f"  %old{v}_{j} = load {vector}, ptr {to}, align 64")
        stores.append(f"  %new{v}_{j} = add {vector} %old{v}_{j}, %u{v}_{j}")
        stores.append(f"  store {vector} %new{v}_{j}, ptr {to}, align 64")
    for v in range(VECTORS):
        body.append(f"  %at{v} = add i64 %x.row, {SIDE * v}")
        body.append(f"  %p{v} = getelementptr i8, ptr %xs, i64 %at{v}")
        body.append(f"  %x{v} = load i32, ptr %p{v}, align 4")
        body.append(f"  %i{v} = insertelement {vector} poison, i32 %x{v}, i32 0")
        body.append(f"  %b{v} = shufflevector {vector} %i{v}, {vector} poison, {vector} zeroinitializer")
    for j in range(4):
        body.append(f"  %wp{j} = getelementptr i8, ptr %wr, i64 {64 * j}")
        body.append(f"  %w{j} = load {vector}, ptr %wp{j}, align 64")
        for v in range(VECTORS):
            operands = f"{vector} %t{v}_{j}, {vector} %b{v}, {vector} %w{j}"
            body.append(f"  %u{v}_{j} = call {vector} @llvm.x86.avx512.vpdpbusd.512({operands})")
    parts = {"PHIS": phis, "BODY": body, "STORES": stores, "VECTORS": [str(VECTORS)]}
    text = _PRODUCT
    for name, lines in parts.items():
        text = text.replace(name, "\n".join(lines))
    return text


def aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)


def bare_product(vectors: int, times: int) -> float:
    """Seconds of the bare product of `vectors` vectors by one array."""
    kernel, random = Bare(product(), 4), np.random.default_rng(0)
    x, w, sums = aligned((vectors, SIDE), np.uint8), aligned((SIDE, SIDE), np.int8), aligned((vectors, SIDE), np.int32)
    x[:], w[:] = random.integers(0, 256, x.shape), random.integers(-128, 128, w.shape)
    packed = aligned((5, 80, 4, 16, 4), np.int8)
    packed[:] = w.reshape(80, 4, 5, 4, 16).transpose(2, 0, 3, 4, 1)
    addresses = [a.ctypes.data for a in (x, packed, sums)]
    kernel.call(*addresses, vectors)
    assert (sums == x.astype(np.int32) @ w.astype(np.int32)).all(), "the bare product is wrong"
    return best(lambda: kernel.call(*addresses, vectors), times)


def measure_product(gemm: Gemm, times: int) -> float:
    """Gives the rate of bulk mode, in products a second."""
    program, engine = gemm.program(), JitEngine(mode="bulk")
    JitEngine(mode="bulk").load(Gemm(256, SIDE, 2 * SIDE).program())  # the kernel is loaded
    started = time.perf_counter()
    session = engine.load(program)
    planning = time.perf_counter() - started
    random = np.random.default_rng(1)
    x = random.integers(-128, 128, (gemm.m, gemm.k), np.int8)
    w = random.integers(-128, 128, (gemm.k, gemm.n), np.int8)
    gemm.fill(session, x, w)
    seconds = best(session.run, times)
    rows = random.integers(0, gemm.m, 64)
    assert (gemm.fetch(session)[rows] == x[rows].astype(np.int64) @ w).all(), "the product is wrong"
    cycle = JitEngine().load(program)
    gemm.fill(cycle, x, w)
    slow = best(cycle.run, 1)
    print(f"int8 product {gemm.m} x {gemm.k} x {gemm.n} on {len(program.chips[0].records)} records")
    print(f"  bulk                    {seconds * 1e3:10.2f} ms  {gemm.macs / seconds / 1e9:8.1f} GMAC/s")
    print(f"  cycle mode              {slow * 1e3:10.2f} ms  {gemm.macs / slow / 1e9:8.1f} GMAC/s")
    print(f"  cycle mode, cycles/s    {program.cycles / slow:12.0f}")
    print(f"  loading (mode {session.mode:5})    {planning * 1e3:10.2f} ms, once")
    print(f"  simulated cycles/s      {program.cycles / seconds:12.0f}")
    if JitEngine().path == "vnni":
        vectors = 3072 // VECTORS * VECTORS
        bare = vectors * SIDE * SIDE / bare_product(vectors, 20 * times)
        print(f"  bare loop                              {bare / 1e9:8.1f} GMAC/s")
        print(f"  ratio to it             {gemm.macs / seconds / bare:10.2f}")
    return gemm.macs / seconds


def measure_passes(chains: Chains, rate: float, times: int) -> None:
    """`rate` is that of the large product, in products a second."""
    program = chains.program()
    session, cycle = JitEngine(mode="bulk").load(program), JitEngine().load(program)
    words = np.random.default_rng(3).integers(0, 256, session.sram(0).shape, np.uint8)
    for s in (session, cycle):
        s.sram(0)[:] = words
        s.run()
    assert session.mode == "bulk" and (session.sram(0) == cycle.sram(0)).all(), "the passes are wrong"
    seconds = best(session.run, times)
    print(f"int8 passes of {chains.vectors} vectors, {chains.deep} in a chain, weights new in each")
    print(f"  bulk                    {seconds * 1e3:10.2f} ms  {chains.macs / seconds / 1e9:8.1f} GMAC/s")
    print(f"  ratio to the product    {chains.macs / seconds / rate:10.2f}")


def measure_planning() -> None:
    """Chains of many sizes, one after the other."""
    maker, at = Maker(), 400
    for rows, columns, deep, chains in ((7, 7, 18, 12), (14, 14, 9, 8), (16, 16, 2, 40), (15, 16, 18, 4)):
        part = Chains(rows, columns, deep, chains, at)
        part.add(maker)
        at += part.cycles + 200
    program = maker.program()
    records = program.chips[0].records
    issues = sum(r.dispatches * r.instruction.vectors(r.values) for r in records)
    JitEngine(mode="bulk").load(program)  # its chains are compiled
    seconds = best(lambda: JitEngine(mode="bulk").load(program), 3)
    print(f"loading {len(records)} records, {issues} issues: {seconds:.3f} s")


_NUMPY = """
import time
import numpy as np
m, k, n, times = {}
x, w = np.ones((m, k), np.float32), np.ones((k, n), np.float32)
seconds = []
for _ in range(times):
    started = time.process_time()
    x @ w
    seconds.append(time.process_time() - started)
print(min(seconds))
"""


def measure_half(gemm: HalfGemm, times: int) -> None:
    session, random = JitEngine(mode="bulk").load(gemm.program()), np.random.default_rng(4)
    x, w = random.normal(size=(gemm.m, gemm.k)), random.normal(size=(gemm.k, gemm.n))
    x, w = x.astype(np.float16), w.astype(np.float16)
    gemm.fill(session, x, w)
    seconds = best(session.run, times)
    row = int(random.integers(0, gemm.m))
    assert session.mode == "bulk" and (gemm.fetch(session)[row] == gemm.expected(x[row], w)).all(), "fp16 is wrong"
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    (other,) = printed(_NUMPY.format((gemm.m, gemm.k, gemm.n, 2 * times)), threads)
    print(f"fp16 product {gemm.m} x {gemm.k} x {gemm.n}")
    print(f"  bulk                    {seconds * 1e3:10.2f} ms  {gemm.macs / seconds / 1e9:8.1f} GMAC/s")
    print(f"  numpy, float32          {other * 1e3:10.2f} ms  {gemm.macs / other / 1e9:8.1f} GMAC/s")
    print(f"  ratio to it             {other / seconds:10.2f}")


def measure_chain(vectors: int, times: int) -> None:
    subject = Elementwise(vectors)
    session, cycle = JitEngine(mode="bulk").load(subject.program()), JitEngine().load(subject.program())
    words = np.random.default_rng(2).integers(-(1 << 20), 1 << 20, (vectors, SIDE), np.int32)
    for s in (session, cycle):
        for i in range(4):
            s.sram(0)[i, :vectors] = words >> 8 * i & 255
    seconds, slow = best(session.run, times), best(cycle.run, 2)
    y = aligned((vectors, SIDE), np.int32)
    x = aligned((vectors, SIDE), np.int32)
    x[:] = words
    bare: list[float] = []
    for body in (_PLAIN, _EXACT):
        kernel = Bare(chain(body), 3)
        bare.append(best(lambda call=kernel.call: call(x.ctypes.data, y.ctypes.data, x.size), times))
        assert (y == Elementwise.expected(words)).all(), "the bare chain is wrong"
    plain = best(lambda: Elementwise.expected(x), 2)
    for s in (session, cycle):
        planes = s.sram(0)[44:48, :vectors]
        got = np.ascontiguousarray(planes.transpose(1, 2, 0)).view(np.int32)[..., 0]
        assert (got == Elementwise.expected(words)).all(), "the chain is wrong"
    print(f"chain of 8 ALUs on {vectors} vectors of int32")
    print(f"  bulk                    {seconds * 1e3:10.2f} ms  {seconds / vectors * 1e9:8.1f} ns/vector")
    print(f"  cycle mode              {slow * 1e3:10.2f} ms")
    print(f"  numpy                   {plain * 1e3:10.2f} ms")
    for name, loop in zip(("bare loop, exact", "bare loop, plain"), reversed(bare), strict=True):
        print(f"  {name}        {loop * 1e3:10.2f} ms  {loop / vectors * 1e9:8.1f} ns/vector")
        print(f"  ratio to it             {seconds / loop:10.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="an eighth of the product and of the chain")
    short = parser.parse_args().short
    times = 3 if short else 5
    rate = measure_product(Gemm(2048, 1600, 1280) if short else Gemm(4096, 3200, 3200), times)
    measure_passes(Chains(7, 7, 18, 2 if short else 12), rate, times)
    measure_planning()
    measure_half(HalfGemm(512, 640, 640) if short else HalfGemm(1024, 1600, 1280), times)
    measure_chain(1024 if short else 8192, 20)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
