"""A dot product in a fixed order: the same to the last bit on every machine, and fast.

A plain sum waits for each addition before the next; let loose (fastmath), a compiler reorders it as the machine
pleases. Here 32 partial sums, each of every 32nd product, are kept side by side in vector registers (numba has no word
for them: hence the intrinsic) and added up in halves. Uncompiled, it is the same order in plain Python.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

LANES = 32
"""How many partial sums."""
_WIDTH = 8
_DOUBLE, _WORD = ir.DoubleType(), ir.IntType(32)
_VECTOR = ir.VectorType(_DOUBLE, _WIDTH)


def dot_at(weights: NDArray[np.float64], values: NDArray[np.float64], start: int) -> float:
    """Return the sum of ``weights[k] * values[start + k]`` over all weights.

    >>> dot_at(np.array([1.0, -0.5]), np.array([7.0, 8.0, 2.0]), 1)
    7.0
    """
    n = weights.size
    rows, whole = n - n % LANES, n - n % _WIDTH
    lanes = [0.0] * LANES
    for k in range(whole):
        lanes[k % LANES if k < rows else k % _WIDTH] += float(weights[k]) * float(values[start + k])
    width = LANES
    while width > 1:
        width //= 2
        lanes = [lanes[i] + lanes[i + width] for i in range(width)]
    rest = 0.0
    for k in range(whole, n):
        rest += float(weights[k]) * float(values[start + k])
    return lanes[0] + rest


def _whole_lanes(typing_context: Any, weights: Any, values: Any, start: Any, rows: Any, whole: Any) -> Any:  # noqa: ARG001 - numba's protocol for intrinsics
    """Sum over the first ``whole`` weights (a multiple of _WIDTH), ``rows`` of them (of LANES) in full rows."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sources = []
        for i in (0, 1):
            array = context.make_array(signature.args[i])(context, builder, arguments[i])
            sources.append(array.data)
        first, rows_, whole_ = arguments[2], arguments[3], arguments[4]
        sums = [
            cgutils.alloca_once_value(builder, ir.Constant(_VECTOR, [0.0] * _WIDTH)) for _ in range(LANES // _WIDTH)
        ]

        def add(total: Any, at: Any) -> None:
            both = []
            for source, place in ((sources[0], at), (sources[1], builder.add(first, at))):
                pointer = builder.bitcast(builder.gep(source, [place]), _VECTOR.as_pointer())
                both.append(builder.load(pointer, align=8))
            builder.store(builder.fadd(builder.load(total), builder.fmul(*both)), total)

        def constant(value: int) -> Any:
            return ir.Constant(whole_.type, value)

        with cgutils.for_range_slice(builder, constant(0), rows_, constant(LANES)) as (k, _):
            for i, total in enumerate(sums):
                add(total, builder.add(k, constant(i * _WIDTH)))
        with cgutils.for_range_slice(builder, rows_, whole_, constant(_WIDTH)) as (k, _):
            add(sums[0], k)
        parts = [builder.load(total) for total in sums]
        while len(parts) > 1:
            half = len(parts) // 2
            parts = [builder.fadd(parts[i], parts[i + half]) for i in range(half)]
        lanes = [builder.extract_element(parts[0], ir.Constant(_WORD, i)) for i in range(_WIDTH)]
        while len(lanes) > 1:
            half = len(lanes) // 2
            lanes = [builder.fadd(lanes[i], lanes[i + half]) for i in range(half)]
        return lanes[0]

    return types.float64(weights, values, types.intp, types.intp, types.intp), generate


_whole_lanes_sum: Any = intrinsic(_whole_lanes)


def _compiled(weights: Any, values: Any, start: Any) -> Any:  # noqa: ARG001 - numba's protocol for overloads
    if weights.layout != "C" or values.layout != "C":
        return None  # the vectors are loaded from neighbouring places

    def dot_from(weights: Any, values: Any, start: Any) -> Any:
        n = weights.size
        whole = n - n % _WIDTH
        rest = 0.0
        for k in range(whole, n):
            rest += weights[k] * values[start + k]
        return _whole_lanes_sum(weights, values, start, n - n % LANES, whole) + rest

    return dot_from


overload(dot_at)(_compiled)
