"""A chart of every kind, with labels that try to break out of a page, and what the analyses leave with them."""

from __future__ import annotations

import random

from memunlearn.charts.description import (
    BIN_COLOURS,
    MEMORIZED,
    NON_MEMORIZED,
    OTHERS,
    Bars,
    Chart,
    Distributions,
    Estimate,
    Estimates,
    Group,
    Heat,
    Lines,
    Scatter,
    Series,
    Violin,
    Violins,
)
from memunlearn.results.finding import Finding

HOSTILE = "<script>alert(1)</script> & &amp; <b>bold</b> $\\frac$ %{x} _"
LAYERS = [str(layer) for layer in range(12)]
COMPONENTS = ["q", "k", "v", "out", "mlp_in", "mlp_out"]


def series(label="memorized", colour=MEMORIZED, n=50, seed=0, **more):
    draw = random.Random(seed)
    y = [draw.uniform(1, 5) for _ in range(n)]
    return Series(
        label=label, x=list(range(n)), y=y, colour=colour, low=[v - 0.5 for v in y], high=[v + 0.75 for v in y], **more
    )


def gaps(seed=1):
    """A series with a gap at 3, and no interval at 7."""
    whole = series("non-memorized", NON_MEMORIZED, 10, seed)
    y = [None if place == 3 else value for place, value in enumerate(whole.y)]
    low = [None if place in (3, 7) else value for place, value in enumerate(whole.low)]
    return Series(label="non-memorized", x=whole.x, y=y, colour=NON_MEMORIZED, low=low, high=whole.high)


def lines(**more):
    return Lines(
        title="drop by position",
        x_label="position in the prefix",
        y_label="drop in EM (tokens)",
        series=(series(), gaps()),
        zero=True,
        **more,
    )


def scatter(n=200, **more):
    texts = [f"row {row} {HOSTILE}" for row in range(n)]
    return Scatter(
        title="every paragraph", x_label="EM", y_label="NLL (nats per token)", series=(series(n=n, text=texts), gaps()), **more
    )


def heat(seed=0, rows=LAYERS, columns=COMPONENTS, **more):
    draw = random.Random(seed)
    values = [[draw.uniform(0, 1 + row) for _ in columns] for row in range(len(rows))]
    options = {"unit": "nats per token", "marked": [(0, 2), (1, 0)] if len(rows) > 1 and len(columns) > 2 else []} | more
    return Heat(
        title="by component", row_label="layer", column_label="component", rows=rows, columns=columns, values=values, **options
    )


def distributions(seed=0, sizes=(1300, 200, 1, 0), **more):
    draw = random.Random(seed)
    labels = ("0-10", "11-29", "30-49", HOSTILE)
    values = [[draw.expovariate(1) + 0.01 for _ in range(size)] for size in sizes]
    groups = tuple(
        Group(label=label, values=drawn, colour=colour)
        for label, drawn, colour in zip(labels, values, BIN_COLOURS, strict=False)
    )
    return Distributions(title="NLL by bin", y_label="NLL (nats per token)", groups=groups, **more)


def bars(seed=0):
    draw = random.Random(seed)
    y = [draw.uniform(0, 1) for _ in range(5)]
    first = Series(label="one head", x=[], y=y, colour=OTHERS[0], low=[v - 0.1 for v in y], high=[v + 0.2 for v in y])
    second = Series(label=HOSTILE, x=[], y=[0.1, None, 0.3, 0.4, 0.5], colour=OTHERS[1])
    categories = ["gradient", "gradient_x_weight", "contrastive", "fisher", HOSTILE]
    return Bars("found", "AUPRC", categories, (first, second))


def estimates(seed=0):
    draw = random.Random(seed)
    labels = ("unlearn - edit (gradient)", "unlearn - edit, of the same text (random)", HOSTILE)
    rows = [
        Estimate(label, [mean + draw.gauss(0, 1) for _ in range(5)], mean)
        for mean, label in zip((-2.0, 0.5, 1.0), labels, strict=True)
    ]
    rows[0] = Estimate(labels[0], rows[0].points, -2.0, -3.25, -0.75)
    return Estimates(
        title="forget EM",
        x_label="difference (tokens)",
        rows=tuple(rows),
        points_label="seeds",
        mean_label="mean and 95 % interval",
    )


def violins(seed=0):
    draw = random.Random(seed)
    low, high = ([draw.gauss(middle, 4) for _ in range(1500)] for middle in (10, 30))
    rows = (Violin("unlearn, gradient", low, high), Violin(HOSTILE, [7.0] * 30, []), Violin("edit", high, [None, 3.0, 4.0]))
    return Violins(title="forget set", x_label="tokens", rows=rows, above_label="EM", below_label="self-EM")


KINDS = {
    "lines": lines,
    "scatter": scatter,
    "heat": heat,
    "distributions": distributions,
    "bars": bars,
    "estimates": estimates,
    "violins": violins,
}


def chart(*panels, name="chart", **more):
    return Chart(name=name, caption=f"A caption {HOSTILE}", alt=f"What is drawn {HOSTILE}", panels=panels, **more)


def charts():
    """One a kind, and one of all in two columns."""
    four = [heat(seed) for seed in range(4)]
    return [
        *(chart(make(), name=f"only-{kind}", columns=1) for kind, make in KINDS.items()),
        chart(*(make() for make in KINDS.values()), name="every-kind"),
        chart(*four, name="four-bins", shared=True),
    ]


def findings():
    numbers = {"auroc": 0.98765432, "memorized": {"n": 1442, "drop": 12345.678, "interval": [1e-5, 2.0]}, "token": HOSTILE}
    each = {"unit": "clusters, resampled whole", "numbers": numbers, "tables": {}, "notes": (f"3 rows left out {HOSTILE}",)}
    sentences = (f"Memorized text differs {HOSTILE}", "It is not sure.")
    return [
        Finding(name=f"analysis_{place}", title=f"What {one.name} shows {HOSTILE}", sentences=sentences, charts=(one,), **each)
        for place, one in enumerate(charts())
    ]
