"""A client of archives that speak DICOMweb (PS3.18): QIDO-RS, WADO-RS and STOW-RS.

::

    client          find studies and their instances, retrieve and store an instance
    study_filter    what studies are looked for
    connection      requests that are tried again, within limits of time and size
    tls             certificates: whom to trust, and who we are
    credentials     a user's name and password, or a token, from the environment or a file
    multipart       answers and requests of several parts
    dicom_json      DICOM's JSON, from strangers
    errors          refusals of an archive, and archives out of reach

Answers of an archive may hold the patient's data. No message of this package quotes any: it names
UIDs, statuses and elements.
"""
