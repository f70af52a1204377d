"""Gradient, Hessian product and third derivative of eos's networks in PyTorch.

usage: pytorch.py MODEL SAMPLES LENGTH VOCABULARY

Prints a line for each: precision, order (0 gradient, 1 Hessian product, 2
third derivative), milliseconds; the best of several runs, as bench.c takes it.
Each order is the gradient of the one before times v, as everyone writes it.
"""
import math
import os
import sys
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(len(os.sched_getaffinity(0)))
MODEL, SAMPLES, LENGTH, VOCABULARY = sys.argv[1], *map(int, sys.argv[2:5])


class Parameters:
    """Drawn as they are asked for the first time, then given out in order."""

    def __init__(self, dtype):
        self.all, self.at, self.dtype = [], 0, dtype

    def take(self, *shape, fan_in=0):
        if self.at == len(self.all):
            p = torch.rand(shape, dtype=self.dtype) * 2 - 1
            p = p / math.sqrt(fan_in) if fan_in else 1 + p / 10
            self.all.append(p.requires_grad_())
        self.at += 1
        return self.all[self.at - 1]

    def linear(self, x, n):
        fan_in = x.shape[-1]
        return F.linear(x, self.take(n, fan_in, fan_in=fan_in), self.take(n))

    def conv(self, x, n, size=3, stride=1, bias=False):
        fan_in = x.shape[1] * size * size
        w = self.take(n, x.shape[1], size, size, fan_in=fan_in)
        b = self.take(n) if bias else None
        return F.conv2d(x, w, b, stride, size // 2)

    def group_norm(self, x):
        c = x.shape[1]
        return F.group_norm(x, 16, self.take(c), self.take(c), 1e-6)

    def layer_norm(self, x):
        c = x.shape[-1]
        return F.layer_norm(x, (c,), self.take(c), self.take(c), 1e-6)


def mlp(p, x):
    x = F.silu(p.linear(x.flatten(1), 200))
    x = F.silu(p.linear(x, 200))
    return p.linear(x, 10)


def cnn(p, x):
    x = F.avg_pool2d(F.silu(p.conv(x, 32, bias=True)), 2)
    x = F.avg_pool2d(F.silu(p.conv(x, 32, bias=True)), 2)
    return p.linear(x.flatten(1), 10)


def resnet18(p, x):
    x = F.silu(p.group_norm(p.conv(x, 16)))
    for stage, c in enumerate((16, 32, 64, 128)):
        for block in range(2):
            stride = 2 if stage and not block else 1
            y = F.silu(p.group_norm(p.conv(x, c, stride=stride)))
            y = p.group_norm(p.conv(y, c))
            if stride > 1:
                x = p.group_norm(p.conv(x, c, 1, 2))
            x = F.silu(x + y)
    return p.linear(x.mean((2, 3)), 10)


def transformer(p, x):
    n, t = x.shape
    h = F.embedding(x, p.take(VOCABULARY, 64, fan_in=64))
    h = h + p.take(64, 64, fan_in=64)[:t]
    for _ in range(2):
        q, k, v = (p.linear(h, 64).view(n, t, 2, 32).transpose(1, 2)
                   for _ in range(3))
        a = (q @ k.transpose(2, 3) / math.sqrt(32)).softmax(3) @ v
        h = p.layer_norm(h + p.linear(a.transpose(1, 2).reshape(n, t, 64), 64))
        h = p.layer_norm(h + p.linear(F.silu(p.linear(h, 64)), 64))
    return p.linear(h.mean(1), 1)


def derivative(order, f, p, x, y, v):
    p.at = 0
    loss = ((f(p, x) - y) ** 2).sum(1).mean()
    g = torch.autograd.grad(loss, p.all, create_graph=order > 0)
    for k in range(order):
        dot = sum((a * b).sum() for a, b in zip(g, v))
        g = torch.autograd.grad(dot, p.all, create_graph=k + 1 < order)
    return g


def best(run):
    times = []
    while len(times) < 4 and sum(times) < 20 or sum(times) < 1:
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return 1e3 * min(times)


def main():
    f = {"mlp": mlp, "cnn": cnn, "resnet18": resnet18,
         "transformer": transformer}[MODEL]
    for label, dtype in (("f32", torch.float32), ("f64", torch.float64)):
        if MODEL == "transformer":
            x = torch.randint(VOCABULARY, (SAMPLES, LENGTH))
            y = (torch.randint(2, (SAMPLES, 1)) * 2 - 1).to(dtype)
        else:
            x = torch.randn(SAMPLES, 3, 32, 32, dtype=dtype)
            y = F.one_hot(torch.randint(10, (SAMPLES,)), 10).to(dtype)
        p = Parameters(dtype)
        f(p, x[:2])
        v = [torch.randn_like(t) for t in p.all]
        for order in range(3):
            run = lambda: derivative(order, f, p, x, y, v)
            print(label, order, best(run), flush=True)


main()
