"""Damaged and hostile config.yaml files: they are refused in a sentence, or describe a run."""

import random
from pathlib import Path

import yaml
from campaign import REFUSED, RIGHT, run_campaign, seeds
from isolation import assert_accepted, call
from mutations import damage_bytes, damage_json
from torch import nn

from medmask.config import build, check_config, load_config
from medmask.config.yaml_files import write_config_yaml
from medmask.errors import InputError

CONFIGS = Path(__file__).parents[2] / "configs" / "medmask"
CONFIG = CONFIGS / "phantom2ffdm" / "masked_retraining_teacher.py"
PLACES = ("model", "optimizer", "lr_multiplier", "train", "loss_hooks", "dataloader")
TARGETS = (
    "os.system",
    "subprocess.run",
    "builtins.exec",
    "builtins.eval",
    "shutil.rmtree",
    "torch.hub.load",
    "torch.load",
    "medmask.data.catalog.Path.touch",
    "medmask.engine.run_comparison",
    "detectron2.utils.file_io.PathManager.mkdirs",
)


def hostile(text: str, marker: Path, choose: random.Random) -> str:
    """Put something that runs code, if anything does, into a config."""
    command = f"touch {marker}"
    kind, place = choose.randrange(4), choose.choice(PLACES)
    if kind == 0:
        return f"{text}\nextra: !!python/object/apply:os.system ['{command}']\n"
    if kind == 1:
        return text.replace("seed: 0", f"seed: !!python/object/apply:os.system ['{command}']")
    document = yaml.safe_load(text)
    part = {"_target_": choose.choice(TARGETS), choose.choice(("command", "args", "x")): command}
    if kind == 2:
        document[place]["extra"] = part
    else:
        document[place] = part
    return yaml.safe_dump(document)


def judge(path: Path, marker: Path) -> str:
    """Load a config, check it, and make its model."""
    try:
        config = load_config(str(path))
        check_config(config)
        build(config, "model", nn.Module)
        build(config, "dataloader.test.mapper")
        verdict = RIGHT
    except InputError as error:
        verdict = REFUSED if "\n" not in str(error) else "several lines"
    assert not marker.exists(), "the config ran code"
    return verdict


@seeds
def test_damaged_configs(seeds, tmp_path):
    path, marker = tmp_path / "config.yaml", tmp_path / "sprung"
    write_config_yaml(load_config(str(CONFIG)), path)
    text = path.read_text()

    def case(choose: random.Random) -> str:
        kind = choose.choice(("bytes", "values", "hostile"))
        if kind == "bytes":
            path.write_bytes(damage_bytes(text.encode(), choose))
        elif kind == "values":
            changed = damage_json(yaml.safe_load(text), choose, choose.choice((1, 1, 2)))
            path.write_text(yaml.dump(changed), errors="surrogatepass")
        else:
            path.write_text(hostile(text, marker, choose))
        verdict = assert_accepted(call(judge, path, marker))
        assert kind != "hostile" or verdict == REFUSED
        return verdict

    verdicts = run_campaign(seeds, case)
    assert set(verdicts) == {REFUSED, RIGHT}
