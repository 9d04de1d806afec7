"""Options of a run that do not depend on model or data."""

train = dict(
    output_dir="./output",
    init_checkpoint="",  # weights to start from: a file, or a detectron2:// address
    max_iter=50000,
    seed=0,
    device="auto",  # "auto" is a GPU if there is one; or "cpu", "cuda"
    amp=dict(enabled=False, dtype="bf16"),  # mixed precision: "bf16" or "fp16"
    clip_gradient_norm=0.1,
    gradient_accumulation=1,  # batches whose gradients are averaged for one update
    ddp=dict(broadcast_buffers=False),  # True for models that train BatchNorm statistics
    checkpointer=dict(period=2500, max_to_keep=2),
    eval_period=2500,  # 0: after the last iteration only
    best_metric="froc/R@0.3",  # decides what model_best.pth is
    log_period=20,
)
