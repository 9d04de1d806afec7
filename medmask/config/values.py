"""Kinds of values that a config key may hold: what is accepted, and how that is said."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, Self

from medmask.utils.counts import counted


@dataclass(frozen=True, kw_only=True)
class Value:
    """Description of the values that a config key may hold."""

    meaning: str = ""
    """in a few words, with the unit, if there is one"""
    optional: bool = False
    """null is accepted, too, and switches the key's subject off"""

    def accepts(self, value: Any) -> bool:
        """Test whether the key may hold ``value``."""
        return (value is None and self.optional) or self._accepts(value)

    @property
    def description(self) -> str:
        """The accepted values in words, to follow "must be"."""
        return self._description() + (" or null" if self.optional else "")

    def with_meaning(self, meaning: str) -> Self:
        """The same values for another key."""
        return replace(self, meaning=meaning)

    def _accepts(self, value: Any) -> bool:
        raise NotImplementedError

    def _description(self) -> str:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Flag(Value):
    """true or false; ``no`` and ``off`` are text for a command line, and text is true."""

    def _accepts(self, value: Any) -> bool:
        return isinstance(value, bool)

    def _description(self) -> str:
        return "true or false"


@dataclass(frozen=True, kw_only=True)
class WholeNumber(Value):
    """An integer in a range; a flag is none."""

    lowest: int = 0
    highest: int | None = None

    def _accepts(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, Integral):
            return False
        return self.lowest <= int(value) and (self.highest is None or int(value) <= self.highest)

    def _description(self) -> str:
        if self.highest is None:
            return f"a whole number of at least {self.lowest}"
        if self.lowest == self.highest:
            return str(self.lowest)
        return f"a whole number from {self.lowest} to {self.highest}"


@dataclass(frozen=True, kw_only=True)
class Number(Value):
    """A number in a range; a flag is none, and neither is NaN."""

    lowest: float = 0.0
    highest: float = math.inf
    above: bool = False
    """``lowest`` itself is too low"""
    below: bool = False
    """``highest`` itself is too high"""
    infinite: bool = False
    """infinity is accepted, too, for no limit"""

    def _accepts(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, Real):
            return False
        try:
            value = float(value)
        except OverflowError:  # an integer of hundreds of digits
            return False
        if math.isnan(value):
            return False
        if math.isinf(value) and not self.infinite:
            return False
        low = self.lowest < value if self.above else self.lowest <= value
        high = value < self.highest if self.below else value <= self.highest
        return low and high

    def _description(self) -> str:
        if math.isinf(self.highest):
            if math.isinf(self.lowest):
                return "a finite number"
            return f"a number {'above' if self.above else 'of at least'} {self.lowest:g}"
        left, right = "(" if self.above else "[", ")" if self.below else "]"
        return f"a number in {left}{self.lowest:g}, {self.highest:g}{right}"


@dataclass(frozen=True, kw_only=True)
class Period(Value):
    """Iterations, or a share of the run; see :mod:`medmask.utils.periods`."""

    or_end: bool = False
    """0 is accepted, too, for the end of the run alone"""

    def _accepts(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, Real):
            return False
        if value == 0:
            return self.or_end
        return int(value) >= 1 if isinstance(value, Integral) else 0 < float(value) < 1

    def _description(self) -> str:
        iterations = "a whole number of iterations (at least 1)"
        end = ", or 0 for the end of the run alone" if self.or_end else ""
        return f"{iterations} or a share of the run (between 0 and 1){end}"


@dataclass(frozen=True, kw_only=True)
class Text(Value):
    """A text."""

    choices: tuple[str, ...] = ()
    """all that are accepted; () for any"""
    empty: bool = False
    """an empty text is accepted, too"""

    def _accepts(self, value: Any) -> bool:
        if not isinstance(value, str) or not value.isprintable():
            return False
        return value in self.choices if self.choices else self.empty or bool(value.strip())

    def _description(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        return "a text" if self.empty else "a text that is not empty"


@dataclass(frozen=True, kw_only=True)
class ListOf(Value):
    """A list of values of one kind."""

    item: Value
    shortest: int = 1
    longest: int | None = None
    ascending: bool = False
    """no item may be smaller than the one before"""

    def _accepts(self, value: Any) -> bool:
        if not isinstance(value, Sequence) or isinstance(value, str | bytes):
            return False
        if len(value) < self.shortest or (self.longest is not None and len(value) > self.longest):
            return False
        items = list(value)
        if not all(self.item.accepts(item) for item in items):
            return False
        return not self.ascending or items == sorted(items)

    def _description(self) -> str:
        order = " in ascending order" if self.ascending else ""
        return f"a list{order} of {self._count()}, each {self.item.description}"

    def _count(self) -> str:
        if self.shortest == self.longest:
            return counted(self.shortest, "item")
        if self.longest is not None:
            return f"{self.shortest} to {self.longest} items"
        return f"at least {counted(self.shortest, 'item')}"


@dataclass(frozen=True, kw_only=True)
class OneOrList(Value):
    """A value, or a list of several."""

    item: Value

    def _accepts(self, value: Any) -> bool:
        return self.item.accepts(value) or ListOf(item=self.item).accepts(value)

    def _description(self) -> str:
        return f"{self.item.description}, or a list of such"


@dataclass(frozen=True, kw_only=True)
class MappingTo(Value):
    """A group of keys of any names, whose values are of one kind."""

    item: Value

    def _accepts(self, value: Any) -> bool:
        return (
            isinstance(value, Mapping)
            and "_target_" not in value
            and all(isinstance(key, str) and key for key in value)
            and all(self.item.accepts(value[key]) for key in value)
        )

    def _description(self) -> str:
        return f"a group of names, each with {self.item.description}"


@dataclass(frozen=True, kw_only=True)
class Either(Value):
    """A value of one of several kinds."""

    kinds: tuple[Value, ...]

    def _accepts(self, value: Any) -> bool:
        return any(kind.accepts(value) for kind in self.kinds)

    def _description(self) -> str:
        return ", or ".join(kind.description for kind in self.kinds)


@dataclass(frozen=True, kw_only=True)
class Part(Value):
    """A group with a ``_target_``, which becomes an object; or, in a ``.py`` config, an object."""

    of: type | tuple[type, ...] = object
    """class of the object, or classes"""

    def _accepts(self, value: Any) -> bool:
        is_plain = isinstance(value, Real | str | bytes | Sequence) or value is None
        return not is_plain and (not isinstance(value, Mapping) or "_target_" in value)

    def _description(self) -> str:
        return "a group of keys with a _target_"
