import json


def test_store_is_opened_read_and_checked(run_tool, tmp_path):
    few = ("--images", 300, "--dim", 8, "--repeats", 2, "--json", tmp_path / "store.json")
    result = run_tool("benchmarks/expert_store.py", *few)
    assert result.returncode == 0, result.stderr
    figures = json.loads((tmp_path / "store.json").read_text())
    assert len(figures) == 5
    assert figures["read 300 images in random order, ms"] > 0
    # 300 images and their 150 lesions, in half precision
    assert figures["in the store, MiB"] > 450 * 8 * 2 / 2**20
    assert all(name in result.stdout for name in figures)
