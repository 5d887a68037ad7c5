"""torchvision's classifiers come without PyTorch's compiler, and it is there for whoever asks for it."""

import importlib
import json
import subprocess
import sys
import threading

import pytest
from torchvision import models as whole

from tailgate.service.models import zoo
from tailgate.service.models.zoo import classifiers

# What the service does not load to be ready: each of these has cost seconds of every start.
NEEDLESS = ("sympy", "torch._dynamo", "torch._inductor", "torch.distributed.tensor", "triton")
LOADED = f"[name for name in {NEEDLESS} if name in sys.modules]"
OPTIONS = {"device": "cpu", "input_size": 32, "max_batch_size": 2, "threads": 1}


def printed(program):
    """Return what a program prints as JSON in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=300)
    return json.loads(done.stdout)


@pytest.mark.parametrize("model", ["demo", "torchvision:efficientnet_b0"])
def test_a_model_is_ready_and_a_library_looked_for_without_compilers_and_algebra(tmp_path, model):
    (tmp_path / "of-another-model.so").touch()
    options = OPTIONS | {"model": model, "cache_dir": str(tmp_path)}
    program = f"""
import json, sys
from tailgate.service.execution.trials import selection
from tailgate.service.execution.build import build_engine
from tailgate.service.settings import load_settings
sys.stdout, out = sys.stderr, sys.stdout
keys, key_of = [], selection.trace_key
selection.trace_key = lambda *graph: keys.append(key_of(*graph)) or keys[-1]
build_engine(load_settings({{}}, **{options}))
print(json.dumps([{LOADED}, keys]), file=out)
"""
    loaded, (key,) = printed(program)
    assert loaded == []
    assert key is not None


def test_the_compiler_is_whole_after_torchvision_was_imported_without_it():
    program = f"""
import json, sys
from tailgate.service.models.zoo import COMPILER, TAKEN, classifiers
models = classifiers()
names, before = models.list_models(module=models), {LOADED}
taken = getattr(sys.modules["torchvision.ops.roi_align"], TAKEN)
import torch._dynamo
real = sys.modules[COMPILER]
print(json.dumps([names, before, COMPILER in repr(real), torch._dynamo.utils is real, [taken(kind) == getattr(real, TAKEN)(kind) for kind in ("cpu", "cuda", "xpu")]]))
"""
    names, before, named, is_real, same = printed(program)
    assert names == whole.list_models(module=whole)
    assert before == []
    assert (named, is_real, same) == (True, True, [True] * 3)


def test_a_torchvision_that_takes_more_from_the_compiler_gets_it():
    program = """
import json, sys
from tailgate.service.models import zoo
with zoo._compiler_put_off():
    from torch._dynamo.utils import counters
    import torch._dynamo.config
import torch._dynamo
real = sys.modules[zoo.COMPILER]
print(json.dumps([torch._dynamo.utils is real, counters is real.counters]))
"""
    assert printed(program) == [True, True]


def test_a_torchvision_that_is_imported_already_is_taken_as_it_is():
    assert classifiers() is whole


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """A package in the compiler's place, whose import is written down."""
    package = tmp_path / "slow_compiler"
    package.mkdir()
    (package / "__init__.py").write_text("from .parts import other\n")
    (package / "parts.py").write_text(
        "def taken(kind): return 'asked ' + kind\n\ndef other(): return 'other'\n"
    )
    (tmp_path / "taking.py").write_text("from slow_compiler.parts import taken\n")
    (tmp_path / "failing.py").write_text("from slow_compiler.parts import taken\nraise RuntimeError\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(zoo, "COMPILER", "slow_compiler.parts")
    monkeypatch.setattr(zoo, "TAKEN", "taken")
    yield lambda: "slow_compiler" in sys.modules
    for name in ("slow_compiler", "slow_compiler.parts", "taking", "failing"):
        sys.modules.pop(name, None)


def test_a_function_that_is_taken_imports_the_compiler_when_it_is_called(compiler):
    with zoo._compiler_put_off():
        taking = importlib.import_module("taking")
    assert not compiler()
    assert zoo.COMPILER not in sys.modules
    assert taking.taken("cpu") == "asked cpu"
    assert compiler()
    assert not isinstance(sys.modules[zoo.COMPILER], zoo._StandIn)


def test_an_import_that_fails_leaves_no_stand_in(compiler):
    with pytest.raises(RuntimeError), zoo._compiler_put_off():
        importlib.import_module("failing")
    assert not compiler()
    assert zoo.COMPILER not in sys.modules


def test_another_thread_that_imports_the_compiler_meanwhile_gets_it(compiler):
    found = []

    def take():
        package = importlib.import_module("slow_compiler")
        module = importlib.import_module("slow_compiler.parts")
        found.extend([package.other(), module.other(), module.taken("cuda")])

    with zoo._compiler_put_off():
        thread = threading.Thread(target=take)
        thread.start()
        thread.join(30)
        taking = importlib.import_module("taking")
    assert found == ["other", "other", "asked cuda"]
    assert taking.taken is importlib.import_module("slow_compiler.parts").taken
    assert compiler()


def test_a_compiler_that_is_imported_already_is_left_in_its_place(compiler):
    module = importlib.import_module("slow_compiler.parts")
    with zoo._compiler_put_off():
        assert sys.modules[zoo.COMPILER] is module
        assert importlib.import_module("taking").taken is module.taken
    assert sys.modules[zoo.COMPILER] is module
    assert compiler()


def test_whoever_lists_all_modules_imports_nothing(compiler):
    with zoo._compiler_put_off():
        assert not hasattr(sys.modules[zoo.COMPILER], "__file__")
        assert not compiler()
