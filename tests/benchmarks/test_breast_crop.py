import json

import cv2
from painted_mammograms import paint_mammogram


def test_cut_lesions_are_counted_and_pictures_drawn(run_tool, tmp_path):
    """One lesion in the breast, one on the label far from it."""
    image, _ = paint_mammogram(300, 240)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    boxes = [[40, 140, 20, 20], [200, 10, 20, 20]]
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": 300, "width": 240}],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": 1, "bbox": box} for i, box in enumerate(boxes)
        ],
        "categories": [{"id": 1, "name": "malignant"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    figures, pictures = tmp_path / "figures.json", tmp_path / "pictures"
    result = run_tool(
        *("benchmarks/breast_crop.py", tmp_path / "a.json", tmp_path),
        *("--json", figures, "--pictures", pictures),
    )
    assert result.returncode == 0, result.stderr
    assert "lesion boxes that are cut: 1" in result.stdout
    content = json.loads(figures.read_text())
    assert content["cut"] == {"a.png": [[200, 10, 220, 30]]}
    assert content["not_found"] == []
    assert 0.3 < content["shares"][0] < 0.6
    assert cv2.imread(str(pictures / "1.png")).any()
