"""How closely the parameters of a universe are found."""

from __future__ import annotations

import numpy as np

from interactive_dl.science.cosmoflow.config import Config
from interactive_dl.science.cosmoflow.data import from_units, to_units


def score(config: Config, truth: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Errors on a set of samples.

    Args:
        config: says in which units the parameters are given.
        truth: as in the files, shape (samples, targets).
        found: the network's, same shape.

    Returns:
        ``mae``: mean absolute error, the ranges of all parameters mapped to [-1, 1] as MLPerf
        does; always answering the middle gives 0.5. ``mae_<target>``: of one of them.
        ``relative_<target>``: mean of |found - truth| / truth in the parameter's own unit, which
        is what arXiv:1808.04728 and NERSC/CosmoFlow report.
    """
    if config.variant == "mlperf":
        truth, found = from_units(truth, config), from_units(found, config)
    errors = np.abs(to_units(found, config) - to_units(truth, config)).mean(axis=0)
    relative = np.abs(found / truth - 1).mean(axis=0)
    names = [target.name for target in config.targets]
    return {
        "mae": float(errors.mean()),
        **{f"mae_{name}": float(error) for name, error in zip(names, errors, strict=True)},
        **{f"relative_{name}": float(error) for name, error in zip(names, relative, strict=True)},
    }
