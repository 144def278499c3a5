"""The warm Python runtime: evaluates code for the agent in one interpreter that keeps its variables.

The agent is reached over two pipes, descriptor 3 to read and 4 to write. A message is a 4-byte length of what follows,
a kind, a 4-byte number, and a body; numbers are big-endian. From the agent: E, the number of interrupts sent before it
and source text; R, a seed. To the agent: r (ready), D (done) with the number of its E; their bodies are fields, each a
4-byte length and UTF-8 text, or 0xffffffff for null. Standard output and error are pipes the agent reads all the time.
"""

import ast
import builtins
import collections
import datetime
import fcntl
import functools
import gc
import io
import itertools
import json
import linecache
import math
import os
import pathlib
import random
import re
import select
import signal
import struct
import subprocess
import sys
import traceback
import types

try:
    import numpy
except Exception:  # an installation that is broken must not take the runtime down
    numpy = None

MAX_RESULT = 1 << 20
MAX_ERROR = 64 << 10
MAX_SOURCES = 64
FIRST_PRIVATE_FD = 500
RESEED_SIGNAL = signal.SIGRTMIN + 10
# Not SIGINT: code that handles that one can still be interrupted, and may send it to itself.
INTERRUPT_SIGNAL = signal.SIGRTMIN + 11

# Bound here, so that code which replaces a function of a module does not change the driver.
_read, _write, _dup2, _getpid, _exit = os.read, os.write, os.dup2, os.getpid, os._exit
_pack, _unpack, _select = struct.pack, struct.unpack, select.select
_repr, _compile, _exec, _eval = repr, compile, exec, eval


def _pack_fields(fields):
    return b"".join(
        b"\xff\xff\xff\xff" if field is None else _pack(">I", len(field)) + field for field in fields
    )


def _private(descriptor):
    """Moves a descriptor out of the way of code that closes all the small ones."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FIRST_PRIVATE_FD)
    if descriptor > 2:
        os.close(descriptor)
    return moved


class Channel:
    """The two pipes to the agent."""

    def __init__(self):
        self.source = _private(3)
        self.sink = _private(4)
        # A forked child of evaluated code must neither answer nor hold the pipes open.
        os.register_at_fork(after_in_child=self.close)

    def close(self):
        for descriptor in (self.source, self.sink):
            try:
                os.close(descriptor)
            except OSError:
                pass

    def receive(self):
        """The next message, or None when the agent is gone."""
        head = self._exactly(9)
        if head is None:
            return None
        length, kind, number = _unpack(">IcI", head)
        body = self._exactly(length - 5)
        return None if body is None else (kind, number, body)

    def pending(self):
        """A message has begun to arrive."""
        return bool(_select([self.source], [], [], 0)[0])

    def _exactly(self, size):
        data = b""
        while len(data) < size:
            piece = _read(self.source, min(size - len(data), 1 << 20))
            if not piece:
                return None
            data = data + piece if data else piece
        return data

    def send(self, kind, number, fields):
        body = _pack_fields(fields)
        data = memoryview(_pack(">IcI", len(body) + 5, kind, number) + body)
        while data:
            data = data[_write(self.sink, data) :]


class Output:
    """Descriptors 1 and 2, and the files over them; what evaluated code did to them lasts no longer than its eval."""

    def __init__(self):
        self.descriptors = ((_private(1), 1), (_private(2), 2))
        self.files = []
        self.restore()
        os.register_at_fork(before=self.flush)

    def restore(self):
        for saved, descriptor in self.descriptors:
            _dup2(saved, descriptor)
        for name, descriptor in (("stdout", 1), ("stderr", 2)):
            stream = getattr(sys, name, None)
            if stream is None or getattr(stream, "closed", False) or not self.files:
                setattr(sys, name, self._open(descriptor))
        if not self.files:
            self.files = [sys.stdout, sys.stderr]
            sys.__stdout__, sys.__stderr__ = self.files

    @staticmethod
    def _open(descriptor):
        # Line by line: what was said before a crash is not lost.
        return open(
            descriptor, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False
        )

    def flush(self):
        for stream in (sys.stdout, sys.stderr, *self.files):
            try:
                stream.flush()
            except Exception:
                pass


def _text(text, limit):
    """UTF-8 of at most about `limit` bytes; says so where it cut. Lone surrogates are escaped."""
    data = str.encode(text, "utf-8", "backslashreplace")
    if len(data) <= limit:
        return data
    kept = data[:limit].decode("utf-8", "ignore").encode("utf-8")
    return kept + b"... [cut: %d bytes in all]" % len(data)


def _message(error):
    """`Type: message`."""
    name = type(error).__name__
    try:
        message = str(error)
    except BaseException:
        message = "<the message cannot be shown>"
    return f"{name}: {message}" if message else name


def _of_driver(tb):
    return tb.tb_frame.f_code.co_filename == _pack_fields.__code__.co_filename


def _user_part(tb):
    """The frames of evaluated code, without the driver's before them and, after an interrupt, behind them."""
    while tb is not None and _of_driver(tb):
        tb = tb.tb_next
    at = tb
    while at is not None and at.tb_next is not None:
        if _of_driver(at.tb_next):
            at.tb_next = None
        at = at.tb_next
    return tb


def _trace(error):
    try:
        trimmed = _user_part(error.__traceback__)
        return "".join(traceback.format_exception(type(error), error.with_traceback(trimmed), trimmed))
    except BaseException:
        return None


class Runtime:
    def __init__(self, channel):
        self.channel = channel
        self.busy = False
        self.interrupts = 0
        self.seed_is_due = False
        self.count = 0
        self.sources = collections.deque()
        self.main = types.ModuleType("__main__")
        self.main.__dict__.update(
            __builtins__=builtins,
            json=json, re=re, math=math, datetime=datetime, pathlib=pathlib, subprocess=subprocess, random=random,
            os=os, sys=sys, io=io, itertools=itertools, collections=collections, functools=functools,
        )  # fmt: skip
        if numpy is not None:
            self.main.__dict__.update(numpy=numpy, np=numpy)
        # Classes of evaluated code say they are of __main__, and pickle looks for them there.
        sys.modules["__main__"] = self.main

    def evaluate(self, code, interrupts=0):
        """(result, error, traceback) as bytes or None, and the exception. `interrupts` came before the code did."""
        error = None
        try:
            try:
                self.busy = True
                # Signals for this code may have come before it.
                if self.seed_is_due:
                    self._take_seed()
                if self.interrupts > interrupts:
                    raise KeyboardInterrupt
                return self._run(code), None, None, None
            finally:
                self.busy = False
        except BaseException as caught:
            self.busy = False
            error = caught
        trace = _trace(error)
        return (
            None,
            _text(_message(error), MAX_ERROR),
            None if trace is None else _text(trace, MAX_ERROR),
            error,
        )

    def _run(self, code):
        """The repr of the last expression, None after a statement."""
        source = code.decode("utf-8")
        filename = self._remember(source)
        tree = _compile(source, filename, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
        last = None
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            last = ast.Expression(tree.body.pop().value)
        names = self.main.__dict__
        if tree.body:
            _exec(_compile(tree, filename, "exec", dont_inherit=True), names)
        if last is None:
            return None
        return _text(_repr(_eval(_compile(last, filename, "eval", dont_inherit=True), names)), MAX_RESULT)

    def _remember(self, source):
        """Keeps the source for tracebacks; the oldest go."""
        self.count += 1
        filename = f"<eval-{self.count}>"
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
        self.sources.append(filename)
        if len(self.sources) > MAX_SOURCES:
            linecache.cache.pop(self.sources.popleft(), None)
        return filename

    def reseed(self, seed):
        """Gives the generators that were seeded before the VM was copied another state."""
        random.seed(seed)
        generator = sys.modules.get("numpy.random")
        if generator is not None:
            generator.seed(list(_unpack(">%dI" % (len(seed) // 4), seed)))

    def _take_seed(self):
        """While code runs, all the agent sends is seeds."""
        self.seed_is_due = False
        if self.channel.pending():
            message = self.channel.receive()
            if message is not None and message[0] == b"R":
                self.reseed(message[2])

    def on_interrupt(self, _number, _frame):
        self.interrupts += 1
        if self.busy:
            raise KeyboardInterrupt

    def on_keyboard(self, _number, _frame):
        if self.busy:
            raise KeyboardInterrupt

    def on_reseed(self, _number, _frame):
        self.seed_is_due = True
        if self.busy:
            self._take_seed()


def _leave(error):
    """Ends a forked child of evaluated code the way a program ends."""
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        sys.stderr.write(_trace(error) or _message(error))
        code = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
    _exit(code & 0xFF)


def main():
    pid = _getpid()
    channel = Channel()
    output = Output()
    runtime = Runtime(channel)
    signal.signal(signal.SIGINT, runtime.on_keyboard)
    signal.signal(INTERRUPT_SIGNAL, runtime.on_interrupt)
    signal.signal(RESEED_SIGNAL, runtime.on_reseed)
    sys.argv = [""]
    sys.path[0] = ""
    # The first eval of a copy runs on pages and code that were used before.
    runtime.evaluate(b"1 + 1")
    runtime.evaluate(b"undefined_name")
    runtime.count = 0
    gc.collect()
    gc.freeze()
    version = None if numpy is None else numpy.__version__.encode()
    signals = [b"%d" % RESEED_SIGNAL, b"%d" % INTERRUPT_SIGNAL]
    channel.send(b"r", 0, [version, *signals])
    while True:
        message = channel.receive()
        if message is None:
            _exit(0)
        kind, number, body = message
        if kind == b"R":
            runtime.reseed(body)
        elif kind == b"E":
            output.restore()
            result, error, trace, exception = runtime.evaluate(body[4:], int.from_bytes(body[:4], "big"))
            if _getpid() != pid:
                _leave(exception)
            output.flush()
            channel.send(b"D", number, [result, error, trace])
            message = body = exception = None


if __name__ == "__main__":
    main()
