from medmask.inference.prediction_progress import PredictionProgress


def test_line_every_thirty_seconds_with_an_estimate():
    now, lines = [0.0], []
    with PredictionProgress(100, 20, report=lines.append, clock=lambda: now[0]) as progress:
        for index in range(20):  # two seconds each
            now[0] += 2
            progress.count("refused" if index == 3 else "done")
    assert lines == ["35 of 100 images, 1 refused, 0.50 a second, 0:02:10 left"]
