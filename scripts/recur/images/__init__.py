"""Floor 2: images and masks in, cropped cases out. Geometry is checked and regions are made here, nowhere else.

`read` opens files, `regions` makes the rim, `case` crops and stores, `qc` draws the picture to look at.
"""
