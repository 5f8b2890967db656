#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Draws the losses of a run's metrics.jsonl as an SVG, and prints them as a Markdown table.

  python3 bench/plot_metrics.py out/metrics.jsonl docs/training-curve.svg
"""
import json
import math
import sys

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, MEAN = 640, 360, 48, 32, 12, 50


def main():
    with open(sys.argv[1]) as f:
        lines = [json.loads(line) for line in f]
    steps = lines[-1]["step"]
    low = math.floor(2 * min(x["loss"] for x in lines)) / 2
    high = math.ceil(max(x["loss"] for x in lines))

    def at(step, loss):
        x = LEFT + (WIDTH - LEFT - 8) * step / steps
        y = TOP + (HEIGHT - TOP - BOTTOM) * (high - loss) / (high - low)
        return f"{x:.1f},{y:.1f}"

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
             f'font-size="11"><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for loss in range(math.ceil(low), high + 1):
        x, y = at(0, loss).split(",")
        parts.append(f'<path d="M{x},{y}H{WIDTH - 8}" stroke="#ddd"/><text x="{LEFT - 8}" y="{float(y) + 4:.1f}" '
                     f'text-anchor="end">{loss}</text>')
    for i in range(5):
        x, _ = at(steps * i / 4, low).split(",")
        parts.append(f'<text x="{x}" y="{HEIGHT - 10}" text-anchor="middle">{steps * i // 4}</text>')
    train = " ".join(at(x["step"], x["loss"]) for x in lines)
    held = [x for x in lines if "val_loss" in x]
    parts.append(f'<polyline points="{train}" fill="none" stroke="#9bc" stroke-width="1"/>')
    parts.append(f'<polyline points="{" ".join(at(x["step"], x["val_loss"]) for x in held)}" fill="none" '
                 'stroke="#c40" stroke-width="2"/>')
    for x in held:
        cx, cy = at(x["step"], x["val_loss"]).split(",")
        parts.append(f'<circle cx="{cx}" cy="{cy}" r="3" fill="#c40"/>')
    parts.append(f'<text x="{WIDTH - 12}" y="{TOP + 14}" text-anchor="end">nats a token: training (blue), '
                 'held back (red)</text></svg>')
    with open(sys.argv[2], "w") as f:
        f.write("\n".join(parts) + "\n")
    print(f"| step | training loss, mean of {MEAN} steps | held back |\n| --- | --- | --- |")
    for x in held:
        last = [y["loss"] for y in lines[max(0, x["step"] - MEAN):x["step"]]]
        print(f"| {x['step']} | {sum(last) / len(last):.3f} | {x['val_loss']:.3f} |")


if __name__ == "__main__":
    main()
