#!/usr/bin/python3
"""Writes kfold.json: the validation folds of scikit-learn's KFold (k, shuffle=True, random_state=12345).

Without scikit-learn the same is done as its source does it, by NumPy's own RandomState; with it, both are compared.
Run: python3 kfold.py > kfold.json
"""
import json
import sys

import numpy as np


def folds_numpy(n, k):
    order = np.arange(n)
    np.random.RandomState(12345).shuffle(order)
    sizes = np.full(k, n // k)
    sizes[: n % k] += 1
    ends = np.cumsum(sizes)
    return [sorted(int(i) for i in order[e - s : e]) for s, e in zip(sizes, ends)]


def folds_sklearn(n, k):
    from sklearn.model_selection import KFold

    splitter = KFold(n_splits=k, shuffle=True, random_state=12345)
    return [[int(i) for i in val] for _, val in splitter.split(np.zeros(n))]


out = {}
for n in (2, 3, 4, 5, 7, 20, 32, 260, 1001):
    k = min(5, n)
    out[str(n)] = folds_numpy(n, k)
    try:
        assert folds_sklearn(n, k) == out[str(n)], n
    except ImportError:
        print("scikit-learn is not here: not compared", file=sys.stderr)
json.dump(out, sys.stdout)
