"""How the app is started: Streamlit without telemetry, without looking up addresses, and without reading our files."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from idbench_leaderboard import app
from idbench_leaderboard.app import views


def command(board: Path, port: int, address: str = "127.0.0.1") -> list[str]:
    """The command that serves a board until it is interrupted.

    Args:
        board: a folder that `build` wrote.
        port: to listen on.
        address: to listen on.
    """
    settings = {
        "server.port": port,
        "server.address": address,
        # Else Streamlit advertises: in the terminal, and on machines where coding agents are installed over the page.
        "server.headless": True,
        "logger.hideWelcomeMessage": True,
        "server.showEmailPrompt": False,
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        # Without this, Streamlit asks a server on the internet for this machine's address.
        "browser.serverAddress": "localhost" if address in ("0.0.0.0", "127.0.0.1") else address,  # noqa: S104
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "logger.level": "warning",
    }
    options = [
        f"--{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in settings.items()
    ]
    script = Path(app.__file__).with_name("main.py")
    return [sys.executable, "-m", __name__, "run", str(script), *options, "--", str(board)]


def main() -> None:
    """Import what the pages draw with, then be `streamlit`: else the first reader would wait for the imports."""
    # The pages are imported before there is a server, which is what Streamlit's cache would report.
    logging.getLogger("streamlit.runtime.caching.cache_data_api").addFilter(_is_news)
    try:
        from streamlit.web.cli import main as streamlit

        pages = (found.name for found in iter_modules(views.__path__, f"{views.__name__}."))
        for name in (*pages, "idbench.splits.retractions", "pyarrow.dataset"):
            import_module(name)
    except KeyboardInterrupt:
        return  # a terminal sends Ctrl-C to the server too; Streamlit sees to it later
    streamlit(prog_name="streamlit")


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("No runtime found")


if __name__ == "__main__":
    main()
