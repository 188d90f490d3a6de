"""Stands in for PyTorch on a machine without it: a network can be built and run, but nothing is computed."""

import os
import sys
import time

__version__ = "stand-in"


class Anything:
    """Whatever is asked of it gives another one."""

    def __call__(self, *_, **__):
        return Anything()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def _same(self, *_):
        return Anything()

    __add__ = __radd__ = __sub__ = __truediv__ = __floordiv__ = __mod__ = __mul__ = _same


class Module:
    def __init__(self, *_, **__):
        pass

    def __call__(self, *values):
        return self.forward(*values)

    def forward(self, *_):
        return Anything()

    def to(self, *_, **__):
        return self

    def parameters(self):
        return []

    def train(self):
        return self

    eval = train


class nn:
    """torch.nn"""
    Module = Sequential = Conv2d = ConvTranspose2d = BatchNorm2d = ReLU = MaxPool2d = Upsample = Module
    functional = Anything()


class cuda:
    """torch.cuda"""

    @staticmethod
    def synchronize():
        time.sleep(1e-3)

    empty_cache = reset_peak_memory_stats = synchronize

    @staticmethod
    def max_memory_allocated():
        return 7_000_000

    max_memory_reserved = max_memory_allocated


class backends:
    """torch.backends"""

    class cudnn:
        benchmark = False

        @staticmethod
        def version():
            return 91900


def compile(model):
    how = os.environ.get("STAND_IN_COMPILE", "")
    if how == "fails":
        raise RuntimeError("made to fail")
    if how == "hangs":
        time.sleep(300)
    return model


uint8, int64, float16, float32, float64, bfloat16, channels_last = ("uint8", "int64", "float16", "float32", "float64",
                                                                   "bfloat16", "last")
device = randint = arange = tensor = autocast = inference_mode = cat = Anything()
optim = Anything()
sys.modules["torch.nn"] = nn
sys.modules["torch.nn.functional"] = nn.functional
