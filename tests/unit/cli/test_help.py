"""`--help` of each command, its examples, and shell completion."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from qguardarr.cli import app
from tests.support.terminal import terminal

ROOT = typer.main.get_command(app)
COMMANDS = sorted(ROOT.commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_explains_every_option_and_ends_with_examples_that_work(name: str) -> None:
    command = ROOT.commands[name]  # type: ignore[attr-defined]
    for parameter in command.params:
        assert getattr(parameter, "help", "") or parameter.name == "help", f"{parameter.name} is not explained"
    shown = CliRunner(env={"COLUMNS": "80"}).invoke(app, [name, "--help"], prog_name="qguardarr").output
    assert max(map(len, shown.splitlines())) <= 80
    _, heading, examples = re.split(r"^ *(Examples?):$", shown, maxsplit=1, flags=re.MULTILINE)
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    assert lines
    assert heading == ("Example" if len(lines) == 1 else "Examples")
    for line in lines:
        program, given, *arguments = shlex.split(line)
        assert (program, given) == ("qguardarr", name)
        with command.make_context(name, arguments):
            pass


def complete(words: str, shell: str = "bash") -> list[str]:
    """What a shell is offered behind these words."""
    variables = {
        **os.environ,
        "_QGUARDARR_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
        "_TYPER_COMPLETE_ARGS": words,
    }
    program = Path(sys.executable).with_name("qguardarr")
    done = subprocess.run([program], env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.process
def test_commands_and_options_are_completed() -> None:
    assert complete("qguardarr re") == ["reset", "resume", "restore"]
    assert complete("qguardarr install-hook --he") == ["--header-file", "--help"]
    assert any("status" in word for word in complete("qguardarr sta", "zsh"))


@pytest.mark.process
def test_completion_works_in_bash_once_it_is_installed(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    folder = Path(sys.executable).parent
    environment = {"HOME": str(tmp_path), "PATH": f"{folder}:{os.environ['PATH']}", "PS1": "$ ", "INPUTRC": "/dev/null"}
    with terminal([bash, "--norc", "--noprofile"], cwd=tmp_path, environment=environment) as opened:
        opened.type("qguardarr --install-completion\n")
        opened.expect("completion installed in")
        opened.type(". ~/.bashrc\n")
        opened.type("qguardarr hash-\t--help\n")
        opened.expect("Print the hash of a password")
        opened.type("exit\n")
        opened.wait()
