"""The ablation of teaching, as a user runs it: two steps of a row and of what it needs."""

import json
from pathlib import Path

import pytest
from small_plans import plan_on_validation_images

PLAN = Path(__file__).parents[2] / "configs/medmask/phantom2ffdm_ablation/benchmark.py"


@pytest.mark.parametrize(
    "row", ["copy_paste_alone", pytest.param("without_retraining", marks=pytest.mark.slow)]
)
def test_row_of_the_plan_runs_against_its_controls(run_tool, datasets, tmp_path, row):
    plan = tmp_path / "plan.py"
    plan.write_text(plan_on_validation_images(PLAN))
    result = run_tool(
        "run_benchmark.py",
        plan,
        "--seeds",
        0,
        "--runs",
        row,
        "--output",
        tmp_path,
        "--set",
        "train.max_iter=2",
        "train.device=cpu",
        "dataloader.train.total_batch_size=2",
        "dataloader.train.num_workers=0",
        "dataloader.test.num_workers=0",
        DETECTRON2_DATASETS=str(datasets),
        OMP_NUM_THREADS="1",
    )
    assert result.returncode == 0, result.stdout + result.stderr
    rows = {x["run"]: x for x in json.loads((tmp_path / "benchmark.json").read_text())["rows"]}
    assert {"source_only", "control_strong", row} <= rows.keys()
    controls = [x["control"] for x in rows[row]["comparisons"]]
    assert "control_strong" in controls
    assert (tmp_path / row / "seed0" / "teacher_final.pth").exists()
    assert (tmp_path / "control_strong" / "seed0" / "average_final.pth").exists()
