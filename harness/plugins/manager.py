"""The plugin manager: who takes part in a run, and what each brings.

A plugin that does not load, has no hook, misspells one, or brings a name that another brings already stops the run before
anything starts; the error names the plugin and its distribution.
"""

import difflib
import functools
import inspect
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pluggy

from tailgate import __version__
from tailgate.harness.errors import PluginError
from tailgate.harness.load import Generate, Generator
from tailgate.harness.load.many.engine import GeneratorEngine
from tailgate.harness.load.many.generators import Generators
from tailgate.harness.measures import Measure
from tailgate.harness.plugins import builtin, hookspecs
from tailgate.harness.plugins.hooks import EXPECTED, Origin, guarded, taken
from tailgate.harness.plugins.hookspecs import PROJECT
from tailgate.harness.plugins.loading import load_entry_point, load_file, wanted_entry_points
from tailgate.harness.plugins.target import CheckedTarget
from tailgate.harness.profiles import Profile
from tailgate.harness.report import Reporter
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.scenario import Scenario
from tailgate.harness.target.fleet.target import FleetTarget
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.spec import CommandTarget, UrlTarget
from tailgate.harness.target.target import Target

BUILT_IN = "builtin"


def create_plugin_manager(
    files: Iterable[Path] = (),
    environment: Mapping[str, str] | None = None,
    further: Mapping[str, object] | None = None,
) -> "Plugins":
    """Return a manager with the built-ins, every installed plugin that ``PERF_PLUGINS`` allows, and what is given: files, and plugins by name."""
    plugins = Plugins()
    plugins.register(builtin, BUILT_IN, PROJECT, __version__)
    for entry_point in wanted_entry_points(os.environ if environment is None else environment):
        distribution = entry_point.dist.name if entry_point.dist else None
        version = entry_point.dist.version if entry_point.dist else None
        plugins.register(load_entry_point(entry_point), entry_point.name, distribution, version)
    for file in files:
        plugins.register(load_file(file), str(file))
    for name, plugin in (further or {}).items():
        plugins.register(plugin, name, PROJECT, __version__)
    return plugins


class Plugins:
    """What all plugins bring, joined and checked."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.hook = self.manager.hook
        self._origins: dict[str, Origin] = {}
        # By identity; each thing is kept, so that no other gets its place.
        self._owners: dict[int, tuple[object, Origin]] = {}

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Who takes part, in the order of registration."""
        return tuple(self._origins.values())

    def register(
        self, plugin: object, name: str, distribution: str | None = None, version: str | None = None
    ) -> None:
        """Let a plugin take part: a module or an object with functions marked by ``hookimpl``."""
        origin = Origin(name, distribution, version, ())
        if name in self._origins:
            raise PluginError(f"plugin {origin}: {self._origins[name]} has that name already")
        hooks = dict(self._hooks_of(plugin, origin))
        if not hooks:
            where = getattr(plugin, "__file__", None) or repr(plugin)
            raise PluginError(
                f"plugin {origin} has no hook ({where}): mark its functions with @tailgate.hookimpl; "
                "where that is not the plugin's own file, a folder of the same name stands in its way"
            )
        functions = {
            attribute: guarded(getattr(plugin, attribute), hook, origin, self._remember)
            for attribute, hook in hooks.items()
        }
        try:
            self.manager.register(SimpleNamespace(**functions), name)
        except (ValueError, pluggy.PluginValidationError) as error:
            raise PluginError(f"plugin {origin} does not fit: {error}") from error
        self._origins[name] = Origin(name, distribution, version, tuple(sorted(set(hooks.values()))))

    def scenarios(self, profile: Profile) -> dict[str, Scenario]:
        """Return all scenarios by name, in the order of their names."""
        found = self._joined("tailgate_scenarios", profile=profile)
        return dict(sorted(found.items()))

    def measures(self) -> tuple[Measure, ...]:
        """Return all measures."""
        return tuple(self._joined("tailgate_measures").values())

    def reporters(self) -> tuple[Reporter, ...]:
        """Return all reporters."""
        return tuple(self._joined("tailgate_reporters").values())

    def target(self, spec: str, settings: TargetSettings) -> Target:
        """Return what ``spec`` describes."""
        target = self.known_target(spec, settings)
        if target is None:
            raise PluginError(
                f"no plugin knows the target {spec!r}; expected service, service:KEY=VALUE,…, "
                "command: and a command line, http://host:port, unix:/PATH, or haproxy:N: and envoy:N: before one that is launched"
            )
        return target

    def knows_target(self, spec: str) -> bool:
        """Tell whether some plugin knows a target of this specification."""
        return self.known_target(spec, TargetSettings()) is not None

    def known_target(self, spec: str, settings: TargetSettings) -> Target | None:
        """Return what ``spec`` describes; None where no plugin knows it."""
        target: Target | None = self._first("tailgate_target", spec=spec, settings=settings)
        if target is None or isinstance(target, (CommandTarget, UrlTarget, FleetTarget)):
            return target
        return CheckedTarget(target, self.owner(target, "tailgate_target"))

    def payloads(self, source: str) -> Sequence[Payload]:
        """Return the payloads of a source."""
        payloads: list[Payload] | None = self._first("tailgate_payloads", source=source)
        if payloads is None:
            raise PluginError(
                f"no plugin knows the payloads {source!r}; expected photos, pixels:SIDE, file:PATH or dir:PATH"
            )
        if not payloads:
            raise PluginError(f"the payloads {source!r} are none: nothing could be sent")
        return payloads

    def generate(self, spec: str | None) -> Generate:
        """Return what makes the generators that ``spec`` describes; for None, the one process of this machine."""
        if spec is None:
            return Generator
        engine: GeneratorEngine | None = self._first("tailgate_generators", spec=spec)
        if engine is None:
            raise PluginError(
                f"no plugin knows the generators {spec!r}; expected processes:N or ssh:HOST,HOST=PYTHON,…"
            )
        return functools.partial(Generators, engine)

    def owner(self, thing: object, hook: str) -> str:
        """Return whose a thing is, for a message."""
        known = self._owners.get(id(thing))
        return f"plugin {known[1]}" if known is not None else self._wrappers(hook)

    def _remember(self, thing: object, origin: Origin) -> None:
        self._owners[id(thing)] = thing, origin

    def _hooks_of(self, plugin: object, origin: Origin) -> Iterator[tuple[str, str]]:
        """Yield each function of a plugin that is a hook, as attribute and hook; refuse what only looks like one."""
        for attribute in dir(plugin):
            options: Any = self.manager.parse_hookimpl_opts(plugin, attribute)
            hook = attribute if options is None else options.get("specname") or attribute
            if options is not None and hook in EXPECTED:
                yield attribute, hook
            elif (options is None and _looks_like_hook(plugin, attribute)) or (
                options is not None and not options.get("optionalhook")
            ):
                raise PluginError(f"plugin {origin} has {hook}, {_what_is_wrong(plugin, hook)}")

    def _joined(self, hook: str, **arguments: object) -> dict[str, Any]:
        """Call a hook and join the results by name; a name twice is refused, naming both plugins."""
        found: dict[str, Any] = {}
        # pluggy calls the plugin first that was registered last.
        for result in reversed(list(getattr(self.hook, hook)(**arguments) or ())):
            for item in taken(hook, result, self._wrappers(hook)) or ():
                if item.name in found:
                    raise PluginError(
                        f"{hook}: the name {item.name!r} is used by {self.owner(found[item.name], hook)} and by "
                        f"{self.owner(item, hook)}"
                    )
                found[item.name] = item
        return found

    def _first(self, hook: str, **arguments: object) -> Any:
        given = getattr(self.hook, hook)(**arguments)
        return taken(hook, given, self._wrappers(hook))

    def _wrappers(self, hook: str) -> str:
        wrappers = [
            f"plugin {self._origins[one.plugin_name]}"
            for one in getattr(self.hook, hook).get_hookimpls()
            if one.wrapper or one.hookwrapper
        ]
        return f"the wrapper of {hook} by {' or '.join(wrappers)}" if wrappers else hook


def _is_function(plugin: object, attribute: str) -> bool:
    value = inspect.getattr_static(plugin, attribute)
    return inspect.isroutine(value) or isinstance(value, (staticmethod, classmethod))


def _looks_like_hook(plugin: object, attribute: str) -> bool:
    """Tell whether an attribute without a mark was meant as a hook, by its name."""
    named_so = attribute.startswith(f"{PROJECT}_") and _is_function(plugin, attribute)
    return attribute in EXPECTED or named_so


def _what_is_wrong(plugin: object, hook: str) -> str:
    if hook in EXPECTED:
        marked = "which is not marked: put @tailgate.hookimpl above it"
        return marked if _is_function(plugin, hook) else "which is not a function"
    # Without what all begin with, which would make any name like any other.
    rest = [name.removeprefix(f"{PROJECT}_") for name in EXPECTED]
    near = difflib.get_close_matches(hook.removeprefix(f"{PROJECT}_"), rest, n=1)
    hint = f"did you mean {PROJECT}_{near[0]}? " if near else ""
    return f"which is not a hook; {hint}there are {sorted(EXPECTED)}"
