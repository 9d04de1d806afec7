import json
import logging

from detectron2.utils.events import EventStorage

from medmask.engine.progress import ProgressLine, truncate_metrics


def test_lines_after_the_checkpoint_and_cut_lines_are_dropped(tmp_path):
    path = tmp_path / "metrics.json"
    lines = [json.dumps({"iteration": i, "loss": i / 3}) for i in (0, 10, 20, 30)]
    path.write_text("\n".join(lines) + '\n{"iteration": 5, "lo')
    truncate_metrics(path, start_iter=20)
    assert path.read_text() == "".join(line + "\n" for line in lines[:2])


def test_a_run_without_metrics_stays_without(tmp_path):
    truncate_metrics(tmp_path / "metrics.json", start_iter=20)
    assert not list(tmp_path.iterdir())


def test_progress_line_tells_time_left_losses_and_memory(caplog):
    with EventStorage(0) as storage, caplog.at_level(logging.INFO):
        for iteration in range(5):
            storage.iter = iteration
            storage.put_scalars(loss_box=2.0, time=3.0, data_time=0.5, lr=1e-3)
        ProgressLine(max_iter=25).write()
    line = caplog.messages[-1]
    assert "iteration 5/25" in line
    assert "left 0:01:00" in line
    assert "loss_box 2" in line
    assert "3.000 s/iteration (0.500 waiting for data)" in line
    assert "lr 0.001" in line
    assert int(line.split("memory ")[1].split(" MiB")[0]) > 10
