"""The page of all keys says what the tables of keys say."""

from pathlib import Path

from medmask.config.keys import ARGUMENTS
from medmask.config.reference import PAGE, write_reference
from medmask.config.train_keys import TRAIN

CONFIGS = Path(__file__).parents[2] / "configs"
QUESTIONS = {"what", "which", "how", "whether", "who", "whose", "where", "when", "why"}


def test_page_is_as_it_would_be_written_anew():
    text = (CONFIGS / PAGE).read_text(encoding="utf-8")
    assert text == write_reference(CONFIGS), "run python -m medmask.config.reference"
    for described in (TRAIN, *ARGUMENTS.values()):
        assert all(f"\n| `{key}` | {value.meaning} |" in text for key, value in described.items())


def test_every_key_has_a_meaning_that_is_no_question():
    for target, described in {None: TRAIN, **ARGUMENTS}.items():
        for key, value in described.items():
            assert value.meaning, f"{target}: {key}"
            assert value.meaning.split()[0] not in QUESTIONS, f"{target}: {key}"
            assert "|" not in value.meaning, f"{target}: {key}"
