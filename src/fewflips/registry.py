"""Parts that others may add, through an entry point of their package or with a decorator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from fewflips.errors import FewflipsError
from fewflips.near_misses import did_you_mean

Part = TypeVar("Part")
PartClass = TypeVar("PartClass", bound=type)


class Registry(Generic[Part]):
    """Parts of one kind by name: those of the package, those registered, and those of installed packages.

    Parameters
    ----------
    group : str
        The entry point group in which other packages announce theirs, such as ``fewflips.dataflows``. An entry
        point's object is called without arguments to create the part.
    built_in : mapping of str to str
        The package's own, as ``module:class``; a module is imported when its part is first asked for.
    """

    def __init__(self, group: str, built_in: Mapping[str, str]) -> None:
        self.group = group
        self._built_in = dict(built_in)
        self._parts: dict[str, Part] = {}
        self._found: dict[str, EntryPoint] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all parts, the package's own first."""
        return tuple(dict.fromkeys((*self._built_in, *self._parts, *self._entry_points)))

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> Part:
        """The part with a name.

        Raises
        ------
        FewflipsError
            If there is none, or the package that announces it cannot be imported.
        """
        if name not in self._parts:
            self._parts[name] = self._made(name)
        return self._parts[name]

    def register(self, name: str) -> Callable[[PartClass], PartClass]:
        """Add a class whose instances are parts, as a decorator.

        Parameters
        ----------
        name : str
            A new name; one of the package's own is refused.

        Returns
        -------
        callable
            Returns the class unchanged.

        Raises
        ------
        FewflipsError
            If the package itself has a part with that name.
        """
        if name in self._built_in:
            raise FewflipsError(f"{self.group}: {name} comes with fewflips; expected another name")

        def add(made: PartClass) -> PartClass:
            self._parts[name] = made()
            return made

        return add

    def unregister(self, name: str) -> None:
        """Forget a part that :meth:`register` added."""
        self._parts.pop(name, None)

    def _made(self, name: str) -> Part:
        if name in self._built_in:
            module, _, attribute = self._built_in[name].partition(":")
            made: Part = getattr(import_module(module), attribute)()
            return made
        if name not in self._entry_points:
            raise FewflipsError(
                f"{self.group}: expected one of {', '.join(self.names)}, got {name!r}{did_you_mean(name, self.names)}"
            )
        entry = self._entry_points[name]
        try:
            made = entry.load()()
        except Exception as error:
            raise FewflipsError(f"{self.group}: {name} ({entry.value}) cannot be loaded: {error}") from error
        return made

    @property
    def _entry_points(self) -> dict[str, EntryPoint]:
        if self._found is None:
            self._found = {entry.name: entry for entry in entry_points(group=self.group)}
        return self._found
