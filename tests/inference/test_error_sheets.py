import json

import cv2
import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from medmask.data import register_coco_dataset
from medmask.errors import InputError
from medmask.evaluation.error_analysis import describe_kinds
from medmask.inference import draw_error_sheets


@pytest.fixture
def dataset(tmp_path):
    images = [
        {"id": i, "file_name": f"{i}.png", "height": 100, "width": 100, "view": "CC", "birads": "5"}
        for i in (1, 2)
    ]
    images[0]["dose"] = float("inf")
    for image in images:
        cv2.imwrite(str(tmp_path / image["file_name"]), np.full((100, 100), 90, np.uint8))
    annotations = [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20]},
        {"id": 2, "image_id": 2, "category_id": 1, "bbox": [10, 10, 10, 30]},
    ]
    content = {"images": images, "annotations": annotations}
    content["categories"] = [{"id": 1, "name": "lesion"}]
    (tmp_path / "set.json").write_text(json.dumps(content))
    found = [
        {"image_id": 1, "category_id": 1, "bbox": [12, 12, 16, 16], "score": 0.9},
        {"image_id": 1, "category_id": 1, "bbox": [90, 90, 9, 9], "score": 0.8},
    ]
    (tmp_path / "found.json").write_text(json.dumps(found))
    register_coco_dataset("set_with_errors", tmp_path / "set.json", tmp_path)
    yield "set_with_errors"
    DatasetCatalog.remove("set_with_errors")
    MetadataCatalog.remove("set_with_errors")


def test_pages_and_list(dataset, tmp_path):
    out = tmp_path / "out"
    counts = draw_error_sheets(dataset, str(tmp_path / "found.json"), out, fpi=0.5, num_tiles=5)
    assert counts == {"hits": 1, "misses": 1, "false_positives": 1}
    assert describe_kinds(counts) == "1 hit, 1 miss, 1 false positive"
    assert describe_kinds(counts | {"misses": 0}) == "1 hit, 0 misses, 1 false positive"
    colors = {"hits": (77, 255, 77), "misses": (77, 255, 77), "false_positives": (255, 160, 40)}
    for kind, color in colors.items():
        page = cv2.imread(str(out / f"{kind}.png"))[..., ::-1]
        assert (page == color).all(axis=2).any(), kind
    findings = json.loads((out / "findings.json").read_text())
    assert [finding["kind"] for finding in findings] == ["hits", "misses", "false_positives"]
    assert findings[0]["bbox"] == [10, 10, 20, 20]
    assert findings[0]["image"]["birads"] == "5"
    assert findings[0]["image"]["dose"] is None
    assert findings[2]["file_name"] == "1.png"
    assert {finding["category"] for finding in findings} == {"lesion"}
    # another call into the same folder leaves no page of the first
    (tmp_path / "none.json").write_text("[]")
    draw_error_sheets(dataset, str(tmp_path / "none.json"), out, fpi=0.5, num_tiles=5)
    assert sorted(path.name for path in out.iterdir()) == ["findings.json", "misses.png"]
    with pytest.raises(InputError, match="at least 1, got 0"):
        draw_error_sheets(dataset, str(tmp_path / "found.json"), out, fpi=0.5, num_tiles=0)


def test_caption_stays_within_its_tile(dataset, tmp_path):
    """A long name must not run into the next tile."""
    content = json.loads((tmp_path / "set.json").read_text())
    for image in content["images"]:
        name = f"{'long_name_' * 9}{image['file_name']}"
        (tmp_path / image["file_name"]).rename(tmp_path / name)
        image["file_name"] = name
    (tmp_path / "set.json").write_text(json.dumps(content))
    out = tmp_path / "out"
    draw_error_sheets(dataset, str(tmp_path / "found.json"), out, fpi=0.5, num_tiles=5)
    page = cv2.imread(str(out / "hits.png"))
    assert page.shape == (232, 208, 3)
    gap, caption = page[:, 200:], page[200:, :200]
    assert (gap == gap[0, 0]).all()
    assert (caption != gap[0, 0]).any()


def test_tool_draws_pages(run_tool, datasets, tmp_path):
    found = tmp_path / "found.json"
    found.write_text("[]")
    result = run_tool(
        "visualize_results.py",
        *("--dataset", "phantom_film_val", "--detections", found, "--errors-at", 0.5),
        *("--num-images", 2, "--output", tmp_path / "out"),
        DETECTRON2_DATASETS=str(datasets),
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("0 hits, ")
    assert result.stdout.endswith(f": {tmp_path / 'out'}\n")
    assert not result.stderr  # no progress bar in a file
    assert (tmp_path / "out" / "misses.png").exists()
    assert not (tmp_path / "out" / "hits.png").exists()
