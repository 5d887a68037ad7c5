"""The plugin manager: who takes part in a run, and what each brings.

Plugins are loaded loudly. One that does not load, misspells a hook, or brings a name that another brings already
stops the run before anything starts, naming the plugin and its distribution.
"""

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Protocol, TypeVar

import pluggy

from harness import builtin, hookspecs
from harness.errors import PluginError
from harness.hookspecs import PROJECT
from harness.measures import Measure
from harness.payload import Payload
from harness.report import Reporter
from harness.scenario import Profile, Scenario
from harness.target import Target, TargetSettings

# Limits third-party plugins: empty loads none, names separated by commas load these. For hermetic runs.
PLUGINS_VARIABLE = "PERF_PLUGINS"


class Named(Protocol):
    """Anything that a plugin brings under a name."""

    @property
    def name(self) -> str:
        """Unique among all plugins."""
        ...


N = TypeVar("N", bound=Named)


def create_plugin_manager(files: Iterable[Path] = (), environment: dict[str, str] | None = None) -> "Plugins":
    """Return a manager with the built-ins, every installed plugin, and the given files.

    Args:
        files: Python files that hold hook implementations.
        environment: usually ``os.environ``; see ``PERF_PLUGINS``.

    Raises:
        PluginError: a plugin does not load, or has a hook that does not exist.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(builtin, "tailgate-builtin")
    variables = os.environ if environment is None else environment
    wanted = variables.get(PLUGINS_VARIABLE)
    names = None if wanted is None else {name.strip() for name in wanted.split(",")}
    for entry_point in metadata.entry_points(group=PROJECT):
        if names is None or entry_point.name in names:
            _register(manager, _load(entry_point), entry_point.name)
    for file in files:
        _register(manager, load_file(file), str(file))
    return Plugins(manager)


def _load(entry_point: metadata.EntryPoint) -> object:
    try:
        return entry_point.load()
    except Exception as error:
        distribution = entry_point.dist.name if entry_point.dist else "an unknown distribution"
        raise PluginError(
            f"plugin {entry_point.name!r} of {distribution} does not load ({entry_point.value}): "
            f"{type(error).__name__}: {error}"
        ) from error


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


def _register(manager: pluggy.PluginManager, plugin: object, name: str) -> None:
    known = {spec for spec in dir(hookspecs) if spec.startswith(f"{PROJECT}_")}
    misspelt = [name for name in dir(plugin) if name.startswith(f"{PROJECT}_") and name not in known]
    if misspelt:
        raise PluginError(f"plugin {name!r} has {misspelt[0]}, which is no hook; there are {sorted(known)}")
    try:
        manager.register(plugin, name)
    except (ValueError, pluggy.PluginValidationError) as error:
        raise PluginError(f"plugin {name!r} does not fit: {error}") from error


class Plugins:
    """What all plugins bring, joined and checked."""

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self.manager = manager
        self.hook = manager.hook

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
            PluginError: no plugin knows it.
        """
        payloads: Sequence[Payload] | None = self.hook.tailgate_payloads(source=source)
        if not payloads:
            raise PluginError(
                f"no plugin knows the payloads {source!r}, or they are none; expected photos, pixels:SIDE or file:PATH"
            )
        return payloads

    def _collect(self, hook: str, kind: type[N] | None, **arguments: object) -> dict[str, N]:
        """Call a hook of each plugin and join the results by name; a name twice is refused, naming both plugins."""
        found: dict[str, N] = {}
        owners: dict[str, str] = {}
        for implementation in getattr(self.hook, hook).get_hookimpls():
            owner = implementation.plugin_name
            given = {name: arguments[name] for name in implementation.argnames}
            for item in implementation.function(**given) or ():
                if kind is not None and not isinstance(item, kind):
                    raise PluginError(f"plugin {owner!r}: {hook} gave {item!r}, expected a {kind.__name__}")
                if item.name in found:
                    raise PluginError(
                        f"{hook}: the name {item.name!r} is used by plugin {owners[item.name]!r} and by plugin {owner!r}"
                    )
                found[item.name], owners[item.name] = item, owner
        return found
