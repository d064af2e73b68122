"""Backward elimination of the models that the workflow fits, for comparison with R's step."""

import numpy as np

from recur.statistics.cox import backward, fit_cox
from recur.statistics.logistic import fit_or_penalised


def eliminate_cox(x, names, time, event, terms=None, **rule):
    x, terms = np.asarray(x, float), terms or [[j] for j in range(np.shape(x)[1])]
    return backward(lambda columns: fit_cox(x[:, columns], time, event), names, terms, **rule)


def eliminate_logistic(x, names, event, weight=None, **rule):
    x, terms = np.asarray(x, float), [[j] for j in range(np.shape(x)[1])]
    return backward(lambda columns: fit_or_penalised(x[:, columns], event, weight=weight), names, terms, **rule)
