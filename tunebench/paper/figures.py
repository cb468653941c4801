"""Figures 3 to 6 as SVG files, drawn with matplotlib (the extra ``plots``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tunebench.errors import UsageError
from tunebench.paper.analysis import SCALES
from tunebench.paper.compare import COLUMNS
from tunebench.paper.experiments import Runs
from tunebench.paper.published import info_of, of_dataset, published
from tunebench.paper.tables import by_seed

PROTOCOLS = ("paper", "holdout")
COLOURS: Mapping[str, str] = {"paper": "#1f77b4", "holdout": "#ff7f0e", "published": "#555555"}
LABELS: Mapping[str, str] = {
    "paper": "originals of the paper protocol",
    "holdout": "originals of the held-out protocol",
}
DPI = 110


def require_matplotlib() -> None:
    """UsageError when the plots cannot be drawn; to be called before anything is run."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as exc:
        raise UsageError("tunebench paper draws plots; install them with: pip install 'tunebench[plots]'") from exc


def draw(runs: Runs, sweeps: Mapping[str, Any], out: Path) -> dict[str, str]:
    """Draw every figure whose data is there into ``out/figures``; returns file names by figure name."""
    drawn: dict[str, str] = {}
    makers: dict[str, Callable[[], Any]] = {
        "Figure 3": lambda: figure3(sweeps["figure3"]),
        "Figure 4": lambda: figure4(sweeps["figure4"]),
        "Figure 5": lambda: figure5(sweeps["figure5"]),
        "Figure 6": lambda: figure6(runs),
    }
    (out / "figures").mkdir(parents=True, exist_ok=True)
    for name, make in makers.items():
        figure = make()
        if figure is not None:
            drawn[name] = f"figures/{name.lower().replace(' ', '')}.png"
            figure.savefig(out / drawn[name], dpi=DPI, metadata={"Software": None})
    return drawn


def canvas(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    """A figure without pyplot's global state, and its axes (rows, columns)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def curves(axis: Any, x: Sequence[float], seeds: Sequence[Sequence[float]], column: str) -> None:
    """One thin line per seed, in per cent, and a thick one for the mean as far as all seeds reach."""
    for values in seeds:
        axis.plot(x[: len(values)], 100 * np.array(values), color=COLOURS[column], lw=0.6, alpha=0.4)
    shared = min(map(len, seeds))
    mean = 100 * np.mean([values[:shared] for values in seeds], axis=0)
    axis.plot(x[:shared], mean, color=COLOURS[column], lw=2, marker="o" if shared < 2 else None, label=LABELS[column])


def figure3(by_dataset: Mapping[str, Mapping[str, Any]]) -> Any:
    """TA and OA against n, one row per data set."""
    if not by_dataset:
        return None
    figure, axes = canvas(len(by_dataset), 2, (9, 3.2 * len(by_dataset)))
    for row, (name, by_protocol) in zip(axes, by_dataset.items(), strict=True):
        info, chosen = info_of(name), of_dataset("chosen", name)["smvt-sj"]
        for axis, metric in zip(row, ("ta", "oa"), strict=True):
            for protocol in PROTOCOLS:
                values = [one[metric] for one in by_protocol[protocol]]
                curves(axis, range(1, 1 + max(map(len, values))), values, protocol)
            mark(axis, chosen["n"], of_dataset("table4", name)["smvt-sj"][metric])
            axis.set(xlabel="n, number of synapses", ylabel=f"{metric.upper()} on test, %")
            axis.set_title(f"{info['title']}, class {info['target']}, scale {chosen['scale']:g}", fontsize=10)
    axes[0, 0].legend(fontsize=8)
    return figure


def figure4(by_protocol: Mapping[str, Any]) -> Any:
    """TA and OA against the scale, MNIST."""
    if not by_protocol:
        return None
    figure, axes = canvas(1, 2, (9, 3.4))
    chosen = published()["chosen"]["mnist"]["smvt-sj"]
    for axis, metric in zip(axes[0], ("ta", "oa"), strict=True):
        for protocol in PROTOCOLS:
            curves(axis, SCALES, [one[metric] for one in by_protocol[protocol]], protocol)
        mark(axis, chosen["scale"], published()["table4"]["mnist"]["smvt-sj"][metric])
        axis.set(xlabel="scale", ylabel=f"{metric.upper()} on test, %")
        axis.set_title(f"MNIST, class 5, n = {chosen['n']}", fontsize=10)
    axes[0, 0].legend(fontsize=8)
    return figure


def mark(axis: Any, x: float, y: float) -> None:
    """The published point."""
    axis.plot([x], [y], "x", color=COLOURS["published"], ms=9, mew=2, label="published choice")
    axis.grid(alpha=0.3)


def figure5(trace: Mapping[str, Any] | None) -> Any:
    """Test accuracy of every class while training."""
    if not trace:
        return None
    figure, axes = canvas(1, 1, (8, 4.5))
    axis = axes[0, 0]
    for label, values in enumerate(np.array(trace["per_class"]).T):
        axis.plot(trace["steps"], 100 * values, lw=1.2, color=f"C{label}", label=f"class {label}")
    axis.plot(trace["steps"], 100 * np.array(trace["oa"]), color="black", lw=2, label="OA")
    axis.set(xlabel="SGD step (batches of 64)", ylabel="accuracy on test, %")
    axis.set_xscale("symlog", linthresh=1000)
    axis.set_xlim(0, trace["steps"][-1])
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, ncol=2)
    return figure


def figure6(runs: Runs) -> Any:
    """Latency of one sample, original and tuned, and the published bars beside them."""
    figures = published()["figure6"]
    bars: dict[str, list[float]] = {}
    for protocol in ("published", *PROTOCOLS):
        for model, printed in figures.items():
            for tuner in ("original", "smvt-sj"):
                place = ("mnist", model, "5", tuner)
                times = [r["latency_us"] for r in by_seed(runs, protocol, place).values() if "latency_us" in r]
                value = 1000 * printed[tuner] if protocol == "published" else np.median(times) if times else np.nan
                bars.setdefault(protocol, []).append(float(value))
    if all(np.isnan([*bars["paper"], *bars["holdout"]])):
        return None
    figure, axes = canvas(1, 1, (7, 3.6))
    axis, x = axes[0, 0], np.arange(2 * len(figures))
    for shift, (protocol, heights) in enumerate(bars.items()):
        drawn = axis.bar(x + 0.27 * (shift - 1), heights, 0.25, color=COLOURS[protocol])
        drawn.set_label(COLUMNS.get(protocol, "published"))
        axis.bar_label(drawn, fmt="%.1f", fontsize=8)
    axis.set_xticks(x, [f"{model}\n{kind}" for model in figures for kind in ("original", "SMVT-SJ")])
    axis.set_ylabel("one sample on the CPU, µs")
    axis.margins(y=0.25)
    axis.legend(fontsize=8, ncol=3, loc="upper left")
    return figure
