"""Models compiled ahead of time: built by ``tailgate compile``, cached on disk, called without the interpreter lock.

AOTInductor turns an exported graph into a shared library. Its Python loader holds the interpreter lock while a batch runs: 21
ms at p99 for the event loop, at 8.5 ms per batch. The library's own C interface is stable (``aoti_runtime/interface.h``), and
ctypes gives the lock back while it calls: 0.1 ms. Nothing is compiled while requests are served.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from tailgate.service.errors import CompileError
from tailgate.service.execution import libraries
from tailgate.service.execution.graph import GraphOutput

KEY_DIGITS = 32
# A full disk still takes empty files.
PROBE_BYTES = 2**16
# The line of /proc/cpuinfo with the processor's abilities: on x86, and on ARM.
CAPABILITIES = ("flags", "Features")
# What compiling takes in multiples of the weights, in scratch (objects, library, package) and in the cache (the library), and
# for the code. MobileNetV3-small: 10 MB of weights, a library of 12 MB.
SCRATCH_ROOM, CACHE_ROOM, ROOM_BYTES = 5, 2, 16 * 2**20
CompiledCall = Callable[[torch.Tensor], GraphOutput]


class _Positional(nn.Module):
    """A graph whose result is a plain tuple, which export can write."""

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.served = graph  # not "graph": PyTorch's exported modules have one of their own

    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.served(batch))


def export(graph: nn.Module, example: torch.Tensor, max_batch_size: int) -> torch.export.ExportedProgram:
    """Return the graph for any batch from 1 to ``max_batch_size``; CompileError where PyTorch cannot export it."""
    size = torch.export.Dim("size", min=1, max=max(2, max_batch_size))
    graph = graph.to(memory_format=torch.channels_last)
    try:
        # Not under inference mode: export traces parameters as they are.
        with torch.no_grad():
            return torch.export.export(_Positional(graph), (example,), dynamic_shapes={"batch": {0: size}})
    except Exception as error:
        raise CompileError(f"the model cannot be exported: {type(error).__name__}: {error}") from error


def cache_key(program: torch.export.ExportedProgram) -> str:
    """Return a digest of all that a library depends on: graph, weights, shapes, types, versions and processor."""
    digest = digest_of_surroundings()
    # What is under a torch.cond, a loop or an autocast region is a graph of its own, which the outer one only names.
    for name, module in program.graph_module.named_modules():
        if isinstance(module, torch.fx.GraphModule):
            digest.update(f"{name}\0{module.graph}\0".encode())
    digest.update(str(program.range_constraints).encode())
    inputs, _ = program.example_inputs
    digest.update(str([(value.dtype, value.shape, value.stride()) for value in inputs]).encode())
    add_tensors(digest, {**program.state_dict, **program.constants})
    return digest.hexdigest()[:KEY_DIGITS]


def digest_of_surroundings() -> "hashlib._Hash":
    """Begin a key with what a library of any model depends on: how it is made, versions, processor and threads."""
    digest = hashlib.sha256()
    for part in (
        _own_text(),
        _compiler_options(),
        torch.__version__,
        torch.version.cuda or "",
        platform.machine(),
        torch.backends.cpu.get_cpu_capability(),
        _processor(),
        f"{torch.get_num_threads()} threads",  # the compiled loops are split for so many
        f"oneDNN {torch.backends.mkldnn.enabled} {torch.get_float32_matmul_precision()}",
    ):
        digest.update(f"{part}\0".encode())
    return digest


def add_tensors(digest: "hashlib._Hash", state: Mapping[str, object]) -> None:
    """Add names, types, shapes and bytes of a model's tensors to a key."""
    for name, value in sorted(state.items()):
        digest.update(f"{name}\0".encode())
        if isinstance(value, torch.Tensor):
            digest.update(f"{value.dtype} {tuple(value.shape)}\0".encode())
            digest.update(value.detach().cpu().flatten().contiguous().view(torch.uint8).numpy().tobytes())


def _own_text() -> str:
    """Return the text of this file, which says how libraries are made: none outlives a change of it."""
    return Path(__file__).read_text(encoding="utf-8")


def _compiler_options() -> str:
    """Return the environment variables that PyTorch's compiler takes options from."""
    names = [name for name in os.environ if name.startswith("TORCHINDUCTOR_") and not name.endswith("_DIR")]
    return str([(name, os.environ[name]) for name in sorted(names)])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(CAPABILITIES)), platform.processor())


def compile_program(program: torch.export.ExportedProgram, directory: Path, key: str) -> Path:
    """Compile and store a library, whole or not at all; return its path.

    Raises:
        CompileError: there is no C++ compiler, a folder cannot be written or is too full, or PyTorch fails.
    """
    weights = sum(value.nbytes for value in program.state_dict.values())
    require_room(Path(tempfile.gettempdir()), SCRATCH_ROOM * weights + ROOM_BYTES, "TMPDIR")
    require_room(directory, CACHE_ROOM * weights + ROOM_BYTES)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            package = Path(scratch) / "model.pt2"
            torch._inductor.aoti_compile_and_package(  # noqa: SLF001 - its documented name
                program, package_path=str(package), inductor_configs={"freezing": True}
            )
            with zipfile.ZipFile(package) as archive:
                name = next(name for name in archive.namelist() if name.endswith(".so"))
                library = Path(archive.extract(name, scratch))
            return libraries.keep(library, directory, key)
    except Exception as error:
        raise CompileError(f"the model cannot be compiled: {type(error).__name__}: {error}") from error


def require_room(directory: Path, needed: int = 0, variable: str = "TAILGATE_CACHE_DIR") -> None:
    """Make a folder; CompileError, which names its ``variable``, where files of ``needed`` bytes cannot be made in it.

    Asked before the minute that compiling takes: on a full disk PyTorch's file writer ends the process.
    """
    try:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory) as probe:
            probe.write(bytes(PROBE_BYTES))
        free = shutil.disk_usage(directory).free
    except OSError as error:
        raise CompileError(
            f"{variable}: {directory} cannot be written: {error}; make room or name another folder"
        ) from error
    if free < needed:
        raise CompileError(
            f"{variable}: {directory} has {free >> 20} MiB left, and compiling takes about {needed >> 20}; make room or "
            "name another folder"
        )


_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype, _pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_capsule_of = ctypes.pythonapi.PyCapsule_New
_capsule_of.restype, _capsule_of.argtypes = (
    ctypes.py_object,
    [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p],
)


def load_library(path: Path) -> CompiledCall:
    """Return the compiled graph as a function of a batch; it runs without the interpreter lock.

    Raises:
        CompileError: the library does not load, or somebody else can have written it.
    """
    # Never closed: while it is open no other file has this name, by which the system knows what it has loaded.
    opened = Path(f"/proc/self/fd/{libraries.verified(path)}")
    try:
        library = ctypes.CDLL(str(opened if opened.exists() else path))
        create, run = library.AOTInductorModelContainerCreateWithDevice, library.AOTInductorModelContainerRun
        count_outputs = library.AOTInductorModelContainerGetNumOutputs
    except (OSError, AttributeError) as error:
        raise CompileError(f"the compiled model {path.name} does not load: {error}") from error
    run.argtypes = [
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_void_p,
        ctypes.c_size_t,
        *[ctypes.c_void_p] * 2,
    ]
    container, outputs = ctypes.c_void_p(), ctypes.c_size_t()
    _check(library, create(ctypes.byref(container), ctypes.c_size_t(1), b"cpu", None))
    _check(library, count_outputs(container, ctypes.byref(outputs)))
    to_handle = torch._C._aoti.unsafe_alloc_void_ptr_from_tensor  # noqa: SLF001 - what PyTorch's own wrappers call
    to_tensors = torch._C._aoti.alloc_tensors_by_stealing_from_void_ptrs  # noqa: SLF001

    def call(batch: torch.Tensor) -> GraphOutput:
        # The library takes over the input's handle, and gives away the outputs'.
        given = (ctypes.c_void_p * 1)(_pointer_of(to_handle(batch), None))
        taken = (ctypes.c_void_p * outputs.value)()
        _check(library, run(container, given, 1, taken, outputs.value, None, None))
        return GraphOutput(*to_tensors([_capsule_of(pointer, None, None) for pointer in taken]))

    return call


def _check(library: ctypes.CDLL, status: int) -> None:
    if status != 0:
        text = ctypes.c_char_p()
        library.AOTInductorGetLastError(ctypes.byref(text))
        raise CompileError(
            f"the compiled model failed: {(text.value or b'no reason given').decode(errors='replace')}"
        )
