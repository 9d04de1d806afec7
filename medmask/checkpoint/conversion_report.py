"""The report on a conversion, for a person."""

import re
from collections import Counter
from collections.abc import Iterable

from medmask.checkpoint.conversion import Conversion


def format_report(conversion: Conversion, verbose: bool = False) -> str:
    """Describe a conversion.

    Args:
        conversion: what to describe.
        verbose: name every parameter. Otherwise those that are as they should be are counted by
            part of the model, and others whose names differ by numbers only share a line.

    Returns:
        Lines without a last line break. What there is nothing to say about is left out.
    """
    c = conversion
    count_parts = list if verbose else _count_parts
    join_layers = list if verbose else _join_layers
    arrows = [f"{name} -> {our_name}" for name, our_name in c.mapped.items()]
    num_ours = len(c.state_dict) + len(c.missing)
    sections = [
        (
            f"mapped: {len(c.mapped)} parameters, copies included, fill {len(c.state_dict)} of the "
            f"model's {num_ours}",
            arrows if verbose else _count_parts(c.mapped.values()),
        ),
        (
            f"left out: {len(c.training_stages)} of training stages, not of the detector",
            count_parts(c.training_stages),
        ),
        (
            f"skipped: {len(c.skipped)} that do not fit the model",
            join_layers(f"{s.name}: {s.reason}" for s in c.skipped),
        ),
        (
            f"unexpected: {len(c.unexpected)} of unknown meaning",
            join_layers(c.unexpected),
        ),
        (
            f"missing: {len(c.missing)} that the file does not fill",
            join_layers(c.missing),
        ),
        ("warnings", c.warnings + _explain_class_heads(c)),
    ]
    lines = [f"checkpoint of the family {c.family}"]
    for title, content in sections:
        if content:
            lines += [title, *(f"    {line}" for line in content)]
    return "\n".join(lines)


def _explain_class_heads(conversion: Conversion) -> list[str]:
    if not conversion.missing_class_heads:
        return []
    head = conversion.skipped_class_heads[0]
    return [
        f"the file has other classes than the model ({head.name} {head.reason}): choose the rows "
        "of the model's classes by --class-rows (published mammography models have row 1 for "
        "malignant), set model.transformer.num_classes as in the file, or train new class heads "
        "with train.fresh_class_heads=True"
    ]


def _count_parts(names: Iterable[str]) -> list[str]:
    """Names by the part of the model that they are in, such as ``transformer.encoder``."""
    matches = (re.match(r"(transformer\.)?[^.]+", name) for name in names)
    parts = Counter(match[0] for match in matches if match)
    return [f"{part}: {count}" for part, count in parts.items()]


def _join_layers(names: Iterable[str]) -> list[str]:
    """Names with ``*`` for numbers, each once, with its count where it stands for several."""
    joined = Counter(re.sub(r"(?<=\.)\d+(?=\.)", "*", name) for name in names)
    return [name if count == 1 else f"{name} ({count})" for name, count in joined.items()]
