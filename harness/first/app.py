"""Find a web application in a project by reading its Python, and the command line that starts it. Nothing is imported."""

import ast
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# By the class that makes it: whether uvicorn (ASGI) or a WSGI server runs it.
ASGI = frozenset({"FastAPI", "Starlette", "Litestar", "Quart", "BlackSheep"})
WSGI = frozenset({"Flask", "Bottle"})
# Folders that hold no application of the project.
PASSED_OVER = frozenset(
    {"node_modules", "site-packages", "venv", "env", "build", "dist", "docs", "tests", "test", "examples"}
)
DEEPEST = 4
MOST_FILES = 2_000
LARGEST_BYTES = 1_000_000
# The usual names, the likeliest first.
NAMES = ("main", "app", "server", "api", "asgi", "wsgi", "service")


@dataclass(frozen=True, slots=True)
class App:
    """An application: an object of a module, or a function that makes it."""

    file: Path  # from the project's folder
    folder: Path  # from the project's folder: where its module is imported from, above its packages
    name: str
    kind: str  # the class that makes it
    factory: bool = False

    @property
    def place(self) -> str:
        """``module:name``, as its servers take it."""
        parts = self.file.relative_to(self.folder).with_suffix("").parts
        return f"{'.'.join(parts[:-1] if parts[-1] == '__init__' else parts)}:{self.name}"

    def command(self, *, gunicorn: bool) -> str:
        """Return what starts it: ``{python}`` is the interpreter that runs the gate, ``{port}`` the port.

        ``gunicorn`` is whether that is there for an application that is no ASGI one.
        """
        made = "()" if self.factory else ""
        inside = self.folder.as_posix()
        if self.kind in ASGI:
            folder = "" if self.folder == Path() else f" --app-dir {inside}"
            factory = " --factory" if self.factory else ""
            return f"{{python}} -m uvicorn {self.place}{factory}{folder} --port {{port}} --log-level warning"
        if gunicorn:
            folder = "" if self.folder == Path() else f" --chdir {inside}"
            return (
                f"{{python}} -m gunicorn{folder} --bind 127.0.0.1:{{port}} {shlex.quote(self.place + made)}"
            )
        return f"{{python}} -m flask --app {self.file.as_posix()}:{self.name} run --port {{port}}"


def find_apps(root: Path) -> tuple[App, ...]:
    """Return the applications in a project, the likeliest first."""
    found = [app for file in _files(root) for app in _apps_in(root, file)]
    return tuple(sorted(found, key=_rank))


def _rank(app: App) -> tuple[bool, int, int, str]:
    stem = app.file.stem
    usual = NAMES.index(stem) if stem in NAMES else len(NAMES)
    return app.factory, len(app.file.parts), usual, str(app.file)


def _files(root: Path) -> Iterator[Path]:
    seen = 0
    for folder, names, files in os.walk(root):
        depth = len(Path(folder).relative_to(root).parts)
        inside = [
            name
            for name in sorted(names)
            if not name.startswith((".", "_"))
            and name not in PASSED_OVER
            and not (Path(folder) / name / "pyvenv.cfg").is_file()
        ]
        names[:] = inside if depth < DEEPEST else []
        for name in sorted(files):
            path = Path(folder) / name
            if name.endswith(".py") and not name.startswith("test_") and path.stat().st_size <= LARGEST_BYTES:
                seen += 1
                if seen > MOST_FILES:
                    return
                yield path.relative_to(root)


def _apps_in(root: Path, file: Path) -> Iterator[App]:
    try:
        tree = ast.parse((root / file).read_bytes())
    except (OSError, SyntaxError, ValueError):  # ValueError: a null byte
        return
    folder = _above_packages(root, file)
    for node in tree.body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                if kind := _made_by(value):
                    yield App(file, folder, name, kind)
            case ast.FunctionDef(name=name) if not _required(node.args):
                kinds = (_returned(node, one) for one in ast.walk(node) if isinstance(one, ast.Return))
                if kind := next(filter(None, kinds), ""):
                    yield App(file, folder, name, kind, factory=True)


def _above_packages(root: Path, file: Path) -> Path:
    folder = file.parent
    while folder.parts and (root / folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def _made_by(value: ast.expr | None) -> str:
    """Return the class whose call a value is, where it is one of a web application."""
    match value:
        case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
            return name if name in ASGI | WSGI else ""
    return ""


def _returned(function: ast.FunctionDef, node: ast.Return) -> str:
    if isinstance(node.value, ast.Name):
        for one in ast.walk(function):
            match one:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if name == node.value.id:
                    return _made_by(value)
    return _made_by(node.value)


def _required(arguments: ast.arguments) -> bool:
    positional = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return positional > 0 or None in arguments.kw_defaults
