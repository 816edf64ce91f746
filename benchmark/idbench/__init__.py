"""idbench: the benchmark of identity inference."""

from typing import TYPE_CHECKING

from idbench.version import __version__

__all__ = [
    "__version__",
    "audit",
    "audit_people",
    "audit_person",
    "compare",
    "list_methods",
    "load_results",
    "run",
]

if TYPE_CHECKING:
    from idbench.notebook import (
        audit,
        audit_people,
        audit_person,
        compare,
        list_methods,
        load_results,
        run,
    )

_MODULES = ("api", "metrics")


def __getattr__(name: str) -> object:
    # `import idbench.api` must stay light, so the rest is loaded when it is asked for.
    if name in __all__:
        from idbench import notebook

        return getattr(notebook, name)
    if name in _MODULES:
        from importlib import import_module

        return import_module(f"idbench.{name}")
    raise AttributeError(f"module 'idbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    """What a person may use: the functions, and the modules that are documented."""
    return sorted((*__all__, *_MODULES))
