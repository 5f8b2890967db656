#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Times training steps of Milo and of PyTorch in turns on the same machine, random tokens.

A step is forward, backward, clipping by the global norm and AdamW with decay on matrices only, of
the same Llama-style model. Each side runs in a process of its own, so peak memory is its own too;
turns alternate, so that a slow minute of the machine hits both. --precision bf16 is autocast to
bfloat16 for PyTorch. --peers eager,compiled times both of its ways and compares with the faster
one. Prints a table, or --json.

  python3 bench/compare_pytorch.py --milo build/release/milo --model stories110M --batch 8 --seq 256
  python3 bench/compare_pytorch.py --precision bf16 --peers eager,compiled --model stories110M
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

MODELS = {  # dim, hidden, layers, heads, kv_heads, vocab
    "stories260K": (64, 172, 5, 8, 4, 512),
    "stories15M": (288, 768, 6, 6, 6, 32000),
    "stories42M": (512, 1376, 8, 8, 8, 32000),
    "stories110M": (768, 2048, 12, 12, 12, 32000),
}


def peer(args):
    """One turn of PyTorch; prints a line of JSON."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    dim, hidden, layers, heads, kv_heads, vocab = MODELS[args.model]
    head = dim // heads

    def weight(rows, columns, deviation=0.02):
        return torch.nn.Parameter(torch.randn(rows, columns) * deviation)

    def ones():
        return torch.nn.Parameter(torch.ones(dim))

    residual = 0.02 / (2 * layers) ** 0.5
    embedding, final_norm = weight(vocab, dim), ones()
    blocks = [dict(att_norm=ones(), wq=weight(heads * head, dim), wk=weight(kv_heads * head, dim),
                   wv=weight(kv_heads * head, dim), wo=weight(dim, heads * head, residual),
                   ffn_norm=ones(), w1=weight(hidden, dim), w2=weight(dim, hidden, residual),
                   w3=weight(hidden, dim)) for _ in range(layers)]
    params = [embedding, final_norm] + [p for b in blocks for p in b.values()]
    groups = [{"params": [p for p in params if p.dim() == 2], "weight_decay": 0.1},
              {"params": [p for p in params if p.dim() == 1], "weight_decay": 0.0}]
    try:
        optimizer = torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.95), fused=True)
    except (RuntimeError, TypeError):  # older versions have no fused kernel for the CPU
        optimizer = torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.95))
    frequency = 10000.0 ** (-torch.arange(0, head, 2).double() / head)
    angle = torch.outer(torch.arange(args.seq).double(), frequency)
    cos, sin = angle.cos().float()[:, None, :], angle.sin().float()[:, None, :]

    def norm(x, w):
        return F.rms_norm(x, (dim,), w, 1e-5) if hasattr(F, "rms_norm") else \
            x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * w

    def rotate(x):
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)

    def block(x, b):
        batch, seq, _ = x.shape
        n = norm(x, b["att_norm"])
        q = rotate((n @ b["wq"].T).view(batch, seq, heads, head)).transpose(1, 2)
        k = rotate((n @ b["wk"].T).view(batch, seq, kv_heads, head)).transpose(1, 2)
        v = (n @ b["wv"].T).view(batch, seq, kv_heads, head).transpose(1, 2)
        if kv_heads != heads:
            k, v = (t.repeat_interleave(heads // kv_heads, 1) for t in (k, v))
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + a.transpose(1, 2).reshape(batch, seq, heads * head) @ b["wo"].T
        m = norm(x, b["ffn_norm"])
        return x + (F.silu(m @ b["w1"].T) * (m @ b["w3"].T)) @ b["w2"].T

    def loss_of(tokens):
        x = F.embedding(tokens[:, :-1], embedding)
        for b in blocks:
            x = block(x, b)
        logits = norm(x, final_norm) @ embedding.T
        return F.cross_entropy(logits.view(-1, vocab).float(), tokens[:, 1:].reshape(-1))

    forward = torch.compile(loss_of) if args.peer == "compiled" else loss_of

    def step():
        tokens = torch.randint(0, vocab, (args.batch, args.seq + 1))
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.precision == "bf16"):
            loss = forward(tokens)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - start, loss.item()

    step()
    turns = [step() for _ in range(args.steps)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"step_seconds": statistics.median(t[0] for t in turns), "loss": turns[-1][1],
                      "peak_memory_bytes": peak, "version": torch.__version__}))


def run_json(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--milo", default="build/release/milo")
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has torch")
    parser.add_argument("--model", default="stories110M", choices=MODELS)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seq", type=int, default=256)
    parser.add_argument("--steps", type=int, default=3, help="timed steps a turn, after one that is not")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0))
                        if hasattr(os, "sched_getaffinity") else os.cpu_count())
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--peers", default="eager", help="eager, compiled or both, with a comma")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peer", choices=("eager", "compiled"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        return peer(args)
    peers = args.peers.split(",")
    if not set(peers) <= {"eager", "compiled"}:
        parser.error("--peers is eager, compiled or eager,compiled")
    shape = ["--precision", args.precision, "--batch", str(args.batch), "--seq", str(args.seq), "--steps", str(args.steps),
             "--threads", str(args.threads)]
    sides = {
        "milo": [args.milo, "bench", "train", args.model, "--json"] + shape,
    }
    for peer_name in peers:
        sides[peer_name] = [args.python, os.path.abspath(__file__), "--peer", peer_name,
                            "--model", args.model] + shape
    results = {name: [] for name in sides}
    for _ in range(args.rounds):
        for name, command in sides.items():
            results[name].append(run_json(command))
    tokens = args.batch * args.seq
    summary = {"model": args.model, "precision": args.precision, "batch": args.batch, "seq": args.seq, "threads": args.threads,
               "rounds": args.rounds}
    for name, turns in results.items():
        seconds = statistics.median(t["step_seconds"] for t in turns)
        summary[name] = {"step_seconds": seconds, "tokens_per_second": tokens / seconds,
                         "peak_memory_bytes": max(t["peak_memory_bytes"] for t in turns),
                         "loss": turns[-1]["loss"]}
    best = min(peers, key=lambda name: summary[name]["step_seconds"])
    summary["pytorch"] = dict(summary[best], way=best)  # the faster one
    summary["speed_ratio"] = summary["pytorch"]["step_seconds"] / summary["milo"]["step_seconds"]
    summary["memory_ratio"] = (summary["milo"]["peak_memory_bytes"] /
                               summary["pytorch"]["peak_memory_bytes"])
    if args.json:
        print(json.dumps(summary))
        return None
    print(f"{args.model}, {args.batch} x {args.seq}, {args.threads} threads, {args.precision}, "
          f"{args.rounds} rounds")
    for name in sides:
        side = summary[name]
        print(f"  {name:8} {side['step_seconds']:8.3f} s a step  {side['tokens_per_second']:8.0f} tokens/s  "
              f"{side['peak_memory_bytes'] / 1e9:6.2f} GB peak  loss {side['loss']:.4f}")
    print(f"  Milo is {summary['speed_ratio']:.2f} x as fast, in {summary['memory_ratio']:.2f} x the memory")
    return None


if __name__ == "__main__":
    main()
