"""The words of the field: identifiers of methods, criteria and solvers, and what people read instead."""

from __future__ import annotations

from typing import Literal

Method = Literal["gif", "fif", "pif", "if", "gradient", "koh", "if2"]
Criterion = Literal[
    "top-outputs",
    "top-gradients",
    "threshold",
    "random",
    "lowest-outputs",
    "lowest-gradients",
    "threshold-published",
]
Solver = Literal["cgls", "lsmr", "neumann", "neumann-published", "minres", "cg", "lissa", "direct"]
#: Solvers of symmetric systems, which GIF's is not.
SYMMETRIC: tuple[Solver, ...] = ("minres", "cg", "lissa")

#: What people read instead of the identifiers: label for every choice of every spec, and for the reference rows.
LABELS: dict[str, str] = {
    "gif": "GIF",
    "fif": "FIF",
    "pif": "PIF",
    "if": "IF",
    "gradient": "gradient step",
    "koh": "IF (Koh & Liang)",
    "if2": "IF2 (second order)",
    "original": "original model",
    "retrain": "retrained (cold start)",
    "retrain_warm": "retrained (warm start)",
    "top-outputs": "top-k outputs",
    "top-gradients": "top-k gradients",
    "threshold": "threshold",
    "random": "random",
    "lowest-outputs": "lowest-k outputs (control)",
    "lowest-gradients": "lowest-k gradients (control)",
    "threshold-published": "threshold (as published)",
    "cgls": "CGLS",
    "lsmr": "LSMR",
    "neumann": "Neumann series",
    "neumann-published": "Neumann series (search as published)",
    "minres": "MINRES",
    "cg": "CG",
    "lissa": "LiSSA",
    "direct": "direct (dense, float64)",
    "hessian": "Hessian",
    "gauss-newton": "Gauss–Newton",
    "forget": "from the forget group",
    "retain": "from the retain set",
    "held-out": "held-out half of the test set",
    "whole": "whole test set (as published)",
    "exact": "exact",
    "published": "as published",
    "drawn": "drawn here",
    "steps": "a few at a time",
    "group": "all at once",
    "checkerboard": "checkerboard",
    "corner": "square in a corner",
    "frame": "frame",
    "relabelling": "relabelling",
    "removal": "removal",
    "dense": "small dense",
    "own": "its own",
    "each": "for each α",
    "once": "once",
    "cross-entropy": "cross entropy",
    "squared-error": "squared error",
    "squared": "squared",
    "plain": "not squared (published)",
    "train": "training images",
    "test-first": "first test images (as published)",
    "auto": "automatic",
    "lanczos": "Lanczos",
    "no": "no",
    "yes": "yes",
}
