"""Pure functions on images: geometry, consensus, readers' agreement, lesions, label maps.

Images are SimpleITK images; their sizes, spacings, origins and directions are ordered xyz, in mm
and in DICOM's patient coordinates (LPS). Arrays are numpy arrays ordered zyx, as
`SimpleITK.GetArrayFromImage` returns them. Nothing here knows Kedro or nnU-Net, and nothing here
changes its arguments.
"""
