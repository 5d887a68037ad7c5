"""Models compiled ahead of time: what the cache's key holds, and one that is really compiled, loaded and run."""

import ctypes
import errno
import inspect
import json
import os
import shutil
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from structlog.testing import capture_logs
from torch import nn

from tailgate.service import compile as compile_command
from tailgate.service.errors import CompileError, ConfigurationError
from tailgate.service.execution import compiled, libraries
from tailgate.service.execution.build import build_engine, example_items
from tailgate.service.execution.executor import BufferedExecutor, eager
from tailgate.service.execution.graph import ServedGraph
from tailgate.service.execution.trials.selection import export_graph, require_cpu
from tailgate.service.settings import load_settings

HERE = Path(__file__).parents[1]
CPU = torch.device("cpu")
MODELS = ("perceptron", "colours")
WITHOUT_WEIGHTS = types.SimpleNamespace(state_dict={})
needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="PyTorch compiles with g++, and there is none"
)


def options(model, folder):
    return [
        "--model",
        f"tiny_models:{model}",
        "--cache-dir",
        str(folder),
        "--max-batch-size",
        "8",
        "--threads",
        "1",
    ]


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    """A cache folder for each model, filled by the command as a user runs it; both at once, since each takes seconds."""
    folders = {model: tmp_path_factory.mktemp(model) for model in MODELS}
    programs = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tailgate.service.compile",
                *options(model, folder),
                "--log-format",
                "json",
            ],
            env={**os.environ, "PYTHONPATH": str(HERE)},
            cwd=HERE.parents[1],
            stderr=subprocess.PIPE,
            text=True,
        )
        for model, folder in folders.items()
    ]
    for program, folder in zip(programs, folders.values(), strict=True):
        _, said = program.communicate(timeout=300)
        assert program.returncode == 0, said
        assert json.loads(said.splitlines()[-1])["event"] == "compiled"
        assert [file.suffix for file in folder.iterdir()] == [".so"]
    return folders


@pytest.fixture(autouse=True)
def _one_thread():
    """The key holds the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@needs_compiler
@pytest.mark.parametrize("name", MODELS)
def test_a_compiled_model_answers_as_it_does_without_being_compiled_for_every_batch_size(caches, name):
    (path,) = caches[name].iterdir()
    call = compiled.load_library(path)
    model = getattr(tiny_models, name)()
    items = example_items(model.item, 8)
    executors = [
        build_engine(
            load_settings({}, ["--executor", which, *options(name, caches[name])])
        ).inference._executor
        for which in ("eager", "compiled")
    ]
    assert [executor.name for executor in executors] == ["eager", "compiled"]
    for size in range(1, 9):
        expected, got = [executor.run(items[:size]) for executor in executors]
        torch.testing.assert_close(got.outputs, expected.outputs, rtol=1e-4, atol=1e-5)
        assert torch.equal(got.classes, expected.classes)
    # What has been handed out stays as it was.
    first = executors[1].run(items[:1])
    kept = first.outputs.clone()
    executors[1].run(items[1:2])
    assert torch.equal(first.outputs, kept)
    # ctypes gives the interpreter lock back around functions of a CDLL, and keeps it around those of a PyDLL.
    assert type(inspect.getclosurevars(call).nonlocals["library"]) is ctypes.CDLL


@needs_compiler
def test_a_model_that_is_compiled_already_is_not_compiled_again_by_another_process(caches, monkeypatch):
    monkeypatch.setattr(compile_command, "configure_logging", lambda *_: None)
    monkeypatch.setattr(compiled, "compile_program", pytest.fail)
    for model in MODELS:
        monkeypatch.setattr(sys, "argv", ["compile", *options(model, caches[model])])
        with capture_logs() as log:
            assert compile_command.main() == 0
        assert log[-1]["event"] == "already compiled"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--executor", "fast"], "TAILGATE_EXECUTOR: Input should be"),
        (["--model", "tiny_models:doubler"], "the model cannot be exported: "),
        (["--model", "tiny_models:no_such"], "no attribute 'no_such'"),
        (["--model", "sys:exit"], "the factory ended the program (SystemExit"),
    ],
)
def test_a_model_that_cannot_be_compiled_is_told_with_status_2(
    monkeypatch, capsys, tmp_path, arguments, reason
):
    monkeypatch.setattr(compile_command, "configure_logging", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["compile", *arguments, "--cache-dir", str(tmp_path)])
    assert compile_command.main() == 2
    text = capsys.readouterr().err
    assert "\ntailgate: " in "\n" + text  # PyTorch may have said something before
    assert reason in text
    assert list(tmp_path.iterdir()) == []


def test_only_models_for_the_cpu_are_compiled():
    require_cpu(CPU)
    with pytest.raises(ConfigurationError, match="compiled models run on the CPU only"):
        require_cpu(torch.device("cuda"))


# Libraries that do not load, and compilations that do not end.


def kept(source, folder):
    """Put a file into the cache as a library."""
    return libraries.keep(source, folder, "key")


def test_a_file_that_is_no_library_is_told(tmp_path):
    (tmp_path / "text").write_bytes(b"\x7fELF and no more")
    path = kept(tmp_path / "text", tmp_path)
    with pytest.raises(CompileError, match=rf"{path.name} does not load: "):
        compiled.load_library(path)


def test_a_library_of_something_else_is_told(tmp_path):
    path = kept(Path(np._core._multiarray_umath.__file__), tmp_path)
    with pytest.raises(CompileError, match=r"does not load: .*AOTInductorModelContainer"):
        compiled.load_library(path)


@needs_compiler
def test_a_library_that_was_cut_off_is_left_out_and_made_again(caches, tmp_path, monkeypatch):
    """Loading it would end the process: its pages beyond the file's end cannot be read."""
    (whole,) = caches["perceptron"].iterdir()
    cut = tmp_path / whole.name
    cut.write_bytes(whole.read_bytes()[:8000])
    settings = load_settings({}, options("perceptron", tmp_path))
    with capture_logs() as log:
        assert build_engine(settings).facts["executor"] == "eager"
    (warning,) = [entry for entry in log if entry["event"] == "no compiled model"]
    assert f"{cut.name} is not used: it is damaged" in warning["reason"]
    assert "make it with: tailgate compile" in warning["reason"]
    with pytest.raises(ConfigurationError, match=r"compiled is asked for, but .* is damaged"):
        build_engine(load_settings({}, ["--executor", "compiled", *options("perceptron", tmp_path)]))

    def made_again(program, *, package_path, inductor_configs):
        with zipfile.ZipFile(package_path, "w") as archive:
            archive.write(whole, "model/data/model.so")

    monkeypatch.setattr("torch._inductor.aoti_compile_and_package", made_again)
    monkeypatch.setattr(compile_command, "configure_logging", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["compile", *options("perceptron", tmp_path)])
    with capture_logs() as log:
        assert compile_command.main() == 0
    assert [entry["event"] for entry in log][-2:] == ["rebuilding what cannot be used", "compiled"]
    assert [path.name for path in tmp_path.iterdir()] == [whole.name]
    assert cut.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("spoil", [lambda path: path.chmod(0o777), lambda path: path.parent.chmod(0o777)])
def test_a_library_that_somebody_else_may_have_written_is_never_loaded(tmp_path, monkeypatch, spoil):
    (tmp_path / "evil").write_bytes(b"its constructor would run")
    monkeypatch.setattr(compiled, "cache_key", lambda _: "key")
    real = ctypes.CDLL
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail(f"loaded {name}") if name else real(name))
    spoil(kept(tmp_path / "evil", tmp_path))
    with capture_logs() as log:
        assert build_engine(load_settings({}, options("perceptron", tmp_path))).facts["executor"] == "eager"
    (warning,) = [entry for entry in log if entry["event"] == "no compiled model"]
    assert "others can write it (mode 777)" in warning["reason"]


def test_no_library_is_made_in_a_folder_that_others_can_write(tmp_path, monkeypatch, capsys):
    tmp_path.chmod(0o777)
    monkeypatch.setattr("torch._inductor.aoti_compile_and_package", pytest.fail)
    monkeypatch.setattr(compile_command, "configure_logging", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["compile", *options("perceptron", tmp_path)])
    assert compile_command.main() == 2
    assert (
        "is not used: others can write it (mode 777), and a library in it is code" in capsys.readouterr().err
    )


@pytest.mark.parametrize(("given", "told"), [(b"out of memory", "out of memory"), (None, "no reason given")])
def test_an_error_of_the_library_is_told_with_its_own_reason(given, told):
    def last_error(reference):
        reference._obj.value = given

    library = types.SimpleNamespace(AOTInductorGetLastError=last_error)
    compiled._check(library, 0)
    with pytest.raises(CompileError, match=f"the compiled model failed: {told}"):
        compiled._check(library, 1)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (OSError("disk full"), CompileError),
        (RuntimeError("no compiler"), CompileError),
    ],
)
def test_a_compilation_that_does_not_end_leaves_nothing(monkeypatch, tmp_path, error, raised):
    def half(program, *, package_path, inductor_configs):
        Path(package_path).write_bytes(b"half of it")
        raise error

    monkeypatch.setattr("torch._inductor.aoti_compile_and_package", half)
    with pytest.raises(raised):
        compiled.compile_program(WITHOUT_WEIGHTS, tmp_path / "cache", "key")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        (
            "tailgate.service.execution.compiled.tempfile.TemporaryFile",
            "cannot be written: .*No space left.* name another folder",
        ),
        ("tailgate.service.execution.libraries.os.fsync", "cannot be compiled: OSError: .*No space left"),
    ],
    ids=["before compiling", "at the very end"],
)
def test_a_full_disk_is_told_and_leaves_nothing_that_could_be_taken_for_a_library(
    monkeypatch, tmp_path, where, reason
):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("torch._inductor.aoti_compile_and_package", packaged)
    monkeypatch.setattr(where, full)
    with pytest.raises(CompileError, match=reason):
        compiled.compile_program(WITHOUT_WEIGHTS, tmp_path, "key")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("full", "variable"), [("scratch", "TMPDIR"), ("cache", "TAILGATE_CACHE_DIR")])
def test_too_little_room_is_told_before_anything_is_compiled(monkeypatch, tmp_path, full, variable):
    scratch, cache = tmp_path / "scratch", tmp_path / "cache"
    scratch.mkdir()
    monkeypatch.setattr("torch._inductor.aoti_compile_and_package", pytest.fail)
    monkeypatch.setattr("tailgate.service.execution.compiled.tempfile.gettempdir", lambda: str(scratch))
    monkeypatch.setattr(
        "tailgate.service.execution.compiled.shutil.disk_usage",
        lambda folder: types.SimpleNamespace(free=2**20 if folder.name == full else 2**40),
    )
    with pytest.raises(CompileError, match=f"{variable}: .* has 1 MiB left, and .* takes about 16;"):
        compiled.compile_program(WITHOUT_WEIGHTS, cache, "key")


def test_a_cache_folder_that_cannot_be_is_refused_before_anything_is_compiled(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr("torch._inductor.aoti_compile_and_package", pytest.fail)
    with pytest.raises(CompileError, match=r"TAILGATE_CACHE_DIR: .*file/cache cannot be written"):
        compiled.compile_program(WITHOUT_WEIGHTS, tmp_path / "file" / "cache", "key")


def packaged(program, *, package_path, inductor_configs):
    """Write what PyTorch would."""
    with zipfile.ZipFile(package_path, "w") as archive:
        archive.writestr("model/data/model.so", b"new")


def test_a_library_is_put_in_its_place_whole_and_replaces_one_that_was_cut_off(monkeypatch, tmp_path):
    monkeypatch.setattr("torch._inductor.aoti_compile_and_package", packaged)
    path = compiled.compile_program(WITHOUT_WEIGHTS, tmp_path, "key")
    path.write_bytes(b"n")
    assert compiled.compile_program(WITHOUT_WEIGHTS, tmp_path, "key") == path
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_two_processes_of_the_same_number_do_not_meet_in_the_folder_that_they_share(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "getpid", lambda: 1)
    monkeypatch.setattr("torch._inductor.aoti_compile_and_package", packaged)
    drafts = []

    def stopped(self, _):
        """Stand where another process begins while this one writes; the first draft is still there."""
        drafts.append(self.name)
        if len(drafts) == 1:
            compiled.compile_program(WITHOUT_WEIGHTS, tmp_path, "key")

    monkeypatch.setattr(Path, "replace", stopped)
    compiled.compile_program(WITHOUT_WEIGHTS, tmp_path, "key")
    assert len(set(drafts)) == 2


# The key.


def key(model=None, *, cap=8, dtype=torch.float32, top_k=2):
    model = model or layers()
    graph = ServedGraph(model, model.module.to(dtype), dtype, top_k)
    return compiled.cache_key(export_graph(graph, example_items(model.item, 8), cap))


def layers(seed=0, activation=nn.ReLU, scale=1.0, width=3, labels=tiny_models.COLOURS):
    torch.manual_seed(seed)

    class Scale(nn.Module):
        def forward(self, batch):
            return batch * scale

    module = nn.Sequential(nn.Linear(4, width), activation(), Scale())
    return tiny_models.Model("layers", module, "none", input=tiny_models.FOUR_FLOATS, labels=labels)


@pytest.fixture(scope="module")
def usual():
    torch.set_num_threads(1)
    return key()


def test_the_same_model_has_the_same_key(usual):
    assert key() == usual


@pytest.mark.parametrize(
    "other",
    [
        lambda: key(layers(seed=1)),
        lambda: key(layers(activation=nn.GELU)),
        lambda: key(layers(scale=2.0)),
        lambda: key(layers(width=5, labels=None)),
        lambda: key(top_k=1),
        lambda: key(cap=16),
        lambda: key(dtype=torch.bfloat16),
        lambda: key(tiny_models.passing()),
        lambda: key(tiny_models.colours()),
    ],
    ids=[
        "weights",
        "an operator",
        "a constant",
        "a shape",
        "labels asked for",
        "cap",
        "precision",
        "none",
        "another",
    ],
)
def test_whatever_changes_the_library_changes_the_key(usual, other):
    assert other() != usual


class Branches(nn.Module):
    """Graphs within the graph: one for each branch."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, batch):
        return torch.cond(batch.sum() > 0, lambda rows: rows * self.factor, lambda rows: rows - 1.0, (batch,))


def test_an_operator_within_a_branch_is_part_of_the_key():
    def branching(factor):
        return key(tiny_models.Model("branches", Branches(factor), "none", input=tiny_models.FOUR_FLOATS))

    assert branching(2.0) == branching(2.0)
    assert branching(2.0) != branching(3.0)


@pytest.mark.parametrize("line", ["flags\t\t: fpu avx2", "Features\t: fp asimd"])
def test_what_the_processor_can_do_is_read_on_x86_and_on_arm(monkeypatch, line):
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: f"processor\t: 0\n{line}\nother\t: 1\n")
    assert compiled._processor() == line


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("torch.get_num_threads", lambda: 2),
        ("torch.__version__", "0.0"),
        ("torch.backends.cpu.get_cpu_capability", lambda: "ABACUS"),
        ("tailgate.service.execution.compiled._processor", lambda: "flags : slide"),
        ("tailgate.service.execution.compiled._own_text", lambda: "another way to compile"),
        ("torch.backends.mkldnn.enabled", False),
        ("torch.get_float32_matmul_precision", lambda: "medium"),
    ],
)
def test_whatever_it_is_compiled_by_and_for_changes_the_key(usual, monkeypatch, where, value):
    before = compiled.digest_of_surroundings().digest()
    monkeypatch.setattr(where, value)
    assert compiled.digest_of_surroundings().digest() != before
    assert key() != usual


def test_options_of_pytorchs_compiler_change_the_key_and_its_folders_do_not(usual, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "elsewhere")
    assert key() == usual
    monkeypatch.setenv("TORCHINDUCTOR_MAX_AUTOTUNE", "1")
    assert key() != usual


def test_the_strides_of_the_input_are_part_of_the_key():
    module = nn.Flatten()
    square = torch.zeros(2, 3, 3)
    plain, turned = (
        compiled.cache_key(compiled.export(_Alone(module), example, 8))
        for example in (square, square.transpose(1, 2))
    )
    assert plain != turned


class _Alone(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, batch):
        return (self.module(batch),)


def test_exporting_leaves_the_model_as_it_was():
    model = tiny_models.colours()
    graph = ServedGraph(model, model.module, torch.float32, 3)
    items = example_items(model.item, 8)
    before = BufferedExecutor("eager", eager(graph, CPU), model.item, 8).run(items).outputs
    export_graph(graph, items, 8)
    after = BufferedExecutor("eager", eager(graph, CPU), model.item, 8).run(items).outputs
    assert torch.equal(before, after)
