"""Round trips with an archive: find studies, fetch mammograms, score them, store the results.

::

    round_trip     all studies, whatever one of them does
    study_visit    one study, from its images in the archive to its results there
    mammograms     which objects of a study are scored
    fetching       images as files, those of the next studies ahead of the model
    storing        results in the archive, fetched again and compared
    study_records  the outcome of each study, only ever appended to
    options        what is asked for
"""
