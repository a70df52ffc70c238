"""`api-key`, `hash-password`: access for programs and people."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from qguardarr.cli.opening import journal_path, known_secrets, loaded_at
from qguardarr.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath
from qguardarr.cli.terminal import out, print_json, say, secret
from qguardarr.errors import ConfigError

_LONGEST: Final = 4096
_AFTER_A_NEW_KEY: Final = """\
A running daemon refuses this key, and takes the old one, until it gets SIGHUP, or its configuration file is changed, or
it is restarted. After that, whatever holds the old key is refused: run `qguardarr install-hook` again if you use the
webhook, and renew copies of the key, such as Prometheus' key file or a header file."""


def api_key(
    config: ConfigPath = DEFAULT_CONFIG,
    new: Annotated[bool, typer.Option("--new", help="Replace the stored key; the old one stops working.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the API key in force.

    From the configuration, from QGUARDARR_API_KEY, or stored beside the journal, where one is made if there is none.
    """
    from qguardarr.adapters import keys
    from qguardarr.app.read_settings import api_key_of

    found = loaded_at(config, "auth", "rollback")
    loaded, variable = found.config, found.overrides.variables.get(("auth", "api_key"))
    if loaded.auth is None:
        raise ConfigError("nobody is asked for a key", place="auth: none", hint="remove it, and keys are asked for")
    configured = api_key_of(loaded)
    source = "kept" if configured is None else "environment" if variable else "configuration"
    folder = journal_path(loaded).parent
    if not new:
        key = keys.api_key(folder, configured)
    elif configured is None:
        key = keys.renew(folder)
        for line in _AFTER_A_NEW_KEY.splitlines():
            say(line)
    else:
        hint = "change it there, or remove it to have a kept one"
        raise ConfigError(f"the key is the one of {variable or 'auth.api_key'}", hint=hint)
    known_secrets.append(key)
    if as_json:
        print_json({"api_key": key, "source": source})
    else:
        out(key)


def hash_password() -> None:
    """Print the hash of a password, for `auth.password`.

    Asks for the password twice, or reads it from stdin if that is no terminal. Write the hash in single quotes.
    """
    from qguardarr.adapters import keys

    password = _asked() if sys.stdin.isatty() else _piped()
    if password.startswith("$argon2"):
        raise ConfigError("this is a hash already", hint="give the password itself")
    known_secrets.append(password)
    out(keys.hash_password(password))


def _asked() -> str:
    while password := secret("Password"):
        if secret("The same again") == password:
            return password
        say("The two do not match.")
    raise ConfigError("no password was given")


def _piped() -> str:
    try:
        line = sys.stdin.read(_LONGEST).removesuffix("\n").removesuffix("\r")
        line.encode()
    except UnicodeError:
        raise ConfigError("the password is not UTF-8 text") from None
    if not line or len(line) >= _LONGEST - 1 or "\n" in line:
        raise ConfigError("a password is one line, not empty, of less than 4096 signs")
    return line
