"""Conversion of raw downloads of data sets into COCO trees.

::

    contract, registry    what a data set tells the engine; the table of the sets
    run                   the engine
    image_files           one image in a worker process: pixels, regions of its lesions
    journal               what is done, to go on after a kill
    splits                splits and folds by patient
    parts                 splits, folds and labels: their names and those of their files
    annotations           COCO files
    provenance            hashes, counts, what was left out
    contact_sheet         a page for the eye
    tables, raw_files     for the sets: index tables, files that no table names
    problems              for the sets: problems that are told at once

Every other module or folder is a data set.
"""
