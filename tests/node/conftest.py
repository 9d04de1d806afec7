"""A node at work in this process, a destination that records what it gets, and clients of it."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dicom_phantoms import make_dicom_phantoms
from toy_image_detector import CenterDetector

from medmask.node import Destination, Node, NodeOptions


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory) -> list[Path]:
    """12 images of three patients, of 48 x 64 pixels and 12 bits."""
    return make_dicom_phantoms(tmp_path_factory.mktemp("node_studies"), 12, 48, 64)


@pytest.fixture
def destination():
    from dicom_peers import RecordingDestination

    with RecordingDestination() as listening:
        yield listening


@pytest.fixture
def start_node(tmp_path, destination) -> Iterator[Callable]:
    """Runs nodes in threads; they are stopped at the end of the test."""
    running = []

    def start(folder: str = "spool", detector=None, **options) -> Node:
        settings = {
            "destination": Destination("PACS", "127.0.0.1", destination.port),
            "port": 0,
            "quiet_seconds": 0.5,
            "min_free_bytes": 0,
            "retry_seconds": 0.2,
        } | options
        node = Node(detector or CenterDetector(), tmp_path / folder, NodeOptions(**settings))
        thread = threading.Thread(target=node.run)
        thread.start()
        running.append((node, thread))
        assert node.is_listening.wait(120), "the node does not listen"
        return node

    yield start
    for node, thread in running:
        node.stop()
        thread.join(120)
        assert not thread.is_alive()


@pytest.fixture
def client():
    """Makes clients of nodes."""
    from dicom_peers import Client

    return lambda node, **options: Client(node.port, **options)
