"""What is learnt, from training rows only: stability, ranking, signature, models, cut-points.

`whole.fit` is all of it in one function. It never sees a held-out row, and rooms that judge or apply do not import it.
"""
