"""Conversion of raw downloads of data sets into COCO trees.

::

    contract, registry    what a data set tells the engine; the table of the sets
    run                   the engine: the steps of a conversion
    options               choices of a user, and what does not go with them
    contents              what a set's reader found, put in order
    image_files           one image in a worker process: pixels, regions of its lesions
    image_writing         the images, by worker processes
    journal               what is done, to go on after a kill
    splits                splits and folds by patient, and the images of each part
    parts                 splits, folds and labels: their names and those of their files
    annotations           content of a COCO file
    annotation_files      the COCO files, one for each label and part
    provenance            hashes, counts, what was left out
    contact_sheet         a page for the eye
    tables, list_cells    for the sets: index tables, lists in their cells
    raw_files             for the sets: an index by its name, files that no index names
    problems              for the sets: problems that are told at once

Every other module or folder is a data set.
"""
