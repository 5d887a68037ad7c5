"""The plugin manager: who takes part in a run, and what each brings.

Plugins are loaded loudly. One that does not load, has no hook, misspells one, or brings a name that another brings
already stops the run before anything starts, naming the plugin and its distribution.
"""

import contextlib
import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Protocol, TypeVar

import pluggy

from harness import __version__, builtin, hookspecs
from harness.errors import PluginError
from harness.hookspecs import PROJECT
from harness.measures import Measure
from harness.payload import Payload
from harness.report import Reporter
from harness.scenario import Profile, Scenario
from harness.target import Target, TargetSettings

# Limits installed plugins: empty loads none, names separated by commas load these. For hermetic runs.
PLUGINS_VARIABLE = "PERF_PLUGINS"
BUILT_IN = "builtin"


class Named(Protocol):
    """Anything that a plugin brings under a name."""

    @property
    def name(self) -> str:
        """Unique among all plugins."""
        ...


N = TypeVar("N", bound=Named)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a plugin comes from.

    Attributes:
        name: unique among plugins: of its entry point, or the file's path.
        distribution: the installed package that brings it; None for a file.
        version: of the distribution; None for a file.
        hooks: names of the hooks that it has, in the order of the alphabet.
    """

    name: str
    distribution: str | None
    version: str | None
    hooks: tuple[str, ...]

    def __str__(self) -> str:
        """Name it in an error."""
        return f"{self.name!r} of {self.distribution}" if self.distribution else repr(self.name)


def create_plugin_manager(
    files: Iterable[Path] = (), environment: Mapping[str, str] | None = None
) -> "Plugins":
    """Return a manager with the built-ins, every installed plugin, and the given files.

    Args:
        files: Python files that hold hook implementations.
        environment: usually ``os.environ``; see ``PERF_PLUGINS``.

    Raises:
        PluginError: a plugin does not load, has no hook, or one that does not exist.
    """
    plugins = Plugins()
    plugins.register(builtin, BUILT_IN, PROJECT, __version__)
    for entry_point in _wanted(os.environ if environment is None else environment):
        distribution = entry_point.dist.name if entry_point.dist else None
        version = entry_point.dist.version if entry_point.dist else None
        plugins.register(load_entry_point(entry_point), entry_point.name, distribution, version)
    for file in files:
        plugins.register(load_file(file), str(file))
    return plugins


def _wanted(environment: Mapping[str, str]) -> list[metadata.EntryPoint]:
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
    """Import an installed plugin; a folder of the same name in the user's project does not take its place.

    Raises:
        PluginError: it does not load.
    """
    try:
        try:
            with _without_project():
                return entry_point.load()
        except ModuleNotFoundError:
            # A plugin may live in the project itself, on the path but installed nowhere.
            return entry_point.load()
    except Exception as error:
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
    """Import a plugin file under a module name of its own, so that it can be called anything.

    Raises:
        PluginError: it is not there, or raises when imported.
    """
    path = path.expanduser().resolve()
    name = f"tailgate_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise PluginError(f"there is no plugin file {path}; expected a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise PluginError(f"plugin file {path} does not load: {type(error).__name__}: {error}") from error
    return module


class Plugins:
    """What all plugins bring, joined and checked."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.hook = self.manager.hook
        self._origins: dict[str, Origin] = {}

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Who takes part, in the order of registration."""
        return tuple(self._origins.values())

    def register(
        self, plugin: object, name: str, distribution: str | None = None, version: str | None = None
    ) -> None:
        """Let a plugin take part.

        Args:
            plugin: a module or an object with functions marked by ``hookimpl``.
            name: unique among plugins.
            distribution: the installed package that brings it.
            version: of the distribution.

        Raises:
            PluginError: its name is taken, it has no hook, one that does not exist, or one with other arguments.
        """
        origin = Origin(name, distribution, version, ())
        if name in self._origins:
            raise PluginError(f"plugin {origin}: {self._origins[name]} has that name already")
        known = sorted(spec for spec in dir(hookspecs) if spec.startswith(f"{PROJECT}_"))
        misspelt = [hook for hook in dir(plugin) if hook.startswith(f"{PROJECT}_") and hook not in known]
        if misspelt:
            raise PluginError(f"plugin {origin} has {misspelt[0]}, which is no hook; there are {known}")
        try:
            self.manager.register(plugin, name)
        except (ValueError, pluggy.PluginValidationError) as error:
            raise PluginError(f"plugin {origin} does not fit: {error}") from error
        hooks = sorted(caller.name for caller in self.manager.get_hookcallers(plugin) or ())
        if not hooks:
            where = getattr(plugin, "__file__", None) or repr(plugin)
            raise PluginError(
                f"plugin {origin} has no hook ({where}): mark its functions with @harness.hookimpl; "
                "where that is not the plugin's own file, a folder of the same name stands in its way"
            )
        self._origins[name] = Origin(name, distribution, version, tuple(hooks))

    def scenarios(self, profile: Profile) -> dict[str, Scenario]:
        """Return all scenarios by name, in the order of their names."""
        found = self._collect("tailgate_scenarios", Scenario, profile=profile)
        return dict(sorted(found.items()))

    def measures(self) -> tuple[Measure, ...]:
        """Return all measures."""
        return tuple(self._collect("tailgate_measures", None).values())

    def reporters(self) -> tuple[Reporter, ...]:
        """Return all reporters."""
        return tuple(self._collect("tailgate_reporters", None).values())

    def target(self, spec: str, settings: TargetSettings) -> Target:
        """Return what ``spec`` describes.

        Raises:
            PluginError: no plugin knows it.
        """
        target: Target | None = self.hook.tailgate_target(spec=spec, settings=settings)
        if target is None:
            raise PluginError(
                f"no plugin knows the target {spec!r}; expected service, service:KEY=VALUE,…, "
                "command: and a command line, or http://host:port"
            )
        return target

    def payloads(self, source: str) -> Sequence[Payload]:
        """Return the payloads of a source.

        Raises:
            PluginError: no plugin knows it, or it is empty.
        """
        payloads: Sequence[Payload] | None = self.hook.tailgate_payloads(source=source)
        if payloads is None:
            raise PluginError(
                f"no plugin knows the payloads {source!r}; expected photos, pixels:SIDE, file:PATH or dir:PATH"
            )
        if not payloads:
            raise PluginError(f"the payloads {source!r} are none: nothing could be sent")
        return payloads

    def _collect(self, hook: str, kind: type[N] | None, **arguments: object) -> dict[str, N]:
        """Call a hook of each plugin and join the results by name; a name twice is refused, naming both plugins."""
        found: dict[str, N] = {}
        owners: dict[str, Origin] = {}
        for implementation in getattr(self.hook, hook).get_hookimpls():
            origin = self._origins[implementation.plugin_name]
            given = {name: arguments[name] for name in implementation.argnames}
            try:
                items = list(implementation.function(**given) or ())
            except Exception as error:
                raise PluginError(
                    f"plugin {origin}: {hook} raised {type(error).__name__}: {error}"
                ) from error
            for item in items:
                if not isinstance(getattr(item, "name", None), str) or (kind and not isinstance(item, kind)):
                    expected = kind.__name__ if kind else "an object with a name"
                    raise PluginError(f"plugin {origin}: {hook} gave {item!r}, expected {expected}")
                if item.name in found:
                    raise PluginError(
                        f"{hook}: the name {item.name!r} is used by plugin {owners[item.name]} and by plugin {origin}"
                    )
                found[item.name], owners[item.name] = item, origin
        return found
