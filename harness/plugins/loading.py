"""Where plugins come from: installed packages by their entry points, and files."""

import contextlib
import hashlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from types import ModuleType

from tailgate.harness.errors import PluginError
from tailgate.harness.plugins.hookspecs import PROJECT

# Limits installed plugins: empty loads none, names separated by commas load these. For hermetic runs.
PLUGINS_VARIABLE = "PERF_PLUGINS"


def wanted_entry_points(environment: Mapping[str, str]) -> list[metadata.EntryPoint]:
    """Return the installed plugins that PERF_PLUGINS allows, in the order of their names."""
    installed = sorted(metadata.entry_points(group=PROJECT), key=lambda entry_point: entry_point.name)
    limit = environment.get(PLUGINS_VARIABLE)
    if limit is None:
        return installed
    names = {name.strip() for name in limit.split(",")} - {""}
    known = {entry_point.name for entry_point in installed}
    if missing := sorted(names - known):
        raise PluginError(
            f"{PLUGINS_VARIABLE} names {missing[0]!r}, which is not installed; there are {sorted(known)}"
        )
    return [entry_point for entry_point in installed if entry_point.name in names]


def load_entry_point(entry_point: metadata.EntryPoint) -> object:
    """Import an installed plugin; a folder of the same name in the user's project does not take its place."""
    try:
        try:
            with _without_project():
                return entry_point.load()
        except ModuleNotFoundError:
            # A plugin may live in the project itself, on the path but installed nowhere.
            return entry_point.load()
    except (Exception, SystemExit) as error:
        distribution = entry_point.dist.name if entry_point.dist else "an unknown distribution"
        raise PluginError(
            f"plugin {entry_point.name!r} of {distribution} does not load ({entry_point.value}): "
            f"{type(error).__name__}: {error}"
        ) from error


@contextlib.contextmanager
def _without_project() -> Iterator[None]:
    """Look for modules among what is installed only: Python and pytest put the user's project in front of it."""
    search = list(sys.path)
    sys.path[:] = [entry for entry in search if not _in_project(Path(entry).resolve())]
    try:
        yield
    finally:
        sys.path[:] = search


def _in_project(folder: Path) -> bool:
    """Tell whether a folder is the working directory, above it, or below it and no environment's."""
    here = Path.cwd()
    inside = folder.is_relative_to(here) and not folder.is_relative_to(sys.prefix)
    return inside or here.is_relative_to(folder)


def load_file(path: Path) -> ModuleType:
    """Import a plugin file under a module name of its own, so that it can be called anything."""
    path = path.expanduser().resolve()
    name = f"tailgate_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise PluginError(f"there is no plugin file {path}; expected a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise PluginError(f"plugin file {path} does not load: {type(error).__name__}: {error}") from error
    return module
