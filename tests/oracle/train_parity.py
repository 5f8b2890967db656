#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The same 50 training steps as tests/train/test_parity.c, by PyTorch in fp32.

Writes tests/oracle/train_parity.tsv: model, step, loss and global gradient norm before clipping.
Initial weights are those that Milo makes from the seed, read from the llama2.c file that it writes;
token data and data order are made again from the definition of the stateless generator.

A third model, "qwen3", is tests/oracle/hf/qwen3_tied as transformers computes it: norms of q and k,
RoPE in halves, fewer kv heads.

  python3 tests/oracle/train_parity.py build/release/libmilo.so     needs transformers, too
"""
import ctypes
import math
import os
import struct
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F

STEPS, BATCH, SEQ, SEED, TOKENS, VOCAB = 50, 4, 24, 9, 5000, 50
LR, MIN_RATIO, WARMUP, BETAS, EPSILON, DECAY, CLIP = 1e-2, 0.1, 10, (0.9, 0.95), 1e-8, 0.1, 1.0
VAL_FRACTION = 0.05
MODELS = {
    "tied": dict(dim=24, hidden=40, layers=3, heads=4, kv_heads=2, head_dim=6, seq=32, vocab=50, untied=False),
    "untied": dict(dim=16, hidden=20, layers=1, heads=2, kv_heads=2, head_dim=8, seq=24, vocab=50, untied=True),
    # residual_scale, which a llama2.c file does not hold: the weights do not depend on it
    "scaled": dict(dim=24, hidden=40, layers=3, heads=4, kv_heads=2, head_dim=6, seq=32, vocab=50, untied=False,
                   scale=6 ** -0.5),
    "qwen3": None,
}
MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix(x):
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def rng_u64(seed, stream, i):
    key = (mix((mix((seed + GOLDEN) & MASK) + (stream + 1) * GOLDEN) & MASK)) & MASK
    return mix((key + (i + 1) * GOLDEN) & MASK)


def rng_below(seed, stream, i, n):
    return (rng_u64(seed, stream, i) * n) >> 64


def make_tokens(vocab):
    """A noisy walk: the next token is the last one times 3 plus 1, or now and then any."""
    ids, last = [], 0
    for i in range(TOKENS):
        last = rng_below(77, 5, 2 * i + 1, vocab) if rng_below(77, 5, 2 * i, 4) == 0 else (3 * last + 1) % vocab
        ids.append(last)
    return np.array(ids, dtype=np.int64)


def initial_weights(library, config, path):
    """Writes Milo's initial weights to path and returns them as float32 arrays by name."""
    milo = ctypes.CDLL(os.path.abspath(library))
    milo.milo_error.restype = ctypes.c_char_p
    ctx, model = ctypes.c_void_p(), ctypes.c_void_p()

    class Config(ctypes.Structure):
        _fields_ = [("struct_bytes", ctypes.c_size_t)]
        _fields_ += [(n, ctypes.c_int64) for n in
                     ("dim", "hidden", "layers", "heads", "kv_heads", "head_dim", "seq", "vocab")]
        _fields_ += [(n, ctypes.c_double) for n in ("rope_theta", "norm_epsilon")]
        _fields_ += [(n, ctypes.c_bool) for n in ("rope_half", "qk_norm", "untied")]

    c = Config(struct_bytes=ctypes.sizeof(Config), **{k: v for k, v in config.items() if k != "scale"})
    for status in (milo.milo_ctx_create(None, ctypes.byref(ctx)),
                   milo.milo_model_create(ctx, ctypes.byref(c), ctypes.c_uint64(SEED), ctypes.byref(model)),
                   milo.milo_model_save(ctx, model, path.encode(), ctypes.c_bool(False))):
        if status != 0:
            raise SystemExit("milo: " + milo.milo_error(ctx).decode())
    return read_model(path, config)


def read_model(path, config):
    """The float32 arrays of a llama2.c file by name."""
    with open(path, "rb") as f:
        data = f.read()
    dim, hidden, layers, heads, kv, vocab, seq = struct.unpack("<7i", data[:28])
    assert abs(vocab) == config["vocab"] and (vocab < 0) == config["untied"]
    vocab, head = abs(vocab), dim // heads
    flat, at, out = np.frombuffer(data[28:], dtype="<f4"), 0, {}
    for name, shape in [("embedding", (vocab, dim)), ("att_norm", (layers, dim)), ("wq", (layers, dim, dim)),
                        ("wk", (layers, kv * head, dim)), ("wv", (layers, kv * head, dim)),
                        ("wo", (layers, dim, dim)), ("ffn_norm", (layers, dim)), ("w1", (layers, hidden, dim)),
                        ("w2", (layers, dim, hidden)), ("w3", (layers, hidden, dim)), ("final_norm", (dim,)),
                        ("rope", (seq * head,)), ("classifier", (vocab, dim))]:
        if name == "classifier" and not config["untied"]:
            continue
        count = math.prod(shape)
        out[name] = flat[at:at + count].reshape(shape).copy()
        at += count
    assert at == flat.size
    del out["rope"]
    return out


def norm(x, weight):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * weight


def rope(x, cos, sin):
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


def rope_tables(c, seq):
    half = torch.arange(0, c["head_dim"], 2, dtype=torch.float64)
    angles = torch.outer(torch.arange(seq, dtype=torch.float64), 10000.0 ** (-half / c["head_dim"]))
    return (f(angles).float()[None, :, None, :] for f in (torch.cos, torch.sin))


def forward(p, c, tokens, targets, cos, sin):
    x = p["embedding"][tokens]
    batch, seq = tokens.shape
    for i in range(c["layers"]):
        n = norm(x, p["att_norm"][i])
        q, k, v = ((n @ p[w][i].T).view(batch, seq, -1, c["head_dim"]) for w in ("wq", "wk", "wv"))
        q, k, v = rope(q, cos, sin).transpose(1, 2), rope(k, cos, sin).transpose(1, 2), v.transpose(1, 2)
        repeat = c["heads"] // c["kv_heads"]
        k, v = k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + c.get("scale", 1) * (a.transpose(1, 2).reshape(batch, seq, -1) @ p["wo"][i].T)
        m = norm(x, p["ffn_norm"][i])
        x = x + c.get("scale", 1) * ((F.silu(m @ p["w1"][i].T) * (m @ p["w3"][i].T)) @ p["w2"][i].T)
    classifier = p["classifier"] if c["untied"] else p["embedding"]
    logits = norm(x, p["final_norm"]) @ classifier.T
    return F.cross_entropy(logits.view(-1, c["vocab"]), targets.reshape(-1))


def qwen3():
    """Parameters by name, and the loss as a function of tokens and targets."""
    from transformers import Qwen3ForCausalLM
    here = os.path.dirname(os.path.abspath(__file__))
    model = Qwen3ForCausalLM.from_pretrained(os.path.join(here, "hf", "qwen3_tied"))

    def loss(tokens, targets):
        logits = model(tokens).logits
        return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))

    return dict(model.named_parameters()), loss


def train(library, name, c, out):
    if c is None:
        params, loss_of = qwen3()
    else:
        with tempfile.TemporaryDirectory() as folder:
            weights = initial_weights(library, c, os.path.join(folder, "initial.bin"))
        params = {k: torch.nn.Parameter(torch.from_numpy(v)) for k, v in weights.items()}
        cos, sin = rope_tables(c, SEQ)
        loss_of = lambda tokens, targets: forward(params, c, tokens, targets, cos, sin)
    norms = [v for k, v in params.items() if "norm" in k]
    matrices = [v for k, v in params.items() if "norm" not in k]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": DECAY},
                                   {"params": norms, "weight_decay": 0.0}], lr=LR, betas=BETAS, eps=EPSILON)
    ids = make_tokens(VOCAB)
    usable = int(TOKENS * (1 - VAL_FRACTION)) - SEQ
    for step in range(STEPS):
        rate = LR * min(1.0, (step + 1) / WARMUP)
        rate *= MIN_RATIO + (1 - MIN_RATIO) * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        for group in optimizer.param_groups:
            group["lr"] = rate
        starts = [rng_below(SEED, 1, step * BATCH + r, usable) for r in range(BATCH)]
        windows = torch.from_numpy(np.stack([ids[s:s + SEQ + 1] for s in starts]))
        loss = loss_of(windows[:, :-1], windows[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        total = torch.nn.utils.clip_grad_norm_(params.values(), CLIP)
        optimizer.step()
        out.write(f"{name}\t{step + 1}\t{loss.item():.9g}\t{total.item():.9g}\n")
    print(f"{name}: loss {loss.item():.6f} after {STEPS} steps, torch {torch.__version__}")


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "train_parity.tsv")
    with open(path, "w") as out:
        out.write("# model\tstep\tloss\tgrad_norm  (tests/oracle/train_parity.py)\n")
        for name, config in MODELS.items():
            train(sys.argv[1], name, config, out)


if __name__ == "__main__":
    main()
