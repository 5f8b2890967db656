#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Scores models on the held-back windows that another training script drew at given steps.

The figures that PyTorch's tiny_torch.py gives are means over 320 random windows, others at each
step. This runs the script up to its training loop, draws what the loop would draw without training,
and scores Milo's models on the same windows.

  python3 tests/oracle/score_windows.py tiny_torch.py tokens.u16 500=a.bin 1000=b.bin 2000=c.bin
"""
import sys

import torch

import train_curve as curve
import train_parity as parity


def main():
    script, data, *pairs = sys.argv[1:]
    models = {int(step): parity.read_model(path, curve.MODEL) for step, path in (p.split("=", 1) for p in pairs)}
    models = {s: {k: torch.from_numpy(v) for k, v in m.items()} for s, m in models.items()}
    cos, sin = parity.rope_tables(curve.MODEL, curve.SEQ)
    with open(script) as f:
        source = f.read().partition("t0=time.time()")[0]
    sys.argv[1:] = [data]
    peer = {}
    exec(source, peer)
    for step in range(max(models) + 1):
        if step % curve.EVAL_EVERY == 0:
            batches = [peer["batch"](peer["va"]) for _ in range(curve.EVAL_BATCHES)]
            if step in models:
                with torch.no_grad():
                    losses = [parity.forward(models[step], curve.MODEL, x, y, cos, sin).item() for x, y in batches]
                print(f"{step}\t{sum(losses) / len(losses):.4f}")
        peer["batch"](peer["tr"])


if __name__ == "__main__":
    main()
