"""The one place that reads elements of a DICOM file.

An empty element means "not given", whatever the element. A value of the wrong type, or several
values where one belongs, is an error that names the file and the element. Nothing that pydicom
raises for a damaged element escapes.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medmask.errors import InputError
from medmask.images.error_text import describe_error

if TYPE_CHECKING:
    from pydicom import Dataset

_LONGEST_QUOTATION = 40  # characters of a faulty value in a message


@dataclass(frozen=True)
class Elements:
    """The elements of a dataset, or of an item of a sequence in it."""

    path: Path
    """The file, for messages."""
    dataset: "Dataset"

    def has(self, *keywords: str) -> bool:
        """Tell whether all of these elements are there and not empty."""
        return all(self.value(keyword) is not None for keyword in keywords)

    def value(self, keyword: str) -> Any:
        """The value as pydicom gives it; None if it is not given."""
        try:
            if keyword not in self.dataset:
                return None
            value = self.dataset[keyword].value
            parts = list(value) if _is_list(value) else [value]
        except Exception as error:
            raise self.fault(keyword, f"cannot be read ({describe_error(error)})") from error
        return None if all(_is_empty(part) for part in parts) else value

    def number(self, keyword: str, default: float | None = None) -> float:
        """One finite number.

        Args:
            keyword: the element.
            default: the number where it is not given; None if it has to be given.

        Raises:
            InputError: the element holds anything else.
        """
        value = self.value(keyword)
        return self._default(keyword, default) if value is None else self._number(keyword, value)

    def first_number(self, keyword: str) -> float:
        """The first of one or several finite numbers.

        Raises:
            InputError: the element is not given, or holds anything else.
        """
        value = self.value(keyword)
        return self._number(keyword, value[0]) if _is_list(value) else self.number(keyword)

    def integer(self, keyword: str, default: int | None = None, *, at_least: int = 0) -> int:
        """One whole number.

        Args:
            keyword: the element.
            default: the number where it is not given; None if it has to be given.
            at_least: smaller numbers are an error.

        Raises:
            InputError: the element holds anything else.
        """
        number = self.number(keyword, default)
        if not number.is_integer() or number < at_least:
            raise self.fault(keyword, f"must be a whole number from {at_least} on")
        return int(number)

    def word(self, keyword: str, *, signed: bool) -> int | None:
        """One number of 16 bits, whose value representation may have the wrong sign.

        Args:
            keyword: the element, of the value representation "US or SS".
            signed: what the sign should be; a value is taken modulo 2^16 to fit.

        Returns:
            The number, or None where it is not given.
        """
        if not self.has(keyword):
            return None
        return to_word(self.integer(keyword, at_least=-(2**15)), signed=signed)

    def integers(self, keyword: str) -> list[int]:
        """One or several whole numbers.

        Raises:
            InputError: the element holds anything else.
        """
        value = self.value(keyword)
        parts = value if _is_list(value) else [value]
        numbers = [self._number(keyword, part) for part in parts]
        if not all(number.is_integer() for number in numbers):
            raise self.fault(keyword, "must be whole numbers")
        return [int(number) for number in numbers]

    @property
    def is_little_endian(self) -> bool:
        """True if words that pydicom gives as bytes have their low byte first."""
        return self.dataset.original_encoding[1] is not False

    def text(self, keyword: str, default: str = "") -> str:
        """One word of text, such as a code string.

        Raises:
            InputError: the element holds anything else.
        """
        value = self.value(keyword)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.fault(keyword, "must be one word")
        return value.strip()

    def identifier(self, keyword: str) -> str:
        r"""One identifier, such as that of a patient; empty where it is not given.

        A backslash in it, which the standard forbids, makes several values of one (PS3.5 6.2). They
        are put together again, as archives keep what a modality wrote: a part of it, such as ``A``
        of ``A\B``, may be the identifier of another patient.

        Raises:
            InputError: the element holds anything else.
        """
        return "\\".join(self.words(keyword))

    def words(self, keyword: str) -> list[str]:
        """One or several words of text, such as code strings; none where it is not given.

        Raises:
            InputError: the element holds anything else.
        """
        value = self.value(keyword)
        if value is None:
            return []
        parts = list(value) if _is_list(value) else [value]
        if not all(isinstance(part, str) for part in parts):
            raise self.fault(keyword, "must be words")
        return [part.strip() for part in parts]

    def items(self, keyword: str) -> list["Elements"]:
        """The items of a sequence; none where it is not given.

        Raises:
            InputError: the element is not a sequence.
        """
        from pydicom import Dataset

        value = self.value(keyword)
        items = [] if value is None else value
        if not _is_list(items) or not all(isinstance(item, Dataset) for item in items):
            raise self.fault(keyword, "must be a sequence")
        return [Elements(self.path, item) for item in items]

    def nested(self) -> Iterator["Elements"]:
        """The first items of all sequences in this one."""
        from pydicom.datadict import keyword_for_tag

        for tag in list(self.dataset.keys()):
            try:
                is_sequence = self.dataset[tag].VR == "SQ"
            except Exception:  # an element that nobody asks for may be damaged
                continue
            if is_sequence and keyword_for_tag(tag):
                yield from self.items(keyword_for_tag(tag))[:1]

    def fault(self, keyword: str, what: str) -> InputError:
        """An error that names the file, the element, its value if it has one, and the fault."""
        from pydicom.datadict import dictionary_description, tag_for_keyword

        tag = tag_for_keyword(keyword)
        assert tag is not None
        name = f"{dictionary_description(tag)} ({tag >> 16:04X},{tag & 0xFFFF:04X})"
        return InputError(
            f"DICOM file {self.path}: the element {name}{self._quotation(keyword)} {what}; "
            "correct the element or export the image again"
        )

    def _quotation(self, keyword: str) -> str:
        try:
            value = self.dataset[keyword].value
            text = "" if value is None else str(value)
        except Exception:
            return ""
        text = text if len(text) <= _LONGEST_QUOTATION else text[:_LONGEST_QUOTATION] + "..."
        return f" is {text!r} and" if text else ""

    def _default(self, keyword: str, default: float | None) -> float:
        if default is None:
            raise self.fault(keyword, "is missing or empty")
        return float(default)

    def _number(self, keyword: str, value: Any) -> float:
        if _is_list(value):
            if len(value) > 1:
                raise self.fault(keyword, "must be one number, not several")
            value = value[0]
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise self.fault(keyword, "must be a number") from None
        if not math.isfinite(number):
            raise self.fault(keyword, "must be a finite number")
        return number


def to_word(value: int, *, signed: bool) -> int:
    """The number of 16 bits, signed or not, that equals ``value`` modulo 2^16."""
    return (value + 2**15) % 2**16 - 2**15 if signed else value % 2**16


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _is_empty(part: Any) -> bool:
    if isinstance(part, str):
        return not part.strip("\0 ")
    return part is None or part == b""
