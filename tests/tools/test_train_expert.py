"""Stage 3 as a user runs it, with the embeddings of an expert that guesses."""

import numpy as np
import pytest

from medmask.data.coco import load_coco
from medmask.experts import Prompts
from medmask.experts.manifest import StoreSettings
from medmask.experts.records import sign_file
from medmask.experts.shard import ImageEmbeddings
from medmask.experts.store_writer import StoreWriter

CONFIG = "phantom2ffdm/expert.py"
DIM = 16


@pytest.fixture(scope="module")
def options(datasets, tmp_path_factory):
    """Settings of a run with a store of random embeddings."""
    film = datasets / "phantom" / "film"
    records = load_coco(
        film / "annotations" / "instances_train.json", film / "images" / "train", ("malignant",)
    )
    settings = StoreSettings(
        model="none",
        weights_sha256="0",
        logit_scale=10.0,
        embedding_dim=DIM,
        patch_grid=None,
        preprocessing={},
        prompts=Prompts.from_groups({"malignant": ["a mass"], "normal": ["no mass"]}),
        dtype="float32",
    )
    random = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("experts") / "film"
    writer = StoreWriter(folder, settings, records, shard_size=100)
    writer.prepare(random.normal(size=(2, DIM)))
    writer.write(
        0,
        [
            ImageEmbeddings(
                sign_file(record["file_name"]),
                random.normal(size=DIM),
                random.normal(size=(len(record["annotations"]), DIM)),
                None,
            )
            for record in records
        ],
    )
    writer.finalise()
    return [
        "train.init_checkpoint=",
        f"loss_hooks.expert_distillation.stores=[{folder}]",
        f"model.training_modules.expert_distillation.expert_dim={DIM}",
        "model.training_modules.expert_distillation.queue_size=8",  # wraps around
    ]


@pytest.mark.slow
def test_killed_and_resumed_run_repeats_the_whole_run_bit_for_bit(training_runs, tmp_path, options):
    dropout = "model.transformer.dropout=0.1"
    training_runs.check_resume(CONFIG, tmp_path, *options, dropout, kill_at=8)
    losses = training_runs.losses(tmp_path / "whole")
    for level in ("image", "lesion", "zero_shot"):
        assert any(values[f"loss_expert_{level}"] > 0 for values in losses.values())


@pytest.mark.slow
def test_two_processes_learn_from_the_expert_like_one(training_runs, tmp_path, options):
    training_runs.check_two_processes(CONFIG, tmp_path, *options, "train.max_iter=4")


def test_store_of_other_images_is_refused(training_runs, tmp_path, options):
    other = "dataloader.train.dataset=phantom_ffdm_train"
    command = training_runs.command(CONFIG, tmp_path, *options, other)
    training_runs.check_refusal(command, "does not fit")
