"""Wrong values of config keys are one sentence each, before anything starts; legal ones pass."""

import copy
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from medmask.config.building import build
from medmask.config.check import _exclusion_faults, _raise, check_config
from medmask.config.keys import ARGUMENTS
from medmask.config.loading import apply_overrides, load_config
from medmask.config.targets import find_target, iterate_targets, parameters_of
from medmask.errors import InputError

CONFIGS = Path(__file__).parents[2] / "configs" / "medmask"
FILES = [path for path in sorted(CONFIGS.glob("*/[!_]*.py")) if path.stem != "benchmark"]
NO_NUMBER = ("null", "abc", "''", "true", "[1]", "{a: 1}", "nan")
AUGMENTATION = "dataloader.train.mapper.augmentation"
TRANSFORMER = "model.transformer"
MASKING = "loss_hooks.masked_autoencoder"
TEACHER = "loss_hooks.teacher"

WRONG = {
    "train.max_iter": (*NO_NUMBER, "-1", "0", "1.5", "inf", "1e12", "'10'"),
    "train.seed": (*NO_NUMBER, "-1", "1.5", "4294967296"),
    "train.device": ("''", "null", "7", "[cpu]"),
    "train.amp.enabled": ("no", "yes", "off", "on", "1", "0", "null", "'true'", "[true]"),
    "train.amp.dtype": ("int8", "bfloat16", "null", "16", "''", "[bf16]", "BF16"),
    "train.amp": ("true", "null", "no", "[]"),
    "train.clip_gradient_norm": (*NO_NUMBER, "-1", "0"),
    "train.gradient_accumulation": (*NO_NUMBER, "-1", "0", "1.5"),
    "train.ddp.broadcast_buffers": ("no", "1", "null", "x"),
    "train.checkpointer.period": (*NO_NUMBER, "-1", "0", "1.5", "1.0"),
    "train.checkpointer.max_to_keep": ("0", "-1", "1.5", "x", "true", "[]"),
    "train.eval_period": (*NO_NUMBER, "-1", "1.5", "inf"),
    "train.best_metric": ("''", "null", "0.3", "[froc/R@0.3]"),
    "train.wandb.enabled": ("yes", "1", "null"),
    "train.wandb.mode": ("disabled", "''", "true"),
    "train.wandb": ("true", "null", "[]"),
    "train.mlflow.experiment": ("''", "null", "5"),
    "train.mlflow.tracking_uri": ("''", "5", "[a]"),
    "+train.mlflow.typo": ("1",),
    "train.log_period": (*NO_NUMBER, "-1", "0", "0.5"),
    "train.output_dir": ("''", "null", "5", "[a]", "' '"),
    "train.init_checkpoint": ("5", "[a]", "true", "???"),
    "train": ("null", "5", "[]"),
    "+train.sede": ("1",),
    "+loss_hook": ("{}", "1"),
    "+optimiser": ("{}",),
    "+dataloader.evaluators": ("[]",),
    "+train.amp.typo": ("1",),
    "dataloader.train.dataset": ("null", "''", "5", "[]", "true", "{a: b}", "???", "[a,null]"),
    "dataloader.test.dataset": ("null", "''", "5", "[]", "???"),
    "dataloader.train.total_batch_size": (*NO_NUMBER, "-1", "0", "1.5"),
    "dataloader.train.num_workers": ("-1", "1.5", "null", "x", "true", "[1]", "100000"),
    "dataloader.train.seed": ("-1", "1.5", "null", "x", "nan"),
    "dataloader.train.label_fraction": (*NO_NUMBER, "-1", "0", "1.5", "2"),
    "dataloader.train.label_seed": ("-1", "1.5", "null", "x"),
    "dataloader.train.mapper": ("null", "5", "x", "[]"),
    "dataloader.train.mapper.with_boxes": ("null", "no", "1", "'true'"),
    AUGMENTATION: ("null", "5", "[]"),
    f"{AUGMENTATION}.short_edge_lengths": ("192", "[]", "[0]", "[1.5]", "[a]", "null", "[[192]]"),
    f"{AUGMENTATION}.max_size": ("0", "-1", "null", "1.5", "x", "[1333]", "true", "1000000000"),
    f"{AUGMENTATION}.flip_probability": ("-0.1", "1.1", "null", "x", "nan", "true", "[0.5]"),
    f"{AUGMENTATION}.crop_size_range": ("[600,256]", "[256]", "[1,2,3]", "256", "null", "[0,5]"),
    f"+{AUGMENTATION}.typo": ("1",),
    "+dataloader.train.typo": ("1",),
    "dataloader.train": ("null", "5", "[]"),
    "dataloader": ("null", "5", "[]"),
    "dataloader.test.batch_size": ("0", "-1", "1.5", "null", "x", "true"),
    "dataloader.evaluator": ("null", "5", "x", "[1]", "[null]", "[]"),
    "dataloader.evaluator.0.dataset_name": ("null", "5"),
    "+dataloader.evaluator.0.nms_iou": ("-1", "2", "x", "true", "nan"),
    "+dataloader.evaluator.0.operating_points": ("[]", "[-1]", "0.3", "[x]", "[0]", "[nan]"),
    "dataloader.evaluator.1.tasks": ("[segm]", "bbox", "5"),
    "optimizer": ("null", "5", "[]"),
    "optimizer.lr": (*NO_NUMBER, "-1", "inf", "1" + 400 * "0"),
    "optimizer.weight_decay": (*NO_NUMBER, "-1", "inf"),
    "optimizer.fused": ("1", "x", "no"),
    "+optimizer.betas": ("[0.9]", "[0.9,1.0]", "[0.9,-1]", "0.9", "[a,b]", "null"),
    "+optimizer.eps": ("0", "-1", "x", "nan", "null"),
    "+optimizer.momentum": ("0.9",),
    "optimizer.params": ("null", "5", "[]"),
    "optimizer.params.lr_factors": ("null", "5", "[1]", "{a: x}", "{a: -1}", "{a: nan}"),
    "lr_multiplier": ("null", "5", "[]", "0.5"),
    "lr_multiplier.warmup_factor": ("-1", "2", "null", "x", "nan", "true"),
    "lr_multiplier.warmup_length": ("-1", "2", "1", "null", "x", "nan"),
    "lr_multiplier.scheduler": ("null", "5"),
    "lr_multiplier.scheduler.start_value": ("-1", "null", "x", "nan", "inf"),
    "model": ("null", "5", "[]"),
    "model.backbone": ("null", "5"),
    "model.backbone.widths": ("[]", "[16]", "16", "[0,1,2]", "[-1,1]", "[a]", "null", "[1.5,2]"),
    "model.backbone.norm": ("XX", "5", "null", "''"),
    "+model.in_features": ("5", "[]", "[1]", "res3"),
    f"{TRANSFORMER}.num_classes": (*NO_NUMBER, "-1", "0", "1.5"),
    f"{TRANSFORMER}.num_queries": (*NO_NUMBER, "-1", "0", "1.5", "1000000000"),
    f"{TRANSFORMER}.embed_dim": (*NO_NUMBER, "-1", "0", "1000000"),
    f"{TRANSFORMER}.num_heads": (*NO_NUMBER, "-1", "0"),
    f"{TRANSFORMER}.num_decoder_layers": (*NO_NUMBER, "-1", "0", "1000000"),
    f"{TRANSFORMER}.dropout": ("-1", "1", "2", "null", "x", "nan", "true"),
    f"{TRANSFORMER}.two_stage": ("no", "1", "null", "x"),
    f"+{TRANSFORMER}.typo": ("1",),
    "model.criterion.matcher": ("null", "5"),
    "model.pixel_mean": ("null", "60", "[60]", "[60,60]", "[a,b,c]", "[nan,60,60]"),
    "model.pixel_std": ("null", "60", "[0,60,60]", "[-1,60,60]", "[inf,60,60]"),
    "model.nms_iou": ("-0.1", "1.1", "x", "nan", "true", "[0.5]"),
    "+model.top_down": ("1", "x", "null", "[true]"),
    "model.max_detections": ("0", "-1", "null", "x", "1.5", "true", "1000000000"),
    "loss_hooks": ("null", "5", "x", "[1]"),
    "+loss_hooks.typo": ("1", "{a: 1}"),
    f"{MASKING}.loader": ("null", "5"),
    f"{MASKING}.loader.dataset": ("null", "''", "5"),
    f"{MASKING}.mask_ratio": ("null", "0.8"),
    f"{MASKING}.mask_ratio.start": ("-1", "2", "null", "x", "nan", "true"),
    f"{MASKING}.masking": ("x", "null", "5"),
    f"{MASKING}.targets": ("null", "[res5]", "{res5: 5}", "{res5: [5]}", "{res5: [0, 3]}"),
    f"{MASKING}.num_layers": ("0", "1.5", "null", "x"),
    f"{MASKING}.weight": ("-1", "null", "x", "nan"),
    f"{MASKING}.duration": ("0", "-1", "1.5", "x", "true"),
    f"{MASKING}.num_pictured": ("0", "-1", "1.5", "x", "null"),
    f"+{MASKING}.last_epoch": ("5",),
    f"{MASKING}.loader.mapper.photometric.hue": ("-1", "1", "x"),
    f"{MASKING}.loader.mapper.photometric.blur_sigma_range": ("[2,1]", "[0,1]", "5", "[1]"),
    f"{TEACHER}.ema_decay": ("-1", "1", "2", "null", "x", "nan"),
    f"{TEACHER}.threshold": ("null", "0.3"),
    f"{TEACHER}.threshold.initial": ("-1", "2", "x", "null"),
    "loss_hooks.selective_retraining.period": ("0", "-1", "1.5", "x", "null"),
    "loss_hooks.domain_adversarial.backbone_weight": ("-1", "x", "null", "nan"),
    "+loss_hooks.more": ("${nowhere}", "${loss_hooks.teacher.nowhere}"),
}

LEGAL = {
    "+loader": ("{}",),  # of the page's own
    "+dataloader.unlabeled": ("{}",),
    "train.max_iter": ("1", "1000000"),
    "train.seed": ("0", "4294967295"),
    "train.device": ("auto", "cpu", "cuda", "cuda:1"),
    "train.amp.enabled": ("true", "True", "false"),
    "train.clip_gradient_norm": ("1", "0.1", "1e10", "inf"),
    "train.checkpointer.period": ("1", "0.5", "100000"),
    "train.checkpointer.max_to_keep": ("null", "1"),
    "train.eval_period": ("0", "7", "0.25"),
    "train.init_checkpoint": ("''", "null", "x.pth", "detectron2://a/b.pkl"),
    "train.output_dir": ("out", "'a b/c'", "'/tmp/ü'"),
    "dataloader.train.dataset": ("a", "[a]", "[a,b]"),
    "dataloader.train.label_fraction": ("1", "1.0", "0.01"),
    "dataloader.train.num_workers": ("0", "16"),
    f"{AUGMENTATION}.short_edge_lengths": ("[192]", "[192,256]"),
    f"{AUGMENTATION}.crop_size_range": ("[256,256]",),
    "dataloader.train.mapper.photometric": ("null",),
    "+dataloader.evaluator.0.nms_iou": ("null", "0.5", "1"),
    "+dataloader.evaluator.0.bootstrap": ("0", "100"),
    "optimizer.lr": ("0", "0.0", "1", "1e-6"),
    "optimizer.fused": ("null", "false"),
    "+optimizer.betas": ("[0.9,0.95]", "[0,0]"),
    "optimizer.params.lr_factors": ("{backbone.stem: 0}",),
    "lr_multiplier.warmup_length": ("0", "0.5"),
    f"{TRANSFORMER}.dropout": ("0", "0.5"),
    "model.backbone.norm": ("BN", "GN"),
    f"{MASKING}.duration": ("null", "5", "0.5"),
    f"{MASKING}.picture_period": ("null", "0", "5"),
    "+loss_hooks.masked_autoencoder.scope": ("all", "masked"),
    "loss_hooks.domain_adversarial": ("null",),
}


@pytest.fixture(scope="module")
def teaching():
    return load_config(str(CONFIGS / "phantom2ffdm/masked_retraining_teacher.py"))


@pytest.mark.parametrize("key", WRONG)
def test_wrong_values_are_refused_with_the_key(teaching, key):
    for value in WRONG[key]:
        with pytest.raises(InputError) as error:
            check_config(apply_overrides(copy.deepcopy(teaching), [f"{key}={value}"]))
        assert key.lstrip("+") in str(error.value), value
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", LEGAL)
def test_legal_values_are_accepted(teaching, key):
    for value in LEGAL[key]:
        check_config(apply_overrides(copy.deepcopy(teaching), [f"{key}={value}"]))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_configs_have_legal_values_and_every_setting_is_described(path):
    config = load_config(str(path))
    check_config(config)
    for key, target in iterate_targets(config):
        group = OmegaConf.select(config, key.removesuffix("._target_"))
        function = find_target(target, key)
        if function is dict:
            continue
        assert set(group) - {"_target_"} <= set(ARGUMENTS[function]), key


def test_table_describes_no_argument_that_does_not_exist():
    for target, described in ARGUMENTS.items():
        parameters, takes_any = parameters_of(target)
        assert takes_any or set(described) <= set(parameters), target


def test_all_faults_are_named_at_once_and_references_once(teaching):
    overrides = ["train.seed=-1", "optimizer.lr=-2", "model.max_detections=0"]
    with pytest.raises(InputError) as error:
        check_config(apply_overrides(copy.deepcopy(teaching), overrides))
    for key in ("train.seed", "optimizer.lr", "model.max_detections"):
        assert str(error.value).count(f"{key} is") == 1
    assert "dataloader.train.seed" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "overrides", "words"),
    [
        ("model", ["model.transformer.embed_dim=80"], "model: .*divisible"),
        ("model", ["model.transformer.num_levels=2"], "model: .*num_levels"),
        ("model", ["+model.in_features=[res3,res9]"], r"model\.in_features names res9.*res5"),
        ("lr_multiplier", ["lr_multiplier.scheduler._target_=torch.nn.Identity"], "scheduler"),
        (
            "model",
            ["model.criterion.matcher._target_=torch.nn.Identity"],
            "model.criterion.matcher",
        ),
        ("model", ["model.transformer.num_heads=7"], "model.transformer"),
    ],
)
def test_errors_of_what_is_made_name_the_key(teaching, key, overrides, words):
    config = apply_overrides(copy.deepcopy(teaching), overrides)
    with pytest.raises(InputError, match=words) as error:
        build(config, key, dict)
    assert "\n" not in str(error.value)


def test_a_hook_that_is_not_there_cannot_be_left_out(teaching):
    with pytest.raises(InputError, match=r"loss_hooks\.teachr .*; did you mean teacher\?"):
        apply_overrides(copy.deepcopy(teaching), ["+loss_hooks.teachr=null"])
    config = apply_overrides(copy.deepcopy(teaching), ["+loss_hooks.teacher=null"])
    assert config.loss_hooks.teacher is None


@pytest.mark.parametrize(
    ("page", "overrides", "words"),
    [
        (
            "phantom2ffdm/expert.py",
            ["+dataloader.train.mix={_target_: medmask.data.Mixup}"],
            r"^dataloader\.train\.mix cannot go with loss_hooks\.expert_distillation, ",
        ),
        (
            "phantom2ffdm/image_labels.py",
            ["+loss_hooks.image_labels.loader.mix={_target_: medmask.data.Mixup}"],
            r"^loss_hooks\.image_labels\.loader\.mix cannot go with loss_hooks\.image_labels, ",
        ),
        (
            "phantom2ffdm/masks.py",
            ["+loss_hooks.teacher={copy_paste: {}}"],
            r"^loss_hooks\.teacher\.copy_paste cannot go with loss_hooks\.masks, for pasted",
        ),
    ],
    ids=["mixup", "mixup of labels", "pasting"],
)
def test_options_that_exclude_each_other_are_named(page, overrides, words):
    config = load_config(str(CONFIGS / page), overrides)
    with pytest.raises(InputError, match=words):
        _raise(list(_exclusion_faults(config)))


@pytest.mark.parametrize(
    ("key", "name", "words"),
    [
        ("second_distillation", None, r"\.name is 'expert'.*set it to second, or"),
        ("second_distillation", "third", r"'third'.* an expert 'second'.*hook to third_distill"),
        ("second", "second", r"its key must be loss_hooks\.second_distillation: rename it"),
        ("_distillation", None, r"its key must be loss_hooks\.expert_distillation"),
        ("second_distillation", "second", None),
    ],
)
def test_experts_are_named_as_their_hooks(key, name, words):
    config = load_config(str(CONFIGS / "phantom2ffdm/expert.py"), [])
    hook = copy.deepcopy(config.loss_hooks.expert_distillation)
    if name is not None:
        hook.name = name
    config.loss_hooks[key] = hook
    if words is None:
        check_config(config)
    else:
        with pytest.raises(InputError, match=rf"^loss_hooks\.{key}.*{words}"):
            check_config(config)


def test_options_without_their_counterpart_exclude_nothing(teaching):
    assert not list(_exclusion_faults(teaching))
    config = copy.deepcopy(teaching)
    config.loss_hooks.teacher.copy_paste = {}
    config.loss_hooks.masks = None
    assert not list(_exclusion_faults(config))
