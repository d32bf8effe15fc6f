"""Published numbers, to be shown beside our own and always named as published.

[P]: Lyu et al., "Generalized influence functions", arXiv 2312.05586v1. [A]: facts read from its authors' public code
and its stored runs. [F]: Basu, Pope & Feizi, "Influence functions in deep learning are fragile", ICLR 2021.
[S]: Schioppa et al., "Theoretical and practical perspectives on what influence functions do", NeurIPS 2023.
[T]: the tutorial "influence functions from scratch".
"""

from __future__ import annotations

import pandas as pd

PAPER = "Lyu et al., arXiv 2312.05586v1"

#: [P] Table 1: ResNet-18 on MNIST without "8"; criterion → (self-loss, test loss) at MR 5, 10, 30, 50 %.
CRITERIA_MRS = (5.0, 10.0, 30.0, 50.0)
CRITERIA: dict[str, tuple[tuple[float, float], ...]] = {
    "top-outputs": ((6.23, 0.05), (6.21, 0.11), (5.13, 0.64), (4.89, 0.69)),
    "top-gradients": ((6.24, 0.04), (6.29, 0.12), (4.95, 1.02), (4.89, 0.81)),
    "threshold": ((4.42, 0.09), (4.81, 0.65), (3.71, 1.78), (4.33, 1.18)),
    "random": ((4.42, 0.08), (4.79, 0.60), (3.36, 2.63), (4.26, 1.46)),
}
CRITERIA_SETTING = "Table 1: ResNet-18, MNIST, class 8 removed by GIF; s in a scaling of the authors"

#: [P] Table 2: VGG-11 on CIFAR-10 without "ship", top-k outputs; method → time in ms, then for MR 10, 30, 50 %:
#: (test accuracy %, test loss, self-accuracy %, self-loss, score). Retraining has one row for all.
METHODS_MRS = (10.0, 30.0, 50.0)
METHODS: dict[str, tuple[float | None, tuple[tuple[float, float, float, float, float], ...]]] = {
    "gif": (522, ((86.40, 0.51, 0.43, 6.135, 0.93), (83.59, 0.60, 3.10, 7.29, 0.90), (76.62, 1.98, 5.03, 6.89, 0.85))),
    "fif": (529, ((85.16, 0.60, 1.73, 6.129, 0.91), (77.42, 0.97, 5.95, 6.80, 0.85), (70.99, 1.36, 7.23, 6.26, 0.80))),
    "pif": (
        546,
        ((63.53, 1.98, 14.76, 5.09, 0.73), (66.21, 1.82, 18.21, 4.91, 0.73), (62.76, 1.98, 12.56, 5.39, 0.73)),
    ),
    "retrain": (None, ((91.34, 0.36, 0.0, 9.85, 0.95),)),
}
METHODS_SETTING = "Table 2: VGG-11, CIFAR-10, class ship removed, top-k outputs, one RTX 3090"

#: [A] mean scores of ten runs at MR 10 % with top-k gradients, by removed class.
AUTHORS_RUNS: dict[int, dict[str, float]] = {
    0: {"gif": 0.932, "fif": 0.926, "pif": 0.920},
    1: {"gif": 0.929, "fif": 0.912, "pif": 0.904},
}
AUTHORS_SETTING = (
    "the authors' own last runs on CIFAR-10: top-k gradients, MR 10 %, ten runs; curvature, metrics and choice of s "
    "all from the test set"
)

#: [P] Fig. 5, [A]: ten runs; accuracy in % as (mean, standard deviation), None where no deviation is given: triggered
#: images with the corrupt label, triggered images with the right label, clean images.
BACKDOOR: dict[str, tuple[tuple[float, float | None], ...]] = {
    "gif": ((11.5, 0.5), (95.4, 0.4), (98.3, 0.7)),
    "fif": ((16.2, 6.8), (88.8, 5.4), (91.1, 4.5)),
    "pif": ((11.8, 0.8), (92.3, 1.0), (95.8, 0.3)),
    "if": ((14.2, None), (93.3, None), (97.8, None)),
    "if2": ((21.8, None), (86.3, None), (98.2, None)),
    "retrain": ((9.4, None), (99.98, None), (99.96, None)),
}
BACKDOOR_SETTING = "Fig. 5 and its table: MNIST, the four-convolution CNN, MR 5 % top-k outputs, ten runs"

#: [A] share of negative eigenvalues in % among the 500 largest in magnitude as (α, share), by the name of the run.
SPECTRUM: dict[str, tuple[tuple[float, float], ...]] = {
    "mse": ((0.0, 4.59), (0.06, 0.0)),
    "cross_entropy": ((0.0, 18.4), (0.25, 10.9)),
}
SPECTRUM_SETTING = (
    "Fig. 3 and the authors' stored runs: 784-8-8-10 on MNIST, 500 largest of 6,442 eigenvalues, first 512 test "
    "images, regulariser α/2·‖θ‖ (not squared); the figure's legend appears to exchange the two losses"
)

#: Exact values on the data of the authors' notebook for Fig. 2, all outliers removed at once from the least-squares
#: start; method → (first weight, second weight, loss over what remains). Checked apart: [P] prints no numbers.
TOY: dict[str, tuple[float, float, float]] = {
    "fif": (0.551, 1.428, 0.5006),
    "gif": (0.772, 1.246, 0.5080),
    "pif": (-12.0, 9.0, 25.3),
}
TOY_START = 3.979
#: [A] centre of the contours of Fig. 2, which are drawn over other weights than the trajectories.
TOY_DRAWN = (1.123, 0.749)
TOY_SETTING = (
    "Fig. 2 prints no numbers; these are the exact values on the data of the authors' notebook (numpy seed 0), all "
    "outliers removed at once, mean squared error over what remains, and the centre of the contours that it draws"
)

#: [T] index of an outlier (y = 100) → what it is for the loss at the test point; harmful: more weight raises it.
TUTORIAL = {-5: "most harmful", 1: "most helpful"}
TUTORIAL_POINT = 3.2
TUTORIAL_SETTING = (
    'the tutorial "influence functions from scratch": y = −5x + 5 on x = −5, −4.5 … 4.5, noise 0.1, two outliers at '
    "y = 100, test point x = 3.2; its own recursion is broken, the statement is that of the exact Hessian"
)

#: [F] correlation of estimated with retrained changes on MNIST, test point of highest loss; network → (Pearson,
#: Spearman) with weight decay, then without.
FRAGILITY: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "small CNN": ((0.95, 0.87), (0.41, 0.35)),
    "LeNet": ((0.83, 0.51), (0.18, 0.12)),
    "VGG13": ((0.34, 0.44), (0.38, 0.31)),
    "ResNet18": ((0.49, 0.26), (0.14, 0.11)),
    "ResNet50": ((0.24, 0.22), (0.08, 0.13)),
}
FRAGILITY_SETTING = "Basu et al., ICLR 2021: MNIST; the small CNN on a tenth of it, top 100 points; large nets, top 40"

#: [S] in words: no number of theirs is known to us.
CORRECTING = "a few fine-tuning steps on its influential training examples repair a misprediction (no number here)"
CORRECTING_SETTING = "Schioppa et al., NeurIPS 2023: their own networks and data"


def criteria() -> pd.DataFrame:
    """Table 1 in tidy rows: criterion, mr, self_loss, test_loss."""
    rows = [
        {"criterion": criterion, "mr": mr, "self_loss": self_loss, "test_loss": test_loss}
        for criterion, cells in CRITERIA.items()
        for mr, (self_loss, test_loss) in zip(CRITERIA_MRS, cells, strict=True)
    ]
    return pd.DataFrame(rows)


def methods() -> pd.DataFrame:
    """Table 2 in tidy rows: method, mr (NaN for retraining), time_ms, test_accuracy, …, score."""
    names = ("test_accuracy", "test_loss", "self_accuracy", "self_loss", "score")
    rows = []
    for method, (time, cells) in METHODS.items():
        for mr, values in zip(METHODS_MRS if len(cells) > 1 else (None,), cells, strict=True):
            rows.append({"method": method, "mr": mr, "time_ms": time, **dict(zip(names, values, strict=True))})
    return pd.DataFrame(rows).astype({"mr": float, "time_ms": float})
