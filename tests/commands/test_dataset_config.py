"""Commands that read nothing else of a config take one for the data sets that it registers."""

import argparse

import pytest

from medmask.commands import (
    calibrate,
    check_data,
    combine_views,
    export_annotations,
    extract_embeddings,
    predict,
    report,
    visualize_results,
)
from medmask.commands.dataset_config import (
    register_datasets_of_config,
    register_datasets_of_weights,
)
from medmask.errors import InputError

NAME = "set_of_a_config"
COMMANDS = {
    "calibrate": (calibrate, ["--dataset", NAME, "--checkpoint", "w.pth"]),
    "check-data": (check_data, [NAME]),
    "combine-views": (
        combine_views,
        ["--dataset", NAME, "--detections", "d.json", "--output", "out.json"],
    ),
    "export-annotations": (
        export_annotations,
        ["predictions", "--dataset", NAME, "--rank", "entropy", "--output", "out"],
    ),
    "extract-embeddings": (
        extract_embeddings,
        ["--dataset", NAME, "--device", "cpu", "--output", "out"],
    ),
    "predict": (predict, ["--dataset", NAME, "--checkpoint", "w.pth", "--output", "out"]),
    "report": (report, ["run"]),
    "visualize-results": (
        visualize_results,
        ["--dataset", NAME, "--detections", "d.json", "--output", "out"],
    ),
}


@pytest.fixture
def faulty(tmp_path, monkeypatch):
    """A config whose data sets cannot be registered, where there is all else that is looked for."""
    monkeypatch.chdir(tmp_path)
    for folder in ("run", "predictions"):
        (tmp_path / folder).mkdir()
    for file in ("d.json", "w.pth"):
        (tmp_path / file).write_text("[]")
    (tmp_path / "faulty.yaml").write_text("own_datasets: 7\n")
    return tmp_path / "faulty.yaml"


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_read_the_data_sets_of_a_config(faulty, command, capsys):
    module, arguments = COMMANDS[command]
    with pytest.raises(SystemExit) as end:
        module.main([*arguments, "--config-file", str(faulty)])
    assert end.value.code == 2
    assert f"{faulty}: own_datasets must be a group" in capsys.readouterr().err


def test_config_is_looked_for_beside_weights_alone(faulty):
    args = argparse.Namespace(checkpoint=faulty.with_name("w.pth"), config_file=None)
    register_datasets_of_weights(args)  # there is none
    faulty.rename(faulty.with_name("config.yaml"))
    with pytest.raises(InputError, match=r"config\.yaml: own_datasets must be a group"):
        register_datasets_of_weights(args)


def test_empty_name_of_a_config_is_refused():
    register_datasets_of_config(None)
    with pytest.raises(InputError, match="--config-file is empty"):
        register_datasets_of_config("")
