"""Floor 3: pyradiomics' features of one case, fast. `extract.extract_case` is the one entry.

`accelerate` holds every replacement of pyradiomics' inner work, `texture` and `filters` what is counted and filtered
in its place, `kernels` the compiled loops, `plain` the unmodified extractor (`engine: plain`), which odd cases fall
back to and everything is tested against.
"""
