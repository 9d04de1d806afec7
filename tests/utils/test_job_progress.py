from medmask.utils.job_progress import JobProgress


def test_estimate_goes_on_at_the_pace_so_far():
    lines, seconds = [], iter([100, 400, 1000])
    progress = JobProgress(4, 2, lines.append, clock=lambda: next(seconds))
    progress.tell("first")
    progress.tell("second")
    assert lines == [
        "4 to do, 2 at a time",
        "[1/4] first; about 15 minutes left",
        "[2/4] second; about 15 minutes left",
    ]


def test_nothing_to_do_says_nothing():
    lines = []
    JobProgress(0, 1, lines.append)
    assert lines == []
