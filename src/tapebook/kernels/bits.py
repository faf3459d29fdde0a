"""What numba has no name for: the highest set bit of a mask, and a product that wraps.

The highest bit is how a page of 64 price levels finds its best one.
Masks are int64 (bit 63 is the sign bit), because numba turns ``uint64 + int64`` into a float. Compiled, this is one
machine instruction (``lzcnt``); numba has no name for it, hence the intrinsic. Uncompiled, it is ``int.bit_length``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
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


def wrapping_product(a: Any, b: Any) -> np.uint64:
    """Return the low 64 bits of the product of two uint64: what a hash wants, and numpy's scalars warn about.

    >>> int(wrapping_product(np.uint64(1 << 63), np.uint64(3))) == 1 << 63
    True
    """
    return np.uint64((int(a) * int(b)) & _ALL_BITS)


def _product_compiled(a: Any, b: Any) -> Any:  # noqa: ARG001 - numba's protocol for overloads
    def wrapping_product_64(a: Any, b: Any) -> Any:
        return np.uint64(a) * np.uint64(b)

    return wrapping_product_64


overload(wrapping_product)(_product_compiled)
