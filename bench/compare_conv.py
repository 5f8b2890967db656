#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Times layers of convolutional networks in Milo and in PyTorch in turns on the same machine, fp32:
forward, and forward with the gradients of all inputs.

Each side takes a turn in a process of its own, so that a slow minute of the machine hits both; the
least of a turn's times counts, the median of the turns is printed. The bound is the time that the
arithmetic takes at --peak GFLOP/s or the operands at --memory GB/s, read and written once,
whichever is longer. Prints a table, or --json.

  python3 bench/compare_conv.py --milo build/release/milo --threads 2 --peak 199 --memory 40
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

# kind, batch, channels, size, outputs, kernel, stride, padding, groups
LAYERS = {
    "3x3, 64 to 64, 56 x 56": ("conv", 8, 64, 56, 64, 3, 1, 1, 1),
    "7x7 stride 2, 3 to 64, 224 x 224": ("conv", 8, 3, 224, 64, 7, 2, 3, 1),
    "depthwise 3x3, 64, 56 x 56": ("conv", 8, 64, 56, 64, 3, 1, 1, 64),
    "3x3 stride 2, 64 to 128, 56 x 56": ("conv", 8, 64, 56, 128, 3, 2, 1, 1),
    "3x3, 256 to 256, 7 x 7, batch 32": ("conv", 32, 256, 7, 256, 3, 1, 1, 1),
    "max_pool 3x3 stride 2, 64, 112 x 112": ("max_pool", 8, 64, 112, 64, 3, 2, 1, 64),
    "avg_pool 2x2 stride 2, 64, 56 x 56": ("avg_pool", 8, 64, 56, 64, 2, 2, 0, 64),
    "batch_norm, 64, 56 x 56": ("batch_norm", 8, 64, 56, 64, 1, 1, 0, 64),
    "instance_norm, 64, 56 x 56": ("instance_norm", 8, 64, 56, 64, 1, 1, 0, 64),
}


def positions(layer):
    return (layer[3] + 2 * layer[7] - layer[5]) // layer[6] + 1


def mil(layer):
    kind, n, c, size, out, k, s, p, groups = layer
    o = positions(layer)
    x = "tensor<fp32, [%d, %d, %d, %d]> x" % (n, c, size, size)
    y = "tensor<fp32, [%d, %d, %d, %d]> y" % (n, out, o, o)
    per_channel = "tensor<fp32, [%d]> " % out

    def ints(*v):
        return "tensor<int32, [%d]>([%s])" % (len(v), ", ".join(map(str, v)))

    window = ('strides = %s, pad_type = string("custom"), pad = %s' % (ints(s, s),
                                                                      ints(p, p, p, p)))
    if kind == "conv":
        inputs = [x, "tensor<fp32, [%d, %d, %d, %d]> w" % (out, c // groups, k, k),
                  per_channel + "b"]
        call = "conv(x = x, weight = w, bias = b, groups = int32(%d), %s)" % (groups, window)
    elif kind.endswith("pool"):
        inputs = [x]
        call = "%s(x = x, kernel_sizes = %s, %s)" % (kind, ints(k, k), window)
    elif kind == "batch_norm":
        inputs = [x] + [per_channel + v for v in "gb"]
        statistics_of = "tensor<fp32, [%d]>([%s])" % (out, ", ".join(["0.5"] * out))
        call = ("batch_norm(x = x, gamma = g, beta = b, mean = %s, variance = %s)"
                % (statistics_of, statistics_of))
    else:
        inputs = [x] + [per_channel + v for v in "gb"]
        call = "instance_norm(x = x, gamma = g, beta = b)"
    return ("program(1.3) {\n  func main<ios18>(%s) {\n    %s = %s[name = string(\"y\")];\n"
            "  } -> (y);\n}\n" % (", ".join(inputs), y, call))


def bounds(layer, args):
    """Seconds, forward and with gradients."""
    kind, n, c, size, out, k, s, p, groups = layer
    o = positions(layer)
    inputs, results = n * c * size * size, n * out * o * o
    weights = out * (c // groups) * k * k if kind == "conv" else 0
    flops = 2 * weights * n * o * o
    peak, memory = args.peak * 1e9, args.memory * 1e9
    forward = max(flops / peak, 4 * (inputs + results + weights) / memory)
    # Gradients by x and by the weights: as many flops each; dy and x read, dx written.
    back = max(2 * flops / peak, 4 * (2 * inputs + results + 2 * weights) / memory)
    return forward, forward + back


def peer(args):
    """One turn of PyTorch; prints a line of JSON."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    kind, n, c, size, out, k, s, p, groups = LAYERS[args.peer]
    x = torch.rand(n, c, size, size, requires_grad=True)
    inputs = [x]
    if kind == "conv":
        inputs += [torch.rand(out, c // groups, k, k, requires_grad=True),
                   torch.rand(out, requires_grad=True)]
        run = lambda: F.conv2d(*inputs, stride=s, padding=p, groups=groups)
    elif kind == "max_pool":
        run = lambda: F.max_pool2d(x, k, s, p)
    elif kind == "avg_pool":
        run = lambda: F.avg_pool2d(x, k, s, p)
    else:
        inputs += [torch.rand(out, requires_grad=True) for _ in range(2)]
        half = torch.full((out,), 0.5)
        if kind == "batch_norm":
            run = lambda: F.batch_norm(x, half, half, inputs[1], inputs[2])
        else:
            run = lambda: F.instance_norm(x, weight=inputs[1], bias=inputs[2])
    seed = torch.rand_like(run())
    best = [float("inf")] * 2
    for _ in range(args.runs):
        start = time.perf_counter()
        with torch.no_grad():
            run()
        best[0] = min(best[0], time.perf_counter() - start)
    for _ in range(args.runs):
        start = time.perf_counter()
        torch.autograd.grad(run(), inputs, seed)
        best[1] = min(best[1], time.perf_counter() - start)
    print(json.dumps(best))


def milo_time(args, path):
    command = [args.milo, "run", path, "--random", "1", "--repeat", str(args.runs), "--json",
               "--threads", str(args.threads)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)["run_s_min"]


def compare(args, name, folder):
    forward, joint = os.path.join(folder, "y.mil"), os.path.join(folder, "grad.mil")
    with open(forward, "w") as f:
        f.write(mil(LAYERS[name]))
    subprocess.run([args.milo, "grad", forward, "--composites", "-o", joint], check=True,
                   capture_output=True)
    times = {"milo": [], "torch": []}
    for _ in range(args.turns):
        times["milo"].append((milo_time(args, forward), milo_time(args, joint)))
        command = [sys.executable, __file__, "--peer", name, "--threads", str(args.threads),
                   "--runs", str(args.runs)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        times["torch"].append(json.loads(done.stdout))
    middle = {side: [statistics.median(t[i] for t in turns) for i in (0, 1)]
              for side, turns in times.items()}
    return dict(layer=name, bound=bounds(LAYERS[name], args), **middle)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--milo", default="build/release/milo")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=10, help="of a turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--peak", type=float, default=200, help="GFLOP/s of these threads")
    parser.add_argument("--memory", type=float, default=40, help="GB/s")
    parser.add_argument("--only", help="layers whose name has this in it")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer is not None:
        return peer(args)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in LAYERS:
            if args.only is None or args.only in name:
                rows.append(compare(args, name, folder))
                if args.json:
                    print(json.dumps(rows[-1]))
    if args.json:
        return None
    print("| layer | forward, ms | PyTorch | bound | with gradients, ms | PyTorch | bound |")
    print("|---|---|---|---|---|---|---|")
    for r in rows:
        cells = [v[i] * 1e3 for i in (0, 1) for v in (r["milo"], r["torch"], r["bound"])]
        print("| %s | %s |" % (r["layer"], " | ".join("%.3g" % v for v in cells)))
    return None


if __name__ == "__main__":
    sys.exit(main())
