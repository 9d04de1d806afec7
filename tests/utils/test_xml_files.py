"""XML files that may be anything."""

import os
from xml.etree import ElementTree

import pytest

from medmask.errors import InputError
from medmask.utils.xml_files import read_xml


def read(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_xml(path, "annotation file")


@pytest.mark.parametrize(
    "text",
    [
        "<a><b c='1'>text<d/>tail</b><!-- none --></a>",
        "<a>&lt;&amp;&#228;</a>",
        "\ufeff<?xml version='1.0'?><a/>",
        "<?xml version='1.0' encoding='iso-8859-1'?><a>\xe4</a>",
    ],
    ids=["nested", "characters", "mark", "latin"],
)
def test_tree_is_that_of_the_standard_library(tmp_path, text):
    encoding = "iso-8859-1" if "iso" in text else "utf-8"
    root = read(tmp_path / "a.xml", text.encode(encoding))
    wanted = ElementTree.fromstring(text.encode(encoding))
    assert ElementTree.tostring(root) == ElementTree.tostring(wanted)


def test_gigabytes_of_entities_are_refused_at_once(tmp_path):
    levels = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
    text = f'<!DOCTYPE a [<!ENTITY e0 "0123456789">{levels}]><a>&e9;</a>'
    with pytest.raises(InputError, match="declares a document type"):
        read(tmp_path / "a.xml", text)


def test_other_files_are_not_read(tmp_path):
    (tmp_path / "secret").write_text("secret")
    text = f'<!DOCTYPE a [<!ENTITY e SYSTEM "file://{tmp_path}/secret">]><a>&e;</a>'
    with pytest.raises(InputError, match="declares a document type") as caught:
        read(tmp_path / "a.xml", text)
    assert "secret" not in str(caught.value).replace(str(tmp_path), "")
    assert "not valid XML" not in str(caught.value)  # the sentence alone


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "not valid XML"),
        ("<a>", "not valid XML"),
        ("<a></b>", "not valid XML"),
        (b"\xff\xfe<\0", "not valid XML"),
        (b"<a>\xff</a>", "not valid XML"),
        ("<a>" * 100_000, "nested too deeply"),
    ],
    ids=["empty", "cut off", "crossed", "half", "bytes", "deep"],
)
def test_faulty_files_are_named(tmp_path, content, words):
    with pytest.raises(InputError, match=words) as caught:
        read(tmp_path / "a.xml", content)
    assert f"annotation file {tmp_path / 'a.xml'}" in str(caught.value)


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(InputError, match=f"^annotation file {path} is not a file, but"):
            read_xml(path, "annotation file")
    with pytest.raises(InputError, match="cannot be read"):
        read_xml(tmp_path / "absent", "annotation file")
