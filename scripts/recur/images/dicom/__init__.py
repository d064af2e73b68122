"""One volume out of a DICOM folder: which series was meant, which slices belong to it, on which grid they lie.

Each module uses those before it: slices, pixels, parts, series, choice, volume. Classic slices and the frames of
enhanced multi-frame objects are the same here: a `Slice` with its own position and rescaling. Nothing of a file is
believed but that: not its name, not its number, not SliceThickness. Files inside a folder are told by their place in
name order, never by name: exports name files after patients.
"""
