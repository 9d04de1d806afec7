"""Files of results that are written in parts."""

import json

import pytest

from medmask.inference.result_files import _ROWS_AT_ONCE, open_json, open_parquet


@pytest.mark.parametrize("count", [0, 1, 3])
def test_json_is_what_the_standard_library_writes(tmp_path, count):
    rows = [{"name": "ä", "box": [number, 0.5], "empty": None} for number in range(count)]
    with open_json(tmp_path / "rows.json") as writer:
        for row in rows:
            writer.write(row)
    assert (tmp_path / "rows.json").read_text() == json.dumps(rows, indent=1) + "\n"


@pytest.mark.parametrize("count", [0, 1, _ROWS_AT_ONCE, _ROWS_AT_ONCE + 1])
def test_parquet_has_each_row_once_in_order(tmp_path, count):
    parquet = pytest.importorskip("pyarrow.parquet")
    with open_parquet(tmp_path / "rows.parquet", {"number": int, "text": str}) as writer:
        for number in range(count):
            writer.write({"number": number, "text": None if number % 2 else str(number)})
    table = parquet.read_table(tmp_path / "rows.parquet")
    assert table.column("number").to_pylist() == list(range(count))
    assert table.column("text").null_count == count // 2
    metadata = parquet.read_metadata(tmp_path / "rows.parquet")
    assert metadata.num_row_groups == -(-count // _ROWS_AT_ONCE)
