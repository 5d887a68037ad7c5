"""The key of a compiled model without its export, which takes as long as the rest of a start.

The graph runs on tensors whose values only operators can reach. Each operator is written down, with its numbers and a digest of
each weight that it reads. Two graphs have the same key only where they run the same operators on the same weights, in every
batch size that a start tries. It makes no difference which file, function, global variable or patch an operator comes from. Code that
reads a value gets no key, and its graph is exported.
"""

import copy
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from tailgate.service.execution import compiled
from tailgate.service.execution.cuda import bucket_sizes
from tailgate.service.execution.graph import GraphOutput
from tailgate.service.execution.trials.trial import PARITY_BATCH

PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device, torch.layout, torch.memory_format)
# What these operators return, or the shape of it, depends on values: code may choose by it what runs next.
BY_VALUE = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


def trace_key(graph: nn.Module, example: torch.Tensor, max_batch_size: int) -> str | None:
    """Return a digest of what a graph computes, ``example`` being a batch; None where not all of it can be seen."""
    trace = _Trace()
    sizes = {min(PARITY_BATCH, max_batch_size), *bucket_sizes(max_batch_size)}
    try:
        alone = _copy_of(graph)
        for size in sorted(sizes):
            batch = trace.opaque(example[:1].expand(size, *example.shape[1:]).contiguous())
            with _exporting(), torch.no_grad(), trace:
                returned = alone(batch)
            # PyTorch takes apart tuples, and none that is a class of its own.
            parts = tuple(returned) if isinstance(returned, GraphOutput) else returned
            trace.note("returns", pytree.tree_leaves(parts))
    except Exception:  # noqa: BLE001 - code that meets tensors without readable values may fail in any way
        return None
    digest = compiled.digest_of_surroundings()
    digest.update(f"{example.dtype} {example.stride()} {max_batch_size}".encode())
    digest.update(trace.digest.digest())
    return digest.hexdigest()[: compiled.KEY_DIGITS]


@contextmanager
def _exporting() -> Iterator[None]:
    """Make ``torch.compiler.is_exporting()`` true: code may choose by it what the library will hold."""
    names = ("_is_compiling_flag", "_is_exporting_flag")
    before = [getattr(torch.compiler, name) for name in names]
    try:
        for name in names:
            setattr(torch.compiler, name, True)
        yield
    finally:
        for name, value in zip(names, before, strict=True):
            setattr(torch.compiler, name, value)


def _copy_of(graph: nn.Module) -> nn.Module:
    """Return a graph of the same tensors: what a forward keeps of its input is not kept by the graph itself."""
    return copy.deepcopy(graph, {id(tensor): tensor for tensor in (*graph.parameters(), *graph.buffers())})


class UnseenError(Exception):
    """An operator takes or does what cannot be written down."""


class _Opaque(torch.Tensor):
    """A tensor whose values nothing but operators can reach, and they only within a trace."""

    held: torch.Tensor  # with the values
    label: str

    @staticmethod
    def __new__(cls: type["_Opaque"], inner: torch.Tensor, label: str) -> "_Opaque":  # noqa: PYI034
        made: _Opaque = torch.Tensor._make_wrapper_subclass(  # noqa: SLF001 - its documented name
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=inner.device,
        )
        made.held, made.label = inner, label
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment] # noqa: SLF001

    def data_ptr(self) -> int:
        """Refuse: PyTorch would say 0."""
        raise UnseenError

    __dlpack__ = data_ptr  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(cls, *_: object) -> None:
        """Refuse: the trace has ended."""
        raise UnseenError


class _Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The operators that run, as a digest."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.digest = hashlib.sha256()
        self._made = 0
        # Tensors that no operator has made, by id and count of changes. They are kept: no other tensor may get the id.
        self._constants: dict[tuple[int, int], tuple[torch.Tensor, str]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else PyTorch imports its compiler, only to keep away from it

    def __torch_dispatch__(
        self,
        operator: Any,
        types: object,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        """Run an operator and write it down."""
        values, form = pytree.tree_flatten((args, kwargs or {}))
        if _goes_by_values(operator, values):
            raise UnseenError
        self.note(f"{operator} {form}", values)
        arguments, named = pytree.tree_unflatten([_inner(value) for value in values], form)
        returned, returned_form = pytree.tree_flatten(operator(*arguments, **named))
        tensors = [value for value in values if isinstance(value, torch.Tensor)]
        if any(_looks(value) != _looks(_inner(value)) for value in tensors):
            raise UnseenError  # the shape was changed in place
        # What an operator in place returns is one of those that it was given.
        given = {id(_inner(value)): value for value in tensors}
        results = [self._result(value, given) for value in returned]
        self.note("makes", results)
        return pytree.tree_unflatten(results, returned_form)

    def _result(self, value: object, given: Mapping[int, torch.Tensor]) -> object:
        if not isinstance(value, torch.Tensor):
            return value
        return given[id(value)] if id(value) in given else self.opaque(value)

    def opaque(self, inner: torch.Tensor) -> _Opaque:
        """Return a tensor that stands for one with values."""
        self._made += 1
        return _Opaque(inner, f"%{self._made}")

    def note(self, what: str, values: Sequence[object]) -> None:
        """Write down what happens to values."""
        self.digest.update(f"{what} {[self._text(value) for value in values]}\0".encode())

    def _text(self, value: object) -> str:
        if isinstance(value, _Opaque):
            return f"{value.label} {_looks(value)}"
        if isinstance(value, torch.Tensor):
            return self._constant(value)
        if isinstance(value, PLAIN):
            return repr(value)
        raise UnseenError

    def _constant(self, tensor: torch.Tensor) -> str:
        key = id(tensor), tensor._version  # noqa: SLF001 - the count of changes in place
        if key not in self._constants:
            content = tensor.detach().flatten().contiguous().view(torch.uint8).numpy()
            text = f"#{len(self._constants)} {_looks(tensor)} {hashlib.sha256(content.data).hexdigest()}"
            self._constants[key] = tensor, text
        return self._constants[key][1]


def _goes_by_values(operator: Any, values: Sequence[object]) -> bool:
    if operator is torch.ops.aten.index.Tensor:  # by a mask, which is tagged, or by positions
        tensors = [value for value in values[1:] if isinstance(value, torch.Tensor)]
        return any(tensor.dtype in (torch.bool, torch.uint8) for tensor in tensors)
    return bool(BY_VALUE.intersection(operator.tags))


def _inner(value: Any) -> Any:
    return value.held if isinstance(value, _Opaque) else value


def _looks(tensor: torch.Tensor) -> str:
    # The stride of a dimension of one is never used, and operators set it as they like.
    strides = [stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if size != 1]
    return f"{tensor.dtype} {tensor.device} {tuple(tensor.shape)} {strides}"
