"""A vector of 64-bit words as a number type of compiled kernels.

Numba leaves it to LLVM whether a loop becomes vector instructions, and of which width. Gate evaluation must always run
at the processor's full width, so kernels are explicit: they load, combine and store `WIDTH` words at a time. LLVM turns
this into the widest instructions available (AVX-512: one for any function of three operands, one for a population
count) or splits it into narrower ones.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

WIDTH = 16
"""64-bit words in a vector: 512 bits."""

_INT64 = ir.IntType(64)
_INT32 = ir.IntType(32)
_VECTOR = ir.VectorType(_INT64, WIDTH)


class WordsType(types.Type):  # type: ignore[misc]  # numba has no types
    """Numba's name for a vector of words."""

    def __init__(self) -> None:
        super().__init__(name=f"Words{WIDTH}")


WORDS = WordsType()


@register_model(WordsType)
class _WordsModel(models.PrimitiveModel):  # type: ignore[misc]  # numba has no types
    def __init__(self, manager: Any, frontend_type: Any) -> None:
        super().__init__(manager, frontend_type, _VECTOR)


@intrinsic
def address(typingctx: Any, array: Any) -> Any:
    """Address of a contiguous array's first element: int64.

    Functions that are not inlined get addresses rather than arrays: an array is passed as seven words on the stack.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return builder.ptrtoint(context.make_array(signature.args[0])(context, builder, arguments[0]).data, _INT64)

    return types.int64(array), generate


def _pointer(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any, kind: Any) -> Any:
    """Pointer to the word at an index of an array of words, or of the memory starting at an address."""
    index = context.cast(builder, arguments[1], signature.args[1], types.intp)
    if isinstance(signature.args[0], types.Integer):
        first = builder.inttoptr(arguments[0], _INT64.as_pointer())
    else:
        first = context.make_array(signature.args[0])(context, builder, arguments[0]).data
    return builder.bitcast(builder.gep(first, [index]), kind.as_pointer())


@intrinsic
def load_word(typingctx: Any, memory: Any, index: Any) -> Any:
    """One word of an array of uint64, or of the memory starting at an address; bounds are not checked."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(context, builder, signature, arguments, _INT64))

    return types.uint64(memory, index), generate


@intrinsic
def entry(typingctx: Any, row: Any, column: Any) -> Any:
    """Entry of a row of int32, given by its address: int64."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        index = context.cast(builder, arguments[1], signature.args[1], types.intp)
        first = builder.inttoptr(arguments[0], _INT32.as_pointer())
        return builder.sext(builder.load(builder.gep(first, [index])), _INT64)

    return types.int64(row, column), generate


@intrinsic
def store_word(typingctx: Any, memory: Any, index: Any, word: Any) -> Any:
    """Write one word to an array of uint64, or to the memory starting at an address; bounds are not checked."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _pointer(context, builder, signature, arguments, _INT64))
        return context.get_dummy_value()

    return types.void(memory, index, types.uint64), generate


@intrinsic
def load(typingctx: Any, memory: Any, index: Any) -> Any:
    """WIDTH words of an array of uint64, or of the memory starting at an address; bounds are not checked."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        instruction = builder.load(_pointer(context, builder, signature, arguments, _VECTOR))
        instruction.align = 8
        return instruction

    return WORDS(memory, index), generate


@intrinsic
def store(typingctx: Any, memory: Any, index: Any, words: Any) -> Any:
    """Write WIDTH words to an array of uint64, or to the memory starting at an address; bounds are not checked."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        instruction = builder.store(arguments[2], _pointer(context, builder, signature, arguments, _VECTOR))
        instruction.align = 8
        return context.get_dummy_value()

    return types.void(memory, index, WORDS), generate


@intrinsic
def spread(typingctx: Any, word: Any) -> Any:
    """The same word WIDTH times."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        empty = ir.Constant(_VECTOR, ir.Undefined)
        first = builder.insert_element(empty, arguments[0], ir.Constant(_INT32, 0))
        return builder.shuffle_vector(first, empty, _positions([0] * WIDTH))

    return WORDS(types.uint64), generate


@intrinsic
def shifted(typingctx: Any, before: Any, words: Any) -> Any:
    """The last word of `before`, then all but the last of `words`: a delay by one cycle."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return builder.shuffle_vector(arguments[0], arguments[1], _positions(range(WIDTH - 1, 2 * WIDTH - 1)))

    return WORDS(WORDS, WORDS), generate


@intrinsic
def shifted_twice(typingctx: Any, before: Any, words: Any) -> Any:
    """The last two words of `before`, then all but the last two of `words`: a delay by two cycles."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return builder.shuffle_vector(arguments[0], arguments[1], _positions(range(WIDTH - 2, 2 * WIDTH - 2)))

    return WORDS(WORDS, WORDS), generate


@intrinsic
def ones(typingctx: Any, words: Any) -> Any:
    """Population count of each word."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_VECTOR, (_VECTOR,))
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.ctpop.v{WIDTH}i64")
        return builder.call(function, arguments)

    return WORDS(WORDS), generate


@intrinsic
def total(typingctx: Any, words: Any) -> Any:
    """Sum of the words as numbers: int64."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_INT64, (_VECTOR,))
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.add.v{WIDTH}i64")
        return builder.call(function, arguments)

    return types.int64(WORDS), generate


@intrinsic
def any_set(typingctx: Any, words: Any) -> Any:
    """Whether any bit of any word is set: uint64 1 or 0."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        nonzero = builder.icmp_unsigned("!=", arguments[0], ir.Constant(_VECTOR, [0] * WIDTH))
        packed = builder.bitcast(nonzero, ir.IntType(WIDTH))
        return builder.zext(builder.icmp_unsigned("!=", packed, ir.Constant(ir.IntType(WIDTH), 0)), _INT64)

    return types.uint64(WORDS), generate


@intrinsic
def lowest_bit(typingctx: Any, word: Any) -> Any:
    """Position of the lowest one in a word that is not 0: int64."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


def _positions(positions: Any) -> ir.Constant:
    return ir.Constant(ir.VectorType(_INT32, WIDTH), list(positions))


def _define(python_operator: Callable[..., Any], instruction: str) -> None:
    """Let a Python operator combine two vectors word by word."""

    @intrinsic
    def combine(typingctx: Any, left: Any, right: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            return getattr(builder, instruction)(*arguments)

        return WORDS(WORDS, WORDS), generate

    @overload(python_operator, inline="always")
    def choose(left: Any, right: Any) -> Any:
        if isinstance(left, WordsType) and isinstance(right, WordsType):

            def combined(left: Any, right: Any) -> Any:
                return combine(left, right)

            return combined
        return None


_define(operator.and_, "and_")
_define(operator.or_, "or_")
_define(operator.xor, "xor")
_define(operator.add, "add")


def _define_shift(python_operator: Callable[..., Any], instruction: str) -> None:
    """Let a Python operator shift the bits of every word equally."""

    @intrinsic
    def shift(typingctx: Any, words: Any, distance: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            count = context.cast(builder, arguments[1], signature.args[1], types.uint64)
            empty = ir.Constant(_VECTOR, ir.Undefined)
            first = builder.insert_element(empty, count, ir.Constant(_INT32, 0))
            return getattr(builder, instruction)(
                arguments[0], builder.shuffle_vector(first, empty, _positions([0] * WIDTH))
            )

        return WORDS(WORDS, distance), generate

    @overload(python_operator, inline="always")
    def choose(words: Any, distance: Any) -> Any:
        if isinstance(words, WordsType) and isinstance(distance, types.Integer):

            def shifted_words(words: Any, distance: Any) -> Any:
                return shift(words, distance)

            return shifted_words
        return None


_define_shift(operator.lshift, "shl")
_define_shift(operator.rshift, "lshr")


@intrinsic
def _complement(typingctx: Any, words: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return builder.not_(arguments[0])

    return WORDS(WORDS), generate


@overload(operator.invert, inline="always")
def _invert(words: Any) -> Any:
    if isinstance(words, WordsType):

        def complement(words: Any) -> Any:
            return _complement(words)

        return complement
    return None
