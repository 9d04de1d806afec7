from medmask.inference.prediction_progress import PredictionProgress


def test_line_says_how_many_failed_or_were_refused():
    now, lines = 0, []
    with PredictionProgress(100, 20, report=lines.append, clock=lambda: now) as progress:
        for index in range(40):  # two seconds each
            now += 2
            progress.count({3: "refused", 17: "failed", 18: "failed"}.get(index, "done"))
    assert lines == [
        "detecting: 35 of 100 images, 1 refused, 0.50 a second, 0:02:10 left",
        "detecting: 50 of 100 images, 2 failed, 1 refused, 0.50 a second, 0:01:40 left",
    ]
