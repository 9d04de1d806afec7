"""Every stage of one benchmark of each family: two steps and an evaluation by the training tool.

The configs are as they are but for sizes: small images, few queries, thin layers and a small
backbone. Each stage starts from the weights that the stage before it left where its config looks.
"""

import json
from pathlib import Path

import pytest

CONFIGS = Path(__file__).parents[2] / "configs" / "medmask"
SMALL = """
from detectron2.config import LazyCall as L
from detectron2.config import LazyConfig

from medmask.modeling import build_small_resnet, build_timm_backbone

globals().update(LazyConfig.load({config!r}))
model.backbone = {backbone}
model.transformer.update(embed_dim=32, num_heads=2, num_points=2, feed_forward_dim=32)
model.transformer.update(num_queries=10, num_encoder_layers=1, num_decoder_layers=2)
"""
BACKBONES = {
    "resnet": 'L(build_small_resnet)(widths=[8, 8, 16, 24, 32], norm="FrozenBN")',
    "efficientnet": 'L(build_timm_backbone)(name="test_efficientnet")',
    "vit": 'L(build_timm_backbone)(name="test_vit", pyramid_channels=16)',
}
FAMILIES = {
    "ddsm": ("source_only", "cross_domain", "expert"),
    "ddsm2inbreast": (
        "source_only",
        "cross_domain",
        "expert",
        "alignment",
        "image_labels",
        "teaching",
    ),
    "city2foggy": ("source_only", "cross_domain", "teaching"),
}
LOSSES = {
    "source_only": (),
    "cross_domain": ("loss_mae",),
    "expert": ("loss_expert_image",),
    "alignment": ("loss_domain_encoder", "loss_domain_encoder_target", "domain_accuracy/decoder"),
    "image_labels": ("loss_image_label",),
    "teaching": ("loss_mae", "loss_class_target", "loss_domain_encoder_target"),
}
"""what a stage adds"""
LEARNING = {
    "source_only": (),
    "cross_domain": ("mae/R2_res5",),
    "expert": ("expert/retrieval_image", "expert/retrieval_lesion"),
    "alignment": (),
    "image_labels": ("image_labels/auc",),
    "teaching": ("pseudo_labels/recall",),
}
"""measures of what it learns"""
GROUPS = {
    "source_only": ("detection",),
    "cross_domain": ("detection", "mae"),
    "expert": ("detection", "expert_image", "expert_lesion", "expert_zero_shot"),
    "alignment": ("detection", "domain_encoder"),
    "image_labels": ("detection", "image_label"),
    "teaching": ("detection", "detection_target", "domain_encoder"),
}
"""losses whose gradients are measured"""
LOADERS = {
    "masked_autoencoder": ("cross_domain", "teaching"),
    "domain_adversarial": ("alignment",),
    "image_labels": ("image_labels",),
    "teacher": ("teaching",),
}


@pytest.fixture
def workplace(all_datasets, tmp_path, monkeypatch, make_expert_store):
    """An empty folder to train in."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(all_datasets))
    monkeypatch.chdir(tmp_path)
    make_expert_store("store", dataset="ddsm_train", dim=16)
    make_expert_store("held_out_ddsm", dataset="ddsm_val", dim=16)
    make_expert_store("held_out_inbreast", dataset="inbreast_val", dim=16)


def run_of(benchmark, stage, backbone="resnet"):
    """Arguments of the tool for a short run of a small model."""
    config = Path(f"{stage}.py")
    page = str(CONFIGS / benchmark / f"{stage}.py")
    config.write_text(SMALL.format(config=page, backbone=BACKBONES[backbone]))
    arguments = [
        "--config-file",
        config,
        "train.device=cpu",
        "train.max_iter=2",
        "train.log_period=1",
        "train.gradient_norm_period=2",
        "train.held_out_images=4",  # all, of both labels
        "dataloader.train.total_batch_size=2",
        "dataloader.train.num_workers=0",
        "dataloader.test.num_workers=0",
        "dataloader.train.mapper.augmentation.short_edge_lengths=[96]",
        "dataloader.test.mapper.augmentation.short_edge_length=96",
    ]
    for hook, stages in LOADERS.items():
        if stage in stages:
            size = "mapper.augmentation.short_edge_lengths=[96]"
            arguments.append(f"loss_hooks.{hook}.loader.{size}")
    if stage == "source_only":
        arguments.append("train.init_checkpoint=")  # nobody has ImageNet weights of this backbone
    if stage == "expert":
        hook = "loss_hooks.expert_distillation"
        arguments += [f"{hook}.stores=[store]", f"{hook}.queue_size=8"]
        arguments.append(f"{hook}.held_out_stores=[held_out_ddsm,held_out_inbreast]")
    return arguments


@pytest.mark.parametrize(
    ("benchmark", "backbone"),
    [
        *((benchmark, "resnet") for benchmark in FAMILIES),
        ("ddsm", "efficientnet"),
        ("ddsm2inbreast", "vit"),
    ],
)
def test_each_stage_goes_on_from_the_one_before(workplace, run_training_here, benchmark, backbone):
    for stage in FAMILIES[benchmark]:
        status, _, errors = run_training_here(run_of(benchmark, stage, backbone))
        assert status == 0, f"{stage}: {errors}"

        output = Path("output") / benchmark / stage
        log = [json.loads(line) for line in (output / "metrics.json").read_text().splitlines()]
        assert [line["iteration"] for line in log] == [0, 1]
        assert all(log[0][name] > 0 for name in ("loss_class", "loss_box", *LOSSES[stage]))
        for group in GROUPS[stage]:
            assert log[1][f"gradient_norm/{group}/encoder"] >= 0
        assert not any(name.startswith("gradient_norm/") for name in log[0])
        metric = "bbox/AP50" if benchmark == "city2foggy" else "froc/R@0.3"
        evaluations = json.loads((output / "evaluations.json").read_text())
        for name in LEARNING[stage]:
            assert [line[f"learning/{name}"] for line in log][-1] is not None
            assert f"learning/{name}_constant" in evaluations[-1]
        names = (metric, f"teacher/{metric}") if stage == "teaching" else (metric,)
        for name in names:
            assert [e["iteration"] for e in evaluations if e[name] is not None] == [1, 2]
        assert (output / "teacher_final.pth").exists() == (stage == "teaching")

    weights = f"train.init_checkpoint={output / 'model_final.pth'}"
    again = ["--config-file", output / "config.yaml", "--eval-only", weights]
    status, _, errors = run_training_here([*again, "train.output_dir=output/again"])
    assert status == 0, errors
    evaluated = json.loads(Path("output/again/evaluation.json").read_text())
    assert evaluated[metric] == pytest.approx(evaluations[-1][metric])


@pytest.mark.parametrize(
    ("stage", "option", "words"),
    [
        ("teaching", "loss_hooks.selective_retraining.period=2", "period is 2 iterations, but the"),
        ("teaching", "loss_hooks.masked_autoencoder.duration=7", "duration is 7 iterations, but"),
        ("teaching", "train.eval_period=3", "train.eval_period is 3 iterations, but the run has 2"),
        ("source_only", "dataloader.test.dataset=cityscapes_val", "has 8 classes (person, car"),
        ("source_only", "dataloader.train.dataset=[ddsm_train,sim10k_train]", "different classes"),
        ("source_only", "model.transformer.num_classes=2", "num_classes is 2: set it to 1"),
    ],
)
def test_what_could_not_end_well_does_not_start(workplace, run_training_here, stage, option, words):
    command = [*run_of("ddsm2inbreast", stage), "train.init_checkpoint=", option]
    status, output, errors = run_training_here(command)
    assert status == 2, errors
    assert errors.splitlines()[-1].startswith("error: ")
    assert words in errors
    assert "Traceback" not in output + errors
    assert not list(Path("output").glob("*/*/metrics.json"))
