"""Masked autoencoding of unlabeled images; the stage sets the loader."""

from detectron2.config import LazyCall as L

from medmask.stages.masked_autoencoding import ConstantMaskRatio, MaskedAutoencoderHook

masked_autoencoder = L(MaskedAutoencoderHook)(
    loader="???",
    # Others: CosineMaskRatio(start, end), LossDrivenMaskRatio(start, step, period); e.g.
    # ...mask_ratio._target_=medmask.stages.masked_autoencoding.CosineMaskRatio
    # +...mask_ratio.end=0.5
    mask_ratio=L(ConstantMaskRatio)(start=0.8),
    targets={"res5": [25, 42]},  # size of the map of images of 800 x 1333 pixels (height x width)
    num_layers=2,
    positional_content=True,  # False: as published; positions only tell queries where to look
    masking="independent",  # or "aligned": masked on one level, masked on all
    scope="masked",  # or "all": tokens whose error counts
    weight=1.0,
    gradient_share=None,  # or such a weight that the gradient in the encoder is 0.3 of detection's
    target_network="start",  # or "model", which moves while it is aimed at, or its "average"
    target_decay=0.998,  # of the average
    standardize=True,  # each channel of the maps to mean 0 and variance 1
    warmup=None,  # first iterations, or share of the run, that train the autoencoder alone
    duration=None,  # of all iterations; or a number of them, or a share of the run
    picture_period="${train.eval_period}",
    num_pictured=4,
    output_dir="${train.output_dir}",
)
