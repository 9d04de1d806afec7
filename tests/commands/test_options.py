import argparse

import pytest

from medmask.commands import calibrate, dicom_results, extract_embeddings, predict
from medmask.commands.options import add_score_threshold, print_problems


def help_of(module, name):
    (action,) = (x for x in module.make_parser()._actions if name in x.option_strings)
    return action.help, action.type, action.metavar, action.required


@pytest.mark.parametrize(
    ("name", "modules"),
    [
        ("--output", [predict, dicom_results]),
        ("--device", [predict, calibrate, extract_embeddings]),
    ],
    ids=["output", "device"],
)
def test_commands_that_share_an_option_describe_it_alike(name, modules):
    first, *others = (help_of(module, name) for module in modules)
    assert all(other == first for other in others)


def test_threshold_tells_its_default():
    parser = argparse.ArgumentParser()
    add_score_threshold(parser, 0.25, "what is shown")
    assert parser.parse_args([]).score_threshold == 0.25
    assert "what is shown (default 0.25)" in parser.format_help()


def test_problems_take_one_line_each(capsys):
    print_problems(["image a\nb.png cannot be read", "another"])
    assert capsys.readouterr().err == "error: image a\\nb.png cannot be read\nerror: another\n"
