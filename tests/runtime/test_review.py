"""The page on this computer alone: who knows its address sees it, and says what recordings are."""

import json
import threading
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from models import RATE, make_info

from humtune.errors import UsageError
from humtune.runtime.labels import LABELS, read_labels, read_reviewed
from humtune.runtime.log import log_path, read_log
from humtune.runtime.page import PAGE, Recent, write_page
from humtune.runtime.recordings import Listener
from humtune.runtime.results import DETAILS, ResultFiles, detail_name
from humtune.runtime.review import Review
from humtune.runtime.scorer import Scorer


@pytest.fixture
def folder(model, record, tmp_path):
    folder = tmp_path / "scores"
    with ResultFiles(folder, make_info()) as results:
        results.write(Listener(Scorer.open(model)).score(record("a.wav", 0.3)))
    write_page(folder, Recent(folder).strangest(), RATE)
    (folder / DETAILS).mkdir()
    (folder / DETAILS / "a.png").write_bytes(b"picture")
    (folder / DETAILS / "a.json").write_bytes(b"{}")
    (tmp_path / "secret.png").write_bytes(b"not yours")
    return folder


@pytest.fixture
def server(folder):
    with Review(folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server, path, body=None, **headers):
    connection = HTTPConnection(*server.server_address[:2], timeout=10)
    connection.request("GET" if body is None else "POST", path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def test_a_folder_without_a_page_and_a_port_that_is_taken_are_refused(tmp_path, server):
    with pytest.raises(UsageError, match=r"nowhere: no such folder; humtune score"):
        Review(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=rf"{PAGE}: a file; name the folder that it lies in"):
        Review(server.folder / PAGE)
    with pytest.raises(
        UsageError, match=r"no results to look at, it has no index.html; humtune score writes"
    ):
        Review(tmp_path)
    with pytest.raises(UsageError, match=rf"--port {server.server_address[1]}: can't be listened on"):
        Review(server.folder, server.server_address[1])


def test_the_page_and_what_it_shows_are_there_and_nothing_else(server):
    assert server.server_address[0] == "127.0.0.1"
    below = urlsplit(server.address).path
    assert ask(server, below) == (200, (server.folder / "index.html").read_bytes())
    assert ask(server, f"{below}{DETAILS}/a.png") == (200, b"picture")
    for other in (
        f"{DETAILS}/b.png",
        f"{DETAILS}/a.json",
        log_path(server.folder).name,
        "../secret.png",
        f"{DETAILS}/../../secret.png",
        f"{DETAILS}/..%2f..%2fsecret.png",
        f"{DETAILS}/%00.png",
    ):
        assert ask(server, below + other) == (404, b"not here"), other


def test_labels_of_no_kind_are_told_until_they_are_mended(server):
    below = urlsplit(server.address).path
    (server.folder / LABELS).write_text("recording,label,time\n/a.wav,Bad,\n")
    status, told = ask(server, below)
    assert status == 500
    assert b"labels.csv: expected recording,label,time, a label of healthy, bad, unsure; got 'Bad'" in told
    (server.folder / LABELS).unlink()
    assert ask(server, below)[0] == 200


def test_without_the_secret_or_by_another_name_there_is_nothing(server):
    below = urlsplit(server.address).path
    other = "/y" if below[1] == "x" else "/x"
    for path in ("/", "/index.html", below[:-1], other + below[2:], "//", "/%ff/"):
        assert ask(server, path)[0] == 404, path
    assert ask(server, below, Host="elsewhere.example")[0] == 404
    assert ask(server, "/labels", b"{}")[0] == 404


def test_a_label_is_appended_and_shown(server):
    below, (entry,) = urlsplit(server.address).path, read_log(server.folder)
    said = {"recording": detail_name(entry.file), "label": "bad"}
    assert ask(server, f"{below}labels", json.dumps(said)) == (200, b"saved")
    assert ask(server, f"{below}labels", json.dumps(said | {"label": "healthy"})) == (200, b"saved")
    assert [(name, said.label) for name, said in read_labels(server.folder).items()] == [
        (entry.file, "healthy")
    ]
    assert len((server.folder / LABELS).read_text().splitlines()) == 3
    assert f'{json.dumps(entry.file)}: ["healthy", ' in ask(server, below)[1].decode()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", b"expected a recording and a label"),
        (b"[]", b"expected a recording and a label"),
        (b'{"recording": "x"}', b"expected a recording and a label"),
        (b'{"recording": "x", "label": "bad"}', b"no such recording in the log"),
    ],
)
def test_what_is_no_label_is_refused(server, body, told):
    below = urlsplit(server.address).path
    assert ask(server, f"{below}labels", body) == (400, told)
    (entry,) = read_log(server.folder)
    wrong = {"recording": detail_name(entry.file), "label": "good"}
    assert ask(server, f"{below}labels", json.dumps(wrong))[0] == 400
    assert ask(server, f"{below}labels", b"x" * 20_000)[0] == 404
    assert not (server.folder / LABELS).exists()


def test_what_no_file_can_be_called_is_gone(record, tmp_path):
    good, long = record("a.wav", 0.3), tmp_path / f"{'x' * 300}.wav"
    table = tmp_path / LABELS
    table.write_text(f"recording,label,time\n{good},healthy,\n{long},bad,\n{long}2,unsure,\n")
    found = read_reviewed(table)
    assert (found.healthy, found.bad, found.unsure, found.gone) == ((good,), (), (), (long,))
    table.write_text(f"recording,label,time\n{long},bad,\n")
    with pytest.raises(UsageError, match="no recording in it is there any more"):
        read_reviewed(table)
