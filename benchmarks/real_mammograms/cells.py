"""The cells of the comparison: a method, trained on a benchmark from a start, with a seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medmask.errors import InputError

CONFIGS = Path(__file__).parents[2] / "configs" / "medmask"
NUM_FOLDS = 5

PEERS = ("faster_rcnn", "retinanet")
"""Detectron2's own detectors, with our backbone and on our samples."""
YOLO = "yolo11n"
"""A program of another environment; its only start is its own."""
STAGES = (
    "control",
    "control_strong",
    "cross_domain",
    "alignment",
    "teaching",
    "masked_retraining_teacher",
    "expert",
    "image_labels",
    "masks",
)
"""Stages that go on from the weights of ``medmask``, and their controls."""
AVERAGED = "+start"
AVERAGES = tuple(f"{stage}{AVERAGED}" for stage in STAGES)
"""No trainings: the average of a stage's weights and of those that it started from."""
METHODS = ("medmask", *PEERS, YOLO, *STAGES, *AVERAGES)

SCRATCH, IMAGENET, PHANTOMS, BOTH = "scratch", "imagenet", "phantoms", "imagenet+phantoms"
FILMS = "imagenet+films"
"""Weights that were trained on mini-MIAS before, for benchmarks that do without it."""
STARTS = (IMAGENET, SCRATCH, PHANTOMS, BOTH, FILMS)
PHANTOM_TRAINING, FILM_TRAINING = "phantoms", "mias2inbreast"
"""The benchmarks whose weights the starts with phantoms and with films take."""


@dataclass(frozen=True)
class Benchmark:
    """Data sets to train and to test on; ``{label}`` and ``{fold}`` stand for those of a cell."""

    tests: Mapping[str, str]
    """name of a test -> data set; the first one is the default"""
    page: str
    """folder of the config pages"""
    options: tuple[str, ...] = ()
    """settings of its pages"""
    has_folds: bool = False


BENCHMARKS = {
    "mias2inbreast": Benchmark(
        {
            "development": "inbreast_{label}_train",
            "heldout": "inbreast_{label}_heldout",
            "all": "inbreast_{label}_all",
        },
        page="mias2inbreast",
    ),
    "inbreast2mias": Benchmark({"all": "mini_mias_{label}_all"}, page="inbreast2mias"),
    "inbreast_folds": Benchmark(
        {"folds": "inbreast_{label}_fold{fold}_test"},
        page="inbreast_folds",
        options=("datasets.fold={fold}",),
        has_folds=True,
    ),
    PHANTOM_TRAINING: Benchmark(
        {"validation": "phantom_film_val"},
        page="mias2inbreast",
        options=("datasets.train=phantom_film_train", "datasets.test=phantom_film_val"),
    ),
}


@dataclass(frozen=True)
class Cell:
    """One training, and what it is called in the output."""

    benchmark: str
    method: str
    start: str
    seed: int
    label: str = "lesion"
    """"lesion" or "malignant": the boxes that count"""
    fold: int | None = None

    @property
    def name(self) -> str:
        """Path of its folder in the output."""
        benchmark = self.benchmark
        if self.label != "lesion" and benchmark != PHANTOM_TRAINING:
            benchmark += f"-{self.label}"
        parts = [benchmark, self.method, self.start, f"seed{self.seed}"]
        return "/".join(parts + ([] if self.fold is None else [f"fold{self.fold}"]))

    @property
    def before(self) -> "Cell | None":
        """The cell whose weights this one starts from."""
        if self.method in AVERAGES:
            return replace(self, method=self.method.removesuffix(AVERAGED))
        if self.method in STAGES:
            return replace(self, method="medmask")
        if self.start in (PHANTOMS, BOTH) and self.method != YOLO:
            start = SCRATCH if self.start == PHANTOMS else IMAGENET
            return Cell(PHANTOM_TRAINING, self.method, start, self.seed)
        if self.start == FILMS:
            return Cell(FILM_TRAINING, self.method, IMAGENET, self.seed, self.label)
        return None

    def test_set(self, test: str) -> str:
        """The data set of a test.

        Raises:
            InputError: the benchmark has no such test.
        """
        tests = BENCHMARKS[self.benchmark].tests
        if test not in tests:
            raise InputError(
                f"benchmark {self.benchmark} has no test '{test}'; it has {', '.join(tests)}"
            )
        return tests[test].format(label=self.label, fold=self.fold)

    def page(self) -> Path:
        """The config of its data, and of its model where the method is one of ours."""
        stage = self.method.removesuffix(AVERAGED)
        stage = stage if stage in STAGES else "source_only"
        path = CONFIGS / BENCHMARKS[self.benchmark].page / f"{stage}.py"
        if not path.is_file():
            raise InputError(f"benchmark {self.benchmark} has no stage {stage}")
        return path

    def options(self) -> list[str]:
        """``key=value`` settings of the page."""
        options = [f"datasets.label={self.label}", f"train.seed={self.seed}"]
        if self.start == SCRATCH:
            # no weights to keep frozen, and no statistics
            options += ["train.init_checkpoint=''", "+model.backbone.freeze_at=0"]
            options += ["model.backbone.batch_norm=train"]
        given = BENCHMARKS[self.benchmark].options
        return options + [option.format(fold=self.fold) for option in given]


def make_cells(
    benchmarks: Sequence[str],
    methods: Sequence[str],
    starts: Sequence[str],
    seeds: Sequence[int],
    label: str,
    folds: Sequence[int] = range(NUM_FOLDS),
) -> list[Cell]:
    """All cells of these, none twice; folds are those of the benchmarks that have any.

    Raises:
        InputError: a benchmark of mini-MIAS is to start from what was trained on it.
    """
    on_films = [name for name in benchmarks if "mias" in BENCHMARKS[name].page]
    if FILMS in starts and on_films:
        raise InputError(
            f"benchmark {on_films[0]} cannot start from {FILMS}, for it has films of mini-MIAS "
            "itself: inbreast_folds can"
        )
    cells = [
        Cell(
            benchmark,
            method,
            SCRATCH if method == YOLO else start,
            seed,
            "lesion" if benchmark == PHANTOM_TRAINING else label,
            fold,
        )
        for seed in seeds
        for benchmark in benchmarks
        for fold in (folds if BENCHMARKS[benchmark].has_folds else (None,))
        for start in starts
        for method in methods
    ]
    return list(dict.fromkeys(cells))


def with_starts(cells: Sequence[Cell]) -> list[Cell]:
    """The cells and those that they start from, each after its start and none twice."""
    ordered: dict[Cell, None] = {}

    def add(cell: Cell) -> None:
        if cell.before is not None:
            add(cell.before)
        ordered[cell] = None

    for cell in cells:
        add(cell)
    return list(ordered)


def is_ready(cell: Cell, done: Sequence[Cell]) -> bool:
    """Tell whether the cell that this one starts from, if any, is done."""
    return cell.before is None or cell.before in done
