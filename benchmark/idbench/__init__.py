"""idbench: the benchmark of identity inference."""

from typing import TYPE_CHECKING

from idbench.version import __version__

__all__ = ["__version__", "run"]

if TYPE_CHECKING:
    from idbench.runner.api import run


def __getattr__(name: str) -> object:
    # `import idbench.api` must stay light, so the runner is loaded when it is asked for.
    if name == "run":
        from idbench.runner.api import run

        return run
    raise AttributeError(f"module 'idbench' has no attribute {name!r}")
