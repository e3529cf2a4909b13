import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from comould.register._messages import read_message, write_message

ARRAYS = st.dictionaries(
    st.text(min_size=1, max_size=8),
    hnp.arrays(st.sampled_from([np.float32, np.uint8, np.int64, np.float64]), hnp.array_shapes(max_dims=3, max_side=5)),
    max_size=3,
)


@given(st.dictionaries(st.text(max_size=6), st.integers() | st.text(max_size=9)), ARRAYS)
def test_what_is_written_is_read(head, arrays):
    stream = io.BytesIO()
    write_message(stream, head, arrays)
    write_message(stream, {"next": 1})
    stream.seek(0)
    got, found = read_message(stream)
    assert got == head
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    assert read_message(stream) == ({"next": 1}, {})


def test_the_end_of_the_pipe_is_told_from_a_message():
    stream = io.BytesIO()
    write_message(stream, {"a": 1}, {"x": np.arange(9.0)})
    for length in (0, 3, 12, len(stream.getvalue()) - 1):
        with pytest.raises(EOFError, match=r"^$"):
            read_message(io.BytesIO(stream.getvalue()[:length]))


def test_nonsense_is_refused_before_memory_is_taken():
    with pytest.raises(ValueError, match="a message head of"):
        read_message(io.BytesIO(struct.pack("<Q", 1 << 60)))


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b"7",
        b"{",
        b"\xff\xfe",
        b'{"head": {}}',
        b'{"head": 1, "arrays": []}',
        b'{"head": {}, "arrays": [["x"]]}',
        b'{"head": {}, "arrays": [["x", -1]]}',
        b'{"head": {}, "arrays": [["x", 1e300]]}',
        b'{"head": {}, "arrays": [["x", 9999999999999999]]}',
        b'{"head": {}, "arrays": [["x", 3]]}abc',
    ],
)
def test_what_is_no_message_is_refused(text):
    length = text.index(b"}abc") + 1 if text.endswith(b"abc") else len(text)
    with pytest.raises(ValueError, match=r"."):
        read_message(io.BytesIO(struct.pack("<Q", length) + text))


def test_no_pickles_travel():
    with pytest.raises(ValueError, match="allow_pickle"):
        write_message(io.BytesIO(), {}, {"x": np.array([object()])})
