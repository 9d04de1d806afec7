"""Queues on disk: what is stored stays, once, and a status that is damaged harms one study."""

import errno
import json
import os
import time

import pytest

from medmask.node.received_object import ObjectIdentity, RefusedObject
from medmask.node.spool import Spool
from medmask.node.study_status import ANSWERED, FAILED, RECEIVING, SENDING, STATES, read_status

STUDY, IMAGE = "1.2.3", "1.2.3.4"
IDENTITY = ObjectIdentity(STUDY, IMAGE)


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool")


def set_status(study, **values):
    with study.change_status() as status:
        for name, value in values.items():
            setattr(status, name, value)


def test_image_is_stored_once(spool):
    assert spool.store(IDENTITY, b"meta", memoryview(b"dataset"))
    assert not spool.store(IDENTITY, b"meta", memoryview(b"dataset"))
    with pytest.raises(RefusedObject, match="was received before"):
        spool.store(IDENTITY, b"meta", memoryview(b"another"))
    (study,) = spool.studies()
    assert study.images()[IMAGE].read_bytes() == b"metadataset"
    assert study.status().state == RECEIVING
    assert study.has_new_images()


def test_image_that_is_refused_for_the_disk_is_new_when_it_is_sent_again(spool, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as patch:
        patch.setattr("medmask.node.spool.write_status", fail)
        with pytest.raises(OSError, match="no space"):
            spool.store(IDENTITY, b"", memoryview(b"x"))
    assert not spool.study(STUDY).images()
    assert spool.store(IDENTITY, b"", memoryview(b"x"))


def test_status_is_that_of_another_process_too(spool):
    spool.store(IDENTITY, b"", memoryview(b"x"))
    set_status(spool.study(STUDY), state=SENDING, images=[IMAGE], sent=["1.5"], attempts=2)
    again = Spool(spool.folder).study(STUDY)
    assert again.status() == spool.study(STUDY).status()
    assert not again.has_new_images()


@pytest.mark.parametrize(
    ("before", "after"),
    [(ANSWERED, RECEIVING), (FAILED, RECEIVING), (SENDING, SENDING)],
)
def test_images_that_come_late(spool, before, after):
    spool.store(IDENTITY, b"", memoryview(b"x"))
    study = spool.study(STUDY)
    set_status(study, state=before, images=[IMAGE])
    spool.store(ObjectIdentity(STUDY, "1.2.3.5"), b"", memoryview(b"y"))
    assert study.status().state == after
    assert study.has_new_images()


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"state": "x"}', None],
    ids=["empty", "cut off", "list", "no keys", "one key", "unknown state"],
)
def test_damaged_status(spool, caplog, content):
    spool.store(IDENTITY, b"", memoryview(b"x"))
    study = spool.study(STUDY)
    set_status(study, state=ANSWERED, images=[IMAGE])
    path = study.path / "status.json"
    if content is None:
        content = json.dumps(json.loads(path.read_text()) | {"state": "lost"})
    path.write_text(content)
    assert study.has_new_images()
    assert study.status().state == RECEIVING
    assert "the study is scored and answered afresh" in caplog.text


def test_states_are_read_back(spool):
    for state in STATES:
        set_status(spool.study(STUDY), state=state)
        assert read_status(spool.study(STUDY).path / "status.json").state == state


def test_what_a_killed_node_left_half_done(spool):
    spool.store(IDENTITY, b"", memoryview(b"x"))
    images = spool.study(STUDY).path / "images"
    half = images / ".1.2.3.9.dcm.999999999.abcdefgh.part"
    half.write_bytes(b"half")
    removed = spool.folder / "removed" / "1.2.9"
    removed.mkdir(parents=True)
    with spool.locked():
        assert not half.exists()
        assert not removed.exists()
    assert spool.study(STUDY).images().keys() == {IMAGE}


class TestRemoval:
    OLD = 1000.0  # seconds before now

    @pytest.fixture
    def study(self, spool):
        spool.store(IDENTITY, b"", memoryview(b"x"))
        study = spool.study(STUDY)
        set_status(study, state=ANSWERED, images=[IMAGE])
        return study

    def remove(self, spool, study):
        past = time.time() - self.OLD
        os.utime(study.path / "status.json", (past, past))
        return spool.remove_answered(time.time() - self.OLD / 2)

    def test_answered_one(self, spool, study):
        assert spool.remove_answered(time.time() - self.OLD) == 0  # too young
        assert self.remove(spool, study) == 1
        assert not study.path.exists()
        assert not (spool.folder / "removed").exists()
        assert spool.store(IDENTITY, b"", memoryview(b"x"))  # it may come again

    @pytest.mark.parametrize(
        "values",
        [{"state": FAILED}, {"state": SENDING}, {"images": []}, {"refused": {"1.5": "why"}}],
        ids=["failed", "sending", "new image", "refused"],
    )
    def test_others_stay(self, spool, study, values):
        set_status(study, **values)
        assert self.remove(spool, study) == 0
        assert study.path.exists()
