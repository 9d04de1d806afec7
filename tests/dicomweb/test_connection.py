"""Requests to an archive that is busy, slow, broken or untrusted."""

import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest
from fake_archive import body, status

from medmask.dicomweb.connection import Connection, ConnectionOptions
from medmask.dicomweb.credentials import Credentials
from medmask.dicomweb.errors import AccessError, RefusedError, UnreachableError
from medmask.errors import InputError

PATH = "studies/1.2/series"


def connect(url, credentials=None, **options):
    defaults = {"timeout": 5, "retries": 2, "first_wait": 0.01}
    return Connection(url, credentials, ConnectionOptions(**defaults | options))


def get(archive, query=None, **options):
    return connect(archive.url, **options).get(PATH, "application/dicom+json", query)


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504])
def test_busy_archive_is_asked_again(archive, code):
    archive.misbehavior["GET", PATH] = status(code, times=2)
    assert get(archive).body == b"[]"
    assert len(archive.requests) == 3


@pytest.mark.parametrize(
    ("code", "error", "requests"),
    [
        (503, UnreachableError, 3),
        (500, RefusedError, 3),
        (400, RefusedError, 1),
        (403, RefusedError, 1),
        (404, RefusedError, 1),
        (406, RefusedError, 1),
        (409, RefusedError, 1),
        (501, RefusedError, 1),
        (599, RefusedError, 1),
        (401, AccessError, 1),
        (302, AccessError, 1),
    ],
)
def test_statuses(archive, code, error, requests):
    archive.misbehavior["GET", PATH] = status(code, Location="http://elsewhere.example/")
    with pytest.raises(error, match=f"{PATH}: the archive answered {code}") as caught:
        get(archive, {"PatientID": "P-SECRET"})
    assert len(archive.requests) == requests
    assert "SECRET" not in str(caught.value)
    assert "elsewhere" not in str(caught.value)


def test_archive_says_how_long_to_wait(archive):
    archive.misbehavior["GET", PATH] = status(503, times=1, Retry_After="1")
    start = time.monotonic()
    get(archive)
    assert time.monotonic() - start >= 1


def test_credentials_go_to_the_archive_alone(archive):
    archive.authorization = "Bearer abc"
    with pytest.raises(AccessError, match="answered 401"):
        get(archive)
    connection = connect(archive.url, Credentials(token="abc"))
    assert connection.get(PATH, "*/*").status == 200


def test_queries_that_archives_do_not_decode(archive):
    asked = []

    def note(handler):
        asked.append(handler.path)
        return False

    archive.misbehavior["GET", PATH] = note
    get(archive, {"PatientID": "a*?,:/@!$'()_-.~b", "StudyDate": "20260101-", "x": "a b&c=d#e+%"})
    query = "PatientID=a*?,:/@!$'()_-.~b&StudyDate=20260101-&x=a%20b%26c%3Dd%23e%2B%25"
    assert asked == [f"/dicom-web/{PATH}?{query}"]


@pytest.mark.parametrize(
    ("content", "length", "error"),
    [
        (b"x" * 100, None, None),
        (b"x" * 101, None, RefusedError),
        (b"", 10**12, RefusedError),
        (b"x" * 50, 60, UnreachableError),
    ],
    ids=["limit", "above", "stated", "cut off"],
)
def test_sizes(archive, content, length, error):
    archive.misbehavior["GET", PATH] = body(content, "text/plain", length=length)
    if error is None:
        assert get(archive, max_bytes=100).body == content
    else:
        with pytest.raises(error, match=r"larger than the limit|the connection broke off"):
            get(archive, max_bytes=100)


def test_size_that_is_not_stated(archive):
    def stream(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for _ in range(20):
            handler.wfile.write(b"a\r\n0123456789\r\n")
        handler.wfile.write(b"0\r\n\r\n")
        return True

    archive.misbehavior["GET", PATH] = stream
    assert len(get(archive, max_bytes=200).body) == 200
    with pytest.raises(RefusedError, match="larger than the limit of 199 bytes"):
        get(archive, max_bytes=199)


def test_chunks_that_end_too_early(archive):
    def stream(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"a\r\n01234")
        handler.close_connection = True
        return True

    archive.misbehavior["GET", PATH] = stream
    with pytest.raises(UnreachableError, match="the connection broke off"):
        get(archive)


def silence(listener, released):
    """Take connections and say nothing."""
    taken = []
    while not released.is_set():
        try:
            taken.append(listener.accept()[0])
        except TimeoutError:
            continue
    for one in taken:
        one.close()


@pytest.fixture
def silent_url():
    released = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        thread = threading.Thread(target=silence, args=(listener, released))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        released.set()
        thread.join()


def test_silent_archive(silent_url):
    with pytest.raises(UnreachableError, match=r"no answer within 0.2 seconds; try again later"):
        connect(silent_url, timeout=0.2, retries=1).get(PATH, "*/*")


def test_archive_that_sends_a_byte_now_and_then(archive):
    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(1000):
            try:
                handler.wfile.write(b"x")
                handler.wfile.flush()
            except OSError:
                break
            time.sleep(0.05)
        handler.close_connection = True
        return True

    archive.misbehavior["GET", PATH] = drip
    start = time.monotonic()
    with pytest.raises(UnreachableError, match="no answer within"):
        get(archive, timeout=0.2, retries=0)
    assert time.monotonic() - start < 20  # all of it would take 50 seconds


def test_archive_that_is_not_there():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UnreachableError, match="connection refused; try again later"):
        connect(f"http://127.0.0.1:{port}").get(PATH, "*/*")


def test_something_else_than_http(archive):
    def junk(handler):
        handler.wfile.write(b"\x15\x03\x01\x00\x02\x02\x50" * 5)
        handler.close_connection = True
        return True

    archive.misbehavior["GET", PATH] = junk
    with pytest.raises(UnreachableError, match="the connection broke off"):
        get(archive, retries=0)


def test_waits_end_when_the_connection_is_closed(archive):
    archive.misbehavior["GET", PATH] = status(503, Retry_After="60")
    connection = connect(archive.url, retries=10)
    threading.Timer(0.3, connection.close).start()
    start = time.monotonic()
    with pytest.raises(UnreachableError):
        connection.get(PATH, "*/*")
    assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    "url",
    ["", "host", "ftp://host", "http://", "http://host:x", "http://host:0", "http://host/?q=1",
     "http://host/#f", "http://ho st/", "file:///etc/passwd", "http://host\r\nX: y/",
     "http://host/dicöm", "http://例え.jp/", "http://pacs..example/", f"http://{'a' * 64}.org/"],
)  # fmt: skip
def test_urls_that_are_none(url):
    with pytest.raises(InputError, match="is not the root of a DICOMweb service"):
        Connection(url)


def test_url_with_credentials_is_not_repeated():
    with pytest.raises(InputError, match="holds credentials") as caught:
        Connection("https://reader:SECRET@host/dicom-web")
    assert "SECRET" not in str(caught.value)


def test_url_may_end_with_a_slash():
    assert Connection("https://host/dicom-web//").url == "https://host/dicom-web"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timeout": 0}, "timeout must be above 0"),
        ({"timeout": float("nan")}, "timeout must be above 0"),
        ({"timeout": 1e5}, "at most 86400 seconds, got 100000"),
        ({"retries": -1}, "retries must be at least 0"),
        ({"max_bytes": 0}, "a byte at least"),
    ],
    ids=str,
)
def test_options_out_of_range(options, words):
    with pytest.raises(InputError, match=words):
        ConnectionOptions(**options)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is absent")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-keyout", folder / "key.pem", "-out", folder / "certificate.pem",
         "-subj", "/CN=archive", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    both = (folder / "key.pem").read_bytes() + (folder / "certificate.pem").read_bytes()
    (folder / "both.pem").write_bytes(both)
    return folder


@pytest.fixture
def tls_archive(archive, certificate):
    return protect(archive, certificate)


def protect(archive, certificate, *, asks_clients=False):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "both.pem")
    if asks_clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificate / "certificate.pem")
    archive.server.socket = context.wrap_socket(archive.server.socket, server_side=True)
    archive.url = archive.url.replace("http:", "https:")
    return archive


def test_certificate_that_is_not_trusted(tls_archive):
    with pytest.raises(AccessError, match="its certificate is not trusted"):
        get(tls_archive)
    assert not tls_archive.requests


def test_certificate_that_is_trusted(tls_archive, certificate):
    assert get(tls_archive, ca_file=certificate / "certificate.pem").status == 200


def test_certificate_of_another_name(tls_archive, certificate):
    tls_archive.url = tls_archive.url.replace("127.0.0.1", "localhost")
    with pytest.raises(AccessError, match="is not trusted"):
        get(tls_archive, ca_file=certificate / "certificate.pem")


def test_certificate_that_is_not_checked(tls_archive):
    assert get(tls_archive, verify=False).status == 200


def test_client_certificate(archive, certificate):
    protect(archive, certificate, asks_clients=True)
    trusted = {"ca_file": certificate / "certificate.pem", "retries": 0}
    with pytest.raises((AccessError, UnreachableError)):
        get(archive, **trusted)
    own = {"client_certificate": certificate / "both.pem"}
    assert get(archive, **trusted, **own).status == 200


def test_archive_without_tls(archive):
    with pytest.raises(AccessError, match="no secure connection"):
        connect(archive.url.replace("http:", "https:")).get(PATH, "*/*")


@pytest.mark.parametrize("option", ["ca_file", "client_certificate"])
def test_certificate_files_that_hold_none(tmp_path, option):
    path = tmp_path / "x.pem"
    with pytest.raises(InputError, match="does not exist"):
        connect("https://host", **{option: path})
    path.write_text("junk")
    with pytest.raises(InputError, match="holds no certificate in PEM"):
        connect("https://host", **{option: path})
