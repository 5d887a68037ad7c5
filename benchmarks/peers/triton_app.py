"""NVIDIA Triton's own server with its Python backend: ``python -m benchmarks.peers.triton_app PORT``.

The package nvidia-pytriton carries the server. It is started as NVIDIA documents it, with a model repository and without
pytriton's proxy, which would put another process between the server and the model.
"""

import os
import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from benchmarks.workloads import CAP

CONFIG = """\
backend: "python"
max_batch_size: {cap}
input [ {{ name: "BODY" data_type: {kind} dims: [ {length} ] }} ]
output [ {{ name: "ANSWER" data_type: TYPE_FP32 dims: [ -1 ] }} ]
instance_group [ {{ count: 1 kind: KIND_CPU }} ]
dynamic_batching {{ }}
"""


def write_repository(folder: Path) -> None:
    """Write a repository of one model; ``TRITON_INPUT`` is BYTES, or the number of bytes of an item."""
    model = folder / "classifier"
    (model / "1").mkdir(parents=True)
    length = os.environ["TRITON_INPUT"]
    kind, length = ("TYPE_STRING", "1") if length == "BYTES" else ("TYPE_UINT8", length)
    (model / "config.pbtxt").write_text(CONFIG.format(cap=CAP, kind=kind, length=length))
    (model / "1" / "model.py").symlink_to(Path(__file__).with_name("triton_model.py"))


def main() -> None:
    """Become the server."""
    spec = find_spec("pytriton")
    assert spec is not None
    assert spec.origin is not None
    home = Path(spec.origin).parent / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    # The backend looks beside itself for the stub, which the package carries once for each version of Python.
    stub = home / "backends" / "python" / "triton_python_backend_stub"
    if not stub.exists():
        stub.symlink_to(home / "python_backend_stubs" / version / stub.name)
    repository = Path(".bench") / "triton"
    shutil.rmtree(repository, ignore_errors=True)
    write_repository(repository)
    environment = os.environ | {
        # The stub is an interpreter of its own: it links Python's library, and takes the environment of the first
        # python on the path. It does not heed PYTHONPATH.
        "LD_LIBRARY_PATH": sysconfig.get_config_var("LIBDIR"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    command = [
        str(home / "bin" / "tritonserver"),
        f"--model-repository={repository.resolve()}",
        f"--backend-directory={home / 'backends'}",
        "--http-address=127.0.0.1",
        f"--http-port={sys.argv[1]}",
        "--allow-grpc=false",
        "--allow-metrics=false",
        "--log-verbose=0",
    ]
    os.execve(command[0], command, environment)


if __name__ == "__main__":
    main()
