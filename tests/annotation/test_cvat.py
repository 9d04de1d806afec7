"""CVAT's files: pre-annotations, and its exports as it writes them, with two decimals."""

import json
from xml.etree import ElementTree

import pytest

from medmask.annotation import import_annotations
from medmask.annotation.cvat import labels
from medmask.coco import read_coco
from medmask.errors import InputError

SIDES = ("xtl", "ytl", "xbr", "ybr")
META = """<meta><task><id>3</id><name>t</name><size>4</size><mode>annotation</mode><labels><label>
<name>malignant</name><type>any</type></label></labels></task></meta>"""


class CvatTask:
    """The annotations of a task, which a reader changes and CVAT exports."""

    def __init__(self, export):
        self.root = ElementTree.fromstring((export.shared / "cvat/annotations.xml").read_text())
        self.root.remove(self.root.find("meta"))
        self.root.append(ElementTree.fromstring(META))
        for box in self.root.iter("box"):
            box.set("source", "file")
            for side in SIDES:
                box.set(side, f"{float(box.get(side)):.2f}")

    def image(self, number):
        return self.root.findall("image")[number]

    def tag(self, *numbers, label="reviewed"):
        for number in numbers:
            ElementTree.SubElement(self.image(number), "tag", {"label": label, "source": "manual"})

    def draw(self, number, kind, **attributes):
        common = {"label": "malignant", "source": "manual", "occluded": "0", "z_order": "0"}
        return ElementTree.SubElement(self.image(number), kind, common | attributes)

    def text(self):
        return ElementTree.tostring(self.root, encoding="unicode", xml_declaration=True)


@pytest.fixture
def task(export):
    return CvatTask(export)


@pytest.fixture
def run(export, tmp_path):
    """Imports the content of a file; gives the summary and the annotations of each image."""

    def import_(content, **options):
        text = content.text() if isinstance(content, CvatTask) else content
        output = tmp_path / "set.json"
        summary = import_annotations(
            export.folder, export.write(text, "annotations.xml"), output, **options
        )
        content = json.loads(output.read_text())
        found = {image["id"]: [] for image in content["images"]}
        for annotation in content["annotations"]:
            found[annotation["image_id"]].append(annotation)
        return summary, list(found.values())

    return import_


class TestPreAnnotations:
    def test_xml(self, export):
        """The shape of the file as CVAT's documentation has it."""
        root = ElementTree.parse(export.shared / "cvat/annotations.xml").getroot()
        assert root.find("version").text == "1.1"
        names = [label.find("name").text for label in root.iterfind("meta/task/labels/label")]
        assert names == ["malignant", "reviewed"]
        assert [x.find("input_type").text for x in root.iter("attribute") if len(x)] == ["text"]
        images = root.findall("image")
        assert [image.get("id") for image in images] == ["0", "1", "2", "3"]
        assert [image.get("name") for image in images] == [f"{x}.png" for x in export.names]
        assert {(image.get("width"), image.get("height")) for image in images} == {("96", "128")}
        assert [len(image) for image in images] == [2, 1, 0, 0]
        box = images[0][0]
        assert [float(box.get(side)) for side in SIDES] == [10.25, 20.5, 40.75, 61.125]
        assert box.get("label") == "malignant"
        assert (box.get("occluded"), box.get("source")) == ("0", "auto")
        assert (box[0].get("name"), box[0].text) == ("score", "0.9123")

    def test_coco(self, export):
        tables = read_coco(export.shared / "cvat/coco.json", export.shared / "images")
        assert [x["file_name"] for x in tables.images] == [f"{x}.png" for x in export.names]
        assert tables.annotations.boxes.tolist() == [
            [10.25, 20.5, 30.5, 40.625],
            [50, 70, 46, 58],
            [50, 70, 46, 58],
        ]
        assert tables.annotations.image_indices.tolist() == [0, 0, 1]

    def test_labels_are_the_classes_and_the_tag(self, export):
        content = json.loads((export.shared / "cvat/labels.json").read_text())
        assert {x["name"]: x["type"] for x in content} == {"malignant": "any", "reviewed": "tag"}
        assert content[0]["attributes"][0]["name"] == "score"

    def test_class_of_the_tag_s_name_is_refused(self):
        with pytest.raises(InputError, match="name it otherwise"):
            labels(["malignant", "reviewed"])


class TestReviewed:
    def test_untouched_boxes_come_back_to_the_bit(self, task, run):
        task.tag(0, 1, 2, 3)
        summary, found = run(task)
        assert (summary.reviewed, summary.normal, summary.problems) == (4, 2, ())
        assert summary.lesions == {"kept": 3, "deleted": 0}
        assert found[0][0]["bbox"] == [10.25, 20.5, 30.5, 40.625]

    def test_images_without_the_tag_are_in_no_set(self, task, run):
        """Neither as normal images nor with the proposals that nobody has looked at."""
        task.tag(0, 2)
        summary, found = run(task)
        assert [len(x) for x in found] == [2, 0]
        assert (summary.reviewed, summary.normal, summary.not_reviewed) == (2, 1, 2)
        assert summary.problems == ()

    def test_all_reviewed(self, task, run):
        summary, _ = run(task, all_reviewed=True)
        assert (summary.reviewed, summary.not_reviewed) == (4, 0)

    def test_forgotten_tag(self, task, run, export):
        """Work is not thrown away without a word."""
        task.tag(0)
        task.draw(2, "box", xtl="1", ytl="1", xbr="20", ybr="20")
        task.image(1).remove(task.image(1)[0])
        task.draw(3, "polygon", points="1,1;20,1;20,20")
        summary, _ = run(task)
        assert summary.reviewed == 1
        # a deleted proposal tells of work only where proposals are left that nobody has seen
        assert [export.names[i] in x for i, x in zip((2, 3), summary.problems, strict=True)] == [
            True,
            True,
        ]
        assert all("has not the tag 'reviewed'" in x for x in summary.problems)

    def test_deleted_proposal_without_the_tag(self, task, run, export):
        task.tag(2)
        task.image(1).remove(task.image(1)[0])
        summary, _ = run(task)
        (problem,) = summary.problems
        assert export.names[1] in problem

    def test_other_tags_are_noted(self, task, run):
        task.tag(0)
        task.tag(1, label="blurred")
        summary, _ = run(task)
        (note,) = summary.notes
        assert "the tag 'blurred' is passed over" in note

    def test_no_tag_at_all(self, task, run):
        with pytest.raises(
            InputError, match=r"no image that was reviewed .*: .* \(--all-reviewed\)"
        ):
            run(task)


class TestShapes:
    def test_polygon(self, task, run):
        task.tag(2)
        task.draw(2, "polygon", points="10.00,20.00;40.00,22.00;25.00,60.00")
        _, ((annotation,),) = run(task)
        assert annotation["segmentation"] == [[10, 20, 40, 22, 25, 60]]
        assert annotation["bbox"] == [10, 20, 30, 40]
        assert annotation["origin"] == "added"

    def test_box_that_is_turned_about_its_center(self, task, run):
        task.tag(2)
        task.draw(2, "box", xtl="20", ytl="30", xbr="60", ybr="50", rotation="90.0")
        summary, ((annotation,),) = run(task)
        assert annotation["bbox"] == pytest.approx([30, 20, 20, 40], abs=1e-6)
        assert "turned by 90 degrees became a polygon" in summary.notes[0]

    def test_turns_are_clockwise(self, task, run):
        """The upper left corner of a flat box goes up and right by 30 degrees."""
        task.tag(2)
        task.draw(2, "box", xtl="20", ytl="30", xbr="60", ybr="50", rotation="30")
        _, ((annotation,),) = run(task)
        corner = annotation["segmentation"][0][:2]
        # (-20, -10) from the center, turned clockwise where y points down
        wanted = [40 - 20 * 3**0.5 / 2 + 10 * 0.5, 40 - 20 * 0.5 - 10 * 3**0.5 / 2]
        assert corner == pytest.approx(wanted, abs=1e-6)

    def test_ellipse(self, task, run):
        task.tag(2)
        task.draw(2, "ellipse", cx="50", cy="60", rx="20", ry="10")
        summary, ((annotation,),) = run(task)
        assert annotation["bbox"] == pytest.approx([30, 50, 40, 20], abs=1e-6)
        x, y = annotation["segmentation"][0][::2], annotation["segmentation"][0][1::2]
        radii = [((a - 50) / 20) ** 2 + ((b - 60) / 10) ** 2 for a, b in zip(x, y, strict=True)]
        assert radii == pytest.approx([1] * len(radii))
        assert "an ellipse became a polygon" in summary.notes[0]

    def test_polygon_that_leaves_the_picture_is_cut(self, task, run):
        task.tag(2)
        task.draw(2, "polygon", points="86,20;106,30;86,40")
        _, ((annotation,),) = run(task)
        assert annotation["bbox"] == pytest.approx([86, 20, 10, 20])
        corners = annotation["segmentation"][0]
        assert set(zip(corners[::2], corners[1::2], strict=True)) == {
            (86, 20),
            (96, 25),
            (96, 35),
            (86, 40),
        }

    @pytest.mark.parametrize(
        ("kind", "attributes", "words"),
        [
            ("mask", {"rle": "1,2", "left": "1", "top": "1"}, "kind 'mask'"),
            ("polyline", {"points": "1,1;2,2"}, "kind 'polyline'"),
            ("points", {"points": "1,1"}, "kind 'points'"),
            ("skeleton", {}, "kind 'skeleton'"),
            ("cuboid", {}, "kind 'cuboid'"),
            ("star", {}, "kind 'star'"),
            ("box", {"xtl": "a", "ytl": "1", "xbr": "2", "ybr": "2"}, "not 4 numbers"),
            ("box", {"xtl": "1", "ytl": "1", "xbr": "2"}, "not 4 numbers"),
            ("box", {"xtl": "1", "ytl": "1", "xbr": "1", "ybr": "2"}, "no area"),
            ("box", {"xtl": "90", "ytl": "1", "xbr": "99", "ybr": "9"}, "out of the picture"),
            ("box", {"xtl": "1", "ytl": "1", "xbr": "nan", "ybr": "9"}, "not finite"),
            ("polygon", {"points": "1,1;2,2"}, "less than three corners"),
            ("polygon", {"points": "1,1;2,2;3"}, "not 2 numbers"),
            ("polygon", {"points": "101,1;120,2;110,30"}, "out of the picture"),
            ("box", {"label": "cyst", "xtl": "1", "ytl": "1", "xbr": "9", "ybr": "9"}, "'cyst'"),
        ],
        ids=lambda value: value if isinstance(value, str) else ",".join(value.values()) or "none",
    )
    def test_others_are_refused_by_name(self, task, run, export, kind, attributes, words):
        task.tag(1, 2)
        task.draw(2, kind, **attributes)
        summary, found = run(task)
        (problem,) = summary.problems
        assert words in problem
        assert export.names[2] in problem
        assert len(found) == 1


class TestFiles:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (
                '<!DOCTYPE a [<!ENTITY b "0123456789"><!ENTITY c "&b;&b;&b;">]><annotations>&c;'
                "</annotations>",
                "declares a document type",
            ),
            (
                '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotations>&b;'
                "</annotations>",
                "declares a document type",
            ),
            ('<!DOCTYPE a SYSTEM "http://localhost/a.dtd"><annotations/>', "document type"),
            ("<annotations>", "not valid XML"),
            ("<annotations>&b;</annotations>", "not valid XML"),
            ("<annotations/>", "not CVAT's XML"),
            ("<html><version/></html>", "not CVAT's XML"),
            ("<a>" * 200 + "</a>" * 200, "nested too deeply"),
            ('<?xml version="1.0" encoding="none"?><a/>', "not valid XML"),
            (
                "<annotations><version>1.1</version><track/></annotations>",
                "'CVAT for images 1.1' instead",
            ),
            (
                "<annotations><version>1.1</version><image/></annotations>",
                "image without a name",
            ),
            ("PK\x03\x04", "ZIP archive"),
        ],
        ids=[
            "entities", "external entity", "external type", "cut off", "unknown entity", "empty",
            "another file", "deep", "encoding", "video", "nameless image", "archive",
        ],
    )  # fmt: skip
    def test_refused(self, run, text, words):
        with pytest.raises(InputError, match=words):
            run(text)

    def test_absent(self, export, tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            import_annotations(export.folder, tmp_path / "absent", tmp_path / "set.json")

    def test_picture_of_another_size(self, task, run, export):
        task.tag(0, 1)
        task.image(0).set("width", "95")
        summary, _ = run(task)
        (problem,) = summary.problems
        assert "was exported at (96, 128)" in problem
        task.image(0).attrib.pop("width")
        summary, _ = run(task)
        assert "no width or height" in summary.problems[0]

    def test_folders_and_suffixes_of_names_do_not_matter(self, task, run, export):
        task.tag(0)
        task.image(0).set("name", f"upload/images/{export.names[0]}.PNG")
        summary, _ = run(task)
        assert summary.reviewed == 1


class TestCoco:
    """CVAT's export "COCO 1.0"."""

    @pytest.fixture
    def content(self, export):
        content = json.loads((export.shared / "cvat/coco.json").read_text())
        for annotation in content["annotations"]:
            annotation["bbox"] = [round(x, 2) for x in annotation["bbox"]]
            annotation["attributes"] = {"occluded": False, "rotation": 0.0}
        return content | {"licenses": [], "info": {"contributor": ""}}

    def test_all_images_of_it_are_reviewed(self, content, run):
        summary, found = run(json.dumps(content), all_reviewed=True)
        assert (summary.reviewed, summary.normal, summary.problems) == (4, 2, ())
        assert summary.lesions == {"kept": 3, "deleted": 0}
        assert found[0][0]["bbox"] == [10.25, 20.5, 30.5, 40.625]

    def test_it_must_be_said_that_they_are(self, content, run):
        with pytest.raises(InputError, match="give --all-reviewed"):
            run(json.dumps(content))

    def test_polygon_and_turned_box(self, content, run):
        first, second, _ = content["annotations"]
        first["segmentation"] = [[10, 20, 40, 22, 25, 60]]
        second["bbox"] = [20, 30, 40, 20]
        second["attributes"]["rotation"] = 90.0
        summary, found = run(json.dumps(content), all_reviewed=True)
        polygon, turned = found[0]
        assert polygon["segmentation"] == [[10, 20, 40, 22, 25, 60]]
        assert polygon["bbox"] == [10, 20, 30, 40]
        assert turned["bbox"] == pytest.approx([30, 20, 20, 40], abs=1e-6)
        assert len(summary.notes) == 1

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"segmentation": {"counts": [1], "size": [96, 128]}, "iscrowd": 1}, "has a mask"),
            ({"category_id": 9}, "does not define"),
            ({"bbox": [1, 2, 3]}, "not 4 numbers"),
            ({"segmentation": [[1, 2, 3, 4]]}, "less than three corners"),
            ({"segmentation": "x"}, "no list of polygons"),
        ],
        ids=["mask", "category", "box", "polygon", "text"],
    )
    def test_image_is_left_out(self, content, run, export, changes, words):
        content["annotations"][0] |= changes
        summary, _ = run(json.dumps(content), all_reviewed=True)
        (problem,) = summary.problems
        assert words in problem
        assert export.names[0] in problem
        assert summary.reviewed == 3

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda x: x.pop("images"), "no COCO file of CVAT"),
            (lambda x: x["annotations"][0].update(image_id=9), "is of no image"),
            (lambda x: x["images"][0].pop("file_name"), "has no file_name"),
        ],
        ids=["no images", "stranger", "nameless"],
    )
    def test_file_is_refused(self, content, run, change, words):
        change(content)
        with pytest.raises(InputError, match=words):
            run(json.dumps(content), all_reviewed=True)


@pytest.mark.parametrize("folder", ["batch 1/", "batch 1\\", "C:\\batch\\"])
def test_folders_before_the_names_of_pictures(run, task, folder):
    task.tag(0)
    task.image(0).set("name", folder + task.image(0).get("name"))
    summary, _ = run(task)
    assert summary.reviewed == 1


def test_label_studio_tells_what_was_reviewed(export, run):
    with pytest.raises(InputError, match="leave out --all-reviewed"):
        run(json.dumps(export.submit_all()), all_reviewed=True)
