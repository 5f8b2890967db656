#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The 2,000 steps of docs/training.md by PyTorch: same initial weights, data order, held-back windows.

  python3 tests/oracle/train_curve.py build/release/libmilo.so tinystories_a.tok512.u16 > curve.tsv

Prints step, training loss and, every 250 steps, the loss over the windows held back.
"""
import math
import os
import sys
import tempfile

import numpy as np
import torch

import train_parity as parity

STEPS, BATCH, SEQ, SEED, LR, WARMUP, MIN_RATIO, EVAL_EVERY, EVAL_BATCHES = 2000, 16, 256, 0, 3e-3, 100, 0.1, 250, 20
MODEL = dict(dim=64, hidden=172, layers=5, heads=8, kv_heads=4, head_dim=8, seq=512, vocab=512, untied=False)


def main():
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    parity.SEED = SEED
    with tempfile.TemporaryDirectory() as folder:
        weights = parity.initial_weights(sys.argv[1], MODEL, os.path.join(folder, "initial.bin"))
    params = {k: torch.nn.Parameter(torch.from_numpy(v)) for k, v in weights.items()}
    optimizer = torch.optim.AdamW(
        [{"params": [v for k, v in params.items() if "norm" not in k], "weight_decay": 0.1},
         {"params": [v for k, v in params.items() if "norm" in k], "weight_decay": 0.0}],
        lr=LR, betas=(0.9, 0.95), eps=1e-8)
    cos, sin = parity.rope_tables(MODEL, SEQ)
    ids = np.fromfile(sys.argv[2], dtype="<u2").astype(np.int64)
    train_count = int(len(ids) * (1 - 0.05))
    val_places = len(ids) - train_count - SEQ
    rows = BATCH * EVAL_BATCHES

    def loss_at(starts):
        windows = torch.from_numpy(np.stack([ids[s:s + SEQ + 1] for s in starts]))
        return parity.forward(params, MODEL, windows[:, :-1], windows[:, 1:], cos, sin)

    for step in range(STEPS):
        rate = LR * min(1.0, (step + 1) / WARMUP)
        rate *= MIN_RATIO + (1 - MIN_RATIO) * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = loss_at([parity.rng_below(SEED, 1, step * BATCH + r, train_count - SEQ) for r in range(BATCH)])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params.values(), 1.0)
        optimizer.step()
        held_back = ""
        if (step + 1) % EVAL_EVERY == 0:
            with torch.no_grad():
                starts = [train_count + int(i / rows * val_places) for i in range(rows)]
                parts = [loss_at(starts[i:i + BATCH]).item() for i in range(0, rows, BATCH)]
            held_back = f"\t{sum(parts) / len(parts):.6f}"
        print(f"{step + 1}\t{loss.item():.6f}{held_back}", flush=True)


if __name__ == "__main__":
    main()
