"""The entry point finds each command, whichever of them loads the plugins' own."""

import click
import pytest

from appliance.cli import tree_for


def found(*words: str) -> click.Command | None:
    tree = tree_for(words)
    command = tree.get_command(click.Context(tree), "demo")
    assert isinstance(command, click.Group)
    return command.get_command(click.Context(command), "break")


@pytest.mark.parametrize(
    "words",
    [
        ("demo", "break", "127.0.0.11", "--ok"),
        ("demo", "--json", "break"),
        ("demo", "--state-dir", "x", "list"),
        ("demo", "--set", "a=b", "list"),
        ("demo", "--help"),
        ("demo", "--no-such-option"),
        ("--json", "demo", "list"),
    ],
)
def test_sub_commands_of_demo_are_there(words):
    assert found(*words) is not None


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--config", "x"),
        ("demo",),
        ("demo", "--set", "plugins.dns.ttl=60", "--state-dir", "break"),
        ("demo", "--trace-hooks"),
    ],
)
def test_what_serves_keeps_the_other_commands_out_of_its_memory(words):
    tree = tree_for(words)
    assert set(tree.commands) == {"run", "check", "demo"}
