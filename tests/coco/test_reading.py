import pytest

from medmask.coco import read_categories, read_coco
from medmask.errors import InputError


def test_all_problems_are_reported_at_once(coco_content, write_tree):
    json_file, image_root = write_tree(coco_content)
    coco_content["annotations"] = [
        {"id": 100 + i, "image_id": 1, "category_id": 7, "bbox": [0, 0, -i, 1]} for i in range(30)
    ]
    coco_content["images"][2]["width"] = "100"
    json_file.write_text(str(coco_content).replace("'", '"'))
    with pytest.raises(InputError) as error:
        read_coco(json_file, image_root)
    lines = str(error.value).splitlines()
    assert lines[0] == f"annotation file {json_file} has 31 problems:"
    assert "image 3" in lines[1]
    assert [f"annotation {100 + i} " in line for i, line in enumerate(lines[2:21])] == [True] * 19
    assert lines[21] == (
        f"  and 11 more; run medmask check-data --json {json_file} --images {image_root}"
    )


def test_categories_alone_are_read_from_a_file_of_faulty_annotations(coco_content, write_tree):
    coco_content["annotations"][0]["bbox"] = "none"
    json_file, _ = write_tree(coco_content)
    assert read_categories(json_file, ["malignant"]) == [{"id": 7, "name": "mal"}]
    with pytest.raises(InputError, match=r"annotation 11 .* is not four finite numbers"):
        read_coco(json_file)
    with pytest.raises(InputError, match="do not match the classes"):
        read_categories(json_file, ["benign"])
