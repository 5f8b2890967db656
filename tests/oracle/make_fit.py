#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Three networks for `milo fit`, and 20 steps of training them in PyTorch.

  python3 tests/oracle/make_fit.py          needs torch (CPU) and coremltools

Writes tests/oracle/fit/<name>/: the program that coremltools makes of the network (model.mil and
its weights), the data as .npy files, and losses.tsv, a line a step: the loss before the step's
update. AdamW with decay on parameters of rank 2 and more (0.01), batches in order, wrapping round.
"""
import os
import shutil
import subprocess
import sys
import tempfile

import coremltools as ct
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
TO_MIL = os.path.join(HERE, "..", "conformance", "package_to_mil.py")
STEPS, DECAY, BETAS, EPSILON = 20, 0.01, (0.9, 0.999), 1e-8


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.norm, self.fc2 = nn.Linear(12, 40), nn.LayerNorm(40), nn.Linear(40, 5)

    def forward(self, x):
        return self.fc2(F.gelu(self.norm(self.fc1(x))))


class Conv(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 3, padding=1)
        self.inner = nn.Conv2d(6, 6, 3, padding=1)
        self.down = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = F.relu(self.stem(x))
        x = x + F.relu(self.inner(x))
        return self.head(F.relu(self.down(x)).mean(dim=(2, 3)))


class Block(nn.Module):
    WIDTH, HEADS, LENGTH, VOCAB = 16, 2, 6, 23

    def __init__(self):
        super().__init__()
        d = self.WIDTH
        self.tokens, self.places = nn.Embedding(self.VOCAB, d), nn.Parameter(torch.zeros(self.LENGTH, d))
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)
        self.head = nn.Linear(d, self.VOCAB)
        self.register_buffer("hidden", torch.triu(torch.ones(self.LENGTH, self.LENGTH), 1).bool())

    def forward(self, ids):
        b, s, d, h = -1, self.LENGTH, self.WIDTH, self.HEADS
        x = self.tokens(ids) + self.places
        q, k, v = self.qkv(self.norm1(x)).reshape(b, s, 3, h, d // h).permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q @ k.transpose(-1, -2)) * (d // h) ** -0.5
        scores = scores.masked_fill(self.hidden, -1e9).softmax(dim=-1)
        x = x + self.out((scores @ v).transpose(1, 2).reshape(b, s, d))
        x = x + self.down(F.gelu(self.up(self.norm2(x))))
        return self.head(x)


# name: network, batch, rows, rate, loss
CASES = {"mlp": (Mlp, 8, 20, 1e-2, F.mse_loss),
         "conv": (Conv, 4, 12, 5e-3, F.mse_loss),
         "block": (Block, 4, 10, 5e-3,
                   lambda y, t: F.cross_entropy(y.reshape(-1, y.shape[-1]), t.reshape(-1).long()))}


def data(name, rows):
    random = np.random.default_rng(len(name))
    if name == "block":
        ids = random.integers(0, Block.VOCAB, (rows, Block.LENGTH + 1)).astype(np.int32)
        return {"x": ids[:, :-1].copy(), "target": ids[:, 1:].copy()}
    shape, outs = ((12,), 5) if name == "mlp" else ((2, 8, 8), 4)
    return {"x": random.standard_normal((rows, *shape)).astype(np.float32),
            "target": random.standard_normal((rows, outs)).astype(np.float32)}


def convert(net, x, out):
    kind = np.int32 if x.dtype == np.int32 else np.float32
    traced = torch.jit.trace(net, torch.from_numpy(x))
    package = ct.convert(traced, inputs=[ct.TensorType(name="x", shape=x.shape, dtype=kind)],
                         outputs=[ct.TensorType(name="y")], convert_to="mlprogram",
                         compute_precision=ct.precision.FLOAT32,
                         minimum_deployment_target=ct.target.iOS16, skip_model_load=True)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.mlpackage")
        package.save(path)
        subprocess.run([sys.executable, TO_MIL, path, out], check=True)


def main():
    for name, (kind, batch, rows, rate, loss_of) in CASES.items():
        torch.manual_seed(7)
        net = kind()
        with torch.no_grad():
            for parameter in net.parameters():  # none at a special value
                parameter.add_(0.1 * torch.randn_like(parameter))
        arrays = data(name, rows)
        out = os.path.join(HERE, "fit", name)
        shutil.rmtree(out, ignore_errors=True)
        os.makedirs(out)
        convert(net.eval(), arrays["x"][:batch], out)
        for key, array in arrays.items():
            np.save(os.path.join(out, key + ".npy"), array)
        wide = [p for p in net.parameters() if p.dim() > 1]
        narrow = [p for p in net.parameters() if p.dim() <= 1]
        steps = torch.optim.AdamW([{"params": wide, "weight_decay": DECAY},
                                   {"params": narrow, "weight_decay": 0.0}],
                                  lr=rate, betas=BETAS, eps=EPSILON)
        with open(os.path.join(out, "losses.tsv"), "w") as losses:
            for step in range(STEPS):
                at = [(step * batch + i) % rows for i in range(batch)]
                loss = loss_of(net(torch.from_numpy(arrays["x"][at])),
                               torch.from_numpy(arrays["target"][at]))
                steps.zero_grad()
                loss.backward()
                steps.step()
                losses.write(f"{step + 1}\t{loss.item():.9g}\n")


if __name__ == "__main__":
    main()
