"""`bench` itself: gathers the verbs, and turns whatever goes wrong into one sentence and an exit status."""

from __future__ import annotations

import inspect
import io
import math
import os
import signal
import sys
import threading
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperOption
from typer.exceptions import TyperException

from idbench.cli import console
from idbench.errors import IdbenchError
from idbench.storage import explain
from idbench.version import __version__

_HELP = "idbench: can a method tell whether a person was in a CLIP model's training data?"
_BUG = 70  # sysexits.h: internal software error
_INTERRUPTED, _TERMINATED = 130, 143
_SOON = 0.05  # seconds


app = typer.Typer(
    help=_HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "BENCH"},
)


def _version(value: bool) -> None:
    if value:
        console.say(f"idbench {__version__}")
        raise typer.Exit


class _Command(TyperCommand):
    """A command that refuses NaN, and an option given twice that takes one value; its help is short."""

    # Any: Typer keeps the classes of contexts and formatters to itself.
    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Say once how variables of the environment are called, not for every option."""
        named = [each for each in self.params if isinstance(each, TyperOption) and each.envvar is None]
        for option in named:
            option.show_envvar = False
        super().format_help(ctx, formatter)
        example = next((option for option in named if option.name != "help"), None)
        if example is not None:
            name, variable = max(example.opts, key=len), f"{ctx.auto_envvar_prefix}_{str(example.name).upper()}"
            formatter.write_paragraph()
            formatter.write_text(
                f"Every option may be set in the environment instead: {name} as {variable}, unless it names another."
            )

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for option in given:
            repeatable = getattr(option, "multiple", False) or getattr(option, "is_flag", False) or option.nargs != 1
            if not repeatable and option.param_type_name == "option" and given.count(option) > 1:
                name = max(option.opts, key=len)
                hint = (
                    "List several targets in one --target, separated by commas."
                    if name == "--target"
                    else "Give it once."
                )
                raise IdbenchError(f"{name} is given {given.count(option)} times, but takes one value.", hint=hint)
        rest = super().parse_args(ctx, args)
        for name, value in ctx.params.items():
            # Range checks let NaN pass: it compares false with every bound.
            if isinstance(value, float) and not math.isfinite(value):
                raise IdbenchError(f"--{name.replace('_', '-')} is {value}.", hint="Give a number.")
        return rest


def _treat_alike(group: typer.Typer) -> None:
    """Let every command of a group, and of the groups within, refuse repeated options and print its help whole."""
    # Typer's tables of help cut the names of variables where a terminal is narrow; its lists break lines instead.
    group.rich_markup_mode = None
    for command in group.registered_commands:
        command.cls = _Command
        command.short_help = _first_paragraph(inspect.getdoc(command.callback) or "")
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            inner.short_help = inner.typer_instance.info.help
            _treat_alike(inner.typer_instance)


def _first_paragraph(text: str) -> str:
    """In one line. Left to itself, Typer would cut it to one line of the terminal."""
    return " ".join(text.split("\n\n", maxsplit=1)[0].split())


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_version, is_eager=True, allow_from_autoenv=False
        ),
    ] = False,
) -> None:
    pass


def command_line() -> typer.Typer:
    """`bench` with all its verbs."""
    if app.registered_commands:
        return app
    from idbench.cli import (
        assemble,
        attest,
        audit,
        cache,
        challenge,
        compare,
        data,
        defend,
        doctor,
        hub,
        leaderboard,
        listing,
        method,
        perf,
        run,
        score,
        search,
        show,
        study,
        submit,
        target,
        verify,
    )

    for function, name in (
        (run.run, "run"),
        (defend.defend, "defend"),
        (listing.listing, "list"),
        (show.show, "show"),
        (compare.compare, "compare"),
        (score.score, "score"),
        (study.study, "study"),
        (submit.submit, "submit"),
        (verify.verify, "verify"),
        (attest.attest, "attest"),
        (attest.invalidate, "invalidate"),
    ):
        app.command(name)(function)
    app.add_typer(audit.app, name="audit")
    app.add_typer(method.app, name="method")
    for command, name in ((hub.publish, "publish"), (hub.verify, "verify"), (hub.retract, "retract")):
        data.app.command(name)(command)
    data.app.command("search")(search.search)
    data.app.command("assemble")(assemble.assemble)
    data.app.command("new")(assemble.new)
    data.app.command("subset")(assemble.subset)
    data.app.add_typer(search.faces, name="face-classifier")
    app.add_typer(data.app, name="data")
    app.add_typer(target.app, name="target")
    app.add_typer(leaderboard.app, name="leaderboard")
    app.add_typer(cache.app, name="cache")
    app.add_typer(challenge.app, name="challenge")
    app.command("doctor")(doctor.doctor)
    app.command("perf")(perf.perf)
    _treat_alike(app)
    return app


def run() -> int:
    """Run `bench` with the arguments of this process and return its exit status."""
    came = _end_orderly_when_told_to()
    closed = _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file name need not be valid text: it is shown escaped rather than ending the command.
            stream.reconfigure(errors="backslashreplace")
    _never_fail_on_messages()
    try:
        status = _answer()
        sys.stdout.flush()
        if closed:
            raise IdbenchError("Standard output is closed: what should have been printed is lost.")
    except IdbenchError as error:
        status = _INTERRUPTED if came else _refuse(error)
    except TyperException as error:
        status = _misuse(error)
    except (KeyboardInterrupt, typer.Abort):
        status = _INTERRUPTED
    except (BrokenPipeError, SystemExit):
        # The reader of our output has gone (`bench list | head`): leave quietly. Rich makes SystemExit of it.
        _drop_output()
        status = 0
    except OSError as error:
        _drop_output()
        console.complain(explain(error, Path(os.fsdecode(error.filename)) if error.filename else Path("the output")))
        status = 1
    except Exception as error:  # noqa: BLE001  the last line of defence: a person sees a sentence, never a traceback
        # Libraries catch an interrupt that comes while they work, and raise an error of their own in its place.
        status = _INTERRUPTED if came else _bug(error)
    if status == _INTERRUPTED:  # typer, too, turns an interrupt into this status
        console.note("interrupted: what was finished is kept; repeat the command to go on.")
        return _TERMINATED if signal.SIGTERM in came else _INTERRUPTED
    if not status and signal.SIGTERM in came:  # a server, which ends in its own words
        return _TERMINATED
    return status if isinstance(status, int) else 0


def _open_closed_streams() -> bool:
    """Replace closed standard streams by the null device: otherwise the next file opened would take their place.

    Returns:
        whether standard output was closed.
    """
    closed = sys.stdout is None
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  open until the end
    return closed


class _Lossy(io.FileIO):
    """A file that loses what cannot be written: an unreadable message must not end a command."""

    def write(self, data: Any) -> int:  # Any: typeshed's type of buffers has no name at run time
        """Write, and silently drop what cannot be written."""
        with suppress(OSError):
            return super().write(data) or 0
        return len(data)


def _never_fail_on_messages() -> None:
    """Drop what standard error cannot take (`2>/dev/full`, `2>&1 | head`): the exit status stays the command's.

    A test's own stream is left alone.
    """
    with suppress(OSError, ValueError, AttributeError):
        file = io.BufferedWriter(_Lossy(sys.stderr.fileno(), "wb", closefd=False))
        sys.stderr = io.TextIOWrapper(
            file, sys.stderr.encoding, "backslashreplace", line_buffering=True, write_through=True
        )


def _drop_output() -> None:
    """Discard what is still buffered for standard output, so that the interpreter does not fail on it at exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _answer() -> object:
    """Do what the arguments say; print the help where they say nothing."""
    try:
        return command_line()(prog_name="bench", standalone_mode=False)
    except TyperException as error:
        context = getattr(error, "ctx", None)
        if context is None or error.format_message() != context.get_help():
            raise
        console.command(error.format_message())
        return error.exit_code


def _misuse(error: TyperException) -> int:
    """Say what is wrong with the arguments."""
    context = getattr(error, "ctx", None)
    where = "bench" if context is None else context.command_path
    console.complain(IdbenchError(error.format_message(), hint=f"See `{where} --help`."))
    return error.exit_code


def _end_orderly_when_told_to() -> list[int]:
    """Make SIGTERM and SIGINT exit the ordinary way, so that workers are ended and temporary files removed.

    Returns:
        a list to which every such signal is appended as it arrives.
    """
    came: list[int] = []

    def leave(number: int, frame: FrameType | None) -> None:
        came.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, leave)
    _ask_again_where_nothing_can_be_raised(came)
    return came


def _ask_again_where_nothing_can_be_raised(came: list[int]) -> None:
    """Send a signal again whose exception was lost: Python drops what is raised while it destroys an object."""
    usual = sys.unraisablehook

    def lost(what: Any) -> None:  # Any: typeshed's type of the argument has no name at run time
        if came and issubclass(what.exc_type, KeyboardInterrupt):
            again = threading.Timer(_SOON, os.kill, (os.getpid(), came[-1]))
            again.daemon = True
            again.start()
        else:
            usual(what)

    sys.unraisablehook = lost


def _refuse(error: IdbenchError) -> int:
    """Report what is wrong and what to do."""
    console.complain(error)
    return 1


def _bug(error: Exception) -> int:
    """Report a bug of idbench's own, and keep the details in a file for the bug report."""
    from idbench.storage import cache_dir, write_text

    path = cache_dir("crashes", f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}.txt")
    text = " ".join(str(error).split())[:300]
    try:
        write_text(path, "".join(traceback.format_exception(error)))
        where = f"Please report it with {path}"
    except IdbenchError:
        where = "Please report it"
    console.complain(IdbenchError(f"This is a bug in idbench: {type(error).__name__}: {text}.", hint=f"{where}."))
    return _BUG
