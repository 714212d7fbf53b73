"""Typed services: a plugin asks for a `Protocol` or class and gets the one object that was registered for it."""

from __future__ import annotations

from typing import Any, TypeVar, cast

T = TypeVar("T")


class Services:
    """Registry of long-lived objects by type. Objects outlive the plugin task that feeds them."""

    def __init__(self) -> None:
        self._objects: dict[type, Any] = {}
        self._owners: dict[type, str] = {}

    def provide(self, kind: type[T], service: T, *, owner: str) -> None:
        """Register `service` for `kind`.

        Raises:
            LookupError: somebody else provides it already.
        """
        if kind in self._objects:
            raise LookupError(f"{kind.__name__} is already provided by {self._owners[kind]}")
        self._objects[kind] = service
        self._owners[kind] = owner

    def get(self, kind: type[T]) -> T:
        """Return the service registered for `kind`.

        Raises:
            LookupError: nobody provides it (the plugin that would is disabled or failed).
        """
        try:
            return cast("T", self._objects[kind])
        except KeyError:
            raise LookupError(f"no plugin provides {kind.__name__}") from None

    def find(self, kind: type[T]) -> T | None:
        """Like `get`, but None when nobody provides it."""
        return cast("T | None", self._objects.get(kind))

    def owner(self, kind: type) -> str | None:
        return self._owners.get(kind)

    def withdraw(self, owner: str) -> None:
        """Forget everything that `owner` provided."""
        for kind in [k for k, o in self._owners.items() if o == owner]:
            del self._objects[kind], self._owners[kind]
