"""Settings from the environment: QGUARDARR__… for each (docs/configuration.md), and short names for the usual ones.

Values are text as in the file; lists and mappings are JSON. An empty variable counts as not set. A credential that
systemd has loaded under the name of a variable stands for one that is not set.

Messages name variables. They hold a value only where it stands in a variable itself and is no secret; they never hold
the path of a file, in whose place somebody may have written the secret itself.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from qguardarr.config.outline import Setting, settings
from qguardarr.config.source import ALIAS, ENTRIES
from qguardarr.errors import ConfigError, Fault, KeyPath
from qguardarr.smallfile import read_small

PREFIX: Final = "QGUARDARR__"
FILE_SUFFIX: Final = "_FILE"
CREDENTIALS: Final = "CREDENTIALS_DIRECTORY"
"""Folder of the credentials that systemd has loaded (`LoadCredential=`)."""
API_KEY_VARIABLE: Final = "QGUARDARR_API_KEY"
"""The API key, if `auth.api_key` is absent."""
SHORT_SECRETS: Final = (API_KEY_VARIABLE, "QBIT_PASSWORD", "QBIT_API_KEY")
"""Short names whose values are secrets, also where they are not used."""

_LONGEST: Final = 16 * 1024
"""Characters of one value, as in the file."""
_LONGEST_JSON: Final = 256 * 1024
"""Some 1,500 rules. (Linux allows 128 KiB for a variable.)"""
_ADDRESS: Final = ("url", "host", "port")
_LOGIN: Final = ("username", "password", "api_key")
_INSTEAD: Final[tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = (
    (("url",), ("host", "port")),
    (("host", "port"), ("url",)),
    (("api_key",), ("username", "password")),
    (("username", "password"), ("api_key",)),
)
"""In `qbittorrent`, if one of the first is set by the environment, the second ones in the file are left out."""


class Value(NamedTuple):
    """The text of a variable."""

    text: str
    variable: str
    """Its name, with `_FILE` if that is how it was given."""
    file: Path | None = None
    """Where it was read."""


def variable_of(path: tuple[str, ...]) -> str:
    """Return the variable that overrides a setting."""
    return PREFIX + "__".join(path).upper()


def lookup(name: str, environment: Mapping[str, str], folder: Path | None, longest: int = _LONGEST) -> Value | None:
    """Return the content of the variable `name`, of the file that its _FILE names, or of systemd's credential, or None.

    A relative path of a file starts at `folder`. Raises `ConfigError`.
    """
    text, file = environment.get(name, ""), environment.get(name + FILE_SUFFIX, "")
    if text and file:
        raise _faulty(name, f"is set, and so is {name}{FILE_SUFFIX}", "remove one of them")
    if file:
        return _from_file(name + FILE_SUFFIX, file, folder, longest)
    if text:
        _check(name, text, longest)
        return Value(text, name)
    credentials = environment.get(CREDENTIALS, "")
    if credentials and os.path.exists(Path(credentials) / name):  # noqa: PTH110 # `Path` raises if it is closed to us
        return _from_file(name, str(Path(credentials) / name), None, longest)
    return None


def _from_file(name: str, file: str, folder: Path | None, longest: int) -> Value:
    try:
        path = (folder or Path()) / Path(file).expanduser()
        text = read_small(path, 4 * longest).decode("utf-8-sig").rstrip("\r\n")
    except FileNotFoundError:
        raise _faulty(name, "there is no such file", "give the path of the file that holds the value") from None
    except UnicodeError:
        raise _faulty(name, "the file is not UTF-8 text", "save it as UTF-8") from None
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "its path is none"
        hint = "make it a file that the user who runs Qguardarr may read"
        raise _faulty(name, f"the file cannot be read: {reason}", hint) from None
    if not text:
        raise _faulty(name, "the file is empty", "write the value into it, or remove the variable")
    _check(name, text, longest)
    return Value(text, name, path)


def _faulty(variable: str, reason: str, hint: str) -> ConfigError:
    return ConfigError(faults=[Fault((variable,), reason, hint)])


def _check(name: str, text: str, longest: int) -> None:
    if len(text) > longest:
        raise _faulty(name, f"holds more than {longest} characters", "shorten it")
    try:  # Python keeps bytes that are not UTF-8 as lone surrogates
        text.encode()
    except UnicodeEncodeError:
        raise _faulty(name, "is not UTF-8 text", "set it again") from None


class Overrides:
    """Settings from the environment. `faults` are those of the variables themselves."""

    def __init__(self, environment: Mapping[str, str], folder: Path | None) -> None:
        """`folder`: that of the configuration file."""
        self.variables: dict[KeyPath, str] = {}
        """The variable that gave each value that is in use."""
        self.faults: list[Fault] = []
        self.files: list[Path] = []
        """Files that were read, or could not be."""
        self.has_unused_url = False
        """Whether QBIT_URL is set although the file says where qBittorrent is."""
        self._discreet: set[KeyPath] = set()
        """Settings whose value must not be shown in a message."""
        self._environment, self._folder = environment, folder
        self._values: dict[KeyPath, object] = {}
        known = {variable_of(setting.path): setting for setting in settings()}
        known[variable_of((ALIAS,))] = known[variable_of((ENTRIES,))]
        for name in sorted(environment):
            if name.startswith(PREFIX) and name not in known and name.removesuffix(FILE_SUFFIX) not in known:
                self.faults.append(_unknown(name, known))
        for name, setting in known.items():
            self._take(name, setting)
        self._displaced = {
            ("qbittorrent", other)
            for given, instead in _INSTEAD
            if any(("qbittorrent", key) in self._values for key in given)
            for other in instead
        } - self._values.keys()
        """Settings of the file that one of the environment replaces."""

    def _take(self, name: str, setting: Setting) -> None:
        with self._collecting():
            value = self._lookup(name, _LONGEST_JSON if setting.structured else _LONGEST)
            if value is not None and setting.path in self.variables:
                raise _faulty(name, f"is another name of {self.variables[setting.path]}", "remove one of them")
            if value is not None:
                self._values[setting.path] = _parsed(value) if setting.structured else value.text
                self._note(setting.path, value, secret=setting.secret)

    @contextlib.contextmanager
    def _collecting(self) -> Iterator[None]:
        try:
            yield
        except ConfigError as error:
            self.faults += error.faults

    def _lookup(self, name: str, longest: int = _LONGEST) -> Value | None:
        value = lookup(name, self._environment, self._folder, longest)
        if value is not None and value.file is not None:
            self.files.append(value.file)
        return value

    def _note(self, path: KeyPath, value: Value, *, secret: bool) -> None:
        self.variables[path] = value.variable
        if secret or value.file is not None:
            self._discreet.add(path)

    def over(self, tree: dict[str, Any]) -> dict[str, Any]:
        """Return `tree`, the sections of a file, with the values of the environment in place of the file's."""
        tree = {key: dict(value) if isinstance(value, dict) else value for key, value in tree.items()}
        for path, value in sorted(self._values.items(), key=lambda item: len(item[0])):
            section, *keys = map(str, path)
            if not keys:
                tree[section] = value
            elif (section,) in self._values:
                hint = f"remove {self.variables[section,]} or {self.variables[path]}"
                self.faults.append(Fault((self.variables[path],), f"goes against {self.variables[section,]}", hint))
            elif section == "qbittorrent" and isinstance(tree.get(section), list):
                hint = "write the value into its entry of the list (`${NAME}` takes it from a variable)"
                self.faults.append(
                    Fault((self.variables[path],), "stands for the only qBittorrent; there is a list", hint)
                )
            elif not tree.get(section) or tree[section] == "none":
                tree[section] = {keys[0]: value}
            elif isinstance(tree[section], dict):
                tree[section][keys[0]] = value
        connection = tree.get("qbittorrent")
        if isinstance(connection, dict):
            for _, key in self._displaced:
                connection.pop(key, None)
        self._fill_in(tree)
        return tree

    def _fill_in(self, tree: dict[str, Any]) -> None:
        """Fill in qBittorrent's address and login, and the API key, from the short names where they are still open."""
        auth, section = tree.get("auth") or {}, tree.get("qbittorrent")
        section = {} if section is None else section
        if isinstance(auth, dict) and not auth.get("api_key") and self._fill(auth, "auth", "api_key", API_KEY_VARIABLE):
            tree["auth"] = auth
        if not isinstance(section, dict):
            self.has_unused_url = any(map(self._environment.get, ("QBIT_URL", "QBIT_URL" + FILE_SUFFIX)))
            return
        tree["qbittorrent"] = section
        given = {key for key, value in section.items() if value not in (None, "")}
        if given.isdisjoint(_ADDRESS):
            self._fill(section, "qbittorrent", "url", "QBIT_URL")
        else:
            self.has_unused_url = any(map(self._environment.get, ("QBIT_URL", "QBIT_URL" + FILE_SUFFIX)))
        if given.isdisjoint(_LOGIN) and not self._fill(section, "qbittorrent", "username", "QBIT_USERNAME"):
            self._fill(section, "qbittorrent", "api_key", "QBIT_API_KEY")
        if section.get("username") and "password" not in given and "api_key" not in given:
            self._fill(section, "qbittorrent", "password", "QBIT_PASSWORD")

    def _fill(self, section: dict[str, Any], name: str, key: str, variable: str) -> bool:
        with self._collecting():
            value = self._lookup(variable)
            if value is not None:
                section[key] = value.text
                self._note((name, key), value, secret=key != "url")
                return True
        return False

    def covers(self, path: KeyPath) -> bool:
        """Return whether the environment replaces the file's value at `path`."""
        return path in self._displaced or any(path[:length] in self._values for length in range(1, len(path) + 1))

    def origin(self, path: KeyPath) -> KeyPath | None:
        """Return the path of the environment's value that `path` belongs to; None if the file gave it."""
        return next((path[:n] for n in range(len(path), 0, -1) if path[:n] in self.variables), None)

    def named(self, fault: Fault, *, tells_value: bool = False) -> Fault | None:
        """Return a fault of a value from the environment with its variable as place; None if the file gave the value.

        `tells_value`: its message may hold the value.
        """
        path = self.origin(fault.path)
        if path is None:
            return None
        place = (self.variables[path], *fault.path[len(path) :])
        if tells_value and path in self._discreet:
            return Fault(place, "its value does not fit here (it is not shown)", "set it to a value that does")
        return Fault(place, fault.reason, fault.hint)


def _unknown(name: str, known: Mapping[str, Setting]) -> Fault:
    suffix = FILE_SUFFIX if name.endswith(FILE_SUFFIX) else ""
    wanted = name.removesuffix(suffix).upper()
    section, separator, key = wanted.rpartition("__")
    namesakes = [other for other in known if key and other.endswith(separator + key)]
    if close := difflib.get_close_matches(wanted, known, 1, cutoff=0.85) or namesakes:
        return Fault((name,), "is not a setting", f"did you mean {close[0]}{suffix}?")
    there = [other for other in known if other.startswith(f"{section}__") and section + "__" != PREFIX]
    sections = dict.fromkeys(PREFIX + other.removeprefix(PREFIX).partition("__")[0] for other in known)
    return Fault((name,), "is not a setting", f"known: {', '.join(there or sections)}")


def _parsed(value: Value) -> object:
    def mapping(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise _faulty(value.variable, "a mapping in it has a key twice", "keep one")
        return found

    try:
        found = json.loads(value.text, object_pairs_hook=mapping)
        json.dumps(found, ensure_ascii=False).encode()  # "\\ud800" alone is no character
        return found
    except json.JSONDecodeError as error:
        reason = f"is not JSON (line {error.lineno}, column {error.colno})"
    except (ValueError, RecursionError):
        reason = "is not JSON that can be read"
    raise _faulty(value.variable, reason, """write a list such as ["one", "two"], in double quotes""")
