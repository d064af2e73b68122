"""Floor 3: pyradiomics' features of one case, fast. `extract.extract_case` is the one entry.

`accelerate` holds every replacement of pyradiomics' inner work, `kernels` the compiled loops, `plain` the unmodified
extractor that everything falls back to and is tested against.
"""
