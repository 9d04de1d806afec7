import json

import cv2
from painted_mammograms import paint_mammogram


def test_cut_lesions_are_counted_and_pictures_drawn(run_tool, tmp_path):
    """One lesion in the breast, one on the label far from it, in two images of one name."""
    image, _ = paint_mammogram(300, 240)
    names = ["left/a.png", "right/a.png"]
    for name in names:
        (tmp_path / name).parent.mkdir()
        cv2.imwrite(str(tmp_path / name), image)
    boxes = [[40, 140, 20, 20], [200, 10, 20, 20]]
    content = {
        "images": [{"id": name, "file_name": name, "height": 300, "width": 240} for name in names],
        "annotations": [
            {"image_id": name, "category_id": 1, "bbox": box} for name in names for box in boxes
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
    assert "lesion boxes that are cut: 2" in result.stdout
    content = json.loads(figures.read_text())
    assert content["cut"] == {name: [[200, 10, 220, 30]] for name in names}
    assert content["not_found"] == []
    assert 0.3 < content["shares"][0] < 0.6
    assert cv2.imread(str(pictures / "1.png")).any()
