"""Manual pages from the commands themselves: timeball(1), and one page for each command below it with all of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import click

_FILES = (
    ("/etc/timeball/config.toml", "the configuration; `timeball config explain KEY` tells what a key means"),
    ("/var/lib/timeball", "the state: database, settings made in the pages, secrets"),
    ("/var/lib/timeball/admin.sock", "where the running appliance takes these commands"),
)
_STATUS = (
    ("0", "It was done."),
    ("1", "It could not be done; the message says why, and what would help."),
    ("2", "The command line is wrong."),
    ("78", "The configuration is wrong: every problem with file, line and key."),
)


def pages(root: click.Group, version: str, epoch_s: int) -> dict[str, str]:
    """Roff by file name, such as "timeball-member.1"."""
    date = datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%d")
    context = click.Context(root, info_name="timeball")
    commands = [(name, root.commands[name]) for name in root.list_commands(context)]
    shown = {"timeball.1": "\n".join(_first(root, context, version, date, commands))}
    for name, command in commands:
        if not command.hidden:
            inner = click.Context(command, info_name=name, parent=context)
            shown[f"timeball-{name}.1"] = "\n".join(_command(command, inner, version, date, name))
    return {name: f"{text}\n" for name, text in shown.items()}


def _first(
    root: click.Group,
    context: click.Context,
    version: str,
    date: str,
    commands: list[tuple[str, click.Command]],
) -> Iterator[str]:
    yield from _head("TIMEBALL", version, date)
    yield from (".SH NAME", "timeball \\- regional NTP pool in a box")
    yield from (".SH SYNOPSIS", ".B timeball", r"[\fIOPTIONS\fR] \fICOMMAND\fR [\fIARGUMENTS\fR]")
    yield ".SH DESCRIPTION"
    yield from _paragraphs(root.help or "")
    yield from (".SH OPTIONS", *_options(root, context))
    yield ".SH COMMANDS"
    for name, command in commands:
        if not command.hidden:
            yield from (".TP", rf".BR timeball\-{_plain(name)} (1)", _text(command.get_short_help_str(200)))
    yield ".SH FILES"
    for path, what in _FILES:
        yield from (".TP", rf".I {_plain(path)}", _text(what))
    yield ".SH EXIT STATUS"
    for code, what in _STATUS:
        yield from (".TP", f".B {code}", _text(what))
    yield ".SH SEE ALSO"
    yield r"\fBchronyd\fR(8), \fBsystemd.socket\fR(5); the manual: /usr/share/doc/timeball/manual, and the pages under /help"


def _command(
    command: click.Command, context: click.Context, version: str, date: str, name: str
) -> Iterator[str]:
    yield from _head(f"TIMEBALL-{name.upper()}", version, date)
    yield from (
        ".SH NAME",
        rf"timeball\-{_plain(name)} \- {_text(command.get_short_help_str(200).rstrip('.'))}",
    )
    yield from (".SH SYNOPSIS", *_synopsis(command, context))
    yield ".SH DESCRIPTION"
    yield from _paragraphs(command.help or "")
    yield from (".SH OPTIONS", *_options(command, context))
    below = list(_below(command, context))
    if below:
        yield ".SH COMMANDS"
        for one, inner in below:
            yield from (rf".SS {_plain(inner.command_path)}", *_synopsis(one, inner))
            yield from (".PP", *_paragraphs(one.help or ""), *_options(one, inner, common=False))
    yield from (".SH SEE ALSO", r".BR timeball (1)")


def _below(command: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """All commands below, the deeper ones after their parent."""
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
        one = command.commands[name]
        inner = click.Context(one, info_name=name, parent=context)
        if not one.hidden:
            yield one, inner
            yield from _below(one, inner)


def _head(title: str, version: str, date: str) -> Iterator[str]:
    yield rf'.TH "{_plain(title)}" 1 "{date}" "Timeball {_plain(version)}" "Timeball"'
    # Neither hyphenated nor stretched: commands are there to be copied.
    yield from (".nh", ".ad l")


def _synopsis(command: click.Command, context: click.Context) -> Iterator[str]:
    words = " ".join(command.collect_usage_pieces(context))
    yield rf"\fB{_plain(context.command_path)}\fR {_text(words)}"


def _options(command: click.Command, context: click.Context, *, common: bool = True) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and (common or not {"--json", "--state-dir", "--config", "--help"} & {*parameter.opts}):
            yield from (".TP", rf"\fB{_plain(record[0])}\fR", _text(record[1]) or r"\&")


def _paragraphs(text: str) -> Iterator[str]:
    r"""Click's help: paragraphs, of which those after a \b keep their lines."""
    for number, part in enumerate(re.split(r"\n\s*\n", text.strip())):
        if number:
            yield ".PP"
        if part.lstrip().startswith("\b"):
            yield from (".nf", *(_text(line) for line in part.strip("\b\n ").splitlines()), ".fi")
        else:
            yield _text(" ".join(part.split()))


def _text(text: str) -> str:
    """A line of text: nothing in it is a request or an escape."""
    escaped = _plain(text.strip("\b\n"))
    return rf"\&{escaped}" if escaped[:1] in (".", "'") else escaped


def _plain(text: str) -> str:
    return text.replace("\\", r"\e").replace("-", r"\-")
