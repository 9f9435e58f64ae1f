"""A data source's options: texts by names whose case, and underscores, don't matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from citystream.errors import ConfigError
from citystream.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class Options:
    """Options that are taken out one by one, so that what is left over is a mistake."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = {_plain(name): value for name, value in given.items()}
        self._names = {_plain(name): name.lower() for name in given}
        self._asked: dict[str, str] = {}

    def text(self, name: str) -> str | None:
        """The text of an option, where it is given."""
        self._asked[_plain(name)] = name
        return self._given.get(_plain(name))

    def whole(self, name: str, *, default: int, least: int = 1, most: int = 2**31 - 1) -> int:
        """A whole number."""
        text = self.text(name)
        if text is None:
            return default
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise ConfigError(f"the option {name} is {text!r}. Give a whole number from {least:,} to {most:,}")
        return value

    def optional(self, name: str) -> int | None:
        """A whole number from 0, where it is given."""
        return None if self.text(name) is None else self.whole(name, default=0, least=0, most=2**63 - 1)

    def limit(self, name: str) -> int | None:
        """A whole number from 1, where it is given."""
        return None if self.text(name) is None else self.whole(name, default=1, most=2**63 - 1)

    def share(self, name: str) -> float | None:
        """A number, where it is given."""
        text = self.text(name)
        try:
            return None if text is None else float(text)
        except ValueError:
            raise ConfigError(f"the option {name} is {text!r}. Give a number") from None

    def flag(self, name: str) -> bool:
        """True or false; false where it is not given."""
        text = self.text(name)
        if text is None:
            return False
        if text.lower() not in _WORDS:
            raise ConfigError(f"the option {name} is {text!r}. Give true or false")
        return _WORDS[text.lower()]

    def choice(self, name: str, among: Iterable[str], *, default: str | None = None) -> str:
        """One of several words."""
        names, text = list(among), self.text(name) or default
        if text is None:
            raise ConfigError(f"the option {name} is missing. Choose from {', '.join(names)}")
        if text not in names:
            meant = nearest(text, names) or f"Choose from {', '.join(names)}"
            raise ConfigError(f"the option {name} is {text!r}. {meant}")
        return text

    def below(self, prefix: str) -> dict[str, str]:
        """The options whose names begin with `prefix`, by the rest of their names, in small letters."""
        found = {name: value for name, value in self._given.items() if name.startswith(_plain(prefix))}
        self._asked.update({name: self._names[name] for name in found})
        return {self._names[name][len(prefix) :]: value for name, value in found.items()}

    def done(self) -> None:
        """Refuses options that nobody has asked for.

        Raises:
            ConfigError: There is one.
        """
        for name in self._given:
            if name not in self._asked:
                known = list(self._asked.values())
                raise ConfigError(
                    f"format citystream has no option {name!r} in this mode. "
                    f"{nearest(name, known) or 'Choose from ' + ', '.join(sorted(known))}"
                )


def _plain(name: str) -> str:
    return name.lower().replace("_", "")
