"""One run at a time: refused while a process lives, free once it is dead, however it died."""

import subprocess
import sys

import pytest

from comould.errors import InputError
from comould.study.run_lock import locked

HOLD = """
import sys, time
from pathlib import Path
from comould.study.run_lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True
    ) as one:
        assert one.stdout.readline() == "held\n"
        yield one
        one.kill()


def test_a_second_run_is_refused_until_the_first_is_dead(holder, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InputError, match=rf"another run \(process {holder.pid}\)"), locked(out):
        pass
    holder.kill()
    holder.wait()
    with locked(out):
        pass


def test_the_lock_is_free_again_after_the_block_and_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), locked(tmp_path):
        raise RuntimeError
    with locked(tmp_path), pytest.raises(InputError, match="another run"), locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="expected a folder that can be written to"), locked(tmp_path / "file" / "out"):
        pass
