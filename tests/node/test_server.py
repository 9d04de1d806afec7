"""Who may connect, how many at a time, and over TLS."""

import socket
import ssl
import subprocess
import time

import pytest

pytest.importorskip("pynetdicom", reason="a DICOM node needs the extra node")
pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")

from dicom_peers import RecordingDestination

from medmask.errors import InputError
from medmask.node import Destination, Node, NodeOptions, TLSFiles
from medmask.node.server import server_context, transfer_syntaxes


def test_allowed_titles(start_node, client, caplog):
    node = start_node(allowed=("MODALITY", "PACS"))
    assert client(node, title="PACS").is_taken()
    assert not client(node, title="STRANGER").is_taken()
    assert "STRANGER@127.0.0.1 is rejected: its AE title is not among the allowed" in caplog.text


def test_calls_to_another_title(start_node, client, caplog):
    node = start_node(title="MASKS")
    assert client(node, called="MASKS").is_taken()
    assert not client(node, called="MEDMASK").is_taken()
    assert "is rejected: it calls MEDMASK, and this is MASKS" in caplog.text


def test_number_of_associations(start_node, client, caplog):
    node = start_node(max_associations=2)
    with client(node).open(), client(node).open() as second:
        assert not client(node).is_taken()
        assert "is rejected: 2 associations are open" in caplog.text
        assert second.send_c_echo().Status == 0
    deadline = time.monotonic() + 60
    while not client(node).is_taken():  # the node notices a moment later that they are closed
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_port_in_use(destination, tmp_path, start_node):
    node = start_node()
    options = NodeOptions(Destination("PACS", "127.0.0.1", destination.port), port=node.port)
    with pytest.raises(InputError, match=f"cannot listen on 127.0.0.1:{node.port}"):
        Node(None, tmp_path / "other", options).run()


def test_host_that_no_machine_has(tmp_path):
    options = NodeOptions(Destination("PACS", "127.0.0.1", 104), host="a..b", allowed=("PACS",))
    with pytest.raises(InputError, match=r"cannot listen on a\.\.b:11112: no name of a host"):
        Node(None, tmp_path, options).run()


def test_folder_in_use(destination, tmp_path, start_node):
    start_node()
    options = NodeOptions(Destination("PACS", "127.0.0.1", destination.port), port=0)
    with pytest.raises(InputError, match="another node works in"):
        Node(None, tmp_path / "spool", options).run()


def test_transfer_syntaxes_begin_with_uncompressed_ones():
    names = [uid.name for uid in transfer_syntaxes()]
    assert names[0] == "Explicit VR Little Endian"
    assert "RLE Lossless" in names
    assert not any("MPEG" in name or "Deflated" in name for name in names)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """PEM files: an authority, and NAME.pem and NAME.key of two certificates by it."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments):
        try:
            subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
        except FileNotFoundError:
            pytest.skip("openssl is not installed")

    new = ("-newkey", "rsa:2048", "-nodes")
    for authority in ("authority", "stranger"):
        openssl(
            "req", "-x509", *new, "-keyout", f"{authority}.key", "-out", f"{authority}.pem",
            "-subj", f"/CN={authority}", "-days", "2",
        )  # fmt: skip
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for name, authority in (("node", "authority"), ("client", "authority"), ("odd", "stranger")):
        openssl(
            "req", *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"
        )
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey",
            f"{authority}.key", "-CAcreateserial", "-out", f"{name}.pem", "-days", "2",
            "-extfile", "names",
        )  # fmt: skip
    return folder


def files_of(folder, name):
    return TLSFiles(folder / f"{name}.pem", folder / f"{name}.key", folder / "authority.pem")


def client_tls(folder, name=None):
    context = ssl.create_default_context(cafile=folder / "authority.pem")
    if name is not None:
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return {"tls_args": (context, "localhost")}


class TestTLS:
    def test_round_trip(self, start_node, client, certificates, phantoms):
        context = server_context(files_of(certificates, "node"))
        with RecordingDestination(ssl_context=context) as destination:
            node = start_node(
                destination=Destination("PACS", "localhost", destination.port),
                tls=files_of(certificates, "node"),
                destination_tls=True,
            )
            secure = client(node, **client_tls(certificates, "client"))
            assert secure.send(phantoms[:1]) == [0]
            destination.wait_for(4)

    @pytest.mark.parametrize("name", [None, "odd"], ids=["no certificate", "another authority"])
    def test_clients_that_nobody_knows(self, start_node, client, certificates, name):
        node = start_node(tls=files_of(certificates, "node"))
        assert not client(node, **client_tls(certificates, name)).is_taken()
        assert not client(node).is_taken()  # without TLS
        assert client(node, **client_tls(certificates, "client")).is_taken()

    def test_half_a_handshake_holds_nobody_up(self, start_node, client, certificates):
        node = start_node(tls=files_of(certificates, "node"))
        with socket.create_connection(("127.0.0.1", node.port)):
            assert client(node, **client_tls(certificates, "client")).is_taken()

    @pytest.mark.parametrize(
        ("certificate", "key", "authorities", "words"),
        [
            ("absent.pem", "node.key", "authority.pem", "does not exist"),
            ("node.pem", "client.key", "authority.pem", "no certificate and its key"),
            ("node.csr", "node.key", "authority.pem", "no certificate and its key"),
            ("node.pem", "node.key", "node.key", "holds no certificates"),
        ],
    )
    def test_faulty_files(self, certificates, certificate, key, authorities, words):
        names = (certificate, key, authorities)
        with pytest.raises(InputError, match=words):
            server_context(TLSFiles(*(certificates / name for name in names)))
