import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from humtune.cli.report import track
from humtune.errors import UsageError
from humtune.ledger import Ledger

COMMAND = "import typer; from humtune.cli.report import track; typer.run(track)"


def test_a_search_that_is_not_there_is_named(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match=r"no search named 'hum' in .*; there are: hums"):
        track("hum", ledger.storage.uri)


@pytest.mark.integration
def test_two_at_once_on_a_fresh_storage_make_one_quiet_mirror(
    ledger: Ledger, tmp_path: Path, same: Callable[[str, Ledger], None]
) -> None:
    environment = {
        k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI", "PYTEST_CURRENT_TEST")
    }
    here = tmp_path / "here"
    here.mkdir()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", COMMAND, "hums", "--storage", ledger.storage.uri],
            cwd=here,
            env={**environment, "COLUMNS": "40"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=300) for process in processes]
    uri = f"sqlite:///{ledger.storage.uri}/mlflow.db"
    created = 0
    for process, (out, err) in zip(processes, answers, strict=True):
        assert process.returncode == 0, err
        assert [
            line for line in err.splitlines() if not re.fullmatch(r"hums: \d of 8|loading .* so far", line)
        ] == []
        where, counts, browse = out.splitlines()
        assert where == f"MLflow at {uri}"
        assert browse == f"to browse: mlflow ui --backend-store-uri {uri}"
        found = re.fullmatch(r"hums: (\d|no) runs? created, 0 updated, (\d) unchanged", counts)
        assert found, counts
        created += 0 if found[1] == "no" else int(found[1])
    assert created == 8
    same(uri, ledger)
    assert list(here.iterdir()) == []
    assert (ledger.storage.path("mlflow-artifacts") / "hums").is_dir()
