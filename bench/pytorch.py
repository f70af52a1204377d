"""Gradient and Hessian product of eos's two networks in PyTorch.

Prints a line for each: model, precision, order (0 gradient, 1 Hessian
product), milliseconds; the best of several runs, as bench.c takes it.  The
Hessian product is the gradient of (gradient . v), as everyone writes it.
"""
import math
import os
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(len(os.sched_getaffinity(0)))


def mlp(p, x):
    x = F.silu(F.linear(x, p[0], p[1]))
    x = F.silu(F.linear(x, p[2], p[3]))
    return F.linear(x, p[4], p[5])


def cnn(p, x):
    x = F.avg_pool2d(F.silu(F.conv2d(x, p[0], p[1], padding=1)), 2)
    x = F.avg_pool2d(F.silu(F.conv2d(x, p[2], p[3], padding=1)), 2)
    return F.linear(x.flatten(1), p[4], p[5])


MODELS = {
    "mlp": (mlp, [(200, 3072), (200, 200), (10, 200)], (5000, 3072)),
    "cnn": (cnn, [(32, 3, 3, 3), (32, 32, 3, 3), (10, 2048)], (500, 3, 32, 32)),
}


def parameters(shapes, dtype):
    p = []
    for shape in shapes:
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        p.append(((torch.rand(shape, dtype=dtype) * 2 - 1) * bound))
        p.append(torch.zeros(shape[0], dtype=dtype))
    return [t.requires_grad_() for t in p]


def gradient(f, p, x, y, graph):
    loss = ((f(p, x) - y) ** 2).sum(1).mean()
    return torch.autograd.grad(loss, p, create_graph=graph)


def product(f, p, x, y, v):
    g = gradient(f, p, x, y, True)
    return torch.autograd.grad(sum((a * b).sum() for a, b in zip(g, v)), p)


def best(run):
    times = []
    while len(times) < 4 or sum(times) < 1:
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return 1e3 * min(times)


for name, (f, shapes, inputs) in MODELS.items():
    for label, dtype in (("f32", torch.float32), ("f64", torch.float64)):
        p = parameters(shapes, dtype)
        v = [torch.randn_like(t) for t in p]
        x = torch.randn(inputs, dtype=dtype)
        y = F.one_hot(torch.randint(10, (inputs[0],)), 10).to(dtype)
        print(name, label, 0, best(lambda: gradient(f, p, x, y, False)))
        print(name, label, 1, best(lambda: product(f, p, x, y, v)), flush=True)
