#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes programs with PyTorch's gradients: fixtures of test_oracle_grad.

    make_grad.py OUT_DIR [--random N] [--seed S]

Each case is NAME.mil, an fp32 program, and NAME.txt, a line for each input, seed, output and gradient:
`name dtype [dims] = numbers`, computed by PyTorch in fp64. Besides the programs written down here,
N random ones are made. Needs PyTorch and NumPy; the test does not.
"""

import argparse
import math
import os
import random

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

NAMES = {torch.float64: "fp32", torch.int32: "int32", torch.bool: "bool"}


class Skip(Exception):
    """The program does not suit: a number too large, too near a kink, ..."""


def mil_type(t):
    return "tensor<%s, [%s]>" % (NAMES[t.dtype], ", ".join(map(str, t.shape)))


def literal(v):
    """A constant as MIL writes it."""
    if isinstance(v, bool):
        return "bool(%s)" % str(v).lower()
    if isinstance(v, int):
        return "int32(%d)" % v
    if isinstance(v, float):
        return "fp32(%r)" % v
    if isinstance(v, str):
        return 'string("%s")' % v
    kind = "bool" if isinstance(v[0], bool) else "int32"
    return "tensor<%s, [%d]>([%s])" % (kind, len(v), ", ".join(str(x).lower() for x in v))


class Value:
    def __init__(self, name, t):
        self.name, self.t = name, t

    @property
    def shape(self):
        return list(self.t.shape)


class Program:
    """Emits MIL and computes with PyTorch at once."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.gen = torch.Generator().manual_seed(seed)
        self.inputs, self.lines, self.count = [], [], 0

    def input(self, shape, low=-1.0, high=1.0):
        t = torch.rand(shape, generator=self.gen) * (high - low) + low
        t = t.float().double()  # what fp32 holds
        v = Value("x%d" % len(self.inputs), t.requires_grad_())
        self.inputs.append(v)
        return v

    def ints(self, shape, below, distinct=False):
        if distinct:
            t = torch.randperm(below, generator=self.gen)[: shape[-1]].to(torch.int32)
        else:
            t = torch.randint(0, below, shape, generator=self.gen, dtype=torch.int32)
        v = Value("x%d" % len(self.inputs), t)
        self.inputs.append(v)
        return v

    def emit(self, op, results, **args):
        """args: Values, lists of Values, constants; None is left out. results: tensors."""
        many = isinstance(results, (tuple, list))
        made = []
        for t in results if many else [results]:
            made.append(Value("v%d" % self.count, t))
            self.count += 1
        parts = []
        for key, v in args.items():
            if v is None:
                continue
            if isinstance(v, Value):
                text = v.name
            elif isinstance(v, list) and v and isinstance(v[0], Value):
                text = "(" + ", ".join(x.name for x in v) + ")"
            else:
                text = literal(v)
            parts.append("%s = %s" % (key, text))
        left = ", ".join("%s %s" % (mil_type(v.t), v.name) for v in made)
        self.lines.append('        %s = %s(%s)[name = string("%s")];'
                          % (left, op, ", ".join(parts), made[0].name))
        return made if many else made[0]

    def mil(self, outputs):
        params = ", ".join("%s %s" % (mil_type(v.t), v.name) for v in self.inputs)
        return ("program(1.3)\n{\n    func main<ios18>(%s) {\n%s\n    } -> (%s);\n}\n"
                % (params, "\n".join(self.lines), ", ".join(v.name for v in outputs)))

    # ---- operations ----

    def unary(self, op, x, **args):
        f = UNARY[op]
        return self.emit(op, f(x.t, **args), x=x, **args)

    def binary(self, op, x, y):
        return self.emit(op, BINARY[op](x.t, y.t), x=x, y=y)

    def matmul(self, x, y, tx=False, ty=False):
        a = x.t.transpose(-1, -2) if tx else x.t
        b = y.t.transpose(-1, -2) if ty else y.t
        return self.emit("matmul", a @ b, x=x, y=y, transpose_x=tx, transpose_y=ty)

    def linear(self, x, w, b=None):
        return self.emit("linear", F.linear(x.t, w.t, b.t if b else None), x=x, weight=w, bias=b)

    def conv(self, x, w, b=None, strides=None, pad=None, dilations=None, groups=1):
        n = x.t.dim() - 2
        s, d, p = strides or [1] * n, dilations or [1] * n, pad or [0] * (2 * n)
        wide = []
        for i in reversed(range(n)):
            wide += [p[2 * i], p[2 * i + 1]]
        f = [F.conv1d, F.conv2d, F.conv3d][n - 1]
        y = f(F.pad(x.t, wide), w.t, b.t if b else None, stride=s, dilation=d, groups=groups)
        return self.emit("conv", y, x=x, weight=w, bias=b, strides=strides, dilations=dilations,
                         pad_type="custom" if pad else "valid", pad=pad, groups=groups)

    def conv_transpose(self, x, w, b=None, strides=None, pad=None, extra=None, dilations=None,
                       groups=1):
        """pad: as much behind as before; extra: elements more at the end."""
        n = x.t.dim() - 2
        s, d, p = strides or [1] * n, dilations or [1] * n, pad or [0] * n
        f = [F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d][n - 1]
        y = f(x.t, w.t, b.t if b else None, stride=s, padding=p, output_padding=extra or [0] * n,
              groups=groups, dilation=d)
        return self.emit("conv_transpose", y, x=x, weight=w, bias=b, strides=strides,
                         dilations=dilations, pad_type="custom", pad=[v for v in p for _ in (0, 1)],
                         output_shape=list(y.shape) if extra else None, groups=groups)

    def pool(self, op, x, kernel, strides=None, pad=None, ceil=False, exclude=None):
        n, s = x.t.dim() - 2, strides or [1] * len(kernel)
        args = dict(kernel_size=kernel, stride=s, padding=pad or [0] * n, ceil_mode=ceil)
        if op == "avg":
            f = [F.avg_pool1d, F.avg_pool2d, F.avg_pool3d][n - 1]
            y = f(x.t, count_include_pad=not exclude, **args)
        else:
            y = [F.max_pool1d, F.max_pool2d, F.max_pool3d][n - 1](x.t, **args)
        return self.emit(op + "_pool", y, x=x, kernel_sizes=kernel, strides=strides,
                         pad_type="custom" if pad else "valid",
                         pad=[v for v in pad for _ in (0, 1)] if pad else None, ceil_mode=ceil,
                         exclude_padding_from_average=exclude)

    def instance_norm(self, x, gamma=None, beta=None, epsilon=1e-5):
        y = F.instance_norm(x.t, weight=gamma.t if gamma else None, bias=beta.t if beta else None,
                            eps=epsilon)
        return self.emit("instance_norm", y, x=x, gamma=gamma, beta=beta, epsilon=epsilon)

    def batch_norm(self, x, mean, variance, gamma=None, beta=None, epsilon=1e-5):
        # Not F.batch_norm, which has no gradient by mean and variance.
        wide = [1, -1] + [1] * (x.t.dim() - 2)
        y = (x.t - mean.t.reshape(wide)) / torch.sqrt(variance.t.reshape(wide) + epsilon)
        if gamma:
            y = y * gamma.t.reshape(wide)
        if beta:
            y = y + beta.t.reshape(wide)
        plain = F.batch_norm(x.t, mean.t.detach(), variance.t.detach(),
                             gamma.t if gamma else None, beta.t if beta else None, eps=epsilon)
        assert torch.allclose(y, plain)
        return self.emit("batch_norm", y, x=x, mean=mean, variance=variance, gamma=gamma,
                         beta=beta, epsilon=epsilon)

    def softmax(self, x, axis=-1):
        return self.emit("softmax", torch.softmax(x.t, axis), x=x, axis=axis)

    def layer_norm(self, x, axes, gamma=None, beta=None, epsilon=1e-5):
        mean = x.t.mean(axes, keepdim=True)
        var = ((x.t - mean) ** 2).mean(axes, keepdim=True)
        y = (x.t - mean) / torch.sqrt(var + epsilon)
        wide = [n if i in [a % x.t.dim() for a in axes] else 1 for i, n in enumerate(x.shape)]
        if gamma:
            y = y * gamma.t.reshape(wide)
        if beta:
            y = y + beta.t.reshape(wide)
        return self.emit("layer_norm", y, x=x, axes=axes, gamma=gamma, beta=beta, epsilon=epsilon)

    def reduce(self, op, x, axes, keep=False):
        return self.emit("reduce_" + op, REDUCE[op](x.t, axes, keep), x=x, axes=axes,
                         keep_dims=keep)

    def cumsum(self, x, axis, exclusive=False, reverse=False):
        t = x.t.flip(axis) if reverse else x.t
        y = t.cumsum(axis) - (t if exclusive else 0)
        return self.emit("cumsum", y.flip(axis) if reverse else y, x=x, axis=axis,
                         exclusive=exclusive, reverse=reverse)

    def reshape(self, x, shape):
        return self.emit("reshape", x.t.reshape(shape), x=x, shape=shape)

    def transpose(self, x, perm):
        return self.emit("transpose", x.t.permute(perm), x=x, perm=perm)

    def slice(self, x, begin, end, stride):
        t = x.t
        for i in range(t.dim()):
            t = t.index_select(i, torch.tensor(list(range(begin[i], end[i], stride[i]))))
        return self.emit("slice_by_index", t, x=x, begin=begin, end=end, stride=stride)

    def concat(self, values, axis):
        return self.emit("concat", torch.cat([v.t for v in values], axis), values=values, axis=axis)

    def stack(self, values, axis):
        return self.emit("stack", torch.stack([v.t for v in values], axis), values=values,
                         axis=axis)

    def split(self, x, axis, sizes):
        return self.emit("split", list(torch.split(x.t, sizes, axis)), x=x, axis=axis,
                         split_sizes=sizes)

    def tile(self, x, reps):
        return self.emit("tile", x.t.repeat(reps), x=x, reps=reps)

    def pad(self, x, pad, mode):
        t = x.t
        if mode == "constant":
            wide = []
            for i in reversed(range(len(pad) // 2)):
                wide += pad[2 * i: 2 * i + 2]
            t = F.pad(t, wide)
        else:
            first = t.dim() - len(pad) // 2
            for i in range(len(pad) // 2):
                n = t.shape[first + i]
                at = []
                for k in range(-pad[2 * i], n + pad[2 * i + 1]):
                    if mode == "replicate":
                        at.append(min(max(k, 0), n - 1))
                    else:
                        at.append(abs(k) if k < n else 2 * (n - 1) - k)
                t = t.index_select(first + i, torch.tensor(at))
        return self.emit("pad", t, x=x, pad=pad, mode=mode)

    def gather(self, x, indices, axis):
        i = indices.t.long()
        y = x.t.index_select(axis, i.reshape(-1))
        axis %= x.t.dim()
        y = y.reshape(x.shape[:axis] + list(i.shape) + x.shape[axis + 1:])
        return self.emit("gather", y, x=x, indices=indices, axis=axis)

    def gather_along_axis(self, x, indices, axis):
        return self.emit("gather_along_axis", torch.gather(x.t, axis, indices.t.long()), x=x,
                         indices=indices, axis=axis)

    def scatter(self, data, indices, updates, axis, mode):
        if mode == "add":
            y = data.t.index_add(axis, indices.t.long(), updates.t)
        else:
            y = data.t.index_copy(axis, indices.t.long(), updates.t)
        return self.emit("scatter", y, data=data, indices=indices, updates=updates, axis=axis,
                         mode=mode)

    def select(self, cond, a, b):
        return self.emit("select", torch.where(cond.t, a.t, b.t), cond=cond, a=a, b=b)


def near(t, *kinks):
    """Kinks make fp32 and fp64 differ: such a program is not for comparing."""
    for k in kinks:
        if (t - k).abs().min() < 1e-4:
            raise Skip


def kinked(f, *kinks):
    def g(x, **args):
        near(x.detach(), *kinks)
        return f(x, **args)
    return g


UNARY = {
    "abs": kinked(torch.abs, 0), "square": torch.square, "exp": torch.exp, "sin": torch.sin,
    "cos": torch.cos, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "silu": F.silu,
    "relu": kinked(F.relu, 0), "relu6": kinked(F.relu6, 0, 6), "softplus": F.softplus,
    "softsign": F.softsign, "erf": torch.erf, "atan": torch.atan, "sinh": torch.sinh,
    "cosh": torch.cosh, "exp2": torch.exp2,
    "gelu": lambda x, mode: {
        "EXACT": lambda: F.gelu(x), "TANH_APPROXIMATION": lambda: F.gelu(x, approximate="tanh"),
        "SIGMOID_APPROXIMATION": lambda: x * torch.sigmoid(1.702 * x)}[mode](),
    "leaky_relu": kinked(lambda x, alpha: F.leaky_relu(x, alpha), 0),
    "elu": kinked(lambda x, alpha: F.elu(x, alpha), 0),
    "clip": lambda x, alpha, beta: kinked(torch.clamp, alpha, beta)(x, min=alpha, max=beta),
    # Only where the argument is positive.
    "sqrt": torch.sqrt, "rsqrt": torch.rsqrt, "log": torch.log,
}
UNARY["clip"] = lambda x, alpha, beta: (near(x.detach(), alpha, beta),
                                        torch.clamp(x, alpha, beta))[1]


def extremum(f):
    def g(x, y):
        near((x - y).detach(), 0)
        return f(x, y)
    return g


BINARY = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "real_div": torch.div,
    "maximum": extremum(torch.maximum), "minimum": extremum(torch.minimum), "pow": torch.pow,
    "greater": extremum(torch.gt),
}

REDUCE = {
    "sum": lambda x, a, k: x.sum(a, keepdim=k), "mean": lambda x, a, k: x.mean(a, keepdim=k),
    "max": lambda x, a, k: x.amax(a, keepdim=k), "min": lambda x, a, k: x.amin(a, keepdim=k),
    "sum_square": lambda x, a, k: (x * x).sum(a, keepdim=k),
    "l1_norm": lambda x, a, k: (near(x.detach(), 0), x.abs().sum(a, keepdim=k))[1],
    "l2_norm": lambda x, a, k: torch.linalg.vector_norm(x, dim=a, keepdim=k),
    "log_sum_exp": lambda x, a, k: torch.logsumexp(x, a, keepdim=k),
}

# ---- programs written down ----


def mlp(p):
    x, h = p.input([5, 7]), None
    h = p.unary("gelu", p.linear(x, p.input([6, 7]), p.input([6])), mode="EXACT")
    h = p.unary("relu", p.matmul(h, p.input([6, 4])))
    return [p.reduce("mean", p.unary("square", p.binary("sub", h, p.input([5, 4]))), [0, 1])]


def conv_net(p):
    x = p.input([2, 3, 9, 8])
    h = p.conv(x, p.input([4, 3, 3, 3]), p.input([4]), strides=[2, 1], pad=[1, 1, 1, 1])
    h = p.unary("silu", h)
    h = p.conv(h, p.input([4, 1, 3, 2]), None, pad=[2, 2, 0, 1], dilations=[2, 1], groups=4)
    h = p.unary("relu", p.conv(h, p.input([5, 4, 1, 1]), p.input([5])))
    h = p.reduce("mean", h, [2, 3])
    return [p.softmax(p.linear(h, p.input([3, 5]), p.input([3])))]


def conv_grouped_1d(p):
    h = p.conv(p.input([2, 6, 11]), p.input([4, 3, 4]), p.input([4]), strides=[3], pad=[2, 3],
               groups=2)
    return [h, p.unary("tanh", p.conv(h, p.input([4, 2, 1]), None, strides=[2], groups=2))]


def conv_3d(p):
    return [p.conv(p.input([1, 2, 4, 5, 3]), p.input([4, 1, 2, 3, 1]), p.input([4]),
                   strides=[2, 1, 1], pad=[1, 0, 0, 2, 0, 0], groups=2)]


def attention(p):
    b, s, d, heads = 2, 5, 8, 2
    x = p.input([b, s, d])
    parts = []
    for _ in range(3):
        h = p.matmul(x, p.input([d, d]))
        parts.append(p.transpose(p.reshape(h, [b, s, heads, d // heads]), [0, 2, 1, 3]))
    scores = p.matmul(parts[0], parts[1], ty=True)
    scale = Value("fp32(%r)" % 0.5, torch.tensor(0.5))
    scores = p.binary("mul", scores, scale)
    mask = torch.ones(s, s).tril().bool()
    rows = "[" + ", ".join("[" + ", ".join(str(bool(v)).lower() for v in r) + "]"
                           for r in mask) + "]"
    cond = Value("tensor<bool, [%d, %d]>(%s)" % (s, s, rows), mask)
    low = Value("fp32(-inf)", torch.tensor(-math.inf))
    weights = p.softmax(p.select(cond, scores, low))
    y = p.transpose(p.matmul(weights, parts[2]), [0, 2, 1, 3])
    y = p.linear(p.reshape(y, [b, s, d]), p.input([d, d]))
    return [p.layer_norm(p.binary("add", x, y), [-1], p.input([d]), p.input([d]))]


def norms(p):
    x = p.input([2, 3, 4])
    a = p.layer_norm(x, [1, 2], p.input([3, 4]), p.input([3, 4]))
    return [p.layer_norm(a, [2], p.input([4])), p.layer_norm(x, [0, 2], None, None, 0.01)]


def embedding(p):
    table = p.input([7, 4])
    h = p.gather(table, p.ints([2, 5], 7), 0)
    h = p.unary("tanh", p.matmul(h, p.input([4, 4])))
    return [p.matmul(h, table, ty=True), p.gather_along_axis(table, p.ints([3, 4], 7), 0)]


def scatters(p):
    x, u = p.input([6, 3]), p.input([4, 3])
    y = p.scatter(x, p.ints([4], 6), p.unary("sin", u), 0, "add")
    z = p.scatter(y, p.ints([2], 3, distinct=True), p.input([6, 2]), 1, "update")
    return [p.binary("mul", z, y)]


def reuse(p):
    x, y = p.input([3, 4]), p.input([4])
    a = p.binary("mul", x, y)
    b = p.binary("add", a, x)
    c = p.binary("mul", b, a)
    d = p.binary("sub", c, p.binary("mul", x, x))
    return [b, d, p.reduce("sum", p.binary("mul", d, a), [0, 1]), x]


def positive(p):
    x = p.input([3, 5], 0.3, 3)
    y = p.input([5], 0.5, 2)
    return [p.unary("log", x), p.unary("sqrt", x), p.unary("rsqrt", x), p.binary("pow", x, y),
            p.binary("real_div", y, x)]


def views(p):
    x = p.input([4, 6])
    a, b = p.split(x, 1, [2, 4])
    c = p.slice(x, [3, 5], [0, 0], [-1, -2])
    d = p.pad(p.reshape(b, [2, 8]), [1, 1, 3, 0], "reflect")
    e = p.pad(a, [0, 1], "replicate")
    return [p.concat([p.transpose(a, [1, 0]), p.transpose(e, [1, 0])], 0), p.stack([c, c], 1), d,
            p.tile(a, [2, 3])]


def transposed(p):
    h = p.conv_transpose(p.input([2, 4, 3, 4]), p.input([4, 3, 3, 2]), p.input([6]), strides=[2, 1],
                         pad=[1, 0], extra=[1, 0], groups=2)
    return [h, p.conv_transpose(p.input([1, 2, 5]), p.input([2, 2, 3]), None, strides=[3],
                                dilations=[2], pad=[2])]


def max_pools(p):
    x = p.input([2, 2, 5, 6])
    # Many equal elements in each window.
    x.t.data = torch.round(x.t.data * 2) / 2
    return [p.pool("max", x, [3, 3], [2, 2], [1, 1]), p.pool("max", x, [2, 2], [2, 2], ceil=True),
            p.pool("max", p.input([1, 2, 9]), [4], [3]),
            p.pool("max", p.input([1, 2, 3, 4, 3]), [2, 3, 2], [1, 2, 1], [1, 0, 1])]


def avg_pools(p):
    x = p.input([2, 2, 5, 6])
    return [p.pool("avg", x, [3, 3], [2, 2], [1, 1]),
            p.pool("avg", x, [3, 2], [2, 2], [1, 1], ceil=True, exclude=True),
            p.pool("avg", x, [3, 3], [3, 2], [1, 1], ceil=True),
            p.pool("avg", p.input([1, 2, 9]), [4], [3]),
            p.pool("avg", p.input([1, 2, 3, 4, 3]), [2, 3, 2], [1, 2, 1], [1, 0, 1], exclude=True)]


def channel_norms(p):
    x = p.input([2, 3, 2, 4])
    a = p.instance_norm(x, p.input([3]), p.input([3]), 0.01)
    b = p.batch_norm(x, p.input([3]), p.input([3], 0.5, 2), p.input([3]), p.input([3]))
    return [p.binary("mul", a, b), p.batch_norm(x, p.input([3]), p.input([3], 0.5, 2)),
            p.instance_norm(p.input([2, 2, 5]))]


WRITTEN = [mlp, conv_net, conv_grouped_1d, conv_3d, attention, norms, embedding, scatters, reuse,
           positive, views, transposed, max_pools, avg_pools, channel_norms]

# ---- random programs ----


def shape_of(p, rank=None):
    rank = p.rng.choice([1, 2, 2, 3, 3, 4]) if rank is None else rank
    return [p.rng.randint(1, 5) for _ in range(rank)]


def step_unary(p, x):
    op = p.rng.choice([o for o in UNARY if o not in ("sqrt", "rsqrt", "log")])
    args = {"gelu": {"mode": p.rng.choice(["EXACT", "TANH_APPROXIMATION",
                                           "SIGMOID_APPROXIMATION"])},
            "leaky_relu": {"alpha": 0.125}, "elu": {"alpha": 0.75},
            "clip": {"alpha": -0.5, "beta": 0.75}}.get(op, {})
    if op in ("exp", "sinh", "cosh", "exp2"):
        x = p.unary("tanh", x)
    return p.unary(op, x, **args)


def step_binary(p, x):
    shape = [n if p.rng.random() < 0.7 else 1 for n in x.shape][p.rng.randint(0, x.t.dim()):]
    y = p.input(shape)
    op = p.rng.choice(["add", "sub", "mul", "real_div", "maximum", "minimum", "pow"])
    if op == "real_div":
        y = p.binary("add", p.unary("square", y), Value("fp32(0.5)", torch.tensor(0.5)))
    if op == "pow":
        x = p.binary("add", p.unary("sigmoid", x), Value("fp32(0.5)", torch.tensor(0.5)))
    return p.binary(op, x, y) if p.rng.random() < 0.5 or op in ("real_div", "pow") \
        else p.binary(op, y, x)


def step_mix(p, x):
    """With another value of the program that broadcasts."""
    for y in p.rng.sample(p.pool, len(p.pool)):
        try:
            torch.broadcast_shapes(x.t.shape, y.t.shape)
        except RuntimeError:
            continue
        return p.binary(p.rng.choice(["add", "sub", "mul"]), x, y)
    raise Skip


def step_positive(p, x):
    h = p.binary("add", p.unary("softplus", x), Value("fp32(0.125)", torch.tensor(0.125)))
    return p.unary(p.rng.choice(["sqrt", "rsqrt", "log"]), h)


def step_matmul(p, x):
    if x.t.dim() < 1:
        raise Skip
    k, n = x.shape[-1], p.rng.randint(1, 4)
    tx, ty = p.rng.random() < 0.3 and x.t.dim() > 1, p.rng.random() < 0.5
    if tx:
        k = x.shape[-2]
    batch = []
    if x.t.dim() > 2 and p.rng.random() < 0.5:
        batch = [d if p.rng.random() < 0.6 else 1 for d in x.shape[:-2]]
    if p.rng.random() < 0.15:
        return p.matmul(x, p.input([k]), tx, False)
    return p.matmul(x, p.input(batch + ([n, k] if ty else [k, n])), tx, ty)


def step_linear(p, x):
    if x.t.dim() < 1:
        raise Skip
    n = p.rng.randint(1, 4)
    return p.linear(x, p.input([n, x.shape[-1]]), p.input([n]) if p.rng.random() < 0.5 else None)


def step_conv(p, x):
    n = x.t.dim() - 2
    if n < 1:
        raise Skip
    c = x.shape[1]
    groups = p.rng.choice([g for g in range(1, c + 1) if c % g == 0])
    out = groups * p.rng.randint(1, 2)
    kernel, dilations = [p.rng.randint(1, 3) for _ in range(n)], [p.rng.randint(1, 2) for _ in range(n)]
    pad = [p.rng.randint(0, 2) for _ in range(2 * n)]
    for i in range(n):
        if x.shape[2 + i] + pad[2 * i] + pad[2 * i + 1] < (kernel[i] - 1) * dilations[i] + 1:
            raise Skip
    return p.conv(x, p.input([out, c // groups] + kernel),
                  p.input([out]) if p.rng.random() < 0.5 else None,
                  [p.rng.randint(1, 3) for _ in range(n)], pad, dilations, groups)


def some_axes(p, x):
    if x.t.dim() < 1:
        raise Skip
    axes = p.rng.sample(range(x.t.dim()), p.rng.randint(1, x.t.dim()))
    return [a - x.t.dim() if p.rng.random() < 0.3 else a for a in axes]


def step_norm(p, x):
    axes = sorted(a % x.t.dim() for a in some_axes(p, x))
    shape = [x.shape[a] for a in axes]
    if math.prod(shape) < 3:
        raise Skip
    return p.layer_norm(x, axes, p.input(shape) if p.rng.random() < 0.6 else None,
                        p.input(shape) if p.rng.random() < 0.6 else None, 0.01)


def step_softmax(p, x):
    if x.t.dim() < 1:
        raise Skip
    return p.softmax(x, p.rng.randint(-x.t.dim(), x.t.dim() - 1))


def step_reduce(p, x):
    op = p.rng.choice(list(REDUCE))
    axes = some_axes(p, x)
    if op in ("max", "min"):
        sorted_ = x.t.detach().reshape(-1).sort().values
        if len(sorted_) > 1 and (sorted_[1:] - sorted_[:-1]).min() < 1e-4:
            raise Skip
    return p.reduce(op, x, axes, p.rng.random() < 0.5)


def step_cumsum(p, x):
    if x.t.dim() < 1:
        raise Skip
    return p.cumsum(x, p.rng.randint(0, x.t.dim() - 1), p.rng.random() < 0.5,
                    p.rng.random() < 0.5)


def step_shape(p, x):
    kind = p.rng.choice(["reshape", "transpose", "slice", "tile", "pad", "reverse", "expand"])
    rank = x.t.dim()
    if rank < 1 or rank > 4:
        raise Skip
    if kind == "reshape":
        return p.reshape(x, p.rng.choice([[-1], [1, -1], [x.shape[0], -1]]))
    if kind == "transpose":
        return p.transpose(x, p.rng.sample(range(rank), rank))
    if kind == "slice":
        begin, end, stride = [], [], []
        for n in x.shape:
            a, b = sorted([p.rng.randint(0, n - 1), p.rng.randint(0, n - 1)])
            s = p.rng.randint(1, 2)
            if a > 0 and p.rng.random() < 0.4:
                begin, end, stride = begin + [b], end + [a - 1], stride + [-s]
            else:
                begin, end, stride = begin + [a], end + [b + 1], stride + [s]
        return p.slice(x, begin, end, stride)
    if kind == "tile":
        return p.tile(x, [p.rng.randint(1, 2) for _ in range(rank)])
    if kind == "pad":
        n = p.rng.randint(1, min(2, rank))
        mode = p.rng.choice(["constant", "reflect", "replicate"])
        top = [min(2, s - 1) if mode == "reflect" else 2 for s in x.shape[-n:]]
        return p.pad(x, [p.rng.randint(0, top[i // 2]) for i in range(2 * n)], mode)
    if kind == "reverse":
        axes = p.rng.sample(range(rank), p.rng.randint(1, rank))
        return p.emit("reverse", x.t.flip(axes), x=x, axes=axes)
    axis = p.rng.randint(0, rank)
    return p.emit("expand_dims", x.t.unsqueeze(axis), x=x, axes=[axis])


def step_join(p, x):
    if x.t.dim() < 1 or x.t.dim() > 4:
        raise Skip
    axis = p.rng.randint(0, x.t.dim() - 1)
    if p.rng.random() < 0.5 and x.shape[axis] > 1:
        n = p.rng.randint(1, x.shape[axis] - 1)
        a, b = p.split(x, axis, [n, x.shape[axis] - n])
        p.pool.append(a)
        return b if p.rng.random() < 0.5 else p.concat([b, a, b], axis)
    y = p.unary("sin", x)
    return p.concat([x, y], axis) if p.rng.random() < 0.5 else p.stack([y, x], axis)


def step_index(p, x):
    rank = x.t.dim()
    if rank < 1:
        raise Skip
    axis = p.rng.randint(0, rank - 1)
    n = x.shape[axis]
    kind = p.rng.choice(["gather", "along", "add", "update"])
    if kind == "gather":
        return p.gather(x, p.ints([p.rng.randint(1, 4)] * p.rng.randint(1, 2), n), axis) \
            if rank < 4 else p.gather(x, p.ints([3], n), axis)
    if kind == "along":
        return p.gather_along_axis(x, p.ints(x.shape[:axis] + [p.rng.randint(1, 4)]
                                             + x.shape[axis + 1:], n), axis)
    m = p.rng.randint(1, 4) if kind == "add" else p.rng.randint(1, n)
    updates = p.input(x.shape[:axis] + [m] + x.shape[axis + 1:])
    return p.scatter(x, p.ints([m], n, distinct=kind == "update"), updates, axis, kind)


def step_select(p, x):
    y = p.input(x.shape)
    cond = p.binary("greater", x, y)
    return p.select(cond, p.binary("mul", x, y), y)


STEPS = [step_unary, step_unary, step_binary, step_binary, step_mix, step_positive, step_matmul,
         step_linear, step_conv, step_conv, step_norm, step_softmax, step_reduce, step_cumsum,
         step_shape, step_shape, step_join, step_index, step_index, step_select]


def any_program(p):
    p.pool = [p.input(shape_of(p)) for _ in range(p.rng.randint(1, 2))]
    for _ in range(p.rng.randint(3, 8)):
        x = p.rng.choice(p.pool[-3:])
        before = len(p.lines), len(p.inputs), p.count
        try:
            y = p.rng.choice(STEPS)(p, x)
        except Skip:
            del p.lines[before[0]:], p.inputs[before[1]:]
            p.count = before[2]
            p.pool = [v for v in p.pool if not v.name.startswith("v") or int(v.name[1:]) < p.count]
            continue
        if y.t.numel() > 400 or y.t.dim() > 5 or not (y.t.detach().abs() < 20).all():
            raise Skip
        p.pool.append(y)
    made = [v for v in p.pool if v.name.startswith("v")]
    if not made:
        raise Skip
    outputs = {made[-1].name: made[-1]}
    for v in p.rng.sample(made, min(len(made), p.rng.randint(0, 2))):
        outputs[v.name] = v
    return list(outputs.values())


# ---- files ----


def numbers(t):
    return " ".join("%.9g" % v for v in t.detach().double().reshape(-1).tolist())


def line(name, t):
    return "%s %s [%s] = %s\n" % (name, NAMES[t.dtype], ",".join(map(str, t.shape)), numbers(t))


def write(folder, name, make, seed):
    p = Program(seed)
    outputs = make(p)
    text = "".join(line(v.name, v.t) for v in p.inputs)
    loss = 0
    for v in outputs:
        if v.t.dtype != torch.float64:
            continue
        w = (torch.rand(v.t.shape, generator=p.gen) * 2 - 1).float().double()
        text += line("seed_" + v.name, w)
        loss = loss + (w * v.t).sum()
    text += "".join(line(v.name, v.t) for v in outputs if not v.name.startswith("x"))
    floats = [v for v in p.inputs if v.t.dtype == torch.float64]
    if not loss.requires_grad:
        raise Skip
    grads = torch.autograd.grad(loss, [v.t for v in floats], allow_unused=True)
    for v, g in zip(floats, grads):
        g = torch.zeros_like(v.t) if g is None else g
        if not (g.abs() < 1e3).all():
            raise Skip
        text += line("grad_" + v.name, g)
    with open(os.path.join(folder, name + ".mil"), "w") as f:
        f.write(p.mil(outputs))
    with open(os.path.join(folder, name + ".txt"), "w") as f:
        f.write(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--random", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    os.makedirs(args.folder, exist_ok=True)
    for i, make in enumerate(WRITTEN):
        write(args.folder, make.__name__, make, args.seed * 1000 + i)
    done, seed = 0, args.seed * 1000003
    while done < args.random:
        seed += 1
        try:
            write(args.folder, "random_%03d" % done, any_program, seed)
            done += 1
        except Skip:
            pass


if __name__ == "__main__":
    main()
