"""The highest set bit of a 64-bit mask: how a page of 64 price levels finds its best one.

Masks are int64 (bit 63 is the sign bit), because numba turns ``uint64 + int64`` into a float. Compiled, this is one
machine instruction (``lzcnt``); numba has no name for it, hence the intrinsic. Uncompiled, it is ``int.bit_length``.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload

_ALL_BITS = (1 << 64) - 1


def highest_bit(mask: int) -> int:
    """Return the place (0-63) of the highest set bit of ``mask``, which must not be 0.

    >>> highest_bit(1), highest_bit(0b101000), highest_bit(-1)
    (0, 5, 63)
    """
    return (int(mask) & _ALL_BITS).bit_length() - 1


def _leading_zeros(typing_context: Any, mask: Any) -> Any:  # noqa: ARG001 - numba's protocol for intrinsics
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - as above
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.int64), generate


_leading_zeros_64: Any = intrinsic(_leading_zeros)


def _compiled(mask: Any) -> Any:  # noqa: ARG001 - numba's protocol for overloads
    def highest_bit_64(mask: Any) -> Any:
        return 63 - _leading_zeros_64(mask)

    return highest_bit_64


overload(highest_bit)(_compiled)
